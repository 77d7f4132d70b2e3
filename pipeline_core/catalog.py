"""Every task: its aliases, the parameters it takes, and how its records may share a batch."""

import inspect
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

from pipeline_core.errors import UnknownParameterError, UnknownTaskError

Batching = Literal["pad", "shape", "alone"]

# Named in the bodies of transformers' `_sanitize_parameters(self, **kwargs)`, where no signature shows them.
_UNSIGNED: Mapping[str, tuple[str, ...]] = {
    "image-feature-extraction": ("timeout",),
    "image-segmentation": ("threshold", "mask_threshold", "overlap_mask_area_threshold", "subtask", "timeout"),
    "mask-generation": (
        "crop_n_points_downscale_factor",
        "crop_overlap_ratio",
        "crops_n_layers",
        "crops_nms_thresh",
        "mask_threshold",
        "max_hole_area",
        "max_sprinkle_area",
        "output_bboxes_mask",
        "output_rle_mask",
        "points_per_batch",
        "points_per_crop",
        "pred_iou_thresh",
        "stability_score_offset",
        "stability_score_thresh",
        "timeout",
    ),
    "object-detection": ("threshold", "timeout"),
    "zero-shot-audio-classification": ("candidate_labels", "hypothesis_template"),
    "zero-shot-classification": ("candidate_labels", "hypothesis_template", "multi_label"),
    "zero-shot-image-classification": ("candidate_labels", "hypothesis_template", "timeout"),
    "zero-shot-object-detection": ("candidate_labels", "threshold", "top_k", "timeout"),
}

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
    return _describe(canonical)


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


@cache
def _describe(task: str) -> Task:
    from transformers.pipelines import PIPELINE_REGISTRY

    entry = PIPELINE_REGISTRY.supported_tasks[task]
    parameters = _accepted_parameters(task, _pipeline_class(entry["impl"]))
    return Task(
        name=task,
        modality=entry["type"],
        parameters=parameters,
        default_model=_default_model(entry.get("default", {}).get("model")),
        batching="pad" if task in _PADDED else "alone" if task in _ALONE else "shape",
        truncates="truncation" in parameters and task in ("text-classification", "feature-extraction"),
    )


def _pipeline_class(impl: str | type) -> type:
    from transformers import pipelines

    if not isinstance(impl, str):
        return impl
    found: type = getattr(pipelines, impl.rpartition(".")[2])
    return found


def _accepted_parameters(task: str, pipeline_class: Any) -> frozenset[str]:
    signature = inspect.signature(pipeline_class._sanitize_parameters)
    named: set[str] = set(_UNSIGNED.get(task, ()))
    for name, parameter in list(signature.parameters.items())[1:]:
        if parameter.kind is not inspect.Parameter.VAR_KEYWORD:
            named.add(name)
        elif name == "tokenizer_kwargs":
            named |= _tokenizer_parameters()
    if pipeline_class._pipeline_calls_generate:
        named |= _generation_parameters() - set(pipeline_class._non_generation_params)
        named |= {"generate_kwargs", "generation_config"}
    return frozenset(named)


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
