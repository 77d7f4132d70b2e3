"""What each task is for, in a sentence, and a command that shows it, with the rows that the command reads."""

import json
import shlex
from collections.abc import Mapping
from typing import Any, NamedTuple

from pipeline_core.catalog import Task, find_task

_MEDIA: Mapping[str, tuple[str, str]] = {
    "audio": ("recordings", ".wav"),
    "image": ("photos", ".png"),
    "images": ("photos", ".png"),
    "video": ("clips", ".mp4"),
}
"""The folder and the ending of files of each kind."""
_OF_TEXTS = "--candidate-label warm --candidate-label cold"
_OF_IMAGES = "--candidate-label cat --candidate-label dog"
_OF_SOUNDS = "--candidate-label rain --candidate-label music"
_CITIES = [{"city": "Oslo", "people": "709000"}, {"city": "Bergen", "people": "291000"}]
_WHERE = {"question": "Where does Ann live?", "context": "Ann has lived in Oslo since she was ten."}
_LOOK = [{"role": "user", "content": [{"type": "image", "path": "1.png"}, {"type": "text", "text": "What is this?"}]}]


class Sample(NamedTuple):
    """What shows a task.

    Attributes:
        description: What the task does.
        row: Cells by the task's inputs, media aside.
        options: Of the command, beside those that every task has.
        task: The name to run it by, where it is not the task's own.
    """

    description: str
    row: Mapping[str, Any]
    options: str = ""
    task: str = ""


class Example(NamedTuple):
    """A command that works, once its dataset is there.

    Attributes:
        command: The command.
        dataset: The file or folder that it reads.
        row: A row of the dataset as JSON; empty where the dataset is a folder of media.
        rows_file: The file that the row is in.
    """

    command: str
    dataset: str
    row: str
    rows_file: str


_SAMPLES: Mapping[str, Sample] = {
    "any-to-any": Sample(
        "Answer text, images, video and sound with text, images or sound.",
        {"text": "Name a colour."},
        "--max-new-tokens 20",
    ),
    "audio-classification": Sample("Label sounds: commands, speakers, languages, instruments.", {}),
    "automatic-speech-recognition": Sample("Write down what is said.", {}),
    "decision": Sample(
        "Choose, score or judge what a text says, with probabilities.",
        {"state": "I want my money back.", "questions": {"refund": {"type": "noul", "instructions": "A refund?"}}},
    ),
    "depth-estimation": Sample("Estimate how far away each pixel of an image is.", {}),
    "document-question-answering": Sample("Answer questions about scanned pages.", {"question": "What is the total?"}),
    "feature-extraction": Sample("Turn texts into vectors, one a token.", {"text": "A quiet triumph."}),
    "fill-mask": Sample("Fill the gap in a text.", {"text": "Two hours I <mask> back."}),
    "image-classification": Sample("Label images.", {}),
    "image-feature-extraction": Sample("Turn images into vectors.", {}, "--pool"),
    "image-segmentation": Sample("Cut images into labelled areas.", {}),
    "image-text-to-text": Sample("Answer a text about images with text.", {"messages": _LOOK}, "--max-new-tokens 20"),
    "image-to-image": Sample("Restore, enlarge or change images.", {}),
    "image-to-text": Sample("Describe images in words.", {}, "--max-new-tokens 20"),
    "keypoint-matching": Sample("Find the same points in two images.", {}),
    "mask-generation": Sample("Cut out everything that an image shows.", {}),
    "object-detection": Sample("Find things in images: labels and boxes.", {}),
    "question-answering": Sample("Find the answer to a question in a text.", _WHERE),
    "summarization": Sample("Shorten texts.", {"text": _WHERE["context"]}, "--max-new-tokens 20"),
    "table-question-answering": Sample(
        "Find the answer to a question in a table.", {"table": _CITIES, "query": "How many people live in Oslo?"}
    ),
    "text-classification": Sample("Label texts: sentiment, topic, intent.", {"text": "A quiet triumph."}),
    "text-generation": Sample(
        "Go on with a text, or answer a chat.", {"prompt": "Two hours I want"}, "--max-new-tokens 20"
    ),
    "text-to-audio": Sample("Say texts, or make music of them.", {"text": "A quiet triumph."}),
    "text2text-generation": Sample(
        "Turn a text into another, as the model was trained to.", {"text": "Not bad at all!"}, "--max-new-tokens 20"
    ),
    "token-classification": Sample(
        "Label the words of texts: names, parts of speech.",
        {"text": _WHERE["context"]},
        "--aggregation-strategy simple",
    ),
    "translation": Sample(
        "Translate texts.", {"text": "Not bad at all!"}, "--max-new-tokens 20", task="translation_en_to_fr"
    ),
    "video-classification": Sample("Label videos by what happens in them.", {}),
    "visual-question-answering": Sample("Answer questions about images.", {"question": "What colour is the car?"}),
    "zero-shot-audio-classification": Sample("Label sounds with labels of your own.", {}, _OF_SOUNDS),
    "zero-shot-classification": Sample(
        "Label texts with labels of your own.", {"sequences": "A quiet triumph."}, _OF_TEXTS
    ),
    "zero-shot-image-classification": Sample("Label images with labels of your own.", {}, _OF_IMAGES),
    "zero-shot-object-detection": Sample("Find things in images by their names.", {}, _OF_IMAGES),
}


def describe(task: Task) -> str:
    """What the task does; for one that others registered, what it works on."""
    sample = _SAMPLES.get(task.name)
    return sample.description if sample is not None else f"A task for {task.modality} that was registered later."


def example_of(task: Task) -> Example:
    """A command that runs the task, and a row of the dataset that it reads."""
    sample = _SAMPLES.get(task.name, Sample("", {}))
    media = [one for one in task.inputs if one.required and one.kind in _MEDIA]
    named = [one for one in task.inputs if one.name in sample.row]
    row = {one.columns[0]: sample.row[one.name] for one in named}
    columns: list[str] = []
    replaced = {name for one in named for name in one.replaces}
    if len(named) + len(media) > 1:
        columns = [f"--{one.name.replace('_', '-')}-column {one.columns[0]}" for one in [*named, *media[1:]]]
    folder, ending = _MEDIA[media[0].kind] if media else ("", "")
    if media and media[0].name in replaced:
        rows_file = dataset = f"{folder}/rows.jsonl"
    elif len(media) > 1:
        row |= {one.columns[0]: f"{number}{ending}" for number, one in enumerate(media, 1)}
        rows_file = dataset = f"{folder}/rows.jsonl"
    elif media:
        row = {"file_name": f"1{ending}", **row} if row else {}
        rows_file, dataset = f"{folder}/metadata.jsonl" if row else "", f"{folder}/"
    else:
        rows_file = dataset = "rows.jsonl"
    name = sample.task or task.name
    words = [
        f"pipeline-flows run {name}",
        f"--model {shlex.quote(find_task(name).default_model or 'MODEL')}",
        f"--dataset {dataset}",
        *columns,
        *filter(None, [sample.options]),
        f"--output out/{name}",
    ]
    return Example(" ".join(words), dataset, json.dumps(row, ensure_ascii=False) if row else "", rows_file)
