"""Fixtures for all tests: tiny real models, built once a session, and a cache folder that is not the user's."""

import os
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"
# Tiny models gain nothing from more threads, and lose much to waiting for them on a busy machine.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
import torch
from tiny_models import BUILDERS

from pipeline_core.loading import unload


@pytest.fixture(autouse=True, scope="session")
def private_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Keep what runs remember out of the user's cache folder."""
    folder = tmp_path_factory.mktemp("cache")
    os.environ["PIPELINE_FLOWS_CACHE"] = str(folder)
    yield folder
    unload()


@pytest.fixture
def fresh_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder that remembers nothing yet."""
    monkeypatch.setenv("PIPELINE_FLOWS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(scope="session")
def build_model(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], str]:
    """Build a tiny model by its kind and return its folder; each is built once."""
    built: dict[str, str] = {}

    def build(kind: str) -> str:
        if kind not in built:
            folder = tmp_path_factory.mktemp(kind)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                torch.manual_seed(11)
                BUILDERS[kind](folder)
            built[kind] = str(folder)
        return built[kind]

    return build
