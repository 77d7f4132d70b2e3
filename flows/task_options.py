"""Options that a task brings with it: each parameter of its pipeline by its name, each input as --INPUT-column."""

import json
from collections.abc import Collection
from functools import cache
from typing import Literal, NamedTuple

_TRUTHS = ("true", "false")


class _Meaning(NamedTuple):
    kind: Literal["column", "parameter"]
    name: str
    is_list: bool = False
    is_flag: bool = False


def spelled_out(arguments: list[str], known: Collection[str]) -> list[str]:
    """The arguments with the options of tasks as ``--column INPUT=COLUMN`` and ``--parameter NAME=VALUE``.

    A parameter that is given several times becomes a list of texts, and so does one given by the
    singular of its name: ``--candidate-label cat --candidate-label dog``. One without a value is true.

    Args:
        arguments: What the command was given.
        known: Options of the command itself; they stay as they are, and so do options that no task has.
    """
    left: list[str] = []
    parameters: dict[_Meaning, list[str]] = {}
    waiting = list(reversed(arguments))
    while waiting:
        argument = waiting.pop()
        option, equals, value = argument.partition("=")
        meant = _meaning(option) if option.startswith("--") and option not in known else None
        if meant is None:
            left.append(argument)
            continue
        if not equals:
            is_alone = not waiting or waiting[-1].startswith("--") or (meant.is_flag and waiting[-1] not in _TRUTHS)
            value = "true" if is_alone else waiting.pop()
        if meant.kind == "column":
            left += ["--column", f"{meant.name}={value}"]
        else:
            parameters.setdefault(meant, []).append(value)
    for meant, values in parameters.items():
        text = json.dumps(values, ensure_ascii=False) if meant.is_list or len(values) > 1 else values[0]
        left += ["--parameter", f"{meant.name}={text}"]
    return left


def _meaning(option: str) -> _Meaning | None:
    name = option.removeprefix("--").replace("-", "_")
    inputs, parameters = _names_of_tasks()
    if name.endswith("_column"):
        return _Meaning("column", name.removesuffix("_column")) if name.removesuffix("_column") in inputs else None
    if name in parameters:
        return _Meaning("parameter", name, is_flag=parameters[name])
    return _Meaning("parameter", f"{name}s", is_list=True) if f"{name}s" in parameters else None


@cache
def _names_of_tasks() -> tuple[frozenset[str], dict[str, bool]]:
    """Names of all tasks' inputs, and of all their parameters with whether they are true or false."""
    from pipeline_core.catalog import find_task, task_names
    from pipeline_core.task_inputs import TASK_INPUTS

    parameters: dict[str, bool] = {}
    for task in map(find_task, task_names()):
        for name, default in task.parameters.items():
            parameters[name] = parameters.get(name, False) or isinstance(default, bool)
    return frozenset(one.name for inputs in TASK_INPUTS.values() for one in inputs), parameters
