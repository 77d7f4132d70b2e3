"""Which generation parameters apply: transformers 5's rules, and what the task's own parameters add to them."""

import pytest
import transformers
from tiny_models import SENTENCES

import pipeline_core  # noqa: F401 - registers the tasks


@pytest.fixture(scope="module")
def arguments_of(build_model):
    """The arguments that ``generate`` gets for a pipeline's and a call's parameters."""

    def find(task, model="t5", init=None, **given):
        pipeline = transformers.pipeline(task, model=build_model(model), device="cpu", **(init or {}))
        legacy = given.pop("legacy_generation", False)
        return pipeline._arguments_of_generate(given, legacy)

    return find


def test_the_pipelines_defaults_apply_where_nobody_sets_anything(arguments_of):
    found = arguments_of("text2text-generation")
    assert (found["num_beams"], found["max_new_tokens"]) == (4, 256)


def test_the_models_generation_config_comes_before_the_defaults(arguments_of):
    found = arguments_of("text2text-generation", "t5-lengths")
    assert "num_beams" not in found
    assert "max_new_tokens" not in found


def test_the_tasks_own_parameters_come_before_the_models_and_after_the_users(arguments_of):
    assert arguments_of("summarization")["num_beams"] == 2
    assert arguments_of("summarization", init={"num_beams": 3})["num_beams"] == 3
    assert arguments_of("summarization", init={"num_beams": 3}, num_beams=1)["num_beams"] == 1


@pytest.mark.parametrize(
    ("given", "length"),
    [({}, 12), ({"max_length": 30}, 30), ({"max_new_tokens": 5}, None)],
)
def test_one_rule_of_length_holds_at_a_time(arguments_of, given, length):
    found = arguments_of("summarization", **given)
    assert found.get("max_length") == length
    assert found.get("max_new_tokens") == given.get("max_new_tokens")


def test_a_generation_config_stands_in_for_what_task_and_pipeline_set(arguments_of):
    config = transformers.GenerationConfig(max_new_tokens=3)
    found = arguments_of("summarization", init={"num_beams": 3}, generation_config=config)
    assert found["generation_config"].max_new_tokens == 3
    assert found["generation_config"].num_beams == 4
    assert arguments_of("summarization", generation_config=config, legacy_generation=True) == {
        "generation_config": config
    }


def test_a_length_of_the_call_is_obeyed(build_model):
    pipeline = transformers.pipeline("summarization", model=build_model("t5"), device="cpu")
    [answer] = pipeline(SENTENCES[2], max_length=6, return_tensors=True)
    assert len(answer["summary_token_ids"]) == 6
