"""Chunks' model inputs as one batch: which of them may share it, and what fills up the shorter ones."""

from collections import UserDict
from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import torch

Side = Literal["right", "left"]

# Inputs that run along the text or the sound, on dimension 1, and what stands where a shorter one has ended.
_MASKS = {
    "attention_mask": 0,
    "bbox": 0,
    "offset_mapping": 0,
    "p_mask": 1,
    "special_tokens_mask": 1,
    "token_type_ids": 0,
}
_TOKENS = ("input_ids",)
_SOUNDS = ("input_values", "input_features")
_FILLED = frozenset({*_MASKS, *_TOKENS, *_SOUNDS})
# Settings of a record that a pipeline takes from the batch's first one.
_OF_THE_BATCH = "candidate_labels"


class Filling(NamedTuple):
    """What stands where a shorter chunk has ended, and on which side.

    Attributes:
        token: Stands for a token.
        sound: Stands for a sample or a frame.
        side: Where it stands: "left" for models that write on from their last token.
    """

    token: int = 0
    sound: float = 0.0
    side: Side = "right"


def equal_key(inputs: Any) -> Hashable:
    """What two chunks' inputs must have in common to share a batch without padding."""
    return _key(inputs, ())


def padded_key(inputs: Any) -> Hashable:
    """What two chunks' inputs must have in common to share a batch in which the shorter one is filled up."""
    return _key(inputs, _FILLED)


def parts_key(inputs: Any) -> Hashable:
    """What a chunk's inputs consist of, whatever their sizes: their names, and the rows of each tensor."""
    names = tuple(sorted(inputs)) if isinstance(inputs, Mapping | UserDict) else None
    return names, tuple(sorted((name, tensor.shape[0] if tensor.ndim else 0) for name, tensor in tensors(inputs)))


def input_length(inputs: Any) -> int:
    """Size of dimension 1 of what is filled up: tokens, samples or frames; 0 where nothing is."""
    if isinstance(inputs, Mapping | UserDict):
        for name in (*_TOKENS, *_SOUNDS):
            value = inputs.get(name)
            if isinstance(value, torch.Tensor) and value.ndim > 1:
                return int(value.shape[1])
    return 0


def collate(items: Sequence[Any], filling: Filling) -> dict[str, Any]:
    """The inputs of a batch from those of its chunks.

    Tensors are put together along dimension 0, filled up along dimension 1 where they run along the text or the
    sound; all else becomes a list, as transformers' pipelines expect it of a batch.

    Raises:
        ValueError: Tensors that are not filled up differ in shape.
    """
    return {name: _together(name, [item[name] for item in items], filling) for name in items[0]}


def tensors(inputs: Any) -> Iterator[tuple[str, torch.Tensor]]:
    """All tensors among a chunk's inputs, however deep, with the names they go by."""
    if isinstance(inputs, Mapping | UserDict):
        for name, value in inputs.items():
            if isinstance(value, torch.Tensor):
                yield name, value
            else:
                yield from ((f"{name}.{inner}", tensor) for inner, tensor in tensors(value))
    elif isinstance(inputs, list | tuple):
        for index, value in enumerate(inputs):
            if isinstance(value, torch.Tensor):
                yield str(index), value
            elif isinstance(value, Mapping | UserDict):
                yield from ((f"{index}.{inner}", tensor) for inner, tensor in tensors(value))


def _key(inputs: Any, filled: Sequence[str] | frozenset[str]) -> Hashable:
    names = tuple(sorted(inputs)) if isinstance(inputs, Mapping | UserDict) else None
    shapes = sorted(
        (name, str(tensor.dtype), _fixed_shape(tensor) if name in filled else tuple(tensor.shape))
        for name, tensor in tensors(inputs)
    )
    of_the_batch = str(inputs[_OF_THE_BATCH]) if names is not None and _OF_THE_BATCH in names else None
    return names, tuple(shapes), of_the_batch


def _fixed_shape(tensor: torch.Tensor) -> tuple[int | None, ...]:
    """The shape, without the size of dimension 1."""
    return tuple(None if dimension == 1 else size for dimension, size in enumerate(tensor.shape))


def _together(name: str, values: list[Any], filling: Filling) -> Any:
    first = values[0]
    if isinstance(first, Mapping | UserDict):
        return collate(values, filling)
    if not isinstance(first, torch.Tensor) or first.ndim == 0:
        return values
    if name not in _FILLED or first.ndim == 1 or len({value.shape for value in values}) == 1:
        if len({value.shape[1:] for value in values}) > 1:
            raise ValueError(f"{name} must be of one shape in a batch, but has {[tuple(v.shape) for v in values]}")
        return torch.cat(values)
    fill = filling.token if name in _TOKENS else filling.sound if name in _SOUNDS else _MASKS[name]
    longest = max(value.shape[1] for value in values)
    whole = first.new_full((sum(map(len, values)), longest, *first.shape[2:]), fill)
    filled = 0
    for value in values:
        rows, length = value.shape[:2]
        start = longest - length if filling.side == "left" else 0
        whole[filled : filled + rows, start : start + length] = value
        filled += rows
    return whole
