"""How a batch's outputs divide among its chunks: learned from two chunks that were run alone, then checked.

No two pipelines lay their outputs out alike: tensors with a row a chunk, tuples of such tensors, lists that the
batch was given and hands on, values that belong to the batch. What a chunk's output looks like alone tells which is
which, and how a chunk's length shows in it: what padding adds beyond that is cut off.
"""

from collections import UserDict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from pipeline_core.batch_inputs import Side

# Belongs to a batch as a whole, and no pipeline reads it after the forward pass.
_DROPPED = frozenset({"past_key_values", "encoder_last_hidden_state"})
_SEQUENCES = frozenset({"generated_sequence", "sequences", "tokens", "output_ids"})
_FLOAT32_TOLERANCE = 1e-4
_LEAST_SCALE = 1e-2
_HALF_TOLERANCE = 3e-2  # half precision rounds at the third digit, and more so after some layers

Path = tuple[str | int, ...]
Trim = Callable[[torch.Tensor, int], torch.Tensor]
"""Cuts generated ``(..., tokens)`` of one record behind its end, given the tokens of its prompt."""


class LayoutError(Exception):
    """A batch's outputs are not laid out as its chunks' alone."""


class BatchLayout:
    """How the outputs of batches divide, for one pipeline.

    Args:
        alone: The outputs of two chunks, each run alone.
        lengths: The two chunks' lengths: tokens, samples or frames.
        frames: What the model makes of a length of its input; None where it keeps it.
        trim: Cuts a generated sequence behind its end; None for pipelines that generate nothing.
        prompt_in_sequence: Whether a generated sequence starts with the chunk's own tokens.

    Attributes:
        spread: The longer chunk's length over the shorter one's; what is padded more has not been seen.
    """

    def __init__(
        self,
        alone: Sequence[Any],
        lengths: Sequence[int],
        frames: Callable[[int], int] | None = None,
        trim: Trim | None = None,
        prompt_in_sequence: bool = False,
    ) -> None:
        self._like = _outline(alone[0])
        self.spread = max(lengths) / max(1, min(lengths))
        self._trim = trim
        self._prompt_in_sequence = prompt_in_sequence
        self._along: dict[Path, Callable[[int], int]] = {}
        ways = [way for way in (_same, frames) if way is not None]
        if lengths[0] != lengths[1]:
            self._learn(alone[0], alone[1], lengths, ways, ())

    def split(self, batch: Any, lengths: Sequence[int], side: Side) -> list[Any]:
        """The outputs of a batch's chunks, as each would be alone.

        Raises:
            LayoutError: The batch is laid out otherwise.
        """
        parts = _Parts(self, lengths, side)
        return [parts.of(batch, self._like, index, ()) for index in range(len(lengths))]

    def _learn(
        self,
        short: Any,
        long: Any,
        lengths: Sequence[int],
        ways: Sequence[Callable[[int], int]],
        path: Path,
    ) -> None:
        if isinstance(short, torch.Tensor) and isinstance(long, torch.Tensor):
            if short.ndim > 1 and long.ndim > 1 and short.shape[1] != long.shape[1]:
                sizes = [short.shape[1], long.shape[1]]
                way = next((way for way in ways if [way(length) for length in lengths] == sizes), None)
                if way is not None:
                    self._along[path] = way
        elif isinstance(short, Mapping | UserDict) and isinstance(long, Mapping | UserDict):
            for name in short.keys() & long.keys():
                self._learn(short[name], long[name], lengths, ways, (*path, name))
        elif isinstance(short, list | tuple) and isinstance(long, list | tuple):
            for index, (one, other) in enumerate(zip(short, long, strict=False)):
                self._learn(one, other, lengths, ways, (*path, index))


class _Parts:
    def __init__(self, layout: BatchLayout, lengths: Sequence[int], side: Side) -> None:
        self._layout = layout
        self._lengths = lengths
        self._longest = max(lengths)
        self._side = side

    def of(self, batch: Any, like: Any, index: int, path: Path) -> Any:
        """The part of ``batch`` that belongs to chunk ``index``, which looks like ``like``."""
        count = len(self._lengths)
        if isinstance(like, Mapping | UserDict) and isinstance(batch, Mapping | UserDict):
            made = {
                name: self.of(batch[name], value, index, (*path, name))
                for name, value in like.items()
                if name not in _DROPPED and name in batch
            }
            return _same_kind(like, made)
        if isinstance(batch, torch.Tensor | np.ndarray):
            return self._rows(batch, like, index, path)
        given = isinstance(batch, list) and len(batch) == count
        if given and (not isinstance(like, list) or all(isinstance(item, list) for item in batch)):
            return batch[index]
        if isinstance(like, list | tuple) and isinstance(batch, list | tuple):
            if len(batch) == len(like):
                parts = [
                    self.of(value, shown, index, (*path, place))
                    for place, (value, shown) in enumerate(zip(batch, like, strict=True))
                ]
                return _same_kind(like, parts)
            if len(like) == 1 and len(batch) == count:
                return _same_kind(like, [batch[index]])
        if hasattr(batch, "to_tuple") and hasattr(like, "to_tuple"):
            return self.of(batch.to_tuple(), like.to_tuple(), index, path)
        if batch is None or (not isinstance(batch, list | tuple | Mapping | UserDict) and batch == like):
            return batch
        raise LayoutError(f"{'.'.join(map(str, path))}: {type(batch).__name__} for {type(like).__name__}")

    def _rows(self, batch: Any, like: Any, index: int, path: Path) -> Any:
        count = len(self._lengths)
        if not isinstance(like, torch.Tensor | np.ndarray) or batch.ndim != like.ndim or batch.ndim == 0:
            raise LayoutError(f"{'.'.join(map(str, path))}: an array in place of {type(like).__name__}")
        rows = batch.shape[0] // count
        if batch.shape[0] % count or rows == 0:
            raise LayoutError(f"{'.'.join(map(str, path))}: {batch.shape[0]} rows for {count} chunks")
        part = batch[index * rows : (index + 1) * rows]
        way = self._layout._along.get(path)
        name = path[-1] if path else None
        if self._layout._trim is not None and name in _SEQUENCES:
            prompt = 0
            if self._layout._prompt_in_sequence:
                prompt = self._lengths[index]
                part = part[..., self._longest - prompt if self._side == "left" else 0 :]
            return self._layout._trim(part, prompt)
        if way is None:
            return part
        length = way(self._lengths[index])
        start = way(self._longest) - length if self._side == "left" else 0
        return part[:, start : start + length]


def _outline(output: Any) -> Any:
    """An output without its numbers: only its tensors' shapes are wanted."""
    if isinstance(output, torch.Tensor):
        return output.to("meta")
    if isinstance(output, Mapping | UserDict):
        return _same_kind(output, {name: _outline(value) for name, value in output.items() if name not in _DROPPED})
    if isinstance(output, list | tuple):
        return _same_kind(output, [_outline(value) for value in output])
    return output


def agree(alone: Any, split: Any, exact_sequences: bool = True) -> bool:
    """Whether two outputs differ by rounding only.

    Args:
        alone: A chunk's output alone.
        split: Its part of a batch's output.
        exact_sequences: Whether what was generated has to be the same, token by token. In half precision only most
            of it has to be: the model's own rounding depends on the batch.
    """
    if isinstance(alone, torch.Tensor | np.ndarray):
        return isinstance(split, torch.Tensor | np.ndarray) and _close(torch.as_tensor(alone), torch.as_tensor(split))
    if isinstance(alone, Mapping | UserDict):
        return isinstance(split, Mapping | UserDict) and all(
            name in split
            and (
                _mostly(value, split[name]) if name in _SEQUENCES and not exact_sequences else agree(value, split[name])
            )
            for name, value in alone.items()
            if name not in _DROPPED
        )
    if isinstance(alone, list | tuple):
        return isinstance(split, list | tuple) and len(alone) == len(split) and all(map(agree, alone, split))
    if hasattr(alone, "to_tuple"):
        return agree(alone.to_tuple(), split)
    return type(alone) is type(split)


def _close(alone: torch.Tensor, split: torch.Tensor) -> bool:
    if alone.shape != split.shape:
        return False
    if not alone.is_floating_point():
        return bool(torch.equal(alone, split))
    tolerance = _FLOAT32_TOLERANCE if alone.dtype in (torch.float32, torch.float64) else _HALF_TOLERANCE
    largest = torch.finfo(alone.dtype).max / 2  # what stands for minus infinity in masks
    seen = [one.abs() < largest for one in (alone, split)]
    if not torch.equal(*seen):
        return False
    alone, split = (one.float().where(seen[0], torch.zeros(())) for one in (alone, split))
    scale = alone.abs().amax(-1, keepdim=True) if alone.ndim else alone.abs()
    return bool(((alone - split).abs() <= tolerance * scale.clamp(min=_LEAST_SCALE)).all())


def _mostly(alone: Any, split: Any) -> bool:
    """Whether most tokens of two generated sequences are the same."""
    if not isinstance(alone, torch.Tensor) or not isinstance(split, torch.Tensor) or alone.ndim != split.ndim:
        return False
    shared = min(alone.shape[-1], split.shape[-1])
    same = alone[..., :shared] == split[..., :shared]
    return alone.shape[:-1] == split.shape[:-1] and bool(same.float().mean() >= 0.5)


def _same(length: int) -> int:
    return length


def _same_kind(like: Any, made: Any) -> Any:
    if isinstance(like, tuple) and hasattr(like, "_fields"):
        return type(like)(*made)
    return type(like)(made)
