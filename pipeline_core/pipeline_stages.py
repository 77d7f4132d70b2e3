"""Any transformers pipeline as stages of the engine: its own preprocess and postprocess row by row, batched between."""

import copy
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

from pipeline_core.batch_forward import BatchForward
from pipeline_core.batch_inputs import Filling
from pipeline_core.batch_trust import trust_of
from pipeline_core.catalog import Batching, find_task
from pipeline_core.generation import Generation, numpy_seeded, record_seed
from pipeline_core.input_shapes import shape_inputs
from pipeline_core.raw_inputs import MediaInputs
from pipeline_core.records import Chunk, Record, RowError
from pipeline_core.spec import PipelineSpec
from pipeline_core.stages import ForwardPass, chunk_length, forward_pass, guarded
from pipeline_core.text_limit import TextLimit
from pipeline_core.tokenizer_pool import TokenizerPool


class PipelineStages:
    """Any pipeline, row by row before and after the model.

    Chunks share a batch as far as the catalog says, and as far as this model's batches show to change no answer.
    """

    slice_rows = 4

    def __init__(self, pipeline: Any, spec: PipelineSpec, forward: ForwardPass | None = None) -> None:
        from transformers.pipelines.base import ChunkPipeline

        self._task = find_task(spec.task)
        self._seed = spec.seed
        self._generation: Generation | None = None
        if getattr(pipeline, "_generate_kwargs", None) is not None:
            self._generation = Generation(pipeline, spec, self._task.name)
            pipeline = self._generation.pipeline
        self._pipeline = pipeline
        self._given = spec.parameters
        self._media = MediaInputs(pipeline, self._task)
        self._chunks = isinstance(pipeline, ChunkPipeline)
        self._tokenizers = TokenizerPool(pipeline.tokenizer)
        self._text = TextLimit(pipeline, self._task.name, spec) if self._task.modality == "text" else None
        samples = self._generation is not None and self._generation.samples
        self._is_random = samples or self._task.name == "text-to-audio"
        # CLAP takes a stretch of long sound at random.
        self._draws_sound = getattr(pipeline.feature_extractor, "truncation", None) in ("rand_trunc", "fusion")
        filling = self._filling()
        self._trust = trust_of(pipeline.model, (self._task.name, spec.fingerprint), self._stated(filling))
        self._forward = BatchForward(
            pipeline, forward or forward_pass(pipeline), self._trust, filling, self._generation, self._chunks
        )
        self.most_rows_ahead = 256 if self.batching == "pad" else 64

    @property
    def batching(self) -> Batching:
        """Which chunks may share a batch, as far as batches of this pipeline have shown yet."""
        return self._trust.batching

    def preprocess(self, records: Sequence[tuple[int, Record]]) -> list[list[Chunk] | RowError]:
        """The chunks of each record, or why it has none."""
        with self._tokenizers.borrowed() as tokenizer:
            pipeline = copy.copy(self._pipeline)
            pipeline.tokenizer = tokenizer
            if getattr(pipeline.processor, "tokenizer", None) is not None:
                pipeline.processor = copy.copy(pipeline.processor)
                pipeline.processor.tokenizer = tokenizer
            return [guarded("preprocess", self._preprocess_one, pipeline, number, record) for number, record in records]

    def forward(self, chunks: Sequence[Chunk]) -> list[Any]:
        """The model's output for each chunk of one batch."""
        return self._forward.outputs(chunks)

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
        parameters = {**pipeline._preprocess_params, **shaped.parameters}
        drawing = numpy_seeded(record_seed(self._seed, record.id)) if self._draws_sound else nullcontext()
        with self._media.decoded(replace(record, inputs=shaped.inputs)) as inputs, drawing:
            return self._chunks_of(pipeline, number, record.id, inputs, parameters)

    def _chunks_of(
        self, pipeline: Any, number: int, record_id: str, inputs: Any, parameters: dict[str, Any]
    ) -> list[Chunk]:
        length = 0
        if self._text is not None:
            length = self._text.length(pipeline.tokenizer, inputs)
            parameters = self._text.parameters(parameters)
        prepared = pipeline.preprocess(inputs, **parameters)
        parts = list(prepared) if self._chunks or isinstance(prepared, Iterator) else [prepared]
        lengths = [chunk_length(part) for part in parts]
        cut = self._text is not None and self._text.is_cut(length, lengths)
        seeds = [record_seed(self._seed, record_id, index) if self._is_random else None for index in range(len(parts))]
        return [
            Chunk(number, index, index == len(parts) - 1, part, size, cut, self._new_tokens(size), seeds[index])
            for index, (part, size) in enumerate(zip(parts, lengths, strict=True))
        ]

    def _new_tokens(self, length: int) -> int:
        return self._generation.new_tokens(length) if self._generation is not None else 0

    def _stated(self, filling: Filling | None) -> Batching:
        """What may share a batch before anything was tried."""
        if self._is_random or (self._generation is not None and self._generation.alone):
            return "alone"
        bears_padding = filling is not None and (self._generation is None or self._generation.bears_padding)
        return "shape" if self._task.batching == "pad" and not bears_padding else self._task.batching

    def _filling(self) -> Filling | None:
        pipeline, generation = self._pipeline, self._generation
        features = pipeline.feature_extractor
        sound = getattr(features, "padding_value", 0.0) or 0.0
        if self._task.modality == "audio":
            return Filling(sound=sound, side=getattr(features, "padding_side", "right"))
        if pipeline.tokenizer is None:
            return None
        if generation is not None:
            return Filling(generation.pad_token, side="left" if generation.decodes_only else "right")
        return Filling(pipeline.tokenizer.pad_token_id or 0, sound, pipeline.tokenizer.padding_side)
