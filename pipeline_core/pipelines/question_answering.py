"""Answers to questions, found in a text that is given with each."""

from collections.abc import Iterator
from inspect import signature
from typing import Any

import torch
from transformers.models.auto.modeling_auto import MODEL_FOR_QUESTION_ANSWERING_MAPPING_NAMES
from transformers.pipelines.base import ChunkPipeline
from transformers.utils import logging

from pipeline_core.pipelines.answer_spans import best_spans
from pipeline_core.pipelines.context_windows import context_windows
from pipeline_core.pipelines.squad_example import SquadExample, examples_of_call, squad_examples

_logger = logging.get_logger(__name__)
_WITHOUT_NULL = 1_000_000  # what transformers 4 starts the search for the least probability of no answer from
_SPARE_SPANS = 10  # spans that are the same once they are widened to whole words


class QuestionAnsweringPipeline(ChunkPipeline):  # type: ignore[misc]
    """Finds the answer to a question in a context; task ``question-answering``.

    An answer is a dict with ``answer``, the text; ``start`` and ``end``, its characters in the context;
    and ``score``, its probability within its window of the context (summed over windows and spans of
    equal text). ``top_k`` above 1 gives a list, by descending score, with fewer where fewer are found.
    """

    default_input_names = "question,context"
    handle_impossible_answer = False
    _load_processor = False
    _load_image_processor = False
    _load_feature_extractor = False
    _load_tokenizer = True

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        self.check_model_type(MODEL_FOR_QUESTION_ANSWERING_MAPPING_NAMES)
        self._takes_cache = "use_cache" in signature(self.model.forward).parameters

    @staticmethod
    def create_sample(question: str | list[str], context: str | list[str]) -> SquadExample | list[SquadExample]:
        """The example of a question and its context, or those of two lists."""
        if isinstance(question, list):
            return [SquadExample(None, *pair) for pair in zip(question, context, strict=False)]
        return SquadExample(None, question, context)  # type: ignore[arg-type]

    def __call__(self, *inputs: Any, **parameters: Any) -> Any:
        """Answer one question or several.

        Args:
            inputs: Dicts with ``question`` and ``context``, or ``SquadExample``: one, a list, a generator or a
                dataset; or a question and a context.
            parameters: ``question`` and ``context``: two texts, a list of questions on one context, or two
                lists; and ``top_k`` (1), ``doc_stride`` (128, or half of ``max_seq_len`` if that is less),
                ``max_answer_len`` (15 tokens), ``max_seq_len`` (384, or the model's limit if that is less),
                ``max_question_len`` (64), ``handle_impossible_answer`` (False), ``align_to_words`` (True),
                ``padding`` ("do_not_pad"), ``batch_size``, ``num_workers``.

        Raises:
            KeyError: A dict has no question or no context.
            ValueError: The inputs or the parameters are none of these, or a question or context is empty.
        """
        named = {name: parameters.pop(name) for name in ("question", "context", "data", "X") if name in parameters}
        examples = examples_of_call(*inputs, **named)
        if isinstance(examples, list) and not examples:
            return []
        if isinstance(examples, list) and len(examples) == 1:
            return super().__call__(examples[0], **parameters)
        return super().__call__(examples, **parameters)

    def _sanitize_parameters(
        self,
        padding: Any = None,
        topk: int | None = None,
        top_k: int | None = None,
        doc_stride: int | None = None,
        max_answer_len: int | None = None,
        max_seq_len: int | None = None,
        max_question_len: int | None = None,
        handle_impossible_answer: bool | None = None,
        align_to_words: bool | None = None,
        **ignored: Any,
    ) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        if ignored:
            _logger.warning(f"question-answering takes no notice of {', '.join(ignored)}")
        if top_k is None:
            top_k = topk
        if top_k is not None and top_k < 1:
            raise ValueError(f"top_k parameter should be >= 1 (got {top_k})")
        if max_answer_len is not None and max_answer_len < 1:
            raise ValueError(f"max_answer_len parameter should be >= 1 (got {max_answer_len})")
        preprocess = {
            "padding": padding,
            "doc_stride": doc_stride,
            "max_question_len": max_question_len,
            "max_seq_len": max_seq_len,
        }
        postprocess = {
            "top_k": top_k,
            "max_answer_len": max_answer_len,
            "handle_impossible_answer": handle_impossible_answer,
            "align_to_words": align_to_words,
        }
        return _given(preprocess), {}, _given(postprocess)

    def preprocess(
        self,
        example: Any,
        padding: Any = "do_not_pad",
        doc_stride: int | None = None,
        max_question_len: int = 64,
        max_seq_len: int | None = None,
    ) -> Iterator[dict[str, Any]]:
        """The model inputs of each window of the context."""
        example = squad_examples(example)
        if max_seq_len is None:
            max_seq_len = min(self.tokenizer.model_max_length, 384)
        if doc_stride is None:
            doc_stride = min(max_seq_len // 2, 128)
        if doc_stride > max_seq_len:
            raise ValueError(f"`doc_stride` ({doc_stride}) is larger than `max_seq_len` ({max_seq_len})")
        windows = list(context_windows(self.tokenizer, example, padding, doc_stride, max_question_len, max_seq_len))
        names = {*self.tokenizer.model_input_names, "token_type_ids"}
        for index, window in enumerate(windows):
            inputs = {name: torch.tensor([ids]) for name, ids in window.inputs.items() if name in names}
            inputs["p_mask"] = torch.tensor([window.p_mask])
            yield {"example": example, "is_last": index == len(windows) - 1, "place": window.place, **inputs}

    def _forward(self, inputs: dict[str, Any]) -> dict[str, Any]:
        model_inputs = {name: inputs[name] for name in self.tokenizer.model_input_names}
        if self._takes_cache:
            model_inputs["use_cache"] = False
        output = self.model(**model_inputs)
        start, end = (output["start_logits"], output["end_logits"]) if isinstance(output, dict) else output[:2]
        return {"start": start, "end": end, **inputs}

    def postprocess(
        self,
        model_outputs: list[dict[str, Any]],
        top_k: int = 1,
        handle_impossible_answer: bool = False,
        max_answer_len: int = 15,
        align_to_words: bool = True,
    ) -> Any:
        """The best answer over all windows, or a list of the ``top_k`` best ones."""
        answers: dict[str, dict[str, Any]] = {}
        null_score: float = _WITHOUT_NULL
        spans_wanted = top_k * 2 + _SPARE_SPANS if align_to_words else top_k
        for output in model_outputs:
            start_logits, end_logits = (output[name][0].float().numpy() for name in ("start", "end"))
            spans = best_spans(start_logits, end_logits, self._allowed(output), spans_wanted, max_answer_len)
            null_score = min(null_score, spans.null_score)
            padded = self._padding_before(output)
            for start, end, score in zip(spans.starts, spans.ends, spans.scores, strict=True):
                place = output["place"](int(start) - padded, int(end) - padded, align_to_words)
                found = answers.setdefault(
                    place.text.lower(), {"score": 0.0, "start": place.start, "end": place.end, "answer": place.text}
                )
                found["score"] += score.item()
        ranked = list(answers.values())
        if handle_impossible_answer:
            ranked.append({"score": null_score, "start": 0, "end": 0, "answer": ""})
        ranked = sorted(ranked, key=lambda answer: answer["score"], reverse=True)[:top_k]
        return ranked[0] if len(ranked) == 1 else ranked

    def _allowed(self, output: dict[str, Any]) -> Any:
        """Tokens that an answer may start or end with; the class token stands for no answer."""
        allowed = output["p_mask"][0] == 0
        if self.tokenizer.cls_token_id is not None:
            allowed |= output["input_ids"][0] == self.tokenizer.cls_token_id
        if output.get("attention_mask") is not None:
            allowed &= output["attention_mask"][0] == 1
        return allowed.numpy()

    def _padding_before(self, output: dict[str, Any]) -> int:
        """Tokens that batching has put before the window's own."""
        if self.tokenizer.padding_side != "left":
            return 0
        return int((output["input_ids"] == self.tokenizer.pad_token_id).sum())


def _given(parameters: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in parameters.items() if value is not None}
