"""Metrics of the runs of a worker, gathered from their processes and served to Prometheus."""

import subprocess
import sys

import httpx
import pytest

from flows.metrics_server import serve_metrics

COUNT = """
from pipeline_core.figures import BudgetChange, Figures, MemoryEvent
from pipeline_core.manifest import ShardManifest
from tasks.metrics import count_recording, count_shard

figures = Figures(
    tokens=700, padded_tokens=750, seconds=1.5,
    budgets=[BudgetChange(rows_done=0, max_batch_tokens=2048, reason="start")],
    memory_events=[MemoryEvent(rows_done=0, chunks=4, padded_tokens=99, message="")],
)
manifest = ShardManifest(
    index=0, file="", rows=95, quarantined=5, sha256="", size_bytes=0, quarantine_sha256=None, shard_fingerprint="",
    spec_fingerprint="", plan_fingerprint="", figures=figures, committed_at="",
)
count_shard("text-classification", manifest)
count_recording("automatic-speech-recognition", 90.5)
"""


@pytest.fixture
def served(tmp_path):
    with serve_metrics(0, str(tmp_path)) as port:
        yield lambda: httpx.get(f"http://127.0.0.1:{port}/metrics").text


def test_what_runs_of_two_workers_committed_is_summed_by_worker_and_outlives_their_processes(
    served, tmp_path, monkeypatch
):
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
    for worker in ("gpu 0", "gpu 1", "gpu 0"):
        monkeypatch.setenv("PIPELINE_FLOWS_WORKER", worker)
        subprocess.run([sys.executable, "-c", COUNT], check=True)
    text = served()
    for worker, times in (("gpu 0", 2), ("gpu 1", 1)):
        labels = f'{{task="text-classification",worker="{worker}"}}'
        assert f"pipeline_flows_rows_total{labels} {95.0 * times}" in text
        assert f"pipeline_flows_quarantined_rows_total{labels} {5.0 * times}" in text
        assert f"pipeline_flows_tokens_total{labels} {700.0 * times}" in text
        assert f"pipeline_flows_memory_events_total{labels} {1.0 * times}" in text
        assert f"pipeline_flows_inference_seconds_total{labels} {1.5 * times}" in text
        assert f"pipeline_flows_batch_budget_tokens{labels} 2048.0" in text
        heard = f'{{task="automatic-speech-recognition",worker="{worker}"}}'
        assert f"pipeline_flows_audio_seconds_total{heard} {90.5 * times}" in text


def test_a_machine_without_a_gpu_serves_no_memory_of_any(served):
    assert "pipeline_flows_device_memory" not in served()
