"""One page to read a transcript and listen along: a single file that loads nothing but the recording.

What was said, who said it and what the recording is called are text on the page and never markup: the template
escapes them, and the page's own policy lets no script run but the one that it was made with.
"""

import base64
import hashlib
from functools import cache
from html.parser import HTMLParser
from importlib import resources
from pathlib import PurePath
from typing import NamedTuple

from jinja2 import Environment, StrictUndefined, select_autoescape

from pipeline_core.meeting.documents import describe
from pipeline_core.meeting.paragraphs import Paragraph, clock, paragraphs, shares
from pipeline_core.meeting.transcript import Segment, Transcript

# (on light paper, on dark paper): each readable as text, and told apart from the others by people who see no red,
# no green or no blue, the first four best of all. A ninth speaker has the first colour again, and a name.
PALETTE = (
    ("#655bcd", "#be8f40"),
    ("#724802", "#6e9afd"),
    ("#6a114f", "#7ae1c1"),
    ("#ae4d5f", "#dbbc4c"),
    ("#2046ad", "#abb6fe"),
    ("#95345b", "#e38d92"),
    ("#2e397b", "#ac89c2"),
    ("#7d5b9d", "#f5da68"),
)

_MOST_LANES = 6


class _Word(NamedTuple):
    lead: str
    text: str
    start_s: float
    end_s: float


class _Piece(NamedTuple):
    words: list[_Word]
    tail: str
    marks: str
    title: str


class _Section(NamedTuple):
    speaker: str | None
    start_s: float
    segments: list[_Piece]
    overlap: bool
    uncertain: bool


class _Lane(NamedTuple):
    speaker: str | None
    start_s: float
    duration_s: float
    lane: int


def to_html(transcript: Transcript, audio: str | None = None) -> str:
    """The page of a transcript.

    Args:
        transcript: What it shows.
        audio: Where the recording is: a URL, mostly relative to the page, or a ``data:`` URL that is all of it.
            None leaves it to the reader to choose the file.
    """
    style, script = _style(), _asset("page.js")
    speakers = transcript.speakers
    colours: dict[str | None, str] = {speaker: f"s{i % len(PALETTE) + 1}" for i, speaker in enumerate(speakers)}
    colours[None] = "s0"
    lanes = {speaker: min(i, _MOST_LANES - 1) for i, speaker in enumerate(speakers)}
    sections = [_section(paragraph) for paragraph in paragraphs(transcript.segments)]
    return (
        _environment()
        .from_string(_asset("page.html.jinja"))
        .render(
            transcript=transcript,
            title=PurePath(transcript.recording).stem or transcript.recording,
            language=transcript.language or "und",
            facts=describe(transcript),
            shares=shares(transcript),
            colours=colours,
            paragraphs=sections,
            marked=any(section.overlap or section.uncertain for section in sections),
            turns=_lanes(transcript, lanes),
            lanes=max([1, *(lane + 1 for lane in lanes.values())]),
            duration_s=max([transcript.duration_s, 0.001, *(segment.end_s for segment in transcript.segments)]),
            hours=transcript.duration_s >= 3600,
            audio=audio,
            clock=clock,
            style=style,
            script=script,
            policy=_policy(style, script),
        )
    )


def audio_of(page: str) -> str | None:
    """Where a page that ``to_html`` made finds its recording."""
    parser = _AudioParser()
    parser.feed(page)
    return parser.source


def is_embedded(audio: str | None) -> bool:
    """Whether a page that finds its recording there holds a copy of it."""
    return audio is not None and audio.startswith("data:")


class _AudioParser(HTMLParser):
    source: str | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "audio":
            self.source = dict(attrs).get("src")


def _section(paragraph: Paragraph) -> _Section:
    return _Section(
        paragraph.speaker,
        paragraph.start_s,
        [_piece(segment) for segment in paragraph.segments],
        paragraph.overlap,
        any(segment.uncertain for segment in paragraph.segments),
    )


def _piece(segment: Segment) -> _Piece:
    pieces, tail = segment.pieces()
    words = [
        _Word(piece.removesuffix(word.text), word.text, word.start_s, word.end_s)
        for piece, word in zip(pieces, segment.words, strict=True)
    ]
    if words:
        words[0] = words[0]._replace(lead=words[0].lead.lstrip())
    else:
        words, tail = [_Word("", segment.text.strip(), segment.start_s, segment.end_s)], ""
    marks = [mark for mark in ("uncertain", "overlap") if getattr(segment, mark)]
    sure = "" if segment.confidence is None else f"{segment.confidence:.0%} sure"
    return _Piece(words, tail.rstrip(), " ".join(marks), sure if segment.uncertain else "")


def _lanes(transcript: Transcript, lanes: dict[str, int]) -> list[_Lane]:
    """What the player shows of the whole recording: the turns, or all speech where nobody was told apart."""
    if transcript.turns:
        return [_Lane(t.speaker, t.start_s, t.duration_s, lanes[t.speaker]) for t in transcript.turns]
    return [_Lane(s.speaker, s.start_s, s.duration_s, lanes.get(s.speaker or "", 0)) for s in transcript.segments]


def _policy(style: str, script: str) -> str:
    allowed = [
        "default-src 'none'",
        f"script-src '{_digest(script)}'",
        f"style-src '{_digest(style)}'",
        "media-src 'self' file: blob: data:",
        "img-src data:",
        "base-uri 'none'",
        "form-action 'none'",
    ]
    return "; ".join(allowed)


def _digest(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


@cache
def _style() -> str:
    colours = [f".s{i + 1} {{ --s: light-dark({light}, {dark}); }}" for i, (light, dark) in enumerate(PALETTE)]
    rules = [".s0 { --s: var(--faint); }", *colours]
    return "\n".join([_asset("page.css"), *rules, ""])


@cache
def _asset(name: str) -> str:
    return resources.files("pipeline_core.meeting").joinpath(name).read_text(encoding="utf-8")


@cache
def _environment() -> Environment:
    return Environment(autoescape=select_autoescape(default=True, default_for_string=True), undefined=StrictUndefined)
