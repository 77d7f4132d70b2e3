"""Images from images, such as larger ones of finer detail."""

from typing import Any

import numpy as np
from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TO_IMAGE_MAPPING_NAMES
from transformers.pipelines.base import Pipeline
from transformers.utils import logging, requires_backends

from pipeline_core.pipelines.images import opened

_logger = logging.get_logger(__name__)


class ImageToImagePipeline(Pipeline):  # type: ignore[misc]
    """Restores or enlarges an image; task ``image-to-image``.

    An answer is a Pillow image; a list of images gives a list of them.
    """

    _load_processor = False
    _load_image_processor = True
    _load_feature_extractor = False
    _load_tokenizer = False

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        requires_backends(self, "vision")
        self.check_model_type(MODEL_FOR_IMAGE_TO_IMAGE_MAPPING_NAMES)

    def __call__(self, images: Any, **parameters: Any) -> Any:
        """Transform one image or several.

        Args:
            images: A Pillow image, a path, a URL, or a list, generator or dataset of these.
            parameters: ``timeout``, the seconds to wait for a URL; ``batch_size``, ``num_workers``.
        """
        if isinstance(images, list) and not images:
            return []
        return super().__call__(images, **parameters)

    def _sanitize_parameters(
        self, timeout: float | None = None, **ignored: Any
    ) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        if ignored:
            _logger.warning(f"image-to-image takes no notice of {', '.join(ignored)}")
        return ({} if timeout is None else {"timeout": timeout}), {}, {}

    def preprocess(self, image: Any, timeout: float | None = None) -> Any:
        """``pixel_values`` of one image."""
        return self.image_processor(images=[opened(image, timeout)], return_tensors="pt").to(self.dtype)

    def _forward(self, model_inputs: Any) -> Any:
        return self.model(**model_inputs)

    def postprocess(self, model_outputs: Any) -> Any:
        """The image of a ``reconstruction``, ``(1, channels, height, width)`` from 0 to 1, or a list of several."""
        from PIL import Image

        images = []
        for pixels in model_outputs["reconstruction"]:
            rows = np.moveaxis(pixels.float().clamp(0, 1).numpy(), 0, -1)
            images.append(Image.fromarray((rows * 255.0).round().astype(np.uint8).squeeze()))
        return images if len(images) > 1 else images[0]
