"""The catalog's pages: up to date with the catalog, and their examples work."""

import itertools
import json
import re
import shlex
import shutil
from pathlib import Path

import pytest
from media_files import picture, tone, write_sound, write_video

from flows.task_examples import example_of
from flows.task_pages import all_tasks, document, task_list, with_task_list
from pipeline_core.catalog import find_task
from pipeline_core.sink import OutputFolder

ROOT = Path(__file__).parent.parent.parent
# Tiny models by task; each is built once a session.
MODELS = {
    "any-to-any": "qwen2-audio",
    "audio-classification": "sounds",
    "automatic-speech-recognition": "speech",
    "decision": "decider",
    "depth-estimation": "glpn",
    "feature-extraction": "features",
    "fill-mask": "fill-mask",
    "image-classification": "vit",
    "image-segmentation": "segformer",
    "image-text-to-text": "llava",
    "keypoint-matching": "superglue",
    "object-detection": "yolos",
    "question-answering": "answers",
    "table-question-answering": "tapas",
    "text-classification": "bert",
    "text-generation": "gpt2",
    "text-to-audio": "vits",
    "token-classification": "tokens",
    "video-classification": "clips",
    "zero-shot-audio-classification": "clap",
    "zero-shot-classification": "entailment",
    "zero-shot-image-classification": "clip",
    "zero-shot-object-detection": "owlvit",
}
# The others are previewed, which takes the same way up to the output folder.
RUN = ["decision", "image-classification", "keypoint-matching", "table-question-answering", "token-classification"]


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


TEMPLATE = (
    "{% for message in messages %}{% for part in message.content %}"
    "{{ '<image>' if part.type == 'image' else part.text }} {% endfor %}{% endfor %}"
)


@pytest.fixture
def example(pipeline_flows, build_model, tmp_path, monkeypatch):
    """The words of a task's printed example, with a tiny model, where the data that it reads are."""
    monkeypatch.chdir(tmp_path)

    def prepare(name):
        text = pipeline_flows("tasks", name).out
        (command,) = re.findall(r"^pipeline-flows run .*$", text, re.MULTILINE)
        _, *words = shlex.split(command)
        model, dataset = words.index("--model") + 1, Path(words[words.index("--dataset") + 1])
        assert words[model] == (find_task(name).default_model or "MODEL")
        words[model] = build_model(MODELS[name])
        if name == "image-text-to-text":  # the example is a chat, as the models of this task want it
            words[model] = shutil.copytree(words[model], tmp_path / "model")
            (tmp_path / "model" / "chat_template.jinja").write_text(TEMPLATE, encoding="utf-8")
        folder = dataset.parent if dataset.suffix else dataset
        folder.mkdir(exist_ok=True)
        for number in (1, 2):
            if folder.name == "photos":
                picture(64, 48, seed=number).save(folder / f"{number}.png")
            elif folder.name == "recordings":
                write_sound(folder / f"{number}.wav", tone(0.3))
            elif folder.name == "clips":
                write_video(folder / f"{number}.mp4")
        described = re.search(r"^for example, with this row in (\S+): (.*)$", text, re.MULTILINE)
        if described is not None:
            Path(described[1]).write_text(described[2].replace("<mask>", "[MASK]") + "\n", encoding="utf-8")
        return words

    return prepare


@pytest.mark.parametrize("name", RUN)
def test_the_printed_example_works(name, example, pipeline_flows, prefect_server, tmp_path):
    words = example(name)
    code, _, err = pipeline_flows(*words)
    assert code == 0, err
    folder = OutputFolder(str(tmp_path / words[-1]))
    assert folder.table().num_rows >= 1
    assert folder.read_summary().quarantined == 0


@pytest.mark.parametrize("name", sorted(MODELS.keys() - set(RUN)))
def test_the_printed_example_can_be_previewed(name, example, pipeline_flows):
    words = example(name)
    code, text, err = pipeline_flows("preview", *words[1 : words.index("--output")])
    assert code == 0, err
    assert ", 0 failed;" in " ".join(text.split()), text


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
