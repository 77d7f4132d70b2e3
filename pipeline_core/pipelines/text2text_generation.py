"""Text to text with an encoder-decoder model: the pipeline that summarization and translation build on."""

import enum
import warnings
from typing import Any

from transformers import GenerationConfig
from transformers.models.auto.modeling_auto import MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES

from pipeline_core.pipelines.generation import GeneratingPipeline


class ReturnType(enum.Enum):
    """What an answer holds: token ids or text."""

    TENSORS = 0
    TEXT = 1


class Text2TextGenerationPipeline(GeneratingPipeline):
    """Generates a text from a text; task ``text2text-generation``.

    An answer is a list of ``num_return_sequences`` dicts with ``generated_text``, or with
    ``generated_token_ids``, a tensor ``(tokens,)`` int64, under ``return_tensors=True``. A list of texts
    gives a list of these lists, or of the dicts themselves where each text has one.

    The defaults are ``num_beams=4`` and ``max_new_tokens=256``; ``GeneratingPipeline`` says when they
    apply and what ``legacy_generation`` does. A ``prefix`` in the config, or in its
    ``task_specific_params`` for this task, is put before each text.
    """

    _load_processor = False
    _load_image_processor = False
    _load_feature_extractor = False
    _load_tokenizer = True
    _default_generation_config = GenerationConfig(max_new_tokens=256, num_beams=4)
    return_name = "generated"

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        self.check_model_type(MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES)

    def __call__(self, *inputs: Any, **parameters: Any) -> Any:
        """Generate from one text or several.

        Args:
            inputs: A text, a list of texts, or a generator or dataset of texts.
            parameters: ``return_tensors``, ``return_text``, ``return_type``,
                ``clean_up_tokenization_spaces`` (False unless set), ``truncation`` (none unless set),
                ``stop_sequence``, ``legacy_generation``, ``batch_size``, ``num_workers``, and whatever the
                model's ``generate`` takes.

        Raises:
            TypeError: An input is neither a text nor a list of texts.
        """
        if inputs and isinstance(inputs[0], list) and not inputs[0]:
            return []
        answers = super().__call__(*inputs, **parameters)
        texts = isinstance(inputs[0], list) and all(isinstance(text, str) for text in inputs[0])
        if texts and all(len(answer) == 1 for answer in answers):
            return [answer[0] for answer in answers]
        return answers

    def _sanitize_parameters(
        self,
        return_tensors: bool | None = None,
        return_text: bool | None = None,  # noqa: ARG002 - taken, and without effect, in transformers 4 too
        return_type: ReturnType | int | None = None,
        clean_up_tokenization_spaces: bool | None = None,
        truncation: Any = None,
        stop_sequence: str | None = None,
        legacy_generation: bool | None = None,
        **generate_kwargs: Any,
    ) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        preprocess: dict[str, Any] = {}
        postprocess: dict[str, Any] = {}
        forward = {**generate_kwargs, **self._assistant()}
        if truncation is not None:
            preprocess["truncation"] = truncation
        if legacy_generation is not None:
            forward["legacy_generation"] = legacy_generation
        if return_tensors is not None and return_type is None:
            return_type = ReturnType.TENSORS if return_tensors else ReturnType.TEXT
        if return_type is not None:
            postprocess["return_type"] = ReturnType(return_type)
        if clean_up_tokenization_spaces is not None:
            postprocess["clean_up_tokenization_spaces"] = clean_up_tokenization_spaces
        if stop_sequence is not None:
            forward["eos_token_id"] = self._stop_token(stop_sequence)
        return preprocess, forward, postprocess

    def preprocess(self, inputs: Any, truncation: Any = False) -> Any:
        """Tokenize a text, or a list of texts padded to one length, each after the task's prefix."""
        return self._tokenized(inputs, truncation)

    def _tokenized(self, inputs: Any, truncation: Any) -> Any:
        prefix = self.prefix or ""
        if isinstance(inputs, list):
            if self.tokenizer.pad_token_id is None:
                raise ValueError("Please make sure that the tokenizer has a pad_token_id when using a batch input")
            texts: Any = [prefix + text for text in inputs]
        elif isinstance(inputs, str):
            texts = prefix + inputs
        else:
            raise TypeError(f"the input must be a text or a list of texts, but is {inputs!r} instead")
        padding = isinstance(inputs, list)
        encoded = self.tokenizer(texts, padding=padding, truncation=truncation, return_tensors="pt")
        encoded.pop("token_type_ids", None)  # some tokenizers make them, and no encoder-decoder takes them
        return encoded

    def _forward(self, model_inputs: Any, legacy_generation: bool = False, **generate_kwargs: Any) -> dict[str, Any]:
        rows, length = model_inputs["input_ids"].shape
        arguments = self._arguments_of_generate(generate_kwargs, legacy_generation)
        settings = self._get_set_generation_params(arguments)
        self.check_inputs(length, settings.get("min_length") or 0, settings.get("max_length"))
        generated = self.model.generate(**model_inputs, **arguments)
        sequences = getattr(generated, "sequences", generated)
        return {"output_ids": sequences.reshape(rows, sequences.shape[0] // rows, *sequences.shape[1:])}

    def check_inputs(self, input_length: int, min_length: int, max_length: int | None) -> None:
        """Warn of lengths in tokens that look wrong for the task; ``max_length`` is None where nobody sets one."""

    def postprocess(
        self,
        model_outputs: dict[str, Any],
        return_type: ReturnType = ReturnType.TEXT,
        clean_up_tokenization_spaces: bool = False,
    ) -> list[dict[str, Any]]:
        """One dict for each generated sequence of the first, and but for nested lists only, text."""
        sequences = model_outputs["output_ids"][0]
        if return_type is ReturnType.TENSORS:
            return [{f"{self.return_name}_token_ids": ids} for ids in sequences]
        texts = (
            self.tokenizer.decode(
                ids, skip_special_tokens=True, clean_up_tokenization_spaces=clean_up_tokenization_spaces
            )
            for ids in sequences
        )
        return [{f"{self.return_name}_text": text} for text in texts]

    def _stop_token(self, stop_sequence: str) -> int:
        ids = self.tokenizer.encode(stop_sequence, add_special_tokens=False)
        if len(ids) > 1:
            warnings.warn(
                f"stop_sequence {stop_sequence!r} is {len(ids)} tokens; generation stops at the first of them. "
                "Pass stop_strings and tokenizer to stop at the whole of it",
                stacklevel=2,
            )
        return int(ids[0])
