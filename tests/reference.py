"""Texts to try, what transformers itself gives for each alone, and whether two answers are the same."""

import random
from numbers import Real

import pytest
import torch
from tiny_models import WORDS

from pipeline_core import BatchPolicy, Prediction
from pipeline_core.engine import Engine
from pipeline_core.records import Record
from pipeline_core.tuning import BudgetMemory

TOLERANCE = 1e-4


def text_of(words: int, seed: int = 0) -> str:
    return " ".join(random.Random(seed * 1000 + words).choices(WORDS, k=words))


def alone(pipeline, inputs, **parameters):
    """What the transformers pipeline gives for a stream of this one record."""
    (output,) = pipeline((row for row in [inputs]), **parameters)
    return output


def same(found, wanted) -> bool:
    if isinstance(wanted, Real) and not isinstance(wanted, bool):
        return found == pytest.approx(wanted, abs=TOLERANCE)
    if isinstance(wanted, dict):
        return found.keys() == wanted.keys() and all(same(found[key], wanted[key]) for key in wanted)
    if isinstance(wanted, list | tuple):
        return len(found) == len(wanted) and all(map(same, found, wanted))
    return found == wanted


def run(stages, inputs, policy: BatchPolicy | None = None) -> list[Prediction]:
    engine = Engine(stages, policy or BatchPolicy(), BudgetMemory(("test",)), 512, torch.device("cpu"))
    return list(engine.run(Record(str(row), given_) for row, given_ in enumerate(inputs)))
