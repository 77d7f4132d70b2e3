"""Text classification in whole slices: tokenized at once, padded from plain ids, answered batch by batch."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from pipeline_core.batch_inputs import Side
from pipeline_core.catalog import Batching
from pipeline_core.errors import InputTooLongError, InvalidInputError, SpecError
from pipeline_core.padding import LONG_TEXT, SHORT_TEXT, batching_of
from pipeline_core.records import Chunk, Record, RowError
from pipeline_core.spec import PipelineSpec
from pipeline_core.stages import ForwardPass, forward_pass, guarded, row_error
from pipeline_core.text_limit import model_limit, position_limit
from pipeline_core.tokenizer_pool import TokenizerPool

_TOKENIZER_SETTINGS = {"truncation", "max_length", "add_special_tokens"}


def suits_text_stages(pipeline: Any) -> bool:
    """Whether ``TextStages`` give what this pipeline gives: its stages and tokenizer are transformers' own."""
    from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast
    from transformers.pipelines.text_classification import TextClassificationPipeline

    tokenizer = pipeline.tokenizer
    kind = type(tokenizer)
    return (
        isinstance(pipeline, TextClassificationPipeline)
        and all(
            getattr(type(pipeline), stage) is getattr(TextClassificationPipeline, stage)
            for stage in ("preprocess", "_forward", "postprocess")
        )
        and isinstance(tokenizer, PreTrainedTokenizerFast)
        and kind.__call__ is PreTrainedTokenizerBase.__call__
        and kind._encode_plus is PreTrainedTokenizerFast._encode_plus
        and set(tokenizer.model_input_names) <= {"input_ids", "attention_mask", "token_type_ids"}
        and set(pipeline._preprocess_params) <= _TOKENIZER_SETTINGS
    )


class TextStages:
    """Text classification with a fast tokenizer.

    Text that is longer than the model takes is cut, refused or read in windows, as ``on_long`` says.
    The logits of a record's windows are averaged, each weighted by its tokens.
    """

    slice_rows = 64
    most_rows_ahead = 8_192

    def __init__(self, pipeline: Any, spec: PipelineSpec, forward: ForwardPass | None = None) -> None:
        self._pipeline = pipeline
        self._forward = forward or forward_pass(pipeline)
        self._tokenizers = TokenizerPool(pipeline.tokenizer)
        self._on_long = spec.on_long
        self._stride = spec.window_stride
        settings = pipeline._preprocess_params
        self._special = bool(settings.get("add_special_tokens", True))
        self._positions = position_limit(pipeline.model)
        limit = model_limit(pipeline)
        self._truncation, self._limit = _truncation(pipeline.tokenizer, settings, limit)
        if self._on_long != "truncate":
            self._limit = settings.get("max_length") or limit
            self._truncation = "longest_first" if self._on_long == "window" and self._limit is not None else None
        if self._on_long == "window" and self._limit is not None:
            room = self._limit - pipeline.tokenizer.num_special_tokens_to_add(pair=False)
            if self._stride >= room:
                raise SpecError(f"window_stride must be below {room}, the tokens of a window, but is {self._stride}")
        names = pipeline.tokenizer.model_input_names
        self._with_types = "token_type_ids" in names
        self._with_mask = "attention_mask" in names
        self._pad_id = pipeline.tokenizer.pad_token_id
        self._side: Side = pipeline.tokenizer.padding_side
        sides: list[Side] = [self._side, "left" if self._side == "right" else "right"]
        self._batching, self._side = batching_of(
            pipeline.model, "text-classification", sides, self._trial_chunks, self._trial_forward
        )

    @property
    def batching(self) -> Batching:
        """Which chunks may share a batch."""
        return self._batching

    def preprocess(self, records: Sequence[tuple[int, Record]]) -> list[list[Chunk] | RowError]:
        """The chunks of each record, or why it has none; the whole slice goes through the tokenizer at once."""
        made: list[list[Chunk] | RowError | None] = [None] * len(records)
        texts, places = [], []
        for place, (_, record) in enumerate(records):
            try:
                texts.append(_text(record.inputs))
                places.append(place)
            except InvalidInputError as error:
                made[place] = row_error("preprocess", error)
        try:
            encodings = self._encode(texts)
        except Exception:  # one text that can't be encoded fails its whole slice: find it
            for text, place in zip(texts, places, strict=True):
                number = records[place][0]
                made[place] = guarded(
                    "preprocess", lambda number, text: self._chunks(number, self._encode([text])[0]), number, text
                )
        else:
            for encoding, place in zip(encodings, places, strict=True):
                made[place] = guarded("preprocess", self._chunks, records[place][0], encoding)
        return [entry for entry in made if entry is not None]

    def forward(self, chunks: Sequence[Chunk]) -> list[Any]:
        """``(labels,)`` float logits and the weight of each chunk."""
        logits = self._logits(chunks, self._side).numpy()
        return [(logits[row], chunk.length) for row, chunk in enumerate(chunks)]

    def _logits(self, chunks: Sequence[Chunk], side: Side) -> torch.Tensor:
        """``(chunks, labels)`` float32 logits of one batch, padded on ``side``."""
        longest = max(chunk.length for chunk in chunks)
        ids = np.full((len(chunks), longest), self._pad_id or 0, dtype=np.int64)
        mask = np.zeros((len(chunks), longest), dtype=np.int64)
        types = np.zeros((len(chunks), longest), dtype=np.int64) if self._with_types else None
        for row, chunk in enumerate(chunks):
            span = slice(longest - chunk.length, longest) if side == "left" else slice(0, chunk.length)
            ids[row, span] = chunk.inputs[0]
            mask[row, span] = 1
            if types is not None:
                types[row, span] = chunk.inputs[1]
        inputs = {"input_ids": torch.from_numpy(ids)}
        if types is not None:
            inputs["token_type_ids"] = torch.from_numpy(types)
        if self._with_mask:
            inputs["attention_mask"] = torch.from_numpy(mask)
        logits: torch.Tensor = self._forward(inputs)["logits"]
        return logits.float()

    def _trial_chunks(self) -> tuple[Chunk, Chunk]:
        short, long = (self._inputs(encoding) for encoding in self._encode([SHORT_TEXT, LONG_TEXT]))
        long = tuple(None if array is None else array[: self._positions] for array in long)
        return Chunk(0, 0, True, short, len(short[0])), Chunk(1, 0, True, long, len(long[0]))

    def _trial_forward(self, chunks: Sequence[Chunk], side: Side) -> list[torch.Tensor]:
        # In the model's own precision, whose rounding the comparison allows for.
        return list(self._logits(chunks, side).to(self._pipeline.model.dtype))

    def postprocess(self, outputs: Sequence[list[Any]]) -> list[Any]:
        """The answer to each record: a label and its score, or a list of them with ``top_k``."""
        try:
            logits = np.stack([_record_logits(windows) for windows in outputs])
            return self._answers(logits)
        except Exception as error:
            return [error] * len(outputs)

    def _answers(self, logits: np.ndarray) -> list[Any]:
        """The answers to ``(records, labels)`` float32 logits, as ``TextClassificationPipeline.postprocess`` gives."""
        settings = self._pipeline._postprocess_params
        scores = _apply(settings.get("function_to_apply"), self._pipeline.model.config, logits)
        names = self._pipeline.model.config.id2label
        if settings.get("_legacy", True):
            best = scores.argmax(-1)
            return [
                {"label": names[label], "score": score}
                for label, score in zip(best.tolist(), scores[np.arange(len(best)), best].tolist(), strict=True)
            ]
        order = np.argsort(-scores, axis=-1, kind="stable")[:, : settings.get("top_k")]
        return [
            [{"label": names[label], "score": row[label]} for label in labels]
            for row, labels in zip(scores.tolist(), order.tolist(), strict=True)
        ]

    def _encode(self, texts: list[Any]) -> list[Any]:
        with self._tokenizers.borrowed() as tokenizer:
            return self._encode_with(tokenizer, texts)

    def _encode_with(self, tokenizer: Any, texts: list[Any]) -> list[Any]:
        from transformers.tokenization_utils_base import TruncationStrategy
        from transformers.utils import PaddingStrategy

        tokenizer.set_truncation_and_padding(
            padding_strategy=PaddingStrategy.DO_NOT_PAD,
            truncation_strategy=TruncationStrategy(self._truncation or "do_not_truncate"),
            max_length=self._limit,
            stride=self._stride if self._on_long == "window" else 0,
            pad_to_multiple_of=None,
            padding_side=None,
        )
        backend = tokenizer._tokenizer
        if backend.encode_special_tokens != tokenizer.split_special_tokens:
            backend.encode_special_tokens = tokenizer.split_special_tokens
        encoded: list[Any] = backend.encode_batch_fast(texts, add_special_tokens=self._special)
        return encoded

    def _chunks(self, number: int, encoding: Any) -> list[Chunk]:
        longest = self._limit
        length = len(encoding.ids)
        if self._on_long == "error" and longest is not None and length > longest:
            raise InputTooLongError(length, longest)
        if self._positions is not None and length > self._positions:
            # Past its table of positions a model fails, and takes a GPU with it for the whole process.
            raise InputTooLongError(length, self._positions)
        if self._on_long == "window" and length == longest and encoding.overflowing:
            windows = [encoding, *encoding.overflowing]
            return [
                Chunk(number, index, index == len(windows) - 1, self._inputs(window), len(window.ids))
                for index, window in enumerate(windows)
            ]
        cut = self._truncation is not None and length == longest and bool(encoding.overflowing)
        return [Chunk(number, 0, True, self._inputs(encoding), length, cut)]

    def _inputs(self, encoding: Any) -> tuple[Any, ...]:
        """``(length,)`` int token ids, and their types where the model reads them."""
        return np.asarray(encoding.ids), np.asarray(encoding.type_ids) if self._with_types else None


def _record_logits(windows: list[Any]) -> Any:
    """``(labels,)`` logits of one record: its only window's, or the mean of all, weighted by their tokens."""
    if len(windows) == 1:
        return windows[0][0]
    weights = [weight for _, weight in windows]
    return np.average([row for row, _ in windows], axis=0, weights=weights).astype(np.float32)


def _apply(function: Any, config: Any, logits: np.ndarray) -> np.ndarray:
    """The scores that the pipeline makes of logits, by its rule for which function applies."""
    from transformers.pipelines.text_classification import ClassificationFunction, sigmoid, softmax

    if function is None:
        if config.problem_type == "regression":
            function = ClassificationFunction.NONE
        elif config.problem_type == "multi_label_classification" or config.num_labels == 1:
            function = ClassificationFunction.SIGMOID
        else:
            function = ClassificationFunction.SOFTMAX
    if function == ClassificationFunction.NONE:
        return logits
    scores: np.ndarray = sigmoid(logits) if function == ClassificationFunction.SIGMOID else softmax(logits)
    return scores


def _truncation(tokenizer: Any, settings: dict[str, Any], limit: int | None) -> tuple[str | None, int | None]:
    """(strategy, max_length) that the tokenizer makes of the call's settings, or of the model's limit without any."""
    given = {name: settings[name] for name in ("truncation", "max_length") if name in settings}
    if not given:
        return ("longest_first", limit) if limit is not None else (None, None)
    _, strategy, max_length, _ = tokenizer._get_padding_truncation_strategies(**given)
    if strategy.value == "do_not_truncate":
        return None, None
    return strategy.value, max_length


def _text(inputs: Any) -> Any:
    """A text, or a pair of texts, as the tokenizer's batches take it."""
    if isinstance(inputs, str):
        return inputs
    if isinstance(inputs, dict) and isinstance(inputs.get("text"), str) and inputs.keys() <= {"text", "text_pair"}:
        pair = inputs.get("text_pair")
        if not pair:
            return inputs["text"]
        if isinstance(pair, str):
            return (inputs["text"], pair)
    if isinstance(inputs, list) and len(inputs) == 1 and isinstance(inputs[0], list) and len(inputs[0]) == 2:
        return tuple(inputs[0])
    shown = "None" if inputs is None else f"{type(inputs).__name__} {str(inputs)[:60]!r}"
    raise InvalidInputError(f'the input must be a text, or a dict of "text" and "text_pair", but is {shown} instead')
