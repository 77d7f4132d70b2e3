"""Run a pipeline's model over batches, and let no batch change an answer.

The first batch of a kind, of equal chunks or of unequal ones, is run one by one too. Where the outputs agree, later
batches of that kind are trusted and divided as this one was; where they don't, the model is batched less.
"""

import copy
from collections import UserDict
from collections.abc import Callable, Hashable, Sequence
from typing import Any

import torch

from pipeline_core.batch_inputs import Filling, collate, equal_key, input_length, parts_key
from pipeline_core.batch_layout import BatchLayout, LayoutError, agree
from pipeline_core.batch_trust import BatchTrust
from pipeline_core.catalog import Batching
from pipeline_core.generation import Generation, seeded
from pipeline_core.memory import is_out_of_memory
from pipeline_core.records import Chunk

# A batch whose chunks differ in length by more than this times what was tried is tried again.
_SEEN = 1.5


class BatchForward:
    """The forward pass of one pipeline over chunks.

    Args:
        pipeline: The pipeline.
        forward: Maps the model inputs of one batch to the pipeline's outputs of it.
        trust: Which batches are known to change no answer.
        filling: What fills up the shorter chunks of a batch; None where nothing can.
        generation: How it generates, if it does.
        chunks: Whether it is a ``ChunkPipeline``, whose outputs say which is a record's last.
    """

    def __init__(
        self,
        pipeline: Any,
        forward: Callable[[Any], Any],
        trust: BatchTrust,
        filling: Filling | None,
        generation: Generation | None,
        chunks: bool,
    ) -> None:
        self._pipeline = pipeline
        self._forward = forward
        self._trust = trust
        self._filling = filling or Filling()
        self._generation = generation
        self._chunks = chunks
        self._frames: Callable[[int], int] | None = None
        frames = getattr(pipeline.model, "_get_feat_extract_output_lengths", None)
        if frames is not None:
            self._frames = lambda length: int(frames(length))

    def outputs(self, chunks: Sequence[Chunk]) -> list[Any]:
        """The pipeline's output for each chunk of a batch, as each would be alone."""
        if len(chunks) == 1:
            return [self._alone(chunks[0])]
        kind: Batching = "shape" if len({equal_key(chunk.inputs) for chunk in chunks}) == 1 else "pad"
        if not self._trust.allows(kind):
            return self._in_smaller_batches(chunks)
        lengths = [input_length(chunk.inputs) for chunk in chunks]
        layout = self._trust.layouts.get(self._key(kind, chunks))
        if layout is None or _spread(lengths) > _SEEN * layout.spread:
            return self._first_batch(chunks, kind, lengths)
        try:
            return self._split(layout, self._together(chunks), chunks)
        except LayoutError:  # a record of another kind is among them
            return [self._alone(chunk) for chunk in chunks]

    def _alone(self, chunk: Chunk) -> Any:
        # The pipeline may change what it is given, and a chunk that failed is given again.
        inputs = copy.copy(chunk.inputs)
        if chunk.seed is None:
            return self._without_last(self._forward(inputs))
        with seeded(chunk.seed, self._pipeline.device):
            return self._without_last(self._forward(inputs))

    def _together(self, chunks: Sequence[Chunk]) -> Any:
        return self._without_last(self._forward(collate([chunk.inputs for chunk in chunks], self._filling)))

    def _without_last(self, output: Any) -> Any:
        if self._chunks and isinstance(output, dict | UserDict):
            output.pop("is_last", None)
        return output

    def _split(self, layout: BatchLayout, batch: Any, chunks: Sequence[Chunk]) -> list[Any]:
        return layout.split(batch, [input_length(chunk.inputs) for chunk in chunks], self._filling.side)

    def _first_batch(self, chunks: Sequence[Chunk], kind: Batching, lengths: Sequence[int]) -> list[Any]:
        """Run the longest and the shortest chunk one by one and together; then the rest as that turned out."""
        if kind == "pad" and not self._tells_apart(lengths):
            return self._in_smaller_batches(chunks)
        places = sorted(range(len(chunks)), key=lambda place: lengths[place])
        ends = [places[-1], places[0]]
        tried = [chunks[place] for place in ends]
        alone = [self._alone(chunk) for chunk in tried]
        layout = self._proven(kind, tried, alone)
        if layout is None:
            self._trust.lower(kind)
        else:
            self._trust.layouts[self._key(kind, chunks)] = layout
        left = [place for place in range(len(chunks)) if place not in ends]
        outputs = dict(zip(ends, alone, strict=True))
        if left:
            outputs.update(zip(left, self.outputs([chunks[place] for place in left]), strict=True))
        return [outputs[place] for place in range(len(chunks))]

    def _tells_apart(self, lengths: Sequence[int]) -> bool:
        """Whether padding shows in the outputs of the longest and the shortest chunk."""
        frames = self._frames or (lambda length: length)
        return frames(min(lengths)) < frames(max(lengths))

    @staticmethod
    def _key(kind: Batching, chunks: Sequence[Chunk]) -> Hashable:
        return kind, parts_key(chunks[0].inputs)

    def _proven(self, kind: Batching, chunks: Sequence[Chunk], alone: Sequence[Any]) -> BatchLayout | None:
        """How outputs divide, if two chunks give together what each gives alone."""
        generation = self._generation
        layout = BatchLayout(
            alone,
            [input_length(chunk.inputs) for chunk in chunks],
            self._frames,
            generation.trimmed if generation is not None else None,
            generation is not None and generation.decodes_only and kind == "pad",
        )
        try:
            if generation is not None and kind == "pad" and not self._same_first_logits(generation, chunks):
                return None
            split = self._split(layout, self._together(chunks), chunks)
        except LayoutError:
            return None
        except Exception as error:
            if is_out_of_memory(error):
                raise
            return None  # a pipeline that can't take such a batch has answered, too
        exact = generation is None or (kind == "shape" and self._pipeline.dtype == torch.float32)
        return layout if all(agree(one, part, exact) for one, part in zip(alone, split, strict=True)) else None

    def _same_first_logits(self, generation: Generation, chunks: Sequence[Chunk]) -> bool:
        """Whether padding leaves the logits as they are; long texts that were sampled from them need not agree."""
        inputs = [chunk.inputs for chunk in chunks]
        together = generation.first_logits(collate(inputs, self._filling))
        return all(map(agree, map(generation.first_logits, inputs), together[:, None]))

    def _in_smaller_batches(self, chunks: Sequence[Chunk]) -> list[Any]:
        if not self._trust.allows("shape"):
            return [self._alone(chunk) for chunk in chunks]
        groups: dict[Hashable, list[int]] = {}
        for place, chunk in enumerate(chunks):
            groups.setdefault(equal_key(chunk.inputs), []).append(place)
        outputs: dict[int, Any] = {}
        for places in groups.values():
            outputs.update(zip(places, self.outputs([chunks[place] for place in places]), strict=True))
        return [outputs[place] for place in range(len(chunks))]


def _spread(lengths: Sequence[int]) -> float:
    return max(lengths) / max(1, min(lengths))
