"""The catalog's pages: up to date with the catalog, and their examples work."""

import itertools
import json
import re
import shlex
from pathlib import Path

import pytest

from flows.task_examples import example_of
from flows.task_pages import all_tasks, document, task_list, with_task_list
from pipeline_core.catalog import find_task
from pipeline_core.sink import OutputFolder

ROOT = Path(__file__).parent.parent.parent
# Tiny models of the tasks whose rows are text; each is built once a session.
MODELS = {
    "feature-extraction": "features",
    "fill-mask": "fill-mask",
    "question-answering": "answers",
    "text-classification": "bert",
    "text-generation": "gpt2",
    "token-classification": "tokens",
    "zero-shot-classification": "entailment",
}


def test_the_documents_say_what_the_catalog_says():
    written = (ROOT / "docs" / "tasks.md").read_text(encoding="utf-8")
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    again = "write them anew: python -m flows.task_pages"
    assert written == document(), again
    assert readme == with_task_list(readme), again
    assert task_list() in readme


def test_the_page_and_the_list_hold_every_task():
    page = document()
    for task in all_tasks():
        assert f"\n## {task.name}\n" in page
        assert re.search(rf"[ ,]{task.name}[,\n]", task_list())
        assert example_of(task).command in page


@pytest.mark.parametrize("name", MODELS)
def test_the_printed_example_works(name, pipeline_flows, prefect_server, build_model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = pipeline_flows("tasks", name).out
    (command,) = re.findall(r"^pipeline-flows run .*$", text, re.MULTILINE)
    file, row = re.search(r"^for example, with this row in (\S+): (.*)$", text, re.MULTILINE).groups()
    Path(file).write_text(row.replace("<mask>", "[MASK]") + "\n", encoding="utf-8")
    default = find_task(name).default_model
    assert f"--model {default} " in command
    _, *words = shlex.split(command.replace(default, build_model(MODELS[name])))
    code, _, err = pipeline_flows(*words)
    assert code == 0, err
    folder = OutputFolder(str(tmp_path / words[-1]))
    assert folder.table().num_rows == 1
    assert folder.read_summary().quarantined == 0


@pytest.mark.parametrize("task", all_tasks(), ids=lambda task: task.name)
def test_an_example_names_options_and_columns_that_the_task_has(task):
    from flows.task_options import spelled_out

    example = example_of(task)
    words = spelled_out(shlex.split(example.command), {"--model", "--dataset", "--output"})
    given = dict(itertools.pairwise(words))
    assert given["--dataset"] == example.dataset
    assert not [word for word in words if word.startswith("--") and word not in
                ("--model", "--dataset", "--output", "--column", "--parameter")]  # fmt: skip
    row = json.loads(example.row) if example.row else {}
    for option, word in itertools.pairwise(words):
        name, _, value = word.partition("=")
        if option == "--column":
            assert name in [one.name for one in task.inputs]
            assert value in row
        if option == "--parameter":
            assert name in task.parameters
