"""The three stages of a pipeline over many records: preprocess slices, forward batches, postprocess.

Every transformers pipeline and every custom one works: it is asked only for ``preprocess``,
``forward`` and ``postprocess``, with the parameters that ``_sanitize_parameters`` made of the spec.
"""

import copy
import threading
from collections import UserDict
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch

from pipeline_core.catalog import Batching, find_task
from pipeline_core.errors import InvalidInputError
from pipeline_core.records import Chunk, Record, RowError

ForwardPass = Callable[[Any], Any]
"""Maps the model inputs of one batch to the model outputs of that batch, on the CPU."""

_ELEMENTS_PER_TOKEN = 1_000
_FILES_BY_NAME = ("audio", "image", "video", "multimodal")


class Stages(Protocol):
    """What the engine needs of a pipeline.

    Attributes:
        batching: Which chunks may share a batch.
        slice_rows: Records that ``preprocess`` is best given at once.
    """

    batching: Batching
    slice_rows: int

    def preprocess(self, records: Sequence[tuple[int, Record]]) -> list[list[Chunk] | RowError]:
        """The chunks of each record, or why it has none; called from several threads."""

    def forward(self, chunks: Sequence[Chunk]) -> list[Any]:
        """The model's output for each chunk of one batch."""

    def postprocess(self, outputs: Sequence[list[Any]]) -> list[Any]:
        """The answer to each record from its chunks' outputs; an exception in the place of one that has none."""


def forward_pass(pipeline: Any) -> ForwardPass:
    """The one place where a model runs."""

    def run(inputs: Any) -> Any:
        with torch.inference_mode():
            return pipeline.forward(inputs, **pipeline._forward_params)

    return run


class PipelineStages:
    """Any pipeline, row by row before and after the model."""

    slice_rows = 4

    def __init__(self, pipeline: Any, task: str, forward: ForwardPass | None = None) -> None:
        from transformers.pipelines.base import ChunkPipeline

        self._pipeline = pipeline
        self._task = find_task(task)
        self._forward = forward or forward_pass(pipeline)
        self._chunks = isinstance(pipeline, ChunkPipeline)
        self._clones = PipelineClones(pipeline)
        self.batching: Batching = self._task.batching
        if self.batching == "pad" and getattr(pipeline.tokenizer, "pad_token_id", None) is None:
            self.batching = "shape"

    def preprocess(self, records: Sequence[tuple[int, Record]]) -> list[list[Chunk] | RowError]:
        """The chunks of each record, or why it has none."""
        return [guarded("preprocess", self._preprocess_one, number, record) for number, record in records]

    def forward(self, chunks: Sequence[Chunk]) -> list[Any]:
        """The model's output for each chunk of one batch."""
        if len(chunks) == 1:
            # The pipeline may change what it is given, and a chunk that failed is given again.
            outputs = [self._forward(copy.copy(chunks[0].inputs))]
        else:
            batch = self._collate([copy.copy(chunk.inputs) for chunk in chunks])
            outputs = unbatch(self._forward(batch), len(chunks))
        if self._chunks:
            for output in outputs:
                output.pop("is_last", None)
        return outputs

    def postprocess(self, outputs: Sequence[list[Any]]) -> list[Any]:
        """The answer to each record, or the exception that it raised."""
        parameters = self._pipeline._postprocess_params
        answers: list[Any] = []
        for chunks in outputs:
            try:
                answers.append(self._pipeline.postprocess(chunks if self._chunks else chunks[0], **parameters))
            except Exception as error:
                answers.append(error)
        return answers

    def _preprocess_one(self, number: int, record: Record) -> list[Chunk]:
        pipeline = self._clones.mine()
        prepared = pipeline.preprocess(self._checked(record.inputs), **pipeline._preprocess_params)
        parts = list(prepared) if self._chunks or isinstance(prepared, Iterator) else [prepared]
        return [
            Chunk(number, index, index == len(parts) - 1, part, chunk_length(part)) for index, part in enumerate(parts)
        ]

    def _checked(self, inputs: Any) -> Any:
        if inputs is None:
            raise InvalidInputError("the input is None")
        if isinstance(inputs, Path):
            return str(inputs)
        if isinstance(inputs, str) and self._task.modality in _FILES_BY_NAME:
            raise InvalidInputError(
                f"a string is data, and task {self._task.name!r} takes none: give a pathlib.Path, an image or an array"
            )
        return as_chat(inputs)

    def _collate(self, items: list[Any]) -> Any:
        from transformers.pipelines.base import pad_collate_fn

        pipeline = self._pipeline
        features = pipeline.feature_extractor if pipeline.feature_extractor is not None else pipeline.image_processor
        return pad_collate_fn(pipeline.tokenizer, features)(items)


class PipelineClones:
    """A shallow copy of a pipeline for each thread: a fast tokenizer can't be used by two at once."""

    def __init__(self, pipeline: Any) -> None:
        self._pipeline = pipeline
        self._local = threading.local()
        self._lock = threading.Lock()

    def mine(self) -> Any:
        """This thread's copy; the model is shared, the tokenizer is not."""
        if not hasattr(self._local, "pipeline"):
            with self._lock:
                clone = copy.copy(self._pipeline)
                clone.tokenizer = clone_tokenizer(self._pipeline.tokenizer)
            self._local.pipeline = clone
        return self._local.pipeline


def clone_tokenizer(tokenizer: Any) -> Any:
    """A tokenizer with the same vocabulary whose truncation can be set apart from the other's."""
    if not getattr(tokenizer, "is_fast", False):
        return tokenizer
    clone = copy.copy(tokenizer)
    clone._tokenizer = copy.deepcopy(tokenizer._tokenizer)
    return clone


def stages_group(batching: Batching) -> Callable[[Chunk], Hashable]:
    """The key that chunks must share to be batched under ``batching``."""
    if batching == "pad":
        return lambda chunk: None
    if batching == "alone":
        return lambda chunk: (chunk.record, chunk.index)
    return lambda chunk: _shapes(chunk.inputs)


def guarded(stage: str, work: Callable[..., list[Chunk]], *arguments: Any) -> list[Chunk] | RowError:
    """What ``work`` returns, or the error it raised in the terms of a quarantine."""
    try:
        return work(*arguments)
    except Exception as error:
        return row_error(stage, error)


def row_error(stage: str, error: Exception) -> RowError:
    """The stage, class and message of ``error``."""
    return RowError(stage, type(error).__name__, str(error) or repr(error))


def as_chat(inputs: Any) -> Any:
    """A list of messages as the chat that pipelines make of it, anything else as it is."""
    if isinstance(inputs, list | tuple) and inputs:
        from transformers.utils.chat_template_utils import Chat, is_valid_message

        if all(map(is_valid_message, inputs)):
            return Chat(inputs)
    return inputs


def chunk_length(inputs: Any) -> int:
    """The cost of one chunk in tokens: its ids, or its largest tensor's thousands of elements."""
    largest = 1
    for name, value in tensors(inputs):
        if name == "input_ids":
            return int(value.shape[-1])
        largest = max(largest, value.numel() // _ELEMENTS_PER_TOKEN)
    return largest


def tensors(inputs: Any) -> Iterator[tuple[str, torch.Tensor]]:
    """The tensors by name among a chunk's inputs, at its first level."""
    if isinstance(inputs, Mapping | UserDict):
        for name, value in inputs.items():
            if isinstance(value, torch.Tensor):
                yield name, value


def unbatch(outputs: Any, count: int) -> list[Any]:
    """A batch's outputs as ``count`` outputs that look like those of batches of one.

    Tensors and arrays are cut along their first dimension, lists are indexed, and what is None or
    belongs to the batch as a whole (a cache of keys and values) stays away from the records.
    """
    if isinstance(outputs, torch.Tensor | np.ndarray):
        return [outputs[index : index + 1] for index in range(count)]
    made = []
    for index in range(count):
        one = {name: _part(value, index) for name, value in outputs.items() if name != "past_key_values"}
        made.append(type(outputs)(one))
    return made


def _part(value: Any, index: int) -> Any:
    if value is None:
        return None
    if isinstance(value, torch.Tensor | np.ndarray):
        return value[index : index + 1]
    if isinstance(value, tuple):
        return tuple(_part(element, index) for element in value)
    if hasattr(value, "to_tuple"):
        return tuple(_part(element, index) for element in value.to_tuple())
    return value[index]


def _shapes(inputs: Any) -> Hashable:
    return tuple(sorted((name, tuple(value.shape), str(value.dtype)) for name, value in tensors(inputs)))
