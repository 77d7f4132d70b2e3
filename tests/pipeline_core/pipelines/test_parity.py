"""The seven pipelines answer as those of transformers 4.56.2 did."""

import json
import warnings
from functools import partial

import pytest
import transformers
from reference import same
from seven_cases import CASES, EXPECTED, LEGACY, answer_to

import pipeline_core  # noqa: F401 - registers the tasks


def read(name, cases):
    answers = json.loads((EXPECTED / f"{name}.json").read_text(encoding="utf-8"))
    assert len(answers) == len(cases), "run tests/expected/make_expected.py again"
    ids = [f"{number}-{case[0]}-{case[1]}" for number, case in enumerate(cases)]
    return pytest.mark.parametrize(("case", "wanted"), list(zip(cases, answers, strict=True)), ids=ids)


def answered(case, folder, **more):
    task, _, inputs, init, parameters = case
    with warnings.catch_warnings():  # of generation parameters that tiny models have no use for
        warnings.simplefilter("ignore")
        return answer_to(
            partial(transformers.pipeline, task, model=folder, device="cpu", **init, **more), inputs, parameters
        )


def alike(found, wanted):
    """Whether the answers are the same, but for pixels that were rounded the other way on another processor."""
    if isinstance(wanted, dict) and "pixels" in wanted:
        return found["size"] == wanted["size"] and found["pixels"] == pytest.approx(wanted["pixels"], abs=1)
    if isinstance(wanted, list) and wanted and isinstance(found, list):
        return len(found) == len(wanted) and all(map(alike, found, wanted))
    return same(found, wanted)


@read("seven", CASES)
def test_a_call_is_answered_as_transformers_4_did(case, wanted, build_model):
    assert alike(answered(case, build_model(case[1])), wanted)


@read("legacy", LEGACY)
def test_generation_parameters_rank_as_in_transformers_4_where_that_is_asked_for(case, wanted, build_model):
    folder = build_model(case[1])
    assert same(answered(case, folder, legacy_generation=True), wanted)
    assert not same(answered(case, folder), wanted), "the rules of transformers 5 make no difference here"
