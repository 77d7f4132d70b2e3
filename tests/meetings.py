"""Hand-made transcripts: speech at an even pace, and a meeting of three with all that a transcript can mark."""

import zlib
from collections.abc import Iterable

from pipeline_core.meeting.transcript import Segment, Transcript, Turn, Word

HOSTILE = "</script><script>alert(1)</script>"


def say(text: str, start_s: float, speaker: str | None = None, word_s: float = 0.3, **marks) -> Segment:
    """A segment whose words take ``word_s`` each."""
    words = tuple(
        Word(
            text=word,
            start_s=start_s + i * word_s,
            end_s=start_s + (i + 0.9) * word_s,
            probability=0.5 + zlib.crc32(word.encode()) % 50 / 100,
            speaker=speaker,
        )
        for i, word in enumerate(text.split())
    )
    return Segment(
        text=text,
        start_s=start_s,
        end_s=words[-1].end_s,
        speaker=speaker,
        words=words,
        **{"confidence": 0.8, **marks},
    )


def turns(*given: tuple[str, float, float]) -> list[Turn]:
    """Turns from (speaker, start, end)."""
    return [Turn(speaker=speaker, start_s=start, end_s=end) for speaker, start, end in given]


def transcript_of(segments: Iterable[Segment], **changes) -> Transcript:
    """A transcript of these segments; its turns are theirs unless others are given."""
    segments = tuple(segments)
    own = tuple(Turn(speaker=s.speaker, start_s=s.start_s, end_s=s.end_s) for s in segments if s.speaker is not None)
    duration_s = max((segment.end_s for segment in segments), default=0.0) + 1.0
    given = {
        "recording": "meeting.wav",
        "content_id": "c0ffee",
        "duration_s": duration_s,
        "speech_s": sum(segment.duration_s for segment in segments),
        "language": "en",
        "model": "openai/whisper-base",
        "model_revision": None,
        "segments": segments,
        "turns": own,
        "created_with": "pipeline-flows 0.1.0",
    }
    return Transcript(**{**given, **changes})


def a_meeting(**changes) -> Transcript:
    """Three people: a question, an answer, an aside at the same time, and a stretch that nobody understood."""
    segments = [
        say("Good morning, everyone. Shall we begin with the numbers of last week?", 0.5, "S1"),
        say("Yes. We transcribed four hundred hours, and nothing was lost on the way.", 5.0, "S2"),
        say("Not one?", 8.6, "S3", overlap=True),
        say("Not one. The machine was switched off twice, and each time the run went on.", 10.0, "S2"),
        say("mumble mumble the the", 17.0, "S3", uncertain=True, confidence=0.21),
        say("Thank you, that is good to hear.", 20.0, "S1"),
    ]
    return transcript_of(segments, **changes)
