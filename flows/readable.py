"""Inputs and predictions of any task as one short line: names of media with their size or duration, labels, texts."""

import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import PurePath
from typing import Any

from pipeline_core.catalog import Input
from pipeline_core.media import MediaRoot, is_media_cell, open_media
from pipeline_core.records import Record

_MEDIA = ("image", "images", "audio", "video")
_TEXTS = ("generated_text", "summary_text", "translation_text", "answer", "text", "sequence")


def readable_input(record: Record, known: Sequence[Input], width: int) -> str:
    """A record's inputs, each by its name where the task takes several, in ``width`` characters at most."""
    inputs, root = record.inputs, record.media_root
    kinds = {one.name: one.kind for one in known}
    if isinstance(inputs, Mapping) and len(inputs) > 1 and inputs.keys() <= kinds.keys():
        share = width // len(inputs) - 2
        parts = ((name, _input(value, kinds[name], root)) for name, value in inputs.items())
        return _cut("; ".join(f"{name}: {_cut(text, max(8, share - len(name)))}" for name, text in parts), width)
    if isinstance(inputs, Mapping) and len(inputs) == 1 and inputs.keys() <= kinds.keys():
        ((name, value),) = inputs.items()
        return _cut(_input(value, kinds[name], root), width)
    return _cut(_input(inputs, known[0].kind if known else "text", root), width)


def readable_output(output: Any, width: int) -> str:
    """A prediction, in ``width`` characters at most: whole items of a list first, then how many there are besides."""
    if isinstance(output, list | tuple) and output and not _is_numbers(output):
        return _joined([_output(item) for item in output], width)
    if isinstance(output, Mapping) and isinstance(output.get("labels"), list | tuple) and "scores" in output:
        pairs = zip(output["labels"], output["scores"], strict=True)
        return _joined([f"{label} {_number(score)}" for label, score in pairs], width)
    return _cut(_output(output), width)


def one_line(text: str) -> str:
    """The text in one line, without what could do something to a terminal."""
    return "".join(character if character.isprintable() else "\ufffd" for character in " ".join(text.split()))


def _input(value: Any, kind: str, root: MediaRoot | None) -> str:
    if isinstance(value, list | tuple) and value and all(isinstance(one, Mapping) and "role" in one for one in value):
        return one_line(f"{value[-1]['role']}: {_content(value[-1].get('content'))}")
    if kind in _MEDIA:
        if isinstance(value, list | tuple) and not _is_numbers(value):
            return ", ".join(_medium(one, kind, root) for one in value)
        return _medium(value, kind, root)
    return _output(value)


def _output(value: Any) -> str:
    if isinstance(value, Mapping):
        return _of_mapping(value)
    if isinstance(value, float):
        return _number(value)
    if isinstance(value, list | tuple) and value:
        if all(isinstance(one, Mapping) and "role" in one for one in value):
            return one_line(_content(value[-1].get("content")))
        return f"array {_shape(value)}" if _is_numbers(value) else ", ".join(map(_output, value))
    return _medium(value) if _is_medium(value) else one_line(str(value))


def _of_mapping(value: Mapping[str, Any]) -> str:
    """One answer of a pipeline, by the keys that it has."""
    score = [_number(value["score"])] if value.get("score") is not None else []
    if {"keypoint_image_0", "keypoint_image_1"} <= value.keys():
        ends = (value[key] for key in ("keypoint_image_0", "keypoint_image_1"))
        return " ".join([" – ".join(f"({point['x']}, {point['y']})" for point in ends), *score])
    if "label" in value:
        box = [f"[{', '.join(map(str, value['box'].values()))}]"] if "box" in value else []
        mask = [f"mask {_medium(value['mask']).removeprefix('image ')}"] if "mask" in value else []
        return " ".join([one_line(str(value["label"])), *score, *box, *mask])
    if "word" in value:
        return " ".join([one_line(str(value["word"])), str(value.get("entity_group", value.get("entity", ""))), *score])
    if "token_str" in value:
        return " ".join([one_line(str(value["token_str"])), *score])
    if "depth" in value:
        return f"depth {_medium(value['depth']).removeprefix('image ')}"
    if "sampling_rate" in value:
        return _medium(value)
    for key in _TEXTS:
        if value.get(key) is not None:
            return " ".join([_output(value[key]), *score])
    return ", ".join(f"{one_line(str(key))}: {_output(item)}" for key, item in value.items())


def _content(content: Any) -> str:
    """A message's text, and in brackets what else is in it."""
    if not isinstance(content, list | tuple):
        return str(content)
    blocks = [block if isinstance(block, Mapping) else {"type": "text", "text": block} for block in content]
    return " ".join(str(block.get("text", f"[{block.get('type')}]")) for block in blocks)


def _is_medium(value: Any) -> bool:
    return isinstance(value, bytes | PurePath) or hasattr(value, "shape") or hasattr(value, "getbbox")


def _medium(value: Any, kind: str = "", root: MediaRoot | None = None) -> str:
    """Name, size or duration of an image, a sound or an array, as far as it tells them by itself or its file does."""
    if isinstance(value, Mapping) and "sampling_rate" in value:
        samples = next((value[key] for key in ("array", "raw", "audio") if value.get(key) is not None), ())
        return _named(value.get("path"), _sound(_longest(samples), value["sampling_rate"]))
    if isinstance(value, bytes):
        return _measured(value, kind, root) or f"{len(value):,} bytes"
    if isinstance(value, str | PurePath):
        return _named(value, _measured(value, kind, root))
    if is_media_cell(value):
        return _named(value.get("path"), _measured(value, kind, root))
    if hasattr(value, "getbbox"):
        return _named(getattr(value, "filename", None), f"image {value.width}x{value.height}")
    return f"array {'x'.join(map(str, value.shape))}" if hasattr(value, "shape") else one_line(str(value))


def _measured(value: Any, kind: str, root: MediaRoot | None) -> str:
    """The size of an image's file or the duration of a sound's, read from its head; empty if it has none."""
    measures: dict[str, Callable[[Any], str]] = {"image": _image_size, "images": _image_size, "audio": _duration}
    if kind not in measures:
        return ""
    try:
        with open_media(value, root) or io.BytesIO() as file:
            return measures[kind](file)
    except Exception:  # a preview shows what is wrong with a file as the prediction's error
        return ""


def _image_size(source: Any) -> str:
    from PIL import Image

    with Image.open(source) as image:
        return f"image {image.width}x{image.height}"


def _duration(source: Any) -> str:
    import soundfile

    found = soundfile.info(source)
    return _sound(found.frames, found.samplerate)


def _sound(samples: int, rate: float) -> str:
    return f"{samples / rate:.1f} s at {rate / 1000:g} kHz"


def _longest(samples: Any) -> int:
    shape = getattr(samples, "shape", None)
    return max(shape, default=0) if shape is not None else len(samples)


def _named(path: Any, measured: str) -> str:
    name = one_line(PurePath(str(path or "")).name)
    return " ".join(filter(None, [name, f"({measured})" if name and measured else measured])) or "no data"


def _is_numbers(value: Any) -> bool:
    """Whether it is a list of numbers, or of such lists."""
    while isinstance(value, list | tuple) and value:
        value = value[0]
    return isinstance(value, int | float) and not isinstance(value, bool)


def _shape(value: Any) -> str:
    lengths = []
    while isinstance(value, list | tuple):
        lengths.append(len(value))
        value = value[0] if value else None
    return "x".join(map(str, lengths))


def _number(value: Any) -> str:
    return f"{float(value):.3f}"


def _joined(items: Sequence[str], width: int) -> str:
    """As many whole items as there is room for, and the number of the others."""
    text = ", ".join(items)
    if len(text) <= width:
        return text
    for count in range(len(items) - 1, 0, -1):
        text = f"{', '.join(items[:count])}, … and {len(items) - count} more"
        if len(text) <= width:
            return text
    more = f", … and {len(items) - 1} more" if len(items) > 1 else ""
    return f"{_cut(items[0], width - len(more))}{more}"


def _cut(text: str, width: int) -> str:
    """The text, or its first words that fit."""
    if len(text) <= width:
        return text
    start = text[: width - 1]
    at_word = start.rpartition(" ")[0]
    return (at_word if len(at_word) > width // 2 else start).rstrip() + "…"
