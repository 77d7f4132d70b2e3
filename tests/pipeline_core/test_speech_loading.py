"""Pipelines of sound as they are loaded: samples at any rate, a vocoder and a voice that a spec names."""

import numpy as np
import pytest
import torch
import transformers
from reference import same

from pipeline_core import PipelineSpec, load_pipeline
from pipeline_core.audio import resample
from pipeline_core.catalog import find_task
from pipeline_core.errors import ModelNotFoundError
from pipeline_core.speech_parts import vocoder_of, with_tensors

SAMPLES = np.sin(np.arange(48_000) / 30).astype(np.float32) * 0.3


@pytest.mark.parametrize(
    ("task", "model"), [("audio-classification", "sounds"), ("automatic-speech-recognition", "speech")]
)
@pytest.mark.parametrize("key", ["raw", "array"])
def test_samples_at_any_rate_are_answered_as_those_at_the_models_rate(task, model, key, build_model):
    pipeline = load_pipeline(PipelineSpec(task=task, model=build_model(model)))
    given = {key: SAMPLES, "sampling_rate": 48_000, "path": None}
    assert same(pipeline(given), pipeline(resample(SAMPLES, 48_000, 8_000)))
    assert given[key] is SAMPLES


def test_a_vocoder_is_named_by_its_folder(tmp_path):
    sizes = {"upsample_initial_channel": 8, "upsample_rates": [2], "upsample_kernel_sizes": [4], "model_in_dim": 4}
    config = transformers.SpeechT5HifiGanConfig(resblock_kernel_sizes=[3], resblock_dilation_sizes=[[1]], **sizes)
    made = transformers.SpeechT5HifiGan(config)
    made.save_pretrained(tmp_path)
    named = vocoder_of({"vocoder": str(tmp_path)}, None)
    assert torch.equal(named.conv_pre.bias, made.conv_pre.bias)
    assert vocoder_of({}, None) is None
    assert "vocoder" in find_task("text-to-audio").parameters


def test_a_vocoder_that_is_nowhere_is_said_to_be(build_model):
    spec = PipelineSpec(task="text-to-audio", model=build_model("vits"), parameters={"vocoder": "no/such-vocoder"})
    with pytest.raises(ModelNotFoundError):
        load_pipeline(spec)


def test_a_voice_in_numbers_is_a_tensor():
    made = with_tensors({"forward_params": {"speaker_embeddings": [[0.5, 1.0]], "threshold": 0.5, "ids": [1, 2]}})
    assert torch.equal(made["forward_params"]["speaker_embeddings"], torch.tensor([[0.5, 1.0]]))
    assert made["forward_params"]["threshold"] == 0.5
    assert made["forward_params"]["ids"] == [1, 2]
