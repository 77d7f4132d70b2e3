"""What a run is: the flows that Prefect schedules, triggers and shows."""

from typing import Any


def flows_by_name() -> dict[str, Any]:
    """Every flow by the name that Prefect knows it by; importing them takes Prefect's second and a half."""
    from flows.batch_inference import batch_inference
    from flows.imdb_classification import imdb_classification
    from flows.meeting_transcription import meeting_transcription

    return {flow.name: flow for flow in (batch_inference, imdb_classification, meeting_transcription)}
