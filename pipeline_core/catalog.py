"""Every task: its aliases, the parameters it takes, and how its records may share a batch."""

import ast
import inspect
import re
import textwrap
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

from pipeline_core.errors import UnknownParameterError, UnknownTaskError

Batching = Literal["pad", "shape", "alone"]

# Where padding is masked from the answer, so that unequal records may share a batch.
_PADDED = frozenset(
    {"text-classification", "token-classification", "zero-shot-classification", "fill-mask", "text-generation"}
)
# Where transformers' own forward or postprocess handles one record at a time.
_ALONE = frozenset(
    {
        "any-to-any",
        "decision",
        "document-question-answering",
        "image-text-to-text",
        "keypoint-matching",
        "mask-generation",
        "table-question-answering",
        "text-to-audio",
    }
)


@dataclass(frozen=True, slots=True)
class Task:
    """One task of the registry.

    Attributes:
        name: Its name, with aliases resolved.
        modality: "text", "image", "audio", "video" or "multimodal".
        parameters: Names that ``PipelineSpec.parameters`` may hold.
        default_model: The model that transformers takes when none is named.
        batching: "pad" if unequal records share a batch, "shape" if only records of equal shape do,
            "alone" if each is run by itself.
        truncates: Whether its pipeline passes ``truncation`` to the tokenizer.
    """

    name: str
    modality: str
    parameters: frozenset[str]
    default_model: str | None
    batching: Batching
    truncates: bool


def task_names() -> list[str]:
    """Names of all tasks, aliases included, sorted."""
    from transformers.pipelines import PIPELINE_REGISTRY

    return sorted(PIPELINE_REGISTRY.get_supported_tasks())


def find_task(name: str) -> Task:
    """The task called ``name``, or the one it is an alias of.

    Raises:
        UnknownTaskError: No task has this name.
    """
    from transformers.pipelines import PIPELINE_REGISTRY

    canonical = PIPELINE_REGISTRY.task_aliases.get(name, name)
    if canonical not in PIPELINE_REGISTRY.supported_tasks:
        raise UnknownTaskError(name, task_names())
    entry = PIPELINE_REGISTRY.supported_tasks[canonical]
    parameters = _accepted_parameters(_pipeline_class(entry["impl"]))
    return Task(
        name=canonical,
        modality=entry.get("type", "text"),
        parameters=parameters,
        default_model=_default_model(entry.get("default", {}).get("model")),
        batching="pad" if canonical in _PADDED else "alone" if canonical in _ALONE else "shape",
        truncates="truncation" in parameters and canonical in ("text-classification", "feature-extraction"),
    )


def check_parameters(task: str, parameters: Mapping[str, Any]) -> None:
    """Refuse what the task's pipeline does not take.

    Raises:
        UnknownTaskError: No task has this name.
        UnknownParameterError: A parameter is not among the task's.
    """
    accepted = find_task(task).parameters
    for name in parameters:
        if name not in accepted:
            raise UnknownParameterError(task, name, accepted)


def _pipeline_class(impl: str | type) -> type:
    from transformers import pipelines

    if not isinstance(impl, str):
        return impl
    found: type = getattr(pipelines, impl.rpartition(".")[2])
    return found


@cache
def _accepted_parameters(pipeline_class: Any) -> frozenset[str]:
    named: set[str] = set()
    for function in _sanitizers(pipeline_class):
        for name, parameter in list(inspect.signature(function).parameters.items())[1:]:
            if parameter.kind is not inspect.Parameter.VAR_KEYWORD:
                named.add(name)
            elif name == "tokenizer_kwargs":
                named |= _tokenizer_parameters()
            else:
                named |= _names_read(function, name)
    if pipeline_class._pipeline_calls_generate:
        named |= _generation_parameters() - set(pipeline_class._non_generation_params)
        named |= {"generate_kwargs", "generation_config"}
    return frozenset(named)


def _sanitizers(pipeline_class: type) -> Iterator[Callable[..., Any]]:
    """The class' ``_sanitize_parameters``, and its bases' as far as each calls ``super()``."""
    for class_ in pipeline_class.__mro__:
        function = vars(class_).get("_sanitize_parameters")
        if function is not None:
            yield function
            if "super" not in function.__code__.co_names:
                return


def _names_read(function: Callable[..., Any], mapping: str) -> set[str]:
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
    return {key.value for key in keys if isinstance(key, ast.Constant) and isinstance(key.value, str)}


def _source(function: Callable[..., Any]) -> str:
    try:
        return textwrap.dedent(inspect.getsource(function))
    except (OSError, TypeError):  # typed at a prompt
        return ""


@cache
def _tokenizer_parameters() -> frozenset[str]:
    from transformers import PreTrainedTokenizerBase

    signature = inspect.signature(PreTrainedTokenizerBase.__call__)
    taken_by_the_pipeline = {"self", "text", "text_pair", "return_tensors"}
    return frozenset(
        name
        for name, parameter in signature.parameters.items()
        if parameter.kind is not inspect.Parameter.VAR_KEYWORD
        and name not in taken_by_the_pipeline
        and not re.match(r"text_.*target|tokenizer_kwargs", name)
    )


@cache
def _generation_parameters() -> frozenset[str]:
    from transformers import GenerationConfig

    return frozenset(name for name in vars(GenerationConfig()) if not name.startswith("_"))


def _default_model(default: Any) -> str | None:
    while isinstance(default, dict):
        default = default.get("pt")
    return default[0] if default else None
