"""The parameters that a pipeline class reads, and their defaults, found in its signatures and its source."""

import ast
import inspect
import re
import textwrap
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from types import MappingProxyType
from typing import Any

NO_DEFAULT = inspect.Parameter.empty
"""Stands for the default of a parameter of which no signature tells one."""

_STAGES = ("preprocess", "_forward", "postprocess")
# Read where no signature shows it: the pipeline's own code takes all labels unless told otherwise.
_DEFAULTS_IN_CODE: Mapping[tuple[str, str], Any] = {
    ("AudioClassificationPipeline", "top_k"): None,
    ("TextToAudioPipeline", "vocoder"): None,
}


@cache
def accepted_parameters(pipeline_class: Any) -> Mapping[str, Any]:
    """Names that the class takes as parameters of its call, with their defaults.

    The pipeline's own come first, in its order, then those of the tokenizer and of generation. A
    default is None where the model decides, and ``NO_DEFAULT`` where nothing tells it.
    """
    own: dict[str, Any] = {}
    passed: dict[str, Any] = {}
    for function in _sanitizers(pipeline_class):
        for name, parameter in list(inspect.signature(function).parameters.items())[1:]:
            if parameter.kind is not inspect.Parameter.VAR_KEYWORD:
                own.setdefault(name, parameter.default)
            elif name == "tokenizer_kwargs":
                passed |= _tokenizer_parameters()
            else:
                for read in _names_read(function, name):
                    own.setdefault(read, NO_DEFAULT)
    if pipeline_class._pipeline_calls_generate:
        passed |= {
            name: default
            for name, default in _generation_parameters(pipeline_class).items()
            if name not in pipeline_class._non_generation_params
        }
        own |= dict.fromkeys(("generate_kwargs", "generation_config"))
    stated = _stage_defaults(pipeline_class)
    for name, default in own.items():
        known = stated.get(name, NO_DEFAULT)
        # What sanitizing is given stands only for "not given" where a stage has a value of its own.
        if known is not NO_DEFAULT and (known is not None or default is NO_DEFAULT):
            own[name] = known
        elif default in (None, NO_DEFAULT) and passed.get(name) is not None:
            own[name] = passed[name]
    own |= {name: value for (class_, name), value in _DEFAULTS_IN_CODE.items() if class_ == pipeline_class.__name__}
    return MappingProxyType({**own, **{name: value for name, value in passed.items() if name not in own}})


def _sanitizers(pipeline_class: type) -> Iterator[Callable[..., Any]]:
    """The class' ``_sanitize_parameters``, and its bases' as far as each calls ``super()``."""
    for class_ in pipeline_class.__mro__:
        function = vars(class_).get("_sanitize_parameters")
        if function is not None:
            yield function
            if "super" not in function.__code__.co_names:
                return


def _stage_defaults(pipeline_class: Any) -> dict[str, Any]:
    defaults: dict[str, Any] = {}
    for stage in _STAGES:
        for name, parameter in inspect.signature(getattr(pipeline_class, stage)).parameters.items():
            if parameter.default is not NO_DEFAULT and defaults.get(name) is None:
                defaults[name] = getattr(parameter.default, "value", parameter.default)
    return defaults


def _names_read(function: Callable[..., Any], mapping: str) -> list[str]:
    """Keys that the function's source looks up in its argument ``**mapping``, which no signature shows."""

    def is_mapping(node: ast.expr) -> bool:
        return isinstance(node, ast.Name) and node.id == mapping

    keys: list[ast.expr] = []
    for node in ast.walk(ast.parse(_source(function))):
        match node:
            case ast.Compare(left=key, ops=[ast.In() | ast.NotIn()], comparators=[where]) if is_mapping(where):
                keys.append(key)
            case ast.Subscript(value=where, slice=key, ctx=ast.Load()) if is_mapping(where):
                keys.append(key)
            case ast.Call(func=ast.Attribute(value=where, attr="get" | "pop"), args=[key, *_]) if is_mapping(where):
                keys.append(key)
    return [key.value for key in keys if isinstance(key, ast.Constant) and isinstance(key.value, str)]


def _source(function: Callable[..., Any]) -> str:
    try:
        return textwrap.dedent(inspect.getsource(function))
    except (OSError, TypeError):  # typed at a prompt
        return ""


@cache
def _tokenizer_parameters() -> Mapping[str, Any]:
    from transformers import PreTrainedTokenizerBase

    signature = inspect.signature(PreTrainedTokenizerBase.__call__)
    taken_by_the_pipeline = {"self", "text", "text_pair", "return_tensors"}
    return {
        name: parameter.default
        for name, parameter in signature.parameters.items()
        if parameter.kind is not inspect.Parameter.VAR_KEYWORD
        and name not in taken_by_the_pipeline
        and not re.match(r"text_.*target|tokenizer_kwargs", name)
    }


def _generation_parameters(pipeline_class: Any) -> dict[str, Any]:
    from transformers import GenerationConfig

    defaults = pipeline_class._default_generation_config or GenerationConfig()
    names = [name for name in vars(GenerationConfig()) if not name.startswith("_") and name != "transformers_version"]
    return {name: getattr(defaults, name) for name in names}
