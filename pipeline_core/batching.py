"""Cut a window of chunks into batches of similar length under a token budget."""

from collections.abc import Callable, Hashable, Iterable

from pipeline_core.records import Chunk


class Window:
    """Chunks sorted by length, given out longest first, so that what may not fit fails early.

    Args:
        chunks: All chunks of a look-ahead, in any order.
        group: Chunks share a batch only where this gives the same key.
    """

    def __init__(self, chunks: Iterable[Chunk], group: Callable[[Chunk], Hashable]) -> None:
        groups: dict[Hashable, list[Chunk]] = {}
        for chunk in chunks:
            groups.setdefault(group(chunk), []).append(chunk)
        for members in groups.values():
            members.sort(key=lambda chunk: chunk.length)
        self._groups = sorted(groups.values(), key=lambda members: members[-1].length)

    def __bool__(self) -> bool:
        return bool(self._groups)

    def take(self, max_tokens: int | None, max_chunks: int | None) -> list[Chunk]:
        """The next batch: at least one chunk, and no more than either limit allows.

        Its size is its number of chunks times what the longest one takes; None is no limit.
        """
        members = self._groups[-1]
        count = len(members)
        if max_tokens is not None:
            count = min(count, max(1, max_tokens // max(1, members[-1].cost)))
        if max_chunks is not None:
            count = min(count, max_chunks)
        batch = members[-count:][::-1]
        del members[-count:]
        if not members:
            self._groups.pop()
        return batch


def batch_cost(batch: list[Chunk]) -> int:
    """Tokens of the batch with every chunk padded to the longest, and the ones that the model may add."""
    return len(batch) * max(chunk.cost for chunk in batch)


def padded_tokens(batch: list[Chunk]) -> int:
    """Tokens of the batch with every chunk padded to the longest."""
    return len(batch) * max(chunk.length for chunk in batch)
