"""What a model's batches have shown of themselves: which kinds of batch give the answers that records have alone."""

from collections.abc import Hashable
from typing import Any
from weakref import WeakKeyDictionary

from pipeline_core.batch_layout import BatchLayout
from pipeline_core.catalog import Batching

_LESS: dict[Batching, Batching] = {"pad": "shape", "shape": "alone"}
_RANK: dict[Batching, int] = {"alone": 0, "shape": 1, "pad": 2}

_known: "WeakKeyDictionary[Any, dict[Hashable, BatchTrust]]" = WeakKeyDictionary()


class BatchTrust:
    """How far batches of one pipeline are trusted.

    Attributes:
        batching: "pad" if unequal chunks may share a batch, "shape" if only equal ones may, else "alone".
        layouts: How the outputs of a kind of batch divide, by its kind and what its inputs consist of, where it
            has been proven.
    """

    def __init__(self, batching: Batching) -> None:
        self.batching = batching
        self.layouts: dict[Hashable, BatchLayout] = {}

    def allows(self, kind: Batching) -> bool:
        """Whether chunks of this kind may share a batch: "pad" for unequal ones, "shape" for equal ones."""
        return _RANK[kind] <= _RANK[self.batching]

    def lower(self, kind: Batching) -> None:
        """A batch of this kind changed an answer: batch less from now on."""
        if _RANK[_LESS[kind]] < _RANK[self.batching]:
            self.batching = _LESS[kind]


def trust_of(model: Any, use: Hashable, stated: Batching) -> BatchTrust:
    """What is known of a model in one use, for as long as it lives; ``stated`` before anything was tried."""
    uses = _known.setdefault(model, {})
    return uses.setdefault(use, BatchTrust(stated))
