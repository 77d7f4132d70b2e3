"""Fixtures of loading's tests: a small classifier, and no model warm before a test or after it."""

import gc
import shutil
from pathlib import Path

import pytest
import torch
from tiny_models import SENTENCES

from pipeline_core import PipelineSpec, unload


@pytest.fixture(autouse=True, scope="module")
def quick():
    """One thread is enough for tiny models, and what the imports made need not be looked through for garbage."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    gc.unfreeze()
    torch.set_num_threads(threads)


@pytest.fixture(autouse=True)
def nothing_warm():
    unload()
    gc.freeze()
    yield
    unload()


@pytest.fixture
def model(build_model) -> str:
    return build_model("distilbert")


@pytest.fixture
def folder(model, tmp_path) -> Path:
    """A copy of the model that a test may spoil."""
    return Path(shutil.copytree(model, tmp_path / "model"))


def spec_of(model, **changes) -> PipelineSpec:
    return PipelineSpec(**{"task": "text-classification", "model": str(model), "device": "cpu", **changes})


def scores(pipeline) -> torch.Tensor:
    """Those of NEG and POS for each sentence."""
    answers = [{answer["label"]: answer["score"] for answer in row} for row in pipeline(SENTENCES, top_k=None)]
    return torch.tensor([[answer["NEG"], answer["POS"]] for answer in answers])
