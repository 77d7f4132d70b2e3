"""The spec: refused where it is wrong, equal to its own dump, and a fingerprint that follows the results."""

import inspect
import json
import os
import subprocess
import sys

import pytest
import torch
import transformers
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from pipeline_core import BatchPolicy, FailurePolicy, PipelineSpec

TOKEN = "hf_PLANTED"
FULL = {
    "task": "text-classification",
    "model": "someone/model",
    "revision": "abc",
    "tokenizer": "someone/tokenizer",
    "device": "cuda:1",
    "dtype": "bfloat16",
    "quantization": {"load_in_4bit": True, "bnb_4bit_compute_dtype": "bfloat16"},
    "attn_implementation": "eager",
    "model_kwargs": {"use_safetensors": False},
    "trust_remote_code": True,
    "parameters": {"top_k": None, "max_length": 20},
    "on_long": "window",
    "window_stride": 32,
}


def spec_of(**changes) -> PipelineSpec:
    return PipelineSpec(**{"task": "text-classification", **changes})


@pytest.mark.parametrize(
    ("wrong", "accepted"),
    [
        ({"task": "text-clasification"}, ["text-classification", "sentiment-analysis", "zero-shot-classification"]),
        ({"parameters": {"topk": 1}}, ["'topk'", "top_k", "function_to_apply", "truncation", "max_length"]),
        ({"dtype": "int3"}, ["auto", "float32", "float16", "bfloat16", "fastest"]),
        ({"modle": "x"}, ["'modle'", "task", "model", "revision", "window_stride"]),
        ({"model": "demo:sentimental"}, ["'demo:sentimental'", "'demo:sentiment'", "folder"]),
        ({"device": "gpu"}, ["'gpu'", "auto", "cpu", "mps", "cuda:N", "xpu"]),
        ({"device": -2}, ["-1", "-2"]),
        ({"device_map": "everywhere"}, ["'everywhere'", "auto", "balanced", "sequential"]),
        ({"on_long": "cut"}, ["truncate", "error", "window"]),
        ({"parameters": {"function_to_apply": "foo"}}, ["'foo'", "sigmoid", "softmax", "none"]),
        ({"parameters": {"truncation": "yes"}}, ["'yes'", "True", "longest_first", "only_second", "do_not_truncate"]),
        ({"parameters": {"truncation": 1}}, ["1", "True", "longest_first"]),
        ({"parameters": {"max_length": 0}}, ["max_length", "from 1 up", "0"]),
        ({"parameters": {"max_length": "20"}}, ["max_length", "from 1 up", "'20'"]),
        ({"parameters": {"top_k": 0}}, ["top_k", "from 1 up", "null"]),
        ({"parameters": {"top_k": True}}, ["top_k", "from 1 up", "True"]),
        ({"quantization": "2bit"}, ["8bit", "4bit"]),
        ({"quantization": {"bits": 4}}, ["'bits'", "load_in_4bit", "bnb_4bit_compute_dtype"]),
        ({"quantization": {"bnb_4bit_quant_type": "nf4"}}, ["load_in_8bit", "load_in_4bit"]),
    ],
)
def test_what_is_unknown_is_refused_with_what_is_accepted(wrong, accepted):
    with pytest.raises(ValidationError) as refused:
        spec_of(**wrong)
    assert [name for name in accepted if name not in str(refused.value)] == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"task": 3},
        {"trust_remote_code": "yes"},
        {"window_stride": "64"},
        {"window_stride": -1},
        {"device": True},
        {"dtype": torch.float16},
        {"model_kwargs": "use_safetensors"},
        {"parameters": {"top_k": float("nan")}},
        {"parameters": {"top_k": object()}},
        {"device": "cpu", "device_map": "auto"},
        {"task": "fill-mask", "on_long": "window"},
        {"quantization": "8bit", "model_kwargs": {"load_in_8bit": True}},
        {"model_kwargs": {"load_in_4bit": True, "load_in_8bit": True}},
    ],
)
def test_what_has_the_wrong_type_or_contradicts_itself_is_refused(wrong):
    with pytest.raises(ValidationError):
        spec_of(**wrong)


@pytest.mark.parametrize(
    ("task", "parameters"),
    [
        ("text-classification", {"function_to_apply": "SoftMax", "top_k": None, "truncation": True, "max_length": 1}),
        ("text-classification", {"function_to_apply": None, "truncation": "only_first", "max_length": None}),
        ("text-generation", {"top_k": 0, "max_length": 5}),
        ("table-question-answering", {"truncation": "drop_rows_to_fit"}),
    ],
)
def test_values_that_a_tasks_pipeline_takes_are_taken(task, parameters):
    assert PipelineSpec(task=task, parameters=parameters).parameters == parameters


PIPELINE_ARGUMENTS = set(inspect.signature(transformers.pipeline).parameters) - {"kwargs"}


@pytest.mark.parametrize(
    "name", sorted({*PipelineSpec.model_fields, *PIPELINE_ARGUMENTS, "use_auth_token", "torch_dtype", "state_dict"})
)
def test_what_is_set_elsewhere_is_refused_in_model_kwargs_and_its_value_is_not_shown(name):
    with pytest.raises(ValidationError) as refused:
        spec_of(model_kwargs={name: TOKEN})
    field = {"use_auth_token": "token", "torch_dtype": "dtype"}.get(name, name)
    expected = f"set {field}=..., not" if field in PipelineSpec.model_fields else f"model_kwargs takes no {name!r}"
    assert expected in str(refused.value)
    assert TOKEN not in str(refused.value) + repr(refused.value)


def test_a_spec_can_not_be_changed():
    spec = spec_of()
    with pytest.raises(ValidationError, match="frozen"):
        spec.model = "other/model"


def test_a_spec_keeps_its_values_when_the_caller_changes_his():
    parameters = {"top_k": 1}
    spec = spec_of(parameters=parameters)
    parameters["top_k"] = 2
    assert spec.parameters == {"top_k": 1}


@pytest.mark.parametrize(
    ("alias", "task"),
    [
        ("sentiment-analysis", "text-classification"),
        ("ner", "token-classification"),
        ("text-to-speech", "text-to-audio"),
    ],
)
def test_an_alias_means_the_task_it_stands_for(alias, task):
    assert PipelineSpec(task=alias).fingerprint == PipelineSpec(task=task).fingerprint


def test_minus_one_is_the_cpu():
    assert spec_of(device=-1) == spec_of(device="cpu")


@pytest.mark.parametrize(
    "show",
    [repr, str, PipelineSpec.model_dump_json, lambda spec: str(spec.model_dump()), lambda spec: spec.fingerprint],
)
def test_a_token_is_never_shown(show):
    assert TOKEN not in show(spec_of(token=TOKEN))
    assert show(spec_of(token=TOKEN)) == show(spec_of())


@pytest.mark.parametrize(
    "wrong",
    [
        {"device_map": "auto", "device": "cpu", "token": TOKEN},
        {"token": TOKEN, "parameters": {"nope": 1}},
        {"token": [TOKEN]},
        {"quantization": "8bit", "model_kwargs": {"load_in_8bit": True}, "token": TOKEN},
        {"unknown": 1, "token": TOKEN},
    ],
)
def test_a_token_is_not_in_the_message_that_refuses_its_spec(wrong):
    with pytest.raises(ValidationError) as refused:
        spec_of(**wrong)
    assert TOKEN not in str(refused.value)
    assert TOKEN not in repr(refused.value)


def test_the_token_can_be_read_by_who_asks_for_it():
    assert spec_of(token=TOKEN).token.get_secret_value() == TOKEN


@pytest.mark.parametrize("changes", [{}, FULL, {"device": 1, "parameters": {"top_k": 2}}, {"device_map": {"": "cpu"}}])
def test_a_spec_equals_what_its_json_gives(changes):
    spec = spec_of(**changes)
    again = PipelineSpec.model_validate_json(spec.model_dump_json())
    assert again == spec
    assert again.fingerprint == spec.fingerprint
    assert PipelineSpec(**spec.model_dump()) == spec


def test_tuples_and_numbered_keys_become_what_json_makes_of_them():
    labels = ("warm", "cold")
    spec = PipelineSpec(task="zero-shot-classification", parameters={"candidate_labels": labels})
    assert spec.parameters == {"candidate_labels": ["warm", "cold"]}
    assert spec == PipelineSpec(task="zero-shot-classification", parameters={"candidate_labels": list(labels)})
    assert spec_of(model_kwargs={"id2label": {0: "NEG"}}) == spec_of(model_kwargs={"id2label": {"0": "NEG"}})


BASE = {"model": "someone/model", "parameters": {"max_length": 20, "top_k": 2}, "model_kwargs": {"a": {"b": 1, "c": 2}}}


@pytest.mark.parametrize(
    ("base", "changes", "same"),
    [
        ({}, {"device": "cpu"}, True),
        ({}, {"device": 1}, True),
        ({}, {"device_map": "auto"}, True),
        ({}, {"token": TOKEN}, True),
        ({}, {"task": "sentiment-analysis"}, True),
        ({}, {"window_stride": 32}, True),
        ({}, {"seed": 7}, True),
        ({"task": "text-generation", "parameters": {"do_sample": True}}, {"seed": 7}, False),
        ({"task": "text-generation", "parameters": {"generate_kwargs": {"top_p": 0.9}}}, {"seed": 7}, False),
        ({"task": "text-to-audio", "parameters": {}}, {"seed": 7}, False),
        ({}, {"parameters": {"top_k": 2, "max_length": 20}}, True),
        ({}, {"model_kwargs": {"a": {"c": 2, "b": 1}}}, True),
        ({"on_long": "window"}, {"window_stride": 32}, False),
        ({}, {"task": "feature-extraction", "parameters": {}}, False),
        ({}, {"model": "someone/else"}, False),
        ({}, {"model": None}, False),
        ({}, {"revision": "abc"}, False),
        ({}, {"tokenizer": "someone/model"}, False),
        ({}, {"dtype": "float32"}, False),
        ({}, {"dtype": "fastest"}, False),
        ({}, {"quantization": "8bit"}, False),
        ({"quantization": "8bit"}, {"quantization": "4bit"}, False),
        ({"quantization": "4bit"}, {"quantization": {"load_in_4bit": True}}, False),
        ({}, {"attn_implementation": "eager"}, False),
        ({}, {"model_kwargs": {"a": {"b": 1, "c": 3}}}, False),
        ({}, {"trust_remote_code": True}, False),
        ({}, {"parameters": {"max_length": 20, "top_k": 3}}, False),
        ({}, {"parameters": {"max_length": 20, "top_k": None}}, False),
        ({}, {"on_long": "error"}, False),
        ({}, {"on_long": "window"}, False),
    ],
)
def test_the_fingerprint_changes_exactly_when_results_could(base, changes, same):
    base = {**BASE, **base}
    assert (spec_of(**base).fingerprint == spec_of(**{**base, **changes}).fingerprint) is same


def test_the_table_above_names_every_field():
    rows = test_the_fingerprint_changes_exactly_when_results_could.pytestmark[0].args[1]
    assert {name for _, changes, _ in rows for name in changes} == set(PipelineSpec.model_fields)


def test_the_fingerprint_is_the_one_that_earlier_runs_wrote_down():
    """A change here makes every shard that was ever committed be computed again."""
    assert spec_of(**FULL).fingerprint == "3d0cdd8d2d09975c065dfb411af7b650"


def test_the_fingerprint_is_the_same_in_another_process():
    code = "import json, sys; from pipeline_core import PipelineSpec; "
    code += "print(PipelineSpec(**json.loads(sys.argv[1])).fingerprint)"
    found = subprocess.run(
        [sys.executable, "-c", code, json.dumps(FULL)],
        env={**os.environ, "PYTHONHASHSEED": "4711"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stdout.strip() == spec_of(**FULL).fingerprint


def test_every_spelling_of_eight_and_four_bits_is_one_spec():
    from transformers import BitsAndBytesConfig

    for short, config in {
        "8bit": BitsAndBytesConfig(load_in_8bit=True),
        "4bit": BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4"),
    }.items():
        wanted = spec_of(quantization=short)
        assert spec_of(quantization=config) == wanted
        assert spec_of(quantization=config.to_dict()) == wanted
        assert spec_of(model_kwargs={"quantization_config": config}) == wanted
        assert spec_of(model_kwargs={f"load_in_{short}": True}) == wanted
        assert spec_of(model_kwargs={f"load_in_{short}": False}) == spec_of()


def test_a_config_keeps_the_arguments_that_differ_from_its_defaults():
    from transformers import BitsAndBytesConfig

    config = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_compute_dtype=torch.bfloat16, llm_int8_threshold=5.0)
    assert spec_of(quantization=config).quantization == {
        "load_in_4bit": True,
        "bnb_4bit_compute_dtype": "bfloat16",
        "llm_int8_threshold": 5.0,
    }


policies = st.builds(
    BatchPolicy,
    batch_size=st.none() | st.integers(1, 2**20),
    max_batch_tokens=st.just("auto") | st.integers(1, 2**20),
    lookahead_rows=st.just("auto") | st.integers(1, 2**20),
    lookahead_bytes=st.integers(1, 2**40),
)


@given(policy=policies, first=st.integers(0, 50), second=st.integers(0, 50))
def test_halving_lowers_the_limits_that_are_set_and_none_below_one(policy, first, second):
    halved = policy.halved(first)
    for name in ("batch_size", "max_batch_tokens", "lookahead_rows", "lookahead_bytes"):
        before, after = getattr(policy, name), getattr(halved, name)
        assert (after == before) if before in (None, "auto") else (after == max(1, before // 2**first))
    assert halved.halved(second) == policy.halved(first + second)
    assert BatchPolicy.model_validate(halved.model_dump()) == halved


@pytest.mark.parametrize(
    "wrong", [{"batch_size": 0}, {"max_batch_tokens": "most"}, {"lookahead_rows": 1.5}, {"size": 1}]
)
def test_a_batch_policy_refuses_what_it_does_not_know(wrong):
    with pytest.raises(ValidationError, match=next(iter(wrong))):
        BatchPolicy(**wrong)


counts = st.integers(0, 10_000)


@given(rows=counts, bad=counts, most=st.none() | counts, hundredths=st.none() | st.integers(0, 100))
def test_a_failure_policy_allows_what_is_within_both_limits(rows, bad, most, hundredths):
    bad = min(bad, rows)
    policy = FailurePolicy(
        max_bad_rows=most, max_bad_fraction=None if hundredths is None else float(f"{hundredths / 100:.2f}")
    )
    within = (most is None or bad <= most) and (hundredths is None or bad * 100 <= hundredths * rows)
    assert policy.allows(bad, rows) is within
    assert not within or bad == 0 or policy.allows(bad - 1, rows)


def test_a_failure_policy_names_the_limits_it_sets():
    assert str(FailurePolicy(max_bad_rows=0, max_bad_fraction=0.25)) == (
        "FailurePolicy(max_bad_rows=0, max_bad_fraction=0.25)"
    )
    assert str(FailurePolicy()) == "FailurePolicy()"
