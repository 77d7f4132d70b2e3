"""Whether what Whisper wrote can be believed, and what to try when it can't."""

from collections.abc import Callable, Sequence
from enum import Enum

from pipeline_core.meeting.repetition import compression_ratio, find_repetition
from pipeline_core.meeting.whisper_decoding import Decoded

TEMPERATURES = (0.2, 0.4, 0.6, 0.8, 1.0)
"""Tried in turn where greedy decoding fails; Whisper's own."""

_MAX_COMPRESSION_RATIO = 2.4
_MIN_MEAN_LOG_PROBABILITY = -1.0
_MIN_NO_SPEECH = 0.6

Redo = Callable[[Sequence[int], float], Sequence[Decoded]]
"""Writes the texts of the rows at these indices again, at a temperature."""


class Verdict(Enum):
    """What to make of a text."""

    GOOD = "good"
    SILENT = "silent"
    """Nobody talks, and what was written is made up."""
    BAD = "bad"
    """It repeats itself, has no end, or is improbable."""


def judge(decoded: Decoded, text: str) -> Verdict:
    """Whisper's rules, and one against the same few tokens over and over."""
    improbable = decoded.mean_log_probability < _MIN_MEAN_LOG_PROBABILITY
    if improbable and decoded.no_speech > _MIN_NO_SPEECH:
        return Verdict.SILENT
    if (
        improbable
        or not decoded.ended
        or compression_ratio(text) > _MAX_COMPRESSION_RATIO
        or find_repetition(decoded.tokens) is not None
    ):
        return Verdict.BAD
    return Verdict.GOOD


def with_fallback(
    first: Sequence[Decoded], text_of: Callable[[Decoded], str], redo: Redo
) -> list[tuple[Decoded, Verdict]]:
    """Each row's first text that can be believed, at rising temperatures; else the best of the bad ones.

    Args:
        first: The rows' texts, decoded greedily.
        text_of: What a text's tokens say.
        redo: Decodes rows again.
    """
    settled = [(decoded, judge(decoded, text_of(decoded))) for decoded in first]
    for temperature in TEMPERATURES:
        bad = [row for row, (_, verdict) in enumerate(settled) if verdict is Verdict.BAD]
        if not bad:
            break
        for row, decoded in zip(bad, redo(bad, temperature), strict=True):
            verdict = judge(decoded, text_of(decoded))
            if verdict is not Verdict.BAD or _rank(decoded) > _rank(settled[row][0]):
                settled[row] = decoded, verdict
    return settled


def believable(decoded: Decoded) -> int:
    """How many of a bad text's first tokens to show: what follows the first time that it repeats is left out."""
    found = find_repetition(decoded.tokens)
    return len(decoded.tokens) if found is None else found.start + found.period


def _rank(decoded: Decoded) -> tuple[bool, bool, float]:
    """Of two bad texts, the one that ends, does not repeat itself, and is likelier."""
    return decoded.ended, find_repetition(decoded.tokens) is None, decoded.mean_log_probability
