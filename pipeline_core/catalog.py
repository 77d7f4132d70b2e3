"""Every task: its aliases, its inputs, the parameters it takes, what it needs, how its records may share a batch."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from types import MappingProxyType
from typing import Any, Literal

from pipeline_core.errors import UnknownParameterError, UnknownTaskError
from pipeline_core.requirements import required_packages
from pipeline_core.task_inputs import TASK_INPUTS, Input, Kind
from pipeline_core.task_parameters import NO_DEFAULT, accepted_parameters

__all__ = [
    "NO_DEFAULT",
    "Batching",
    "Input",
    "Kind",
    "Task",
    "canonical_name",
    "check_parameters",
    "find_task",
    "task_names",
]

Batching = Literal["pad", "shape", "alone"]

# Where unequal records share a batch: padding is masked from their answers, or cut off them.
_PADDED = frozenset(
    {
        "audio-classification",
        "automatic-speech-recognition",
        "feature-extraction",
        "fill-mask",
        "question-answering",
        "summarization",
        "text-classification",
        "text-generation",
        "text2text-generation",
        "token-classification",
        "translation",
        "zero-shot-classification",
    }
)
# Where transformers' own forward or postprocess handles one record at a time, or draws random numbers.
_ALONE = frozenset({"decision", "keypoint-matching", "mask-generation", "table-question-answering", "text-to-audio"})


@dataclass(frozen=True, slots=True)
class Task:
    """One task of the registry.

    Attributes:
        name: Its name, with aliases resolved.
        aliases: Other names for it, sorted.
        modality: "text", "image", "audio", "video" or "multimodal".
        inputs: What a record is made of; empty for a task that was registered later.
        parameters: What ``PipelineSpec.parameters`` may hold, with defaults; ``NO_DEFAULT`` for one that is not known.
        default_model: The model that transformers takes when none is named.
        batching: "pad" if unequal records share a batch, "shape" if only records of equal shape do,
            "alone" if each is run by itself.
        truncates: Whether its pipeline passes ``truncation`` to the tokenizer.
        chunks: Whether one record may take several passes through the model.
        generates: Whether its pipeline calls ``generate`` and takes the parameters of generation.
        requires: Packages that must be installed, beside those that come with this one.
    """

    name: str
    aliases: tuple[str, ...]
    modality: str
    inputs: tuple[Input, ...]
    parameters: Mapping[str, Any]
    default_model: str | None
    batching: Batching
    truncates: bool
    chunks: bool
    generates: bool
    requires: tuple[str, ...]


def task_names() -> list[str]:
    """Names of all tasks, aliases included, sorted."""
    from transformers.pipelines import PIPELINE_REGISTRY

    return sorted({*PIPELINE_REGISTRY.supported_tasks, *PIPELINE_REGISTRY.task_aliases})


def canonical_name(name: str) -> str:
    """The name without its alias: what two spellings of one task have in common.

    ``translation_xx_to_yy`` stays as it is, for its languages decide what comes out.

    Raises:
        UnknownTaskError: No task has this name.
    """
    canonical, _, languages = _entry(name)
    return canonical if languages is None else name


def find_task(name: str) -> Task:
    """The task called ``name``, or the one it is an alias of.

    Raises:
        UnknownTaskError: No task has this name.
    """
    canonical, entry, languages = _entry(name)
    default = entry.get("default") or {}
    if languages is not None:
        default = default.get(languages, {})
    model = _default_model(default.get("model"))
    return _described(canonical, _pipeline_class(entry["impl"]), entry.get("type", "text"), model)


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


def _entry(name: str) -> tuple[str, dict[str, Any], tuple[str, str] | None]:
    """The task's own name, what the registry has of it, and the languages in a name such as translation_en_to_fr."""
    from transformers.pipelines import PIPELINE_REGISTRY

    try:
        found: tuple[str, dict[str, Any], tuple[str, str] | None] = PIPELINE_REGISTRY.check_task(name)
    except KeyError:
        raise UnknownTaskError(name, task_names()) from None
    return found


@cache
def _described(name: str, pipeline_class: Any, modality: str, default_model: str | None) -> Task:
    from transformers.pipelines import PIPELINE_REGISTRY
    from transformers.pipelines.base import ChunkPipeline

    aliases = [alias for alias, task in PIPELINE_REGISTRY.task_aliases.items() if task == name]
    inputs = TASK_INPUTS.get(name, ())
    # Labels may be a parameter wherever they are an input, also where transformers takes them from the record alone.
    labels = {one.name: None for one in inputs if one.kind == "labels"}
    parameters = {**labels, **accepted_parameters(pipeline_class)}
    if (
        "do_sample" in parameters and name != "text-to-audio"
    ):  # a run is greedy unless asked, so that it can be repeated
        parameters["do_sample"] = False
    return Task(
        name=name,
        aliases=tuple(sorted(aliases)),
        modality=modality,
        inputs=inputs,
        parameters=MappingProxyType(parameters),
        default_model=default_model,
        batching="pad" if name in _PADDED else "alone" if name in _ALONE else "shape",
        truncates="truncation" in parameters and name in ("text-classification", "feature-extraction"),
        chunks=issubclass(pipeline_class, ChunkPipeline),
        generates=bool(pipeline_class._pipeline_calls_generate),
        requires=required_packages(inputs),
    )


def _pipeline_class(impl: str | type) -> type:
    if not isinstance(impl, str):
        return impl
    module, _, name = impl.rpartition(".")
    found: type = getattr(import_module(module), name)
    return found


def _default_model(default: Any) -> str | None:
    while isinstance(default, dict):
        default = default.get("pt")
    return default[0] if default else None
