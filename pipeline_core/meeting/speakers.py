"""Give every word its speaker: the turns of the speakers meet the words of the segments.

A word belongs to whoever talks for most of it; where several do, to the one who spoke the word before; where
nobody does, to whoever talks nearest to it. Segments end where their speaker changes.
"""

import re
from collections.abc import Iterable, Sequence
from itertools import accumulate, groupby, pairwise

from pipeline_core.errors import SpecError
from pipeline_core.meeting.transcript import Segment, Turn, Word
from pipeline_core.meeting.turns import TurnIndex

# Turns of two speakers meet within some hundredths of a second of where they really do.
_LEAST_OVERLAP_S = 0.15
_LABEL = re.compile(r"S[1-9]\d*")


def assign_speakers(segments: Iterable[Segment], turns: Sequence[Turn]) -> tuple[Segment, ...]:
    """Give every segment and every word of it a speaker, and mark where more than one talks.

    A segment with words is cut where their speaker changes; one without goes to whoever talks most in it.
    Without any turn, segments stay as they are.
    """
    index = TurnIndex(turns)
    if index.nearest(0.0) is None:
        return tuple(segments)
    done: list[Segment] = []
    last: str | None = None
    for segment in segments:
        if not segment.words:
            last = _speaker(index, segment.start_s, segment.end_s, last)
            done.append(_finished(segment.model_copy(update={"speaker": last}), index))
            continue
        words = []
        for word in segment.words:
            last = _speaker(index, word.start_s, word.end_s, last)
            words.append(word.model_copy(update={"speaker": last}))
        done += (_finished(piece, index) for piece in _cut(segment, words))
    return tuple(done)


def parse_names(given: Iterable[str], speakers: Iterable[str] | None = None) -> dict[str, str]:
    """Read what to call the speakers from texts like ``"S1=Ana"``.

    Args:
        given: One text a speaker.
        speakers: The labels there are; None takes any S1, S2, ...

    Raises:
        SpecError: A text is not of that form, names a speaker twice, or a speaker that is not there.
    """
    names: dict[str, str] = {}
    accepted = None if speakers is None else set(speakers)
    for text in given:
        label, equals, name = text.partition("=")
        label, name = label.strip(), " ".join(name.split())
        if not equals or not name or not _LABEL.fullmatch(label):
            raise SpecError(f"a speaker's name must be given like S1=Ana, but is {text!r} instead")
        if label in names:
            raise SpecError(f"speaker {label} is named twice: {names[label]!r} and {name!r}")
        if accepted is not None and label not in accepted:
            raise SpecError(f"there is no speaker {label}; there are {', '.join(sorted(accepted)) or 'none'}")
        names[label] = name
    return names


def _speaker(index: TurnIndex, start_s: float, end_s: float, last: str | None) -> str | None:
    # A word without length still lies in somebody's turn.
    talking = index.talking(start_s, max(end_s, start_s + 0.01))
    if not talking:
        return index.nearest((start_s + end_s) / 2)
    most = max(talking.values())
    if last is not None and talking.get(last, 0.0) >= most - 1e-6:
        return last
    return min(speaker for speaker, seconds in talking.items() if seconds >= most - 1e-6)


def _cut(segment: Segment, words: Sequence[Word]) -> list[Segment]:
    """One segment for each run of words of one speaker; the first and the last keep the segment's own ends."""
    runs = [tuple(run) for _, run in groupby(words, key=lambda word: word.speaker)]
    pieces, tail = segment.pieces()
    pieces[-1] += tail
    cuts = list(accumulate(len(run) for run in runs))
    starts = [segment.start_s, *(run[0].start_s for run in runs[1:])]
    ends = [*(min(run[-1].end_s, later[0].start_s) for run, later in pairwise(runs)), segment.end_s]
    return [
        segment.model_copy(
            update={
                "text": "".join(pieces[cut - len(run) : cut]).strip(),
                "start_s": start,
                "end_s": max(start, end),
                "speaker": run[0].speaker,
                "words": run,
            }
        )
        for run, cut, start, end in zip(runs, cuts, starts, ends, strict=True)
    ]


def _finished(segment: Segment, index: TurnIndex) -> Segment:
    overlap = index.overlap_s(segment.start_s, segment.end_s) >= _LEAST_OVERLAP_S
    return segment.model_copy(update={"overlap": segment.overlap or overlap})
