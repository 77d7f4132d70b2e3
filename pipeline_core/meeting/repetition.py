"""Notice when a model repeats itself: the same tokens over and over, or text that compresses too well."""

import zlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

_MIN_TIMES = 4
_MIN_TOKENS = 16
_MAX_PERIOD = 40


class Repetition(NamedTuple):
    """A run of the same tokens.

    Attributes:
        start: Index of the first token.
        period: Tokens that are repeated.
        tokens: Tokens of the whole run.
    """

    start: int
    period: int
    tokens: int


def find_repetition(tokens: Sequence[int]) -> Repetition | None:
    """The longest run of one to forty tokens said four times or more, if it has sixteen tokens or more."""
    given = np.asarray(tokens)
    best: Repetition | None = None
    for period in range(1, min(_MAX_PERIOD, len(given) // _MIN_TIMES) + 1):
        start, length = _longest_true(given[period:] == given[:-period])
        run = length + period
        if run >= max(_MIN_TOKENS, _MIN_TIMES * period) and (best is None or run > best.tokens):
            best = Repetition(start, period, run)
    return best


def compression_ratio(text: str) -> float:
    """Bytes of the text over bytes of it compressed; natural text stays under 2.4."""
    written = text.encode()
    return len(written) / len(zlib.compress(written)) if written else 0.0


def _longest_true(flags: np.ndarray) -> tuple[int, int]:
    """Start and length of the longest run of True."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], flags, [False])).astype(np.int8)))
    if not len(edges):
        return 0, 0
    starts, lengths = edges[::2], edges[1::2] - edges[::2]
    longest = int(np.argmax(lengths))
    return int(starts[longest]), int(lengths[longest])
