"""Translations of texts with an encoder-decoder model."""

from typing import Any

from transformers.utils import logging

from pipeline_core.pipelines.text2text_generation import Text2TextGenerationPipeline

_logger = logging.get_logger(__name__)


class TranslationPipeline(Text2TextGenerationPipeline):
    """Translates a text; tasks ``translation`` and ``translation_xx_to_yy``.

    Called like ``Text2TextGenerationPipeline``, with the same defaults; its answers have
    ``translation_text`` or ``translation_token_ids``. Models of many languages (NLLB, mBART, M2M100)
    need ``src_lang`` and ``tgt_lang``, or a task that names both; others take no notice of them. A model
    with ``task_specific_params`` for pairs of languages (T5) translates the first pair if the task names none.
    """

    return_name = "translation"

    def __init__(self, model: Any, *arguments: Any, task: str = "", **keywords: Any) -> None:
        if task == "translation":
            specific = getattr(model.config, "task_specific_params", None) or {}
            task = next((name for name in specific if name.startswith("translation")), task)
            if task != "translation":
                _logger.warning(f'"translation" names no languages; this model makes it "{task}"')
        super().__init__(model, *arguments, task=task, **keywords)

    def _sanitize_parameters(  # type: ignore[override]
        self, src_lang: str | None = None, tgt_lang: str | None = None, **parameters: Any
    ) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        preprocess, forward, postprocess = super()._sanitize_parameters(**parameters)
        named = self.task.split("_")
        if src_lang is None and tgt_lang is None and len(named) == 4:
            src_lang, tgt_lang = named[1], named[3]
        if src_lang is not None:
            preprocess["src_lang"] = src_lang
        if tgt_lang is not None:
            preprocess["tgt_lang"] = tgt_lang
        return preprocess, forward, postprocess

    def preprocess(
        self, inputs: Any, truncation: Any = False, src_lang: str | None = None, tgt_lang: str | None = None
    ) -> Any:
        """Tokenize as the languages ask for, or as any text where the tokenizer knows of none.

        Raises:
            ValueError: The tokenizer needs both languages and has not been given them.
        """
        build = getattr(self.tokenizer, "_build_translation_inputs", None)
        if build is None:
            return self._tokenized(inputs, truncation)
        return build(inputs, return_tensors="pt", truncation=truncation, src_lang=src_lang, tgt_lang=tgt_lang)

    def _forward(self, model_inputs: Any, legacy_generation: bool = False, **generate_kwargs: Any) -> dict[str, Any]:
        first = model_inputs.get("forced_bos_token_id")
        if isinstance(first, list):  # one for each text of a batch, all of one call
            model_inputs = {**model_inputs, "forced_bos_token_id": first[0]}
        return super()._forward(model_inputs, legacy_generation, **generate_kwargs)

    def check_inputs(self, input_length: int, min_length: int, max_length: int | None) -> None:  # noqa: ARG002
        """Warn of a text whose translation may not fit."""
        if max_length is not None and input_length > 0.9 * max_length:
            _logger.warning_once(
                f"max_length={max_length} may cut translations of texts as long as these; set a larger one"
            )
