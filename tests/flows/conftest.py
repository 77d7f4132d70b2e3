"""Fixtures of the flows' tests: a small labelled dataset, and the command in this process."""

import csv
import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple
from unittest import mock

import pytest
from tiny_models import WORDS

from pipeline_core import PipelineSpec


@pytest.fixture
def spec(build_model: Callable[[str], str]) -> PipelineSpec:
    """A classifier with the labels a, b and c, all of which it predicts for some of the reviews."""
    return PipelineSpec(task="text-classification", model=build_model("bert"), device="cpu")


@pytest.fixture
def reviews(tmp_path: Path) -> Path:
    """A CSV file of 30 texts, each with a key, and a label that some of them lack."""
    path = tmp_path / "reviews.csv"
    draw = random.Random(7)
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["key", "text", "label"])
        for row in range(30):
            writer.writerow([f"r{row:02d}", " ".join(draw.choices(WORDS, k=3 + row)), draw.choice(["a", "B", "2", ""])])
    return path


class Ended(NamedTuple):
    """What a command did."""

    code: int
    out: str
    err: str


@pytest.fixture
def pipeline_flows(capsys: pytest.CaptureFixture[str]) -> Iterator[Callable[..., Ended]]:
    """The command ``pipeline-flows`` in this process."""
    from flows.cli import main

    def run(*arguments: object) -> Ended:
        capsys.readouterr()
        with mock.patch.dict(os.environ), pytest.raises(SystemExit) as left:
            main([str(argument) for argument in arguments])
        return Ended(left.value.code, *capsys.readouterr())

    return run
