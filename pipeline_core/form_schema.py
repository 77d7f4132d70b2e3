"""The JSON schema of a model as a form that a person fills in: described fields, choices, what matters first.

A field that may be None is one that may be left out, and each field has one kind of input. So a form takes less
than the model does: what only code would pass (a dict of loading options, a secret) is not in it. Each field has
its position: a database that keeps JSON by its keys forgets in which order they came.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from inspect import cleandoc
from typing import Any

Schema = dict[str, Any]

_FIELD = re.compile(r"^    (\w+): (.*(?:\n {8,}.*)*)", re.MULTILINE)
_SENTENCE = re.compile(r"(.*?\.)(?= [A-Z]|$)")


def form_schema(
    *,
    first: Sequence[str] = (),
    last: Sequence[str] = (),
    hidden: Sequence[str] = (),
    inputs: Mapping[str, Schema] | None = None,
) -> Callable[[Schema, type[Any]], None]:
    """A ``json_schema_extra`` for a model whose docstring describes its fields under "Attributes:".

    Args:
        first: Fields to begin with, in this order.
        last: Fields to end with, in this order: what experts set.
        hidden: Fields that are not for a form.
        inputs: The schema of a field that accepts several types, as the one that a form offers.
    """

    def make(schema: Schema, model: type[Any]) -> None:
        described = _descriptions(model.__doc__ or "")
        found = schema.get("properties", {})
        names = [name for name in found if name not in (*first, *last, *hidden)]
        shown = {}
        for position, name in enumerate((*first, *names, *last)):
            made = _one_input(found[name], (inputs or {}).get(name))
            shown[name] = {**made, "title": _title(name), "position": position}
            if name in described:
                shown[name]["description"] = described[name]
        schema["properties"] = shown
        schema["description"] = cleandoc(model.__doc__ or "").partition("\n\n")[0]

    return make


def _one_input(schema: Schema, wanted: Schema | None) -> Schema:
    kept = {name: value for name, value in schema.items() if name != "default" or value is not None}
    if wanted is not None:
        default = {"default": kept["default"]} if _suits(wanted, kept.get("default")) else {}
        return {**wanted, **default}
    options = [option for option in kept.get("anyOf", []) if option.get("type") != "null"]
    if len(options) == 1:
        del kept["anyOf"]
        return {**kept, **options[0]}
    if options:
        kept["anyOf"] = options
    return kept


def _suits(schema: Schema, default: Any) -> bool:
    kinds: dict[str, type | tuple[type, ...]] = {"string": str, "integer": int, "array": list}
    return default is not None and isinstance(default, kinds[schema["type"]])


def _descriptions(docstring: str) -> dict[str, str]:
    attributes = cleandoc(docstring).partition("\nAttributes:\n")[2]
    found = {}
    for name, text in _FIELD.findall(attributes):
        line = re.sub(r"\bNone\b", "empty", " ".join(text.replace("``", "").split()))
        sentence = _SENTENCE.match(line)
        found[name] = sentence.group(1) if sentence else line
    return found


def _title(name: str) -> str:
    return name.replace("_", " ").capitalize()
