"""The catalog for readers: one task on a page, and the document and the list that hold all tasks.

``python -m flows.task_pages`` writes docs/tasks.md and the list in README.md anew.
"""

import json
import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from flows.task_examples import describe, example_of
from pipeline_core.catalog import NO_DEFAULT, Batching, Input, Task, find_task, task_names

_BATCHES: Mapping[Batching, str] = {
    "pad": "rows of unequal length share a batch, padded",
    "shape": "rows of equal shape share a batch",
    "alone": "one row at a time",
}
_GROUPS = ("Texts", "Images", "Sounds", "Videos", "Images with text", "Anything")
_LIST = re.compile(r"(?<=<!-- tasks -->\n).*?(?=<!-- end of tasks -->)", re.DOTALL)
_INTRODUCTION = """\
# Tasks

Every pipeline task of transformers, and the seven that its fifth version dropped, as `pipeline-flows run TASK` and
`PipelineSpec(task=...)` take them. This page is written by `python -m flows.task_pages`; in a terminal it is

```sh
pipeline-flows tasks
pipeline-flows tasks text-classification
```

A dataset's columns become a task's inputs: those of the usual names unasked, others by `--INPUT-column COLUMN` (or
`--column INPUT=COLUMN`). Tables, labels, chats and requests may be nested columns or JSON text. Each parameter is an
option by its name, `--top-k 3` for `top_k`; given several times it is a list. Where no default is shown, the model
decides. Parameters of generation are those of transformers' `GenerationConfig`; what each parameter does is in
[its documentation](https://huggingface.co/docs/transformers/main_classes/pipelines).
"""


def all_tasks() -> list[Task]:
    """Every task once, by its name."""
    return sorted({find_task(name).name: find_task(name) for name in task_names()}.values(), key=lambda task: task.name)


def batches(task: Task) -> str:
    """How the task's rows share batches, in words."""
    return f"{_BATCHES[task.batching]}{'; a row may take several passes' if task.chunks else ''}"


def takes(task: Task) -> str:
    """The inputs that the task requires, and in brackets those that it may have."""
    needed = [one.name for one in task.inputs if one.required]
    others = [one.name for one in task.inputs if not one.required]
    return ", ".join(needed) + (f" [{', '.join(others)}]" if others else "")


def input_rows(task: Task) -> Iterator[tuple[str, str, str]]:
    """Name, kind and usual columns of each input."""
    for one in task.inputs:
        yield one.name, _kind(task, one), ", ".join(one.columns)


def own_parameters(task: Task) -> str:
    """The parameters of the pipeline itself, with their defaults."""
    return _with_defaults(task, _split(task)[0])


def generation_parameters(task: Task) -> str:
    """The parameters of generation, with the defaults that the pipeline sets; empty where nothing is generated."""
    return _with_defaults(task, _split(task)[1])


def document() -> str:
    """The page docs/tasks.md."""
    tasks = all_tasks()
    overview = [
        ("task", "takes", "default model"),
        *((f"[{task.name}](#{task.name})", takes(task), task.default_model or "") for task in tasks),
    ]
    return "\n".join([_INTRODUCTION, *_table(overview), *(line for task in tasks for line in _section(task)), ""])


def task_list() -> str:
    """The list of all tasks in README.md, by what they work on."""
    groups: dict[str, list[str]] = {name: [] for name in _GROUPS}
    for task in all_tasks():
        groups[_group(task)].append(task.name)
    lines = (f"- {name}: {', '.join(tasks)}" for name, tasks in groups.items() if tasks)
    return "".join(textwrap.fill(line, 110, subsequent_indent="  ", break_on_hyphens=False) + "\n" for line in lines)


def with_task_list(readme: str) -> str:
    """The text of README.md with the list of tasks made anew."""
    return _LIST.sub(lambda found: task_list(), readme)


def _section(task: Task) -> Iterator[str]:
    example = example_of(task)
    yield from ("", f"## {task.name}", "", describe(task))
    if task.aliases:
        yield f"Also called {', '.join(task.aliases)}."
    yield from ("", *_table([("input", "kind", "usual columns"), *input_rows(task)]))
    if task.parameters:
        yield from ("", f"Parameters: {own_parameters(task)}.")
    if task.generates:
        names = [name for name in _split(task)[1] if _value(task.parameters[name])]
        yield f"Those of generation too{', with ' * bool(names)}{_with_defaults(task, names)}."
    yield from ("", f"Batches: {batches(task)}.")
    if task.requires:
        yield f"Needs {', '.join(task.requires)}."
    yield ""
    if example.row:
        yield from ("```json", example.row, "```", "")
    yield from ("```console", f"$ {example.command}", "```")


def _kind(task: Task, one: Input) -> str:
    words: list[str] = [one.kind]
    if one.replaces:
        words.append(f"instead of {' and '.join(one.replaces)}")
    elif not one.required:
        words.append("optional")
    elif one.name in task.parameters:
        words.append("or as a parameter")
    return ", ".join(words)


def _split(task: Task) -> tuple[list[str], list[str]]:
    """Names of the pipeline's own parameters, and of those that it hands on to generation, which follow them."""
    names = list(task.parameters)
    own = names.index("generation_config") + 1 if task.generates else len(names)
    return names[:own], names[own:]


def _with_defaults(task: Task, names: Sequence[str]) -> str:
    values = {name: _value(task.parameters[name]) for name in names}
    return ", ".join(f"{name}={value}" if value else name for name, value in values.items())


def _value(default: Any) -> str:
    if default is None or default is NO_DEFAULT or default == "":
        return ""
    if isinstance(default, str):
        return default
    return f"{default:.4g}" if isinstance(default, float) else json.dumps(default, default=str)


def _group(task: Task) -> str:
    kinds = {one.kind for one in task.inputs if one.required}
    if not kinds or task.name == "any-to-any":
        return "Anything"
    if kinds & {"image", "images"}:
        return "Images with text" if "text" in kinds else "Images"
    return "Sounds" if "audio" in kinds else "Videos" if "video" in kinds else "Texts"


def _table(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    head, *body = rows
    yield f"| {' | '.join(head)} |"
    yield f"|{'---|' * len(head)}"
    for row in body:
        yield f"| {' | '.join(cell.replace('|', '&#124;') for cell in row)} |"


def _write(root: Path) -> None:
    (root / "docs" / "tasks.md").write_text(document(), encoding="utf-8")
    readme = root / "README.md"
    readme.write_text(with_task_list(readme.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    _write(Path(__file__).parent.parent)
