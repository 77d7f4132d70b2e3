"""Texts about images, such as captions."""

from typing import Any

import torch
from transformers import GenerationConfig
from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES
from transformers.utils import requires_backends

from pipeline_core.pipelines.generation import GeneratingPipeline
from pipeline_core.pipelines.images import opened


class ImageToTextPipeline(GeneratingPipeline):
    """Describes an image; task ``image-to-text``.

    An answer is a list of dicts with ``generated_text``, one for each returned sequence; a list of images
    gives a list of these lists. The default is ``max_new_tokens=256``; ``GeneratingPipeline`` says when it
    applies and what ``legacy_generation`` does.
    """

    _load_processor = False
    _load_image_processor = True
    _load_feature_extractor = False
    _load_tokenizer = True
    _default_generation_config = GenerationConfig(max_new_tokens=256)

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        requires_backends(self, "vision")
        self.check_model_type(MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES)

    def __call__(self, inputs: Any = None, **parameters: Any) -> Any:
        """Describe one image or several.

        Args:
            inputs: A Pillow image, a path, a URL, or a list, generator or dataset of these; also as ``images``.
            parameters: ``max_new_tokens``, ``generate_kwargs`` (a dict for the model's ``generate``),
                ``prompt`` (a text to go on from, for models that take one), ``timeout`` (seconds to wait for a
                URL), ``legacy_generation``, ``batch_size``, ``num_workers``.

        Raises:
            ValueError: No image is given, ``max_new_tokens`` is given twice, the prompt is no text, or the
                model takes none.
        """
        inputs = parameters.pop("images", inputs)
        if inputs is None:
            raise ValueError("Cannot call the image-to-text pipeline without an inputs argument!")
        if isinstance(inputs, list) and not inputs:
            return []
        return super().__call__(inputs, **parameters)

    def _sanitize_parameters(
        self,
        max_new_tokens: int | None = None,
        generate_kwargs: dict[str, Any] | None = None,
        prompt: str | None = None,
        timeout: float | None = None,
        legacy_generation: bool | None = None,
    ) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        preprocess = {"prompt": prompt, "timeout": timeout}
        forward = {"max_new_tokens": max_new_tokens, "legacy_generation": legacy_generation}
        forward = {name: value for name, value in forward.items() if value is not None}
        if generate_kwargs is not None:
            if "max_new_tokens" in forward and "max_new_tokens" in generate_kwargs:
                raise ValueError(
                    "`max_new_tokens` is defined both as an argument and inside `generate_kwargs` argument, please use"
                    " only 1 version"
                )
            forward.update(generate_kwargs)
        forward.update(self._assistant())
        return {name: value for name, value in preprocess.items() if value is not None}, forward, {}

    def preprocess(self, image: Any, prompt: str | None = None, timeout: float | None = None) -> Any:
        """The image as the model takes it, and the prompt's token ids where there is one."""
        model_type = self.model.config.model_type
        picture = opened(image, timeout)
        if prompt is not None and not isinstance(prompt, str):
            raise ValueError(
                f"Received an invalid text input, got - {type(prompt)} - but expected a single string. "
                "Note also that one single text can be provided for conditional image to text generation."
            )
        if prompt is not None and model_type == "vision-encoder-decoder":
            raise ValueError(f"Model type {model_type} does not support conditional text generation")
        header = {"header_text": prompt} if prompt is not None and model_type == "pix2struct" else {}
        inputs = self.image_processor(images=picture, return_tensors="pt", **header).to(self.dtype)
        if prompt is not None and not header:
            inputs.update(self._prompt(prompt, model_type))
        return inputs

    def _prompt(self, prompt: str, model_type: str) -> Any:
        if model_type != "git":
            return self.tokenizer(prompt, return_tensors="pt")
        ids = self.tokenizer(text=prompt, add_special_tokens=False).input_ids
        return {"input_ids": torch.tensor([[self.tokenizer.cls_token_id, *ids]])}

    def _forward(self, model_inputs: Any, legacy_generation: bool = False, **generate_kwargs: Any) -> Any:
        arguments = self._arguments_of_generate(generate_kwargs, legacy_generation)
        generated = self.model.generate(**model_inputs, **arguments)
        return getattr(generated, "sequences", generated)

    def postprocess(self, model_outputs: Any) -> list[dict[str, str]]:
        """One dict for each sequence of token ids ``(sequences, tokens)``."""
        texts = (self.tokenizer.decode(ids, skip_special_tokens=True) for ids in model_outputs)
        return [{"generated_text": text} for text in texts]
