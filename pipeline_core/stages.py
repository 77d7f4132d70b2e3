"""The three stages of a pipeline over many records: preprocess slices, forward batches, postprocess.

Every transformers pipeline and every custom one works: it is asked only for ``preprocess``,
``forward`` and ``postprocess``, with the parameters that ``_sanitize_parameters`` made of the spec.
"""

import copy
from collections import UserDict
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

import numpy as np
import torch

from pipeline_core.catalog import Batching, find_task
from pipeline_core.errors import LoadError, SpecError
from pipeline_core.input_shapes import shape_inputs
from pipeline_core.padding import batching_of
from pipeline_core.raw_inputs import MediaInputs
from pipeline_core.records import Chunk, Record, RowError
from pipeline_core.spec import PipelineSpec
from pipeline_core.text_limit import TextLimit
from pipeline_core.tokenizer_pool import TokenizerPool

ForwardPass = Callable[[Any], Any]
"""Maps the model inputs of one batch to the model outputs of that batch, on the CPU."""

_ELEMENTS_PER_TOKEN = 1_000
SHORT_TEXT = "A short text."
LONG_TEXT = "A much longer text, the second half of which stands where the first one has padding. " * 2


class Stages(Protocol):
    """What the engine needs of a pipeline.

    Attributes:
        batching: Which chunks may share a batch.
        slice_rows: Records that ``preprocess`` is best given at once.
        most_rows_ahead: Records worth holding to be sorted by length, where the user sets no number.
    """

    batching: Batching
    slice_rows: int
    most_rows_ahead: int

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

    def __init__(self, pipeline: Any, spec: PipelineSpec, forward: ForwardPass | None = None) -> None:
        from transformers.pipelines.base import ChunkPipeline

        self._pipeline = pipeline
        self._task = find_task(spec.task)
        self._given = spec.parameters
        self._forward = forward or forward_pass(pipeline)
        self._chunks = isinstance(pipeline, ChunkPipeline)
        self._tokenizers = TokenizerPool(pipeline.tokenizer)
        self._media = MediaInputs(pipeline, self._task)
        self._text = TextLimit(pipeline, self._task.name, spec) if self._task.modality == "text" else None
        self.batching = self._batching()
        self.most_rows_ahead = 256 if self.batching == "pad" else 64

    def preprocess(self, records: Sequence[tuple[int, Record]]) -> list[list[Chunk] | RowError]:
        """The chunks of each record, or why it has none."""
        with self._tokenizers.borrowed() as tokenizer:
            pipeline = copy.copy(self._pipeline)
            pipeline.tokenizer = tokenizer
            return [guarded("preprocess", self._preprocess_one, pipeline, number, record) for number, record in records]

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

    def _preprocess_one(self, pipeline: Any, number: int, record: Record) -> list[Chunk]:
        shaped = shape_inputs(self._task, record.inputs, self._given)
        with self._media.decoded(replace(record, inputs=shaped.inputs)) as inputs:
            return self._chunks_of(pipeline, number, inputs, {**pipeline._preprocess_params, **shaped.parameters})

    def _chunks_of(self, pipeline: Any, number: int, inputs: Any, parameters: dict[str, Any]) -> list[Chunk]:
        length = 0
        if self._text is not None:
            length = self._text.length(pipeline.tokenizer, inputs)
            parameters = self._text.parameters(parameters)
        prepared = pipeline.preprocess(inputs, **parameters)
        parts = list(prepared) if self._chunks or isinstance(prepared, Iterator) else [prepared]
        lengths = [chunk_length(part) for part in parts]
        cut = self._text is not None and self._text.is_cut(length, lengths)
        return [
            Chunk(number, index, index == len(parts) - 1, part, size, cut)
            for index, (part, size) in enumerate(zip(parts, lengths, strict=True))
        ]

    def _batching(self) -> Batching:
        """What the catalog says, or less where trying it on this model shows that padding changes answers."""
        stated, tokenizer = self._task.batching, self._pipeline.tokenizer
        if stated != "pad":
            return stated
        if getattr(tokenizer, "pad_token_id", None) is None:
            return "shape"
        if self._task.name == "text-generation":  # what is generated follows the text, so padding must not
            return "pad" if tokenizer.padding_side == "left" else "shape"
        return batching_of(
            self._pipeline.model, self._task.name, [tokenizer.padding_side], self._trial_chunks, self._trial_forward
        )[0]

    def _trial_chunks(self) -> tuple[Chunk, Chunk]:
        mask = getattr(self._pipeline.tokenizer, "mask_token", None) or ""
        texts: list[Any] = [
            f"{mask} {text}" if self._task.name == "fill-mask" else text for text in (SHORT_TEXT, LONG_TEXT)
        ]
        if self._task.name == "zero-shot-classification":
            texts = [{"sequences": text, "candidate_labels": ["long"]} for text in texts]
        made = self.preprocess([(number, Record(str(number), text)) for number, text in enumerate(texts)])
        short, long = (chunks[0] for chunks in made if not isinstance(chunks, RowError))
        return short, long

    def _trial_forward(self, chunks: Sequence[Chunk], _side: str) -> list[torch.Tensor]:
        return [output["logits"] for output in self.forward(chunks)]

    def _collate(self, items: list[Any]) -> Any:
        from transformers.pipelines.base import pad_collate_fn

        pipeline = self._pipeline
        features = pipeline.feature_extractor if pipeline.feature_extractor is not None else pipeline.image_processor
        return pad_collate_fn(pipeline.tokenizer, features)(items)


def stages_group(batching: Batching) -> Callable[[Chunk], Hashable]:
    """The key that chunks must share to be batched under ``batching``."""
    if batching == "pad":
        return lambda chunk: None
    if batching == "alone":
        return lambda chunk: (chunk.record, chunk.index)
    return lambda chunk: _shapes(chunk)


def guarded(stage: str, work: Callable[..., list[Chunk]], *arguments: Any) -> list[Chunk] | RowError:
    """What ``work`` returns, or the error it raised in the terms of a quarantine.

    Raises:
        LoadError: What is amiss is not the row: a package is missing.
        SpecError: The same: a setting is wrong.
    """
    try:
        return work(*arguments)
    except (LoadError, SpecError):
        raise
    except Exception as error:
        return row_error(stage, error)


def row_error(stage: str, error: Exception) -> RowError:
    """The stage, class and message of ``error``."""
    return RowError(stage, type(error).__name__, str(error) or repr(error))


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


def _shapes(chunk: Chunk) -> Hashable:
    if isinstance(chunk.inputs, tuple):
        return chunk.length
    return tuple(sorted((name, tuple(value.shape), str(value.dtype)) for name, value in tensors(chunk.inputs)))
