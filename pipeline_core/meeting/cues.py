"""Cut a transcript into cues as broadcasters do: two lines of 42 columns, time enough to read, gaps between.

The limits are those of the common timed text style guides: 42 columns, two lines, 5/6 to 7 seconds, 20 columns a
second where the speakers leave the time, and two frames between two cues. A cue has one speaker, ends at the end of
a sentence, a clause or a pause where it can, and is never longer on screen than the recording lasts.
"""

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, groupby

from pipeline_core.meeting.lines import break_lines, chop, width
from pipeline_core.meeting.transcript import Segment, Transcript

COLUMNS = 42
LINES = 2
COLUMNS_PER_S = 20.0
LEAST_S = 5 / 6
MOST_S = 7.0
GAP_S = 2 / 25

UNCERTAIN = "[?]"

_PAUSE_S = 1.5
_NAME_COLUMNS = 24
_SENTENCE_ENDS = tuple(".!?…。！？")
_CLAUSE_ENDS = tuple(",;:–—、，；：")


@dataclass(frozen=True, slots=True)
class Cue:
    """What is on screen at once.

    Attributes:
        start_s: When it appears.
        end_s: When it goes.
        lines: One or two.
        speaker: The speaker's label; None where nobody is known.
    """

    start_s: float
    end_s: float
    lines: tuple[str, ...]
    speaker: str | None


@dataclass(slots=True)
class _Token:
    text: str
    start_s: float
    end_s: float
    uncertain: bool
    speaker: str | None


def make_cues(transcript: Transcript) -> list[Cue]:
    """The cues of a transcript in order of their start. A speaker's name stands where they begin to talk."""
    cues: list[Cue] = []
    named: str | None = None
    several = len(transcript.speakers) > 1
    for speaker, tokens in _runs(transcript.segments):
        if several and speaker is not None and speaker != named:
            name = chop(" ".join(transcript.name(speaker).split()), _NAME_COLUMNS)
            tokens[0].text = f"{name[0]}{'…' if len(name) > 1 else ''}: {tokens[0].text.lstrip()}"
            tokens = _chopped(tokens)
        named = speaker
        for part in _cut(tokens):
            lines = break_lines([token.text for token in part], COLUMNS, LINES)
            assert lines is not None
            cues.append(Cue(part[0].start_s, part[-1].end_s, tuple(lines), speaker))
    return _timed(sorted(cues, key=lambda cue: cue.start_s), transcript.duration_s)


def _runs(segments: Iterable[Segment]) -> Iterator[tuple[str | None, list[_Token]]]:
    """Stretches of one speaker without a long pause, none of them empty."""
    ordered = sorted(segments, key=lambda segment: segment.start_s)
    for speaker, group in groupby(ordered, key=lambda segment: segment.speaker):
        run: list[_Token] = []
        for token in _chopped([token for segment in group for token in _tokens(segment)]):
            if run and (token.start_s - run[-1].end_s > _PAUSE_S or token.uncertain != run[-1].uncertain):
                yield speaker, run
                run = []
            run.append(token)
        if run:
            yield speaker, run


def _tokens(segment: Segment) -> list[_Token]:
    if segment.words:
        pieces, tail = segment.pieces()
        pieces[-1] += tail
        spans = [(word.start_s, word.end_s) for word in segment.words]
    else:
        pieces = [f" {word}" for word in segment.text.split()]
        spans = _spread([width(piece) for piece in pieces], segment.start_s, segment.end_s)
    texts = [_plain(piece) for piece in pieces]
    if texts:
        texts[0] = f" {texts[0].lstrip()}"
    if segment.uncertain and texts:
        texts[0] = f" {UNCERTAIN}{texts[0]}"
    return [
        _Token(text, start, end, segment.uncertain, segment.speaker)
        for text, (start, end) in zip(texts, spans, strict=True)
        if text.strip()
    ]


def _plain(text: str) -> str:
    """A text without line breaks and control characters; a space before it stays."""
    lead = " " if text[:1].isspace() else ""
    return lead + " ".join("".join(c if c.isprintable() else " " for c in text).split())


def _spread(widths: Sequence[int], start_s: float, end_s: float) -> list[tuple[float, float]]:
    """Times for words that have none, by their length."""
    total, done, spans = max(sum(widths), 1), 0, []
    for columns in widths:
        left = start_s + (end_s - start_s) * done / total
        done += columns
        spans.append((left, start_s + (end_s - start_s) * done / total))
    return spans


def _chopped(tokens: Iterable[_Token]) -> list[_Token]:
    """No token wider than a line: what has no space for so long is cut anywhere."""
    done = []
    for token in tokens:
        if width(token.text.strip()) <= COLUMNS:
            done.append(token)
            continue
        pieces = [
            piece
            for word in token.text.split()
            for i, chopped in enumerate(chop(word, COLUMNS))
            for piece in [chopped if i else f" {chopped}"]
        ]
        spans = _spread([width(piece) for piece in pieces], token.start_s, token.end_s)
        done += [
            _Token(piece, start, end, token.uncertain, token.speaker)
            for piece, (start, end) in zip(pieces, spans, strict=True)
        ]
    return done


def _cut(tokens: list[_Token]) -> list[list[_Token]]:
    """The cheapest way to cut a run into cues that fit, found by dynamic programming."""
    run = _Run(tokens)
    least: list[float] = [0.0]
    cut_before: list[int] = [0]
    for stop in range(1, len(tokens) + 1):
        start = stop - 1
        best, cut = least[start] + run.cost(start, stop), start
        while start > 0 and run.fits(start - 1, stop):
            start -= 1
            cost = least[start] + run.cost(start, stop)
            if cost < best:
                best, cut = cost, start
        least.append(best)
        cut_before.append(cut)
    parts, stop = [], len(tokens)
    while stop:
        parts.append(tokens[cut_before[stop] : stop])
        stop = cut_before[stop]
    return parts[::-1]


class _Run:
    """What cutting a run needs to know of it, each in constant time."""

    def __init__(self, tokens: list[_Token]) -> None:
        self._tokens = tokens
        self._until = [0, *accumulate(width(token.text) for token in tokens)]
        self._reach = []
        for start, token in enumerate(tokens):
            room = COLUMNS + self._until[start] + token.text.startswith(" ")
            self._reach.append(bisect_right(self._until, room) - 1)
        self._reach.append(len(tokens))

    def fits(self, start: int, stop: int) -> bool:
        """Whether these tokens fit on two lines and are said in time."""
        shown_s = self._tokens[stop - 1].end_s - self._tokens[start].start_s
        return shown_s <= MOST_S and self._reach[self._reach[start]] >= stop

    def cost(self, start: int, stop: int) -> float:
        """One for the cue, some for ending in the middle of a phrase, for a flash, and for lines too fast to read."""
        first, last = self._tokens[start], self._tokens[stop - 1]
        following = self._tokens[stop] if stop < len(self._tokens) else None
        until_s = last.end_s + 1.0 if following is None else following.start_s - GAP_S
        shown_s = max(min(until_s, first.start_s + MOST_S) - first.start_s, 0.05)
        cost = 1.0 + max(LEAST_S - shown_s, 0.0) * 2
        cost += max((self._until[stop] - self._until[start]) / shown_s - COLUMNS_PER_S, 0.0) * 0.05
        if following is None or last.text.endswith(_SENTENCE_ENDS):
            return cost
        pause_s = following.start_s - last.end_s
        return cost + (0.4 if last.text.endswith(_CLAUSE_ENDS) or pause_s > 0.3 else 1.2)


def _timed(cues: list[Cue], duration_s: float) -> list[Cue]:
    """Cues long enough to be read where nothing else is said, and apart from the ones that follow.

    Speakers who talk at once have cues at once; otherwise a cue ends before the next begins.
    """
    timed = []
    for i, cue in enumerate(cues):
        later = (cues[j].start_s for j in range(i + 1, len(cues)))
        following_s = next((start_s for start_s in later if start_s >= cue.end_s - GAP_S), None)
        room_s = max(duration_s, cue.end_s) if following_s is None else following_s - GAP_S
        wanted_s = max(LEAST_S, min(sum(map(width, cue.lines)) / COLUMNS_PER_S, MOST_S))
        end_s = min(max(cue.end_s, cue.start_s + wanted_s), room_s)
        timed.append(Cue(cue.start_s, max(end_s, cue.start_s + 0.001), cue.lines, cue.speaker))
    return timed
