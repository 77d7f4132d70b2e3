"""Strings in rows are data: none of them is opened as a file or fetched."""

from pathlib import Path

import numpy as np
import pytest

from pipeline_core.errors import InvalidInputError
from pipeline_core.raw_inputs import checked_inputs

SECRET = "/etc/hostname"


@pytest.mark.parametrize(
    ("task", "modality", "inputs"),
    [
        ("image-classification", "image", SECRET),
        ("image-classification", "image", "http://127.0.0.1:9/x.png"),
        ("keypoint-matching", "image", [SECRET, SECRET]),
        ("zero-shot-object-detection", "multimodal", {"image": SECRET, "candidate_labels": ["a cat"]}),
        ("document-question-answering", "multimodal", {"image": SECRET, "question": "Who?"}),
        ("automatic-speech-recognition", "audio", {"path": SECRET}),
        (
            "image-text-to-text",
            "multimodal",
            [{"role": "user", "content": [{"type": "image", "url": SECRET}, {"type": "text", "text": "What?"}]}],
        ),
        ("image-text-to-text", "multimodal", {"images": [SECRET], "text": "What?"}),
    ],
)
def test_a_string_where_media_belong_is_refused(task, modality, inputs):
    with pytest.raises(InvalidInputError, match="a string is data"):
        checked_inputs(inputs, task, modality)


def test_paths_arrays_and_words_beside_media_pass():
    given = {"image": Path(SECRET), "question": "Where is /etc/hostname?", "candidate_labels": ["a", "b"]}
    assert checked_inputs(given, "document-question-answering", "multimodal") == {**given, "image": SECRET}
    sound = np.zeros(3, dtype=np.float32)
    passed = checked_inputs({"array": sound, "sampling_rate": 8000, "path": "a.wav"}, "audio-classification", "audio")
    assert passed.keys() == {"array", "sampling_rate"}
    assert checked_inputs(SECRET, "text-classification", "text") == SECRET


def test_messages_become_a_chat():
    from transformers.utils.chat_template_utils import Chat

    assert isinstance(checked_inputs([{"role": "user", "content": "Hi"}], "text-generation", "text"), Chat)
