"""Subtitles of a transcript as SubRip and WebVTT text; what was said is text there and never markup."""

import re
from collections.abc import Callable
from html import escape

from pysubs2 import SSAEvent, SSAFile

from pipeline_core.meeting.cues import Cue, make_cues
from pipeline_core.meeting.transcript import Transcript

# Invisible and without width: it keeps players from reading markup into what was said.
_BREAKER = "\u200b"
# <b> and </b>, {\an8} and \N, and the arrow of a line of times.
_MARKUP = re.compile(r"(<(?=[A-Za-z/!?])|\\(?=[A-Za-z])|\{(?=\\)|--(?=>))")


def to_srt(transcript: Transcript) -> str:
    """The subtitles as SubRip text."""
    return _written(make_cues(transcript), "srt", lambda cue: _neutral("\n".join(cue.lines)))


def to_vtt(transcript: Transcript) -> str:
    """The subtitles as WebVTT text, each cue in the voice of its speaker."""

    def text(cue: Cue) -> str:
        said = _breaks(escape("\n".join(cue.lines), quote=False))
        if cue.speaker is None:
            return said
        name = " ".join("".join(c if c.isprintable() else " " for c in transcript.name(cue.speaker)).split())
        return f"<v {_breaks(escape(name, quote=False))}>{said}"

    return _written(make_cues(transcript), "vtt", text)


def _written(cues: list[Cue], kind: str, text: Callable[[Cue], str]) -> str:
    subtitles = SSAFile()
    for cue in cues:
        start, end = round(cue.start_s * 1000), round(cue.end_s * 1000)
        subtitles.append(SSAEvent(start=start, end=max(end, start + 1), text=text(cue).replace("\n", r"\N")))
    # As they are: without it, braces in what was said would be read as SubStation tags and dropped.
    return subtitles.to_string(kind, keep_ssa_tags=True)


def _neutral(text: str) -> str:
    return _MARKUP.sub(rf"\1{_BREAKER}", text)


def _breaks(text: str) -> str:
    return re.sub(r"(\\(?=[A-Za-z])|\{(?=\\))", rf"\1{_BREAKER}", text)
