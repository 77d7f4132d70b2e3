"""What this process has done, as metrics for Prometheus; a worker that serves some gathers those of its runs.

Rows and tokens are counted when their shard is committed, so a sum over runs has every row once.
"""

import os

from prometheus_client import Counter, Gauge

from pipeline_core.manifest import ShardManifest

_LABELS = ("worker", "task")

_ROWS = Counter("pipeline_flows_rows", "Rows answered and committed", _LABELS)
_QUARANTINED = Counter("pipeline_flows_quarantined_rows", "Rows without an answer, committed to quarantine", _LABELS)
_TOKENS = Counter("pipeline_flows_tokens", "Tokens the model read, without padding", _LABELS)
_PADDED = Counter("pipeline_flows_padded_tokens", "Tokens of the batches, padding included", _LABELS)
_SHARDS = Counter("pipeline_flows_shards", "Shards committed", _LABELS)
_SECONDS = Counter("pipeline_flows_inference_seconds", "Wall time spent on the shards that were committed", _LABELS)
_MEMORY_EVENTS = Counter("pipeline_flows_memory_events", "Batches that did not fit and were done in parts", _LABELS)
_AUDIO_SECONDS = Counter("pipeline_flows_audio_seconds", "Seconds of recordings whose transcripts are written", _LABELS)
_BUDGET = Gauge(
    "pipeline_flows_batch_budget_tokens", "Token budget of a batch", _LABELS, multiprocess_mode="mostrecent"
)


def count_shard(task: str, manifest: ShardManifest) -> None:
    """Take in a shard that this process has just committed."""
    labels = (_worker(), task)
    figures = manifest.figures
    for counter, amount in (
        (_ROWS, manifest.rows),
        (_QUARANTINED, manifest.quarantined),
        (_TOKENS, figures.tokens),
        (_PADDED, figures.padded_tokens),
        (_SHARDS, 1),
        (_SECONDS, figures.seconds),
        (_MEMORY_EVENTS, len(figures.memory_events)),
    ):
        counter.labels(*labels).inc(amount)
    if figures.budgets:
        _BUDGET.labels(*labels).set(figures.budgets[-1].max_batch_tokens)


def count_recording(task: str, duration_s: float) -> None:
    """Take in a recording whose transcript this process has just written."""
    _AUDIO_SECONDS.labels(_worker(), task).inc(duration_s)


def _worker() -> str:
    return os.environ.get("PIPELINE_FLOWS_WORKER", "")
