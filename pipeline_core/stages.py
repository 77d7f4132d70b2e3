"""The three stages of a pipeline over many records: preprocess slices, forward batches, postprocess.

Every transformers pipeline and every custom one works: it is asked only for ``preprocess``,
``forward`` and ``postprocess``, with the parameters that ``_sanitize_parameters`` made of the spec.
"""

from collections.abc import Callable, Hashable, Sequence
from typing import Any, Protocol

import torch

from pipeline_core.batch_inputs import equal_key, padded_key, tensors
from pipeline_core.catalog import Batching
from pipeline_core.errors import LoadError, SpecError
from pipeline_core.records import Chunk, Record, RowError

ForwardPass = Callable[[Any], Any]
"""Maps the model inputs of one batch to the model outputs of that batch, on the CPU."""

_ELEMENTS_PER_TOKEN = 1_000


class Stages(Protocol):
    """What the engine needs of a pipeline.

    Attributes:
        slice_rows: Records that ``preprocess`` is best given at once.
        most_rows_ahead: Records worth holding to be sorted by length, where the user sets no number.
    """

    slice_rows: int
    most_rows_ahead: int

    @property
    def batching(self) -> Batching:
        """Which chunks may share a batch; less than before once a batch has shown that it changes an answer."""

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


def stages_group(batching: Batching) -> Callable[[Chunk], Hashable]:
    """The key that chunks must share to be batched under ``batching``."""
    if batching == "alone":
        return lambda chunk: (chunk.record, chunk.index)
    if batching == "pad":
        return lambda chunk: None if isinstance(chunk.inputs, tuple) else padded_key(chunk.inputs)
    return lambda chunk: chunk.length if isinstance(chunk.inputs, tuple) else equal_key(chunk.inputs)


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
    except BaseException as error:  # how Rust's panics come out of the tokenizers, which would end the run
        if type(error).__module__ != "pyo3_runtime":
            raise
        return row_error(stage, error)


def row_error(stage: str, error: BaseException) -> RowError:
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
