"""The command that a report ends with: parsed by the command itself, it asks for the very same run."""

import shlex
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flows.cli import app
from pipeline_core import DatasetRef, PipelineSpec
from pipeline_core.conditions import Condition
from pipeline_core.report import rerun_command
from pipeline_core.shards import plan_shards
from pipeline_core.sources import open_dataset

SPECS = st.builds(
    PipelineSpec,
    task=st.just("text-classification"),
    model=st.sampled_from(["demo:sentiment", "./my model", "-m"]),
    revision=st.none() | st.just("main"),
    tokenizer=st.none() | st.just("other/tokenizer"),
    dtype=st.sampled_from(["auto", "float32"]),
    quantization=st.sampled_from([None, "8bit", "4bit", {"load_in_4bit": True, "bnb_4bit_quant_type": "fp4"}]),
    attn_implementation=st.none() | st.just("eager"),
    model_kwargs=st.sampled_from([{}, {"low_cpu_mem_usage": True, "variant": "fp 16"}]),
    trust_remote_code=st.booleans(),
    parameters=st.sampled_from([{}, {"top_k": None}, {"function_to_apply": "none", "top_k": 2}, {"max_length": 20}]),
    on_long=st.sampled_from(["truncate", "error", "window"]),
    window_stride=st.sampled_from([0, 64]),
)
NAMES = st.sampled_from(["text", "te xt", "-text", "it's", 'say "so" twice'])
DATASETS = st.builds(
    DatasetRef,
    path=st.sampled_from(["rows.csv", "my rows/*.csv", "-rows.csv", "org/name"]),
    name=st.none() | st.just("en"),
    split=st.none() | st.just("train[:5%]"),
    revision=st.none() | st.just("abc"),
    streaming=st.booleans(),
    format=st.none() | st.just("csv"),
    column=NAMES | st.dictionaries(st.sampled_from(["text", "text_pair"]), NAMES, min_size=1),
    id_column=st.none() | NAMES,
    keep_columns=st.none() | st.lists(NAMES, max_size=2, unique=True),
    limit=st.none() | st.integers(1, 9),
    where=st.lists(
        st.builds(
            Condition,
            column=NAMES,
            op=st.sampled_from(["==", "<="]),
            value=st.sampled_from([3, -1.5, True, "it's", 'a "b"', ""]),
        )
        | st.builds(Condition, column=NAMES, op=st.just("in"), value=st.just([1, "two"]))
        | st.builds(Condition, column=NAMES, op=st.just("is not null")),
        max_size=2,
    ),
)

ARRAYS = st.sampled_from(["float32", "float16"])


@pytest.fixture(scope="module")
def plan_of(tmp_path_factory):
    """A plan of any spec and dataset; only what the command is made of is theirs."""
    path = tmp_path_factory.mktemp("data") / "rows.csv"
    path.write_text("text\nwarm\n")
    plan = plan_shards(open_dataset(str(path)), PipelineSpec(task="text-classification"))
    return lambda spec, dataset, arrays: plan.model_copy(update={"spec": spec, "dataset": dataset, "arrays": arrays})


@settings(max_examples=100, deadline=None)
@given(spec=SPECS, dataset=DATASETS, output=st.sampled_from(["out", "-out", "my 'out'"]), arrays=ARRAYS)
def test_the_command_asks_for_the_very_same_run(plan_of, spec, dataset, output, arrays):
    words = shlex.split(rerun_command(plan_of(spec, dataset, arrays), output))
    assert words[0] == "pipeline-flows"
    with mock.patch("flows.running.run_flow") as run_flow, mock.patch("flows.cli.check_exists"):
        app(words[1:], exit_on_error=False, print_error=False)
    (flow,), asked = run_flow.call_args
    assert flow == "batch-inference"
    assert asked["spec"].fingerprint == spec.fingerprint
    assert asked["dataset"] == dataset
    assert asked["output"] == {"path": output, "replace": False, "arrays": arrays}
    assert asked["rows_per_shard"] == 500
