"""Parameters that a pipeline was made with as the defaults of its calls, also where its class would forget them."""

import inspect
from collections.abc import Mapping
from typing import Any

from pipeline_core.catalog import find_task


def class_with_defaults(pipeline_class: Any, given: Mapping[str, Any]) -> Any:
    """The class, or one of its own whose call fills in the arguments that it asks for and ``given`` has."""
    signature = inspect.signature(pipeline_class.__call__)
    asked = {
        name: given[name]
        for name, parameter in list(signature.parameters.items())[2:]
        if parameter.default is inspect.Parameter.empty and name in given
    }
    if not asked:
        return pipeline_class

    class WithDefaults(pipeline_class):  # type: ignore[misc]  # transformers has no types
        def __call__(self, *args: Any, **kwargs: Any) -> Any:
            bound = signature.bind_partial(self, *args)
            return super().__call__(*args, **{**{n: v for n, v in asked.items() if n not in bound.arguments}, **kwargs})

    WithDefaults.__name__ = WithDefaults.__qualname__ = pipeline_class.__name__
    WithDefaults.__module__ = pipeline_class.__module__
    return WithDefaults


def spread_generation(pipeline_class: Any, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters, with ``generate_kwargs`` spread where the class takes generation's arguments one by one."""
    named = inspect.signature(pipeline_class._sanitize_parameters).parameters.get("generate_kwargs")
    if named is None or named.kind is not inspect.Parameter.VAR_KEYWORD:
        return dict(parameters)
    spread = dict(parameters)
    nested = spread.pop("generate_kwargs", None) or {}
    return {**spread, **nested}


def complete(pipeline: Any, given: Mapping[str, Any]) -> None:
    """Add what the class would forget of ``given``, or ask every call for.

    Strings that end a text are looked for by the tokenizer, which generate wants to be told; and a text-to-audio
    pipeline drops its own parameters when it is called.
    """
    if "stop_strings" in {**given, **(given.get("generate_kwargs") or {})}:
        pipeline._generate_kwargs = {**pipeline._generate_kwargs, "tokenizer": pipeline.tokenizer}
    if find_task(pipeline.task).name == "text-to-audio":
        made_with, sanitize = pipeline._forward_params, pipeline._sanitize_parameters

        def keeping(**called: Any) -> Any:
            before, forward, after = sanitize(**called)
            return before, {name: {**made_with[name], **value} for name, value in forward.items()}, after

        pipeline._sanitize_parameters = keeping
