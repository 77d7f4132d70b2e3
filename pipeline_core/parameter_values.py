"""Values that the common parameters of a pipeline take; what is wrong fails before a model is loaded."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from pipeline_core.catalog import Task
from pipeline_core.errors import SpecError


class _Rule(NamedTuple):
    accepted: str
    holds: Callable[[Any], bool]


def check_values(task: Task, parameters: Mapping[str, Any]) -> None:
    """Refuse values that no pipeline of ``task`` takes; None stands for a parameter's default.

    Raises:
        SpecError: A parameter has such a value; it names the accepted ones.
    """
    for name, value in parameters.items():
        rule = _rule(task, name)
        if value is not None and rule is not None and not rule.holds(value):
            raise SpecError(f"parameter {name} must be {rule.accepted}, but is {value!r} instead")


def _one_of(values: Sequence[Any]) -> _Rule:
    # 1 equals True, and the tokenizer takes it for no strategy.
    return _Rule(
        f"one of {', '.join(map(str, values))}", lambda value: isinstance(value, bool | str) and value in values
    )


def _count(least: int, otherwise: str = "") -> _Rule:
    return _Rule(
        f"a whole number from {least} up{otherwise}",
        lambda value: isinstance(value, int) and not isinstance(value, bool) and value >= least,
    )


def _number(accepted: str, holds: Callable[[float], bool]) -> _Rule:
    return _Rule(
        accepted, lambda value: isinstance(value, int | float) and not isinstance(value, bool) and holds(value)
    )


_FRACTION = _number("a number from 0 to 1", lambda value: 0 <= value <= 1)
_ABOVE_0 = _number("a number above 0", lambda value: value > 0)
_FROM_0 = _number("a number from 0 up", lambda value: value >= 0)
_TRUTH = _Rule("true or false", lambda value: isinstance(value, bool))
_TRUNCATIONS = (True, False, "longest_first", "only_first", "only_second", "do_not_truncate")
_FUNCTIONS = ("sigmoid", "softmax", "none")
_FUNCTION_IN_ANY_CASE = _Rule(
    f"one of {', '.join(_FUNCTIONS)}", lambda value: isinstance(value, str) and value.lower() in _FUNCTIONS
)
_LABELS = _Rule(
    "a list of labels, or a text that separates them by commas",
    lambda value: (isinstance(value, str) and bool(value.strip(", "))) or _are_texts(value),
)
_TEXTS = _Rule("a text or a list of texts", lambda value: isinstance(value, str) or _are_texts(value))
_TEMPLATE = _Rule("a text with {} in it", lambda value: isinstance(value, str) and "{}" in value)
_AGGREGATION = _Rule(
    "one of none, simple, first, average, max",
    lambda value: isinstance(value, str) and value.lower() in ("none", "simple", "first", "average", "max"),
)
_STRIDE = _Rule(
    "a number from 0 up, or a pair of them",
    lambda value: (
        all(map(_FROM_0.holds, value)) and len(value) == 2 if isinstance(value, list | tuple) else _FROM_0.holds(value)
    ),
)

_RULES: Mapping[str, _Rule] = {
    "aggregation_strategy": _AGGREGATION,
    "align_to_words": _TRUTH,
    "candidate_labels": _LABELS,
    "chunk_length_s": _FROM_0,
    "crop_overlap_ratio": _FRACTION,
    "crops_n_layers": _count(0),
    "do_sample": _TRUTH,
    "doc_stride": _count(1),
    "frame_sampling_rate": _count(1),
    "handle_impossible_answer": _TRUTH,
    "hypothesis_template": _TEMPLATE,
    "legacy_generation": _TRUTH,
    "mask_threshold": _number("a number", lambda value: True),
    "max_answer_len": _count(1),
    "max_length": _count(1),
    "max_new_tokens": _count(1),
    "max_question_len": _count(1),
    "max_seq_len": _count(1),
    "min_length": _count(0),
    "min_new_tokens": _count(0),
    "multi_label": _TRUTH,
    "num_beams": _count(1),
    "num_frames": _count(1),
    "num_return_sequences": _count(1),
    "points_per_batch": _count(1),
    "pred_iou_thresh": _FRACTION,
    "repetition_penalty": _ABOVE_0,
    "return_full_text": _TRUTH,
    "return_timestamps": _one_of((True, False, "word", "char")),
    "src_lang": _Rule("the code of a language", lambda value: isinstance(value, str) and bool(value)),
    "stop_sequence": _TEXTS,
    "stop_strings": _TEXTS,
    "stride_length_s": _STRIDE,
    "subtask": _one_of(("semantic", "instance", "panoptic")),
    "targets": _TEXTS,
    "temperature": _FROM_0,
    "tgt_lang": _Rule("the code of a language", lambda value: isinstance(value, str) and bool(value)),
    "threshold": _FRACTION,
    "timeout": _ABOVE_0,
    "top_p": _FRACTION,
}


def _rule(task: Task, name: str) -> _Rule | None:
    """What a parameter must be; None where only loading or running can tell."""
    if name not in task.parameters:
        return None
    if name == "function_to_apply":
        # The pipelines of texts and images take any case, those of sounds and videos the lower one alone.
        return _FUNCTION_IN_ANY_CASE if task.modality in ("text", "image") else _one_of(_FUNCTIONS)
    if name == "truncation":
        return _one_of((*_TRUNCATIONS, *(("drop_rows_to_fit",) if task.name == "table-question-answering" else ())))
    if name == "top_k":
        turns_it_off = task.generates and task.parameters[name] is None  # as a parameter of generation, 0 does
        return _count(0 if turns_it_off else 1, ", or null for all")
    return _RULES.get(name)


def _are_texts(value: Any) -> bool:
    return isinstance(value, list | tuple) and bool(value) and all(isinstance(one, str) and one for one in value)
