"""Group timed words into segments that read as one piece: they end with a sentence, or at a pause."""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from pipeline_core.meeting.transcript import Segment, Word

_PAUSE_S = 1.0
_LONGEST_S = 15.0
_SENTENCE_ENDS = (".", "!", "?", "。", "！", "？", "؟", "।")


class TimedWord(NamedTuple):
    """A word as a model wrote it.

    Attributes:
        text: With the space before it, where the language has one.
        start_s: When it starts.
        end_s: When it ends.
        log_probabilities: Of its tokens; none where the model does not say.
    """

    text: str
    start_s: float
    end_s: float
    log_probabilities: Sequence[float] = ()


def segments_of(words: Sequence[TimedWord], with_words: bool, uncertain: bool = False) -> list[Segment]:
    """Segments of all words, in order.

    A segment ends after the end of a sentence, before a pause of a second, and at the longest pause
    within it where it would last for more than fifteen seconds.

    Args:
        words: In order.
        with_words: Whether segments keep their words.
        uncertain: Whether the text is a guess.
    """
    phrases: list[list[TimedWord]] = []
    for number, word in enumerate(words):
        previous = words[number - 1] if number else None
        if previous is None or _ends_sentence(previous) or word.start_s - previous.end_s >= _PAUSE_S:
            phrases.append([])
        phrases[-1].append(word)
    return [
        _segment(part, with_words, uncertain)
        for phrase in phrases
        for part in _cut_long(phrase)
        if "".join(word.text for word in part).strip()
    ]


def _ends_sentence(word: TimedWord) -> bool:
    return word.text.rstrip("\"'”»)]").endswith(_SENTENCE_ENDS)


def _cut_long(phrase: list[TimedWord]) -> list[list[TimedWord]]:
    if len(phrase) < 2 or phrase[-1].end_s - phrase[0].start_s <= _LONGEST_S:
        return [phrase]
    pauses = [right.start_s - left.end_s for left, right in pairwise(phrase)]
    middle = (phrase[0].start_s + phrase[-1].end_s) / 2
    # The longest pause; of equal ones, that nearest the middle.
    cut = max(range(len(pauses)), key=lambda at: (round(pauses[at], 2), -abs(phrase[at].end_s - middle))) + 1
    return [*_cut_long(phrase[:cut]), *_cut_long(phrase[cut:])]


def _segment(words: Sequence[TimedWord], with_words: bool, uncertain: bool) -> Segment:
    told = [chance for word in words for chance in word.log_probabilities]
    return Segment(
        text="".join(word.text for word in words).strip(),
        start_s=words[0].start_s,
        end_s=words[-1].end_s,
        words=tuple(_word(word) for word in words if word.text.strip()) if with_words else (),
        confidence=_probability(told),
        uncertain=uncertain,
    )


def _word(word: TimedWord) -> Word:
    return Word(
        text=word.text.strip(),
        start_s=word.start_s,
        end_s=word.end_s,
        probability=_probability(word.log_probabilities),
    )


def _probability(log_probabilities: Sequence[float]) -> float | None:
    if not log_probabilities:
        return None
    return min(1.0, math.exp(sum(log_probabilities) / len(log_probabilities)))
