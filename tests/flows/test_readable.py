"""Inputs and predictions in one line: names, sizes and durations, labels, texts, and nothing that a terminal obeys."""

import io

import numpy
import pytest
import soundfile
from PIL import Image

from flows.readable import readable_input, readable_output
from pipeline_core.media import MediaRoot
from pipeline_core.records import Record
from pipeline_core.task_inputs import TASK_INPUTS


def png(width=6, height=4):
    file = io.BytesIO()
    Image.new("RGB", (width, height)).save(file, "png")
    return file.getvalue()


def wav(seconds=1.5, rate=8000):
    file = io.BytesIO()
    soundfile.write(file, numpy.zeros(int(seconds * rate)), rate, format="wav")
    return file.getvalue()


IMAGE = Image.new("L", (6, 4))
BOX = {"xmin": 1, "ymin": 2, "xmax": 3, "ymax": 4}


@pytest.mark.parametrize(
    ("output", "line"),
    [
        ({"label": "POS", "score": 0.98765}, "POS 0.988"),
        ([{"label": "cat", "score": 0.9, "box": BOX}], "cat 0.900 [1, 2, 3, 4]"),
        ([{"label": "cat", "score": None, "mask": IMAGE}], "cat mask 6x4"),
        ([{"entity_group": "LOC", "word": "Oslo", "score": 0.99, "start": 3, "end": 7}], "Oslo LOC 0.990"),
        ({"sequence": "x", "labels": ["warm", "cold"], "scores": [0.75, 0.25]}, "warm 0.750, cold 0.250"),
        ([{"score": 0.5, "token": 3, "token_str": " want", "sequence": "I want it"}], "want 0.500"),
        ([{"generated_text": "one\ntwo"}], "one two"),
        ([{"generated_text": [{"role": "user", "content": "?"}, {"role": "assistant", "content": "Yes."}]}], "Yes."),
        ([{"summary_text": "short"}], "short"),
        ({"score": 0.5, "start": 0, "end": 3, "answer": "Ann"}, "Ann 0.500"),
        ({"answer": "3", "coordinates": [(0, 1)], "cells": ["3"]}, "3"),
        ({"text": "hello", "chunks": []}, "hello"),
        ({"predicted_depth": numpy.zeros((4, 6)), "depth": IMAGE}, "depth 6x4"),
        ({"audio": numpy.zeros((1, 8000), dtype="float32"), "sampling_rate": 16000}, "0.5 s at 16 kHz"),
        (IMAGE, "image 6x4"),
        ([[[0.5, 1.0], [2.0, 3.0], [1.0, 1.0]]], "array 1x3x2"),
        (numpy.zeros((2, 3)), "array 2x3"),
        (
            [{"keypoint_image_0": {"x": 1, "y": 2}, "keypoint_image_1": {"x": 3, "y": 4}, "score": 0.5}],
            "(1, 2) – (3, 4) 0.500",
        ),
        ({"refund": {"type": "noul", "value": True}}, "refund: type: noul, value: True"),
        ([], "[]"),
        (None, "None"),
    ],
)
def test_every_kind_of_prediction_has_a_line(output, line):
    assert readable_output(output, 70) == line


@pytest.mark.parametrize(
    ("task", "inputs", "line"),
    [
        ("fill-mask", "a  [MASK]\n", "a [MASK]"),
        ("image-classification", {"bytes": png(), "path": "cats/1.png"}, "1.png (image 6x4)"),
        ("image-classification", {"image": {"bytes": png(), "path": "cats/1.png"}}, "1.png (image 6x4)"),
        ("image-classification", "cats/1.png", "1.png"),
        ("image-classification", IMAGE, "image 6x4"),
        ("image-classification", b"broken", "6 bytes"),
        ("audio-classification", {"bytes": wav(), "path": None}, "1.5 s at 8 kHz"),
        ("audio-classification", wav(), "1.5 s at 8 kHz"),
        ("automatic-speech-recognition", {"array": numpy.zeros(4000), "sampling_rate": 8000}, "0.5 s at 8 kHz"),
        ("question-answering", {"question": "Who?", "context": "Ann."}, "question: Who?; context: Ann."),
        ("text-generation", [{"role": "user", "content": "Hello"}], "user: Hello"),
        ("image-text-to-text", [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "Hi"}]}],
         "user: [image] Hi"),
        ("keypoint-matching", {"image_0": "a.png", "image_1": "b.png"}, "image_0: a.png; image_1: b.png"),
        ("image-classification", None, "None"),
    ],
)  # fmt: skip
def test_every_kind_of_input_has_a_line(task, inputs, line):
    assert readable_input(Record("1", inputs), TASK_INPUTS[task], 70) == line


def test_a_file_below_the_folder_that_data_may_name_is_measured_and_no_other(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "1.png").write_bytes(png())
    (tmp_path / "2.png").write_bytes(png())
    root = MediaRoot(str(tmp_path / "in"))
    inputs = {"image_0": "1.png", "image_1": "../2.png"}
    line = readable_input(Record("1", inputs, media_root=root), TASK_INPUTS["keypoint-matching"], 70)
    assert line == "image_0: 1.png (image 6x4); image_1: 2.png"


@pytest.mark.parametrize("width", [20, 40, 70])
def test_a_line_is_never_longer_than_its_width_and_ends_between_words(width):
    text = "patient and warm from the first frame to the last " * 5
    line = readable_output([{"generated_text": text}], width)
    assert len(line) <= width
    assert line.endswith("…")
    assert text.startswith(line[:-1])
    assert text[len(line) - 1] == " "
    labels = [{"label": f"label{number}", "score": 0.1} for number in range(9)]
    line = readable_output(labels, width)
    assert len(line) <= width
    shown = line.count("label")
    assert line.endswith(f", … and {9 - shown} more")
    assert (
        len(readable_input(Record("1", {"question": text, "context": text}), TASK_INPUTS["question-answering"], width))
        <= width
    )


def test_control_characters_of_a_row_do_not_reach_the_terminal():
    evil = "a\x1b[31mred\x07 \u202eback"
    for line in (
        readable_output([{"generated_text": evil}], 70),
        readable_output({"label": evil, "score": 1.0}, 70),
        readable_input(Record("1", evil), TASK_INPUTS["fill-mask"], 70),
        readable_input(Record("1", {"path": f"x/{evil}", "bytes": None}), TASK_INPUTS["image-classification"], 70),
    ):
        assert line.isprintable()
