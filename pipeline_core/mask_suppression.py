"""Masks of which none covers another, found without torchvision."""

from types import MethodType
from typing import Any

import torch
from transformers.utils import is_torchvision_available


def suppress_masks_without_torchvision(image_processor: Any) -> None:
    """Let an image processor of mask-generation sort out its masks where torchvision is not installed."""
    if hasattr(image_processor, "post_process_for_mask_generation") and not is_torchvision_available():
        image_processor.post_process_for_mask_generation = MethodType(_post_process, image_processor)


def best_boxes(boxes: torch.Tensor, scores: torch.Tensor, threshold: float) -> torch.Tensor:
    """Non-maximum suppression: boxes that overlap no better one by more than ``threshold``.

    Args:
        boxes: ``(boxes, 4)`` float: left, top, right, bottom.
        scores: ``(boxes,)`` float; higher is better.
        threshold: Intersection over union above which the worse box goes, from 0 to 1.

    Returns:
        Indices of the boxes that stay, ``(kept,)`` int64, best first.
    """
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    left = scores.argsort(descending=True, stable=True)
    kept = []
    while left.numel():
        best, left = left[0], left[1:]
        kept.append(best)
        corner = torch.maximum(boxes[best, :2], boxes[left, :2])
        opposite = torch.minimum(boxes[best, 2:], boxes[left, 2:])
        overlap = (opposite - corner).clamp(min=0).prod(dim=1)
        left = left[~(overlap / (areas[best] + areas[left] - overlap) > threshold)]
    return torch.stack(kept) if kept else left


def _post_process(_processor: Any, all_masks: Any, all_scores: Any, all_boxes: Any, crops_nms_thresh: float) -> Any:
    from transformers.models.sam.image_processing_pil_sam import _rle_to_mask

    kept = best_boxes(all_boxes.float(), all_scores, crops_nms_thresh)
    runs = [all_masks[index] for index in kept]
    return [_rle_to_mask(run) for run in runs], all_scores[kept], runs, all_boxes[kept]
