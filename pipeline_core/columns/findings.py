"""What a pipeline finds in its input: entities, masked words, objects, segments, masks, matches."""

from collections.abc import Callable, Mapping
from typing import Any

import pyarrow as pa

from pipeline_core.columns.fields import (
    NUMBER,
    PICTURE,
    TEXT,
    WHOLE,
    WHOLES,
    Columns,
    Field,
    as_array,
    as_list,
    listed,
    optional,
    read_fields,
    struct,
)
from pipeline_core.errors import RecordError

_SPAN = {"start": optional(WHOLE), "end": optional(WHOLE)}
_ENTITY = {"entity": TEXT, "score": NUMBER, "index": WHOLE, "word": TEXT, **_SPAN}
_ENTITY_GROUP = {"entity_group": TEXT, "score": NUMBER, "word": TEXT, **_SPAN}
_FILLING = {"mask": WHOLE, "score": NUMBER, "token": WHOLE, "token_str": TEXT, "sequence": TEXT}
_BOX = struct({"xmin": WHOLE, "ymin": WHOLE, "xmax": WHOLE, "ymax": WHOLE})
_OBJECT = {"score": NUMBER, "label": TEXT, "box": _BOX}
_SEGMENT = {"score": optional(NUMBER), "label": TEXT, "mask": PICTURE}
_POINT = struct({"x": NUMBER, "y": NUMBER})
_MATCH = {"keypoint_image_0": _POINT, "keypoint_image_1": _POINT, "score": NUMBER}
_NUMBERS = Field(pa.list_(pa.float32()), lambda value: as_array(value).astype("float32").reshape(-1))
_RLE = struct({"size": WHOLES, "counts": WHOLES})


def entity_columns(parameters: Mapping[str, Any]) -> Columns:
    """token-classification: entities, each of one token, or of several under an ``aggregation_strategy``.

    ``start`` and ``end`` are null where the tokenizer does not tell them.
    """
    strategy = str(parameters.get("aggregation_strategy") or "none").lower()
    return _predictions(_ENTITY if strategy == "none" else _ENTITY_GROUP)


def filling_columns() -> Columns:
    """fill-mask: words for each masked one; ``mask`` counts the masks of the text from 0."""

    def numbered(output: Any) -> list[Any]:
        masks = as_list(output)
        if masks and isinstance(masks[0], Mapping):
            masks = [masks]
        return [{"mask": mask, **filling} for mask, fillings in enumerate(masks) for filling in as_list(fillings)]

    return _predictions(_FILLING, numbered)


def object_columns() -> Columns:
    """object-detection, with or without labels to look for: objects and their boxes, in pixels."""
    return _predictions(_OBJECT)


def segment_columns() -> Columns:
    """image-segmentation: segments; ``mask`` is the path of a PNG of the image's size, 255 inside and 0 outside.

    ``score`` is null for semantic segmentation.
    """
    return _predictions(_SEGMENT)


def match_columns() -> Columns:
    """keypoint-matching: pairs of points, in pixels."""
    return _predictions(_MATCH)


def mask_columns(parameters: Mapping[str, Any]) -> Columns:
    """mask-generation: ``score``, ``mask`` (a PNG's path), and what is asked for of ``bounding_box`` and ``rle_mask``.

    A box is xmin, ymin, xmax, ymax in pixels; a run-length encoding has the image's ``size``, height and width,
    and ``counts`` by columns, as COCO's have.
    """
    parts = {"scores": ("score", NUMBER), "masks": ("mask", PICTURE)}
    if parameters.get("output_bboxes_mask"):
        parts["bounding_boxes"] = ("bounding_box", _NUMBERS)
    if parameters.get("output_rle_mask"):
        parts["rle_mask"] = ("rle_mask", _RLE)

    def by_mask(output: Any) -> list[Any]:
        # Whatever else was in the chunks, such as the inputs that a caller added, is carried through by the pipeline.
        rest = frozenset(output) - parts.keys() if isinstance(output, Mapping) else frozenset()
        lists = read_fields(output, {name: Field(pa.null(), as_list) for name in parts}, rest)
        if len({len(values) for values in lists.values()}) > 1:
            raise RecordError(f"the output has not as many {' as '.join(lists)}")
        names = [parts[name][0] for name in lists]
        return [dict(zip(names, values, strict=True)) for values in zip(*lists.values(), strict=True)]

    return _predictions(dict(parts.values()), by_mask)


def _predictions(fields: Mapping[str, Field], items: Callable[[Any], list[Any]] = as_list) -> Columns:
    found = listed(struct(fields))
    return Columns({"predictions": found.type}, lambda output: {"predictions": found(items(output))})
