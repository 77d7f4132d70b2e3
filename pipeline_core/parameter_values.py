"""Values that the common parameters of a pipeline take; what is wrong fails before a model is loaded."""

from collections.abc import Mapping
from typing import Any

from pipeline_core.catalog import Task
from pipeline_core.errors import SpecError

_FUNCTIONS = ("sigmoid", "softmax", "none")
_TRUNCATIONS = (True, False, "longest_first", "only_first", "only_second", "do_not_truncate")


def check_values(task: Task, parameters: Mapping[str, Any]) -> None:
    """Refuse values that no pipeline of ``task`` takes; None stands for a parameter's default.

    Raises:
        SpecError: ``function_to_apply``, ``truncation``, ``max_length`` or ``top_k`` has such a value; it
            names the accepted ones.
    """
    generates = "top_p" in task.parameters  # where 0 turns top_k off
    tables = ("drop_rows_to_fit",) if task.name == "table-question-answering" else ()
    truncations = (*_TRUNCATIONS, *tables)
    for name, value in parameters.items():
        if value is None:
            continue
        if name == "function_to_apply" and not (isinstance(value, str) and value.lower() in _FUNCTIONS):
            raise _refused(name, f"one of {', '.join(_FUNCTIONS)}", value)
        # 1 equals True, and the tokenizer takes it for no strategy.
        if name == "truncation" and not (isinstance(value, bool | str) and value in truncations):
            raise _refused(name, f"one of {', '.join(map(str, truncations))}", value)
        if name == "max_length" and not _is_count(value, 1):
            raise _refused(name, "a whole number from 1 up", value)
        if name == "top_k" and not _is_count(value, 0 if generates else 1):
            raise _refused(name, f"a whole number from {0 if generates else 1} up, or null for all", value)


def _is_count(value: Any, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def _refused(name: str, accepted: str, value: Any) -> SpecError:
    return SpecError(f"parameter {name} must be {accepted}, but is {value!r} instead")
