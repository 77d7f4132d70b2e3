"""The segments of a transcript as rows for analysts: who said what, when, how sure, in which recording."""

import pyarrow as pa

from pipeline_core.meeting.transcript import Transcript

SEGMENTS_SCHEMA = pa.schema(
    [
        ("transcript", pa.string()),
        ("recording", pa.string()),
        ("content_id", pa.string()),
        ("segment", pa.int32()),
        ("start_s", pa.float64()),
        ("end_s", pa.float64()),
        ("speaker", pa.string()),
        ("speaker_name", pa.string()),
        ("text", pa.string()),
        ("words", pa.int32()),
        ("confidence", pa.float64()),
        ("uncertain", pa.bool_()),
        ("overlap", pa.bool_()),
        ("language", pa.string()),
        ("model", pa.string()),
    ]
)


def segment_table(transcript: Transcript, name: str) -> pa.Table:
    """One row a segment, in order; ``transcript`` is the name of the folder that the transcript is in."""
    rows = [
        {
            "transcript": name,
            "recording": transcript.recording,
            "content_id": transcript.content_id,
            "segment": number,
            "start_s": segment.start_s,
            "end_s": segment.end_s,
            "speaker": segment.speaker,
            "speaker_name": None if segment.speaker is None else transcript.name(segment.speaker),
            "text": segment.text,
            "words": len(segment.words or segment.text.split()),
            "confidence": segment.confidence,
            "uncertain": segment.uncertain,
            "overlap": segment.overlap,
            "language": transcript.language,
            "model": transcript.model,
        }
        for number, segment in enumerate(transcript.segments)
    ]
    return pa.Table.from_pylist(rows, schema=SEGMENTS_SCHEMA)
