"""Values of parameters that no pipeline takes are refused when the spec is made, and all that one takes pass."""

import pytest
from pydantic import ValidationError

from pipeline_core import PipelineSpec
from pipeline_core.catalog import NO_DEFAULT, find_task, task_names
from pipeline_core.parameter_values import check_values

WRONG = [
    ("token-classification", "aggregation_strategy", "mean", "one of none, simple, first, average, max"),
    ("zero-shot-classification", "candidate_labels", [], "a list of labels"),
    ("zero-shot-classification", "candidate_labels", " , ", "a list of labels"),
    ("zero-shot-image-classification", "candidate_labels", ["a", 2], "a list of labels"),
    ("zero-shot-classification", "hypothesis_template", "This is it.", "a text with {} in it"),
    ("zero-shot-classification", "multi_label", "yes", "true or false"),
    ("text-generation", "max_new_tokens", 0, "a whole number from 1 up"),
    ("text-generation", "max_new_tokens", True, "a whole number from 1 up"),
    ("text-generation", "temperature", -0.1, "a number from 0 up"),
    ("text-generation", "top_p", 1.5, "a number from 0 to 1"),
    ("text-generation", "top_k", -1, "a whole number from 0 up"),
    ("text-generation", "num_beams", 1.5, "a whole number from 1 up"),
    ("text-generation", "stop_sequence", 3, "a text or a list of texts"),
    ("text-generation", "return_full_text", 1, "true or false"),
    ("automatic-speech-recognition", "return_timestamps", "words", "one of True, False, word, char"),
    ("automatic-speech-recognition", "chunk_length_s", -1, "a number from 0 up"),
    ("automatic-speech-recognition", "stride_length_s", [1, 2, 3], "a pair of them"),
    ("audio-classification", "function_to_apply", "SoftMax", "one of sigmoid, softmax, none"),
    ("audio-classification", "top_k", 0, "a whole number from 1 up"),
    ("image-segmentation", "subtask", "things", "one of semantic, instance, panoptic"),
    ("object-detection", "threshold", 50, "a number from 0 to 1"),
    ("object-detection", "timeout", 0, "a number above 0"),
    ("video-classification", "num_frames", 0, "a whole number from 1 up"),
    ("document-question-answering", "top_k", 0, "a whole number from 1 up"),
    ("document-question-answering", "doc_stride", "128", "a whole number from 1 up"),
    ("mask-generation", "points_per_batch", 0, "a whole number from 1 up"),
    ("table-question-answering", "truncation", "drop", "drop_rows_to_fit"),
]
RIGHT = [
    ("token-classification", {"aggregation_strategy": "SIMPLE", "stride": 3}),
    ("zero-shot-classification", {"candidate_labels": "a, b", "hypothesis_template": "{}!", "multi_label": True}),
    ("zero-shot-object-detection", {"candidate_labels": ["a cat"], "threshold": 0, "top_k": 2}),
    ("text-generation", {"temperature": 0.7, "top_k": 0, "top_p": 1, "max_new_tokens": 5, "stop_sequence": ["."]}),
    ("automatic-speech-recognition", {"return_timestamps": "word", "chunk_length_s": 30, "stride_length_s": [5, 2.5]}),
    ("image-classification", {"function_to_apply": "Sigmoid", "top_k": None}),
    ("table-question-answering", {"truncation": "drop_rows_to_fit"}),
]


@pytest.mark.parametrize(("task", "name", "value", "accepted"), WRONG)
def test_a_value_that_is_wrong_is_named_with_what_is_accepted(task, name, value, accepted):
    with pytest.raises(ValidationError) as refused:
        PipelineSpec(task=task, parameters={name: value})
    message = refused.value.errors()[0]["msg"]
    assert f"parameter {name} must be " in message
    assert accepted in message
    assert message.endswith(f"but is {value!r} instead")


@pytest.mark.parametrize(("task", "parameters"), RIGHT)
def test_values_that_a_pipeline_takes_pass(task, parameters):
    assert PipelineSpec(task=task, parameters=parameters).parameters.keys() == parameters.keys()


@pytest.mark.parametrize("name", task_names())
def test_the_defaults_of_a_task_pass(name):
    task = find_task(name)
    check_values(task, {name: default for name, default in task.parameters.items() if default not in (NO_DEFAULT, "")})
    check_values(task, dict.fromkeys(task.parameters))
