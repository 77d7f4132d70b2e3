"""Answers to questions about images."""

import itertools
from typing import Any

from transformers import GenerationConfig
from transformers.models.auto.modeling_auto import MODEL_FOR_VISUAL_QUESTION_ANSWERING_MAPPING_NAMES
from transformers.pipelines.pt_utils import KeyDataset
from transformers.utils import logging, requires_backends

from pipeline_core.pipelines.generation import GeneratingPipeline
from pipeline_core.pipelines.images import is_image, opened

_logger = logging.get_logger(__name__)


class VisualQuestionAnsweringPipeline(GeneratingPipeline):
    """Answers a question about an image; tasks ``visual-question-answering`` and ``vqa``.

    An answer is a list of dicts: ``answer`` and ``score``, a probability, for each of the ``top_k`` most
    probable answers of a model that chooses among its labels; ``answer`` alone from a model that
    generates. Then the default is ``max_new_tokens=256``, and generation parameters are those that the
    pipeline is made with; those of a call have no effect, as in transformers 4. ``GeneratingPipeline``
    says when the default applies and what ``legacy_generation`` does.
    """

    _load_processor = False
    _load_image_processor = True
    _load_feature_extractor = False
    _load_tokenizer = True
    _default_generation_config = GenerationConfig(max_new_tokens=256)
    _non_generation_params = ("top_k",)

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        requires_backends(self, "vision")
        self.check_model_type(MODEL_FOR_VISUAL_QUESTION_ANSWERING_MAPPING_NAMES)

    def __call__(self, image: Any, question: Any = None, **parameters: Any) -> Any:
        """Answer one question or several about one image or several.

        Args:
            image: A Pillow image, a path or a URL, a list or a ``KeyDataset`` of these; or, without
                ``question``, a dict with ``image`` and ``question``, or a list, generator or dataset of such dicts.
            question: A text or a list of texts. Each is asked of each image, all images for the first
                question first.
            parameters: ``top_k`` (5), ``padding`` (False), ``truncation`` (False), ``timeout`` (seconds to
                wait for a URL), ``legacy_generation``, ``batch_size``, ``num_workers``.
        """
        inputs = image
        one_image, one_question = is_image(image), isinstance(question, str)
        several_images = isinstance(image, KeyDataset) or (isinstance(image, list) and all(map(is_image, image)))
        several_questions = isinstance(question, list) and all(isinstance(text, str) for text in question)
        if one_image and one_question:
            inputs = {"image": image, "question": question}
        elif (one_image or several_images) and (one_question or several_questions):
            images = image if several_images else [image]
            questions = question if several_questions else [question]
            inputs = [{"image": img, "question": text} for text, img in itertools.product(questions, images)]
        if isinstance(inputs, list) and not inputs:
            return []
        return super().__call__(inputs, **parameters)

    def _sanitize_parameters(
        self,
        top_k: int | None = None,
        padding: Any = None,
        truncation: Any = None,
        timeout: float | None = None,
        legacy_generation: bool | None = None,
        **ignored: Any,
    ) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        if ignored:
            _logger.warning(
                f"visual-question-answering takes no notice of {', '.join(ignored)} in a call; give generation "
                "parameters when the pipeline is made"
            )
        preprocess = {"padding": padding, "truncation": truncation, "timeout": timeout}
        forward = {} if legacy_generation is None else {"legacy_generation": legacy_generation}
        postprocess = {} if top_k is None else {"top_k": top_k}
        given = {name: value for name, value in preprocess.items() if value is not None}
        return given, {**forward, **self._assistant()}, postprocess

    def preprocess(
        self, inputs: dict[str, Any], padding: Any = False, truncation: Any = False, timeout: float | None = None
    ) -> Any:
        """The question's token ids and the image as the model takes it."""
        picture = opened(inputs["image"], timeout)
        encoded = self.tokenizer(inputs["question"], return_tensors="pt", padding=padding, truncation=truncation)
        encoded.update(self.image_processor(images=picture, return_tensors="pt").to(self.dtype))
        return encoded

    def _forward(self, model_inputs: Any, legacy_generation: bool = False, **generate_kwargs: Any) -> Any:
        if not self.model.can_generate():
            return self.model(**model_inputs)
        arguments = self._arguments_of_generate(generate_kwargs, legacy_generation)
        generated = self.model.generate(**model_inputs, **arguments)
        return getattr(generated, "sequences", generated)

    def postprocess(self, model_outputs: Any, top_k: int = 5) -> list[dict[str, Any]]:
        """The generated answers, or the ``top_k`` most probable ones of the labels."""
        if self.model.can_generate():
            texts = (self.tokenizer.decode(ids, skip_special_tokens=True) for ids in model_outputs)
            return [{"answer": text.strip()} for text in texts]
        config = self.model.config
        scores, ids = model_outputs["logits"].sigmoid()[0].topk(min(top_k, config.num_labels))
        pairs = zip(scores.tolist(), ids.tolist(), strict=True)
        return [{"score": score, "answer": config.id2label[number]} for score, number in pairs]
