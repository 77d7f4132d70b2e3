"""The most probable spans of a window of tokens to be the answer."""

from typing import Any, NamedTuple

import numpy as np

_MASKED = -10_000.0


class Spans(NamedTuple):
    """Spans by descending probability, and the probability that the window holds no answer.

    Attributes:
        starts: ``(spans,)`` int64, the first token of each.
        ends: ``(spans,)`` int64, its last token.
        scores: ``(spans,)`` float32, its probability.
        null_score: Probability of the empty answer at the first token.
    """

    starts: Any
    ends: Any
    scores: Any
    null_score: float


def best_spans(start_logits: Any, end_logits: Any, allowed: Any, count: int, max_answer_len: int) -> Spans:
    """The ``count`` most probable spans of at most ``max_answer_len`` tokens that begin and end where allowed.

    A span's probability is that of its start times that of its end, each a softmax over the allowed
    tokens. Fewer come back where fewer are allowed.

    Args:
        start_logits: ``(tokens,)`` float32.
        end_logits: ``(tokens,)`` float32.
        allowed: ``(tokens,)`` bool: tokens of the context, and the first one for "no answer".
        count: How many spans to look at.
        max_answer_len: The longest span in tokens.
    """
    start, end = _softmax(start_logits, allowed), _softmax(end_logits, allowed)
    null_score = float(start[0] * end[0])
    start[0] = end[0] = 0.0
    candidates = np.tril(np.triu(np.outer(start, end)), max_answer_len - 1)
    order = _largest(candidates.ravel(), count)
    starts, ends = np.unravel_index(order, candidates.shape)
    kept = allowed[starts] & allowed[ends]
    starts, ends = starts[kept], ends[kept]
    return Spans(starts, ends, candidates[starts, ends], null_score)


def _softmax(logits: Any, allowed: Any) -> Any:
    masked = np.where(allowed, logits, np.float32(_MASKED))
    exponents = np.exp(masked - masked.max())
    return exponents / exponents.sum()


def _largest(scores: Any, count: int) -> Any:
    """Positions of the ``count`` largest scores, largest first."""
    if count == 1:
        return np.array([np.argmax(scores)])
    if count >= len(scores):
        return np.argsort(-scores)
    found = np.argpartition(-scores, count)[:count]
    return found[np.argsort(-scores[found])]
