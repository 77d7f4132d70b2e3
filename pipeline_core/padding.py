"""Find out by trying which chunks of a model may share a batch: what pads, and what padding changes, no list tells.

A model may take no attention mask, convolve over the padding, or expect it on the other side than its
tokenizer puts it. So a short and a long text are run alone and together once, and the answers compared.
"""

from collections.abc import Callable, Sequence
from typing import Any
from weakref import WeakKeyDictionary

import torch

from pipeline_core.batch_inputs import Side
from pipeline_core.batch_layout import agree
from pipeline_core.catalog import Batching
from pipeline_core.records import Chunk

SHORT_TEXT = "A short text."
LONG_TEXT = "A much longer text, the second half of which stands where the first one has padding. " * 2

_verdicts: "WeakKeyDictionary[Any, dict[str, tuple[Batching, Side]]]" = WeakKeyDictionary()


def batching_of(
    model: Any,
    task: str,
    sides: Sequence[Side],
    chunks: Callable[[], tuple[Chunk, Chunk]],
    forward: Callable[[Sequence[Chunk], Side], list[torch.Tensor]],
) -> tuple[Batching, Side]:
    """How chunks of unequal length share a batch of this model, and on which side they are padded.

    Args:
        model: What the verdict is kept for, as long as it lives.
        task: What it does.
        sides: The sides to try, the better one first.
        chunks: Gives a short and a long chunk.
        forward: Gives one tensor for each chunk of a batch padded on that side.

    Returns:
        "pad" with the first side that changes no answer, else "shape" where two equal chunks give
        what one gives, else "alone".
    """
    known = _verdicts.setdefault(model, {})
    if task not in known:
        known[task] = _try(sides, *chunks(), forward)
    return known[task]


def _try(
    sides: Sequence[Side], short: Chunk, long: Chunk, forward: Callable[[Sequence[Chunk], Side], list[torch.Tensor]]
) -> tuple[Batching, Side]:
    try:
        alone = [forward([chunk], sides[0])[0] for chunk in (short, long)]
    except Exception:  # what these texts show nothing about is not padded
        return "shape", sides[0]
    for side in sides:
        if _agree(alone, lambda side=side: forward([short, long], side)):  # type: ignore[misc]
            return "pad", side
    if _agree([alone[0], alone[0]], lambda: forward([short, short], sides[0])):
        return "shape", sides[0]
    return "alone", sides[0]


def _agree(alone: Sequence[torch.Tensor], together: Callable[[], list[torch.Tensor]]) -> bool:
    try:
        found = together()
    except Exception:  # a model that can't take such a batch has answered, too
        return False
    return all(map(agree, alone, found))
