"""Packages that are not here: one error that names what to install, before anything of the model is read."""

import json
import sys

import pytest

from pipeline_core import PipelineSpec, load_pipeline
from pipeline_core.catalog import find_task, task_names
from pipeline_core.errors import MissingPackageError
from pipeline_core.requirements import PACKAGES, check_installed, is_installed


@pytest.fixture
def model_of_config_only(tmp_path):
    """A folder that says what the model is, and holds nothing that could be loaded."""

    def make(config, tokenizer=None):
        (tmp_path / "config.json").write_text(json.dumps(config))
        if tokenizer is not None:
            (tmp_path / "tokenizer_config.json").write_text(json.dumps(tokenizer))
        return str(tmp_path)

    return make


@pytest.mark.parametrize(
    ("task", "module", "package", "install"),
    [
        ("image-classification", "PIL", "pillow", "pip install 'pipeline-flows[vision]'"),
        ("zero-shot-object-detection", "PIL", "pillow", "pip install 'pipeline-flows[vision]'"),
        ("automatic-speech-recognition", "soundfile", "soundfile", "pip install 'pipeline-flows[audio]'"),
        ("audio-classification", "soxr", "soxr", "pip install 'pipeline-flows[audio]'"),
        ("video-classification", "av", "av", "pip install 'pipeline-flows[audio]'"),
        ("table-question-answering", "pandas", "pandas", "pip install pandas"),
    ],
)
def test_a_task_without_its_package_is_refused_before_it_loads(
    monkeypatch, model_of_config_only, task, module, package, install
):
    find_task(task)  # transformers asks once for what is installed
    monkeypatch.setitem(sys.modules, module, None)
    spec = PipelineSpec(task=task, model=model_of_config_only({"model_type": "bert"}), device="cpu")
    with pytest.raises(MissingPackageError) as refused:
        load_pipeline(spec)
    assert refused.value.package == package
    assert str(refused.value).startswith(f"task '{task}' needs the package '{package}', which is not installed")
    assert str(refused.value).endswith(f"run: {install}")


@pytest.mark.parametrize(
    ("config", "tokenizer", "package"),
    [
        ({"model_type": "marian"}, None, "sentencepiece"),
        ({"model_type": "bert"}, {"tokenizer_class": "SpeechT5Tokenizer"}, "sentencepiece"),
        ({"model_type": "detr", "use_timm_backbone": True}, None, "timm"),
        ({"model_type": "dpt", "backbone_config": {"model_type": "timm_backbone"}}, None, "timm"),
        ({"model_type": "wav2vec2"}, {"tokenizer_class": "Wav2Vec2PhonemeCTCTokenizer"}, "phonemizer"),
    ],
)
def test_a_model_without_its_package_is_refused_before_it_loads(
    monkeypatch, model_of_config_only, config, tokenizer, package
):
    monkeypatch.setitem(sys.modules, PACKAGES[package].module, None)
    spec = PipelineSpec(task="text-generation", model=model_of_config_only(config, tokenizer), device="cpu")
    with pytest.raises(MissingPackageError, match=f"'{package}', which is not installed; run: pip install ") as refused:
        load_pipeline(spec)
    assert spec.model in str(refused.value)


def test_what_each_task_requires_is_a_package_whose_installation_is_known():
    needed = {package for name in task_names() for package in find_task(name).requires}
    assert needed <= PACKAGES.keys()
    assert {"pillow", "soundfile", "soxr", "av", "pandas"} <= needed
    assert not find_task("text-generation").requires


def test_an_installed_package_passes_and_a_missing_one_does_not(monkeypatch):
    check_installed("this", ["pandas"])
    monkeypatch.setitem(sys.modules, "pandas", None)
    assert not is_installed("pandas")
    with pytest.raises(MissingPackageError):
        check_installed("this", ["pandas"])
