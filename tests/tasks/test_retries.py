"""What is tried again, with what batches, and what is not."""

import pytest

import pipeline_core.inference
from flows.batch_inference import batch_inference
from pipeline_core import BatchPolicy, PipelineSpec
from pipeline_core.errors import DeviceFailedError, LoadError
from pipeline_core.inference import make_engine
from pipeline_core.loading import load_pipeline
from pipeline_core.sink import OutputFolder
from tasks.shards import infer_shard

SHARD = "part-00000-of-00001"


@pytest.fixture
def arguments(tmp_path, build_model, fresh_cache, monkeypatch):
    monkeypatch.setattr(infer_shard, "retry_delay_seconds", 0)
    (tmp_path / "rows.csv").write_text("text\n" + "Not bad at all!\nTwo hours I want back.\n" * 10)
    spec = PipelineSpec(task="text-classification", model=build_model("bert"), device="cpu")
    return {"dataset": str(tmp_path / "rows.csv"), "output": str(tmp_path / "out"), "spec": spec}


@pytest.fixture
def fail_first(monkeypatch):
    """Have the first attempts of the real thing end in ``error``; returns the policies of all attempts."""

    def install(attempts: int, error: Exception) -> list[BatchPolicy]:
        policies: list[BatchPolicy] = []
        real = pipeline_core.inference.make_engine

        def make(pipeline, spec, batch, *more):
            policies.append(batch)
            engine = real(pipeline, spec, batch, *more)
            if len(policies) <= attempts:
                forward = engine._stages.forward

                def failing(chunks):
                    forward(chunks)
                    raise error

                engine._stages.forward = failing
            return engine

        monkeypatch.setattr(pipeline_core.inference, "make_engine", make)
        return policies

    return install


LOST = RuntimeError("CUDA error: unspecified launch failure")


def test_each_attempt_starts_with_half_of_the_token_budget_of_the_one_before(run_flow, arguments, fail_first):
    policies = fail_first(2, LOST)
    seen = run_flow(batch_inference, **arguments, batch=BatchPolicy(max_batch_tokens=100, batch_size=8))
    assert [policy.max_batch_tokens for policy in policies] == [100, 50, 25]
    assert [policy.batch_size for policy in policies] == [8, 4, 2]
    assert seen.tasks[SHARD].run_count == 3
    assert seen.state.is_completed()
    assert OutputFolder(arguments["output"]).table().num_rows == 20


def test_a_budget_left_to_be_measured_is_halved_from_where_it_starts(run_flow, arguments, fail_first):
    spec = arguments["spec"]
    first = make_engine(load_pipeline(spec), spec, BatchPolicy()).max_batch_tokens
    policies = fail_first(3, LOST)
    seen = run_flow(batch_inference, **arguments)
    assert [policy.max_batch_tokens for policy in policies] == ["auto", first // 2, first // 4, first // 8]
    assert seen.tasks[SHARD].run_count == 4
    assert OutputFolder(arguments["output"]).table().num_rows == 20


def test_a_batch_size_without_a_token_budget_is_halved_and_gets_none(run_flow, arguments, fail_first):
    policies = fail_first(1, LOST)
    run_flow(batch_inference, **arguments, batch=BatchPolicy(batch_size=8))
    assert [(policy.batch_size, policy.max_batch_tokens) for policy in policies] == [(8, "auto"), (4, "auto")]


def test_attempts_end_and_the_last_error_is_the_runs(run_flow, arguments, fail_first):
    policies = fail_first(100, LOST)
    seen = run_flow(batch_inference, last=SHARD, **arguments)
    assert isinstance(seen.error, DeviceFailedError)
    assert len(policies) == seen.tasks[SHARD].run_count == 4
    assert seen.states[SHARD] == "Failed"
    assert "commit" not in seen.tasks
    assert OutputFolder(arguments["output"]).manifests(OutputFolder(arguments["output"]).require_plan()) == []


@pytest.mark.parametrize(
    ("error", "tried"),
    [
        (ConnectionResetError("the network went away"), 2),
        (OSError(28, "No space left on device"), 2),
        (MemoryError(), 2),
        (RuntimeError("CUDA out of memory"), 2),
        (PermissionError(13, "Permission denied"), 1),
        (LoadError("no such weights"), 1),
        (ValueError("a mistake in the code"), 1),
        (AssertionError(), 1),
    ],
)
def test_only_what_can_end_differently_is_tried_again(run_flow, arguments, monkeypatch, error, tried):
    attempts = []

    def load(spec):
        attempts.append(spec)
        if len(attempts) == 1:
            raise error
        return load_pipeline(spec)

    monkeypatch.setattr(pipeline_core.inference, "load_pipeline", load)
    seen = run_flow(batch_inference, last=SHARD, **arguments)
    assert seen.tasks[SHARD].run_count == len(attempts) == tried
    assert seen.state.is_completed() == (tried == 2)


def test_a_row_that_fails_is_no_reason_to_try_the_shard_again(run_flow, arguments, tmp_path):
    (tmp_path / "rows.jsonl").write_text('{"text": "Not bad"}\n{"text": 3}\n')
    seen = run_flow(
        batch_inference,
        **{**arguments, "dataset": str(tmp_path / "rows.jsonl")},
        failures={"max_bad_rows": 1},
    )
    assert seen.tasks[SHARD].run_count == 1
    assert seen.state.result().quarantined == 1
