"""A transcript as people read it: one paragraph for what a speaker says until another speaks, or a long silence."""

from collections.abc import Iterable
from typing import NamedTuple

from pipeline_core.meeting.transcript import Segment, Transcript
from pipeline_core.meeting.turns import talk_time

_PAUSE_S = 4.0
_LENGTH_S = 60.0


class Paragraph(NamedTuple):
    """Segments that follow one another.

    Attributes:
        speaker: The label of who says them; None where nobody is known.
        segments: At least one.
    """

    speaker: str | None
    segments: tuple[Segment, ...]

    @property
    def start_s(self) -> float:
        """When it begins."""
        return self.segments[0].start_s

    @property
    def end_s(self) -> float:
        """When it ends."""
        return max(segment.end_s for segment in self.segments)

    @property
    def text(self) -> str:
        """What is said, segments that are uncertain in brackets."""
        return " ".join(f"[? {s.text.strip()} ?]" if s.uncertain else s.text.strip() for s in self.segments)

    @property
    def overlap(self) -> bool:
        """Whether somebody else talks meanwhile."""
        return any(segment.overlap for segment in self.segments)


class Share(NamedTuple):
    """How much one speaker talks.

    Attributes:
        speaker: The label.
        name: What to call them.
        seconds: How long they talk.
        share: Of the time that all talk; overlaps count for each.
    """

    speaker: str
    name: str
    seconds: float
    share: float


def paragraphs(segments: Iterable[Segment]) -> list[Paragraph]:
    """Segments with text as paragraphs, in order of their start; a long one ends with a segment after a minute."""
    done: list[list[Segment]] = []
    for segment in sorted(segments, key=lambda segment: segment.start_s):
        if not segment.text.strip():
            continue
        last = done[-1] if done else None
        if (
            last is None
            or last[-1].speaker != segment.speaker
            or segment.start_s - last[-1].end_s > _PAUSE_S
            or segment.start_s - last[0].start_s > _LENGTH_S
        ):
            done.append([segment])
        else:
            last.append(segment)
    return [Paragraph(group[0].speaker, tuple(group)) for group in done]


def shares(transcript: Transcript) -> list[Share]:
    """How much each speaker talks, who talks most first."""
    seconds = talk_time(transcript.turns)
    total = sum(seconds.values()) or 1.0
    return [Share(speaker, transcript.name(speaker), s, s / total) for speaker, s in seconds.items()]


def clock(seconds: float, hours: bool | None = None) -> str:
    """A time as ``m:ss``, or as ``h:mm:ss`` where it has hours or ``hours`` is set."""
    minutes, rest = divmod(int(seconds), 60)
    above, minutes = divmod(minutes, 60)
    if above or hours:
        return f"{above}:{minutes:02d}:{rest:02d}"
    return f"{minutes}:{rest:02d}"
