"""A transcript as Markdown and as plain text; what was said is text there and never markup."""

import re
from pathlib import PurePath

from pipeline_core.meeting.paragraphs import Paragraph, clock, paragraphs, shares
from pipeline_core.meeting.transcript import Transcript
from pipeline_core.report import escape

# What opens a list at the start of a line.
_LIST = re.compile(r"^(\d*)([-+.])")


def to_markdown(transcript: Transcript) -> str:
    """The transcript as a Markdown document: what it is, who talks how long, and what they say."""
    facts = " · ".join(escape(f"{name} {value}") for name, value in describe(transcript))
    blocks = [f"# {escape(transcript.recording)}", facts]
    talked = shares(transcript)
    if talked:
        rows = [f"| {escape(s.name)} | {clock(s.seconds)} | {s.share:.0%} |" for s in talked]
        blocks.append("\n".join(["| speaker | time | share |", "| --- | ---: | ---: |", *rows]))
    hours = transcript.duration_s >= 3600
    for paragraph in paragraphs(transcript.segments):
        name = _name(transcript, paragraph)
        head = f"**{escape(name)}** · {clock(paragraph.start_s, hours)}" if name else clock(paragraph.start_s, hours)
        text = _LIST.sub(r"\1\\\2", escape(paragraph.text))
        blocks.append(f"{head}{_marks(paragraph)}\n\n{text}")
    return "\n\n".join(blocks) + "\n"


def to_text(transcript: Transcript) -> str:
    """The transcript as plain text, a paragraph for each time a speaker talks."""
    hours = transcript.duration_s >= 3600
    lines = []
    for paragraph in paragraphs(transcript.segments):
        name = _name(transcript, paragraph)
        head = f"[{clock(paragraph.start_s, hours)}] {f'{name}: ' if name else ''}"
        lines.append(head + _printable(paragraph.text))
    return "\n\n".join(lines) + "\n" if lines else ""


def describe(transcript: Transcript) -> list[tuple[str, str]]:
    """What a reader wants to know first: how long, in which language, by which model, how sure."""
    uncertain_s = sum(segment.duration_s for segment in transcript.segments if segment.uncertain)
    rows = [
        ("length", clock(transcript.duration_s)),
        ("speech", clock(transcript.speech_s)),
        ("language", transcript.language or "unknown"),
        # Whose folder it is in is nobody's business who reads the document.
        ("model", PurePath(transcript.model).name if PurePath(transcript.model).is_absolute() else transcript.model),
    ]
    if uncertain_s:
        rows.append(("uncertain", clock(uncertain_s)))
    return rows if transcript.speakers_note is None else [*rows, ("note", transcript.speakers_note)]


def _name(transcript: Transcript, paragraph: Paragraph) -> str | None:
    return None if paragraph.speaker is None else _printable(transcript.name(paragraph.speaker))


def _marks(paragraph: Paragraph) -> str:
    uncertain = any(segment.uncertain for segment in paragraph.segments)
    marks = [mark for mark, is_set in (("overlap", paragraph.overlap), ("uncertain", uncertain)) if is_set]
    return f" · _{', '.join(marks)}_" if marks else ""


def _printable(text: str) -> str:
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())
