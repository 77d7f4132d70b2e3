"""What can't be loaded: refused before it runs, in one line that names what was wrong and what to do."""

import pytest
import torch
from safetensors.torch import load_file

from pipeline_core import PipelineSpec, load_failures, load_pipeline
from pipeline_core.errors import DeviceNotFoundError, LoadError, MissingPackageError, ModelNotFoundError, SpecError

from .conftest import scores, spec_of


@pytest.mark.parametrize("name", ["/no/such/folder", "./missing", "~/missing", "a/b/c"])
def test_a_path_where_nothing_is_says_so(name):
    with pytest.raises(ModelNotFoundError, match="no folder is there") as refused:
        load_pipeline(spec_of(name))
    assert refused.value.model == name


def test_weights_that_are_no_safetensors_are_loaded_only_if_the_spec_says_so(folder):
    weights = load_file(folder / "model.safetensors")
    torch.save(weights, folder / "pytorch_model.bin")
    wanted = scores(load_pipeline(spec_of(folder)))
    (folder / "model.safetensors").unlink()
    with pytest.raises(ModelNotFoundError, match=r'model_kwargs=\{"use_safetensors": false\}'):
        load_pipeline(spec_of(folder))
    allowed = load_pipeline(spec_of(folder, model_kwargs={"use_safetensors": False}))
    torch.testing.assert_close(scores(allowed), wanted)


def test_damaged_weights_are_called_damaged(folder):
    content = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(content[: len(content) // 2])
    with pytest.raises(ModelNotFoundError, match="damaged or cut short"):
        load_pipeline(spec_of(folder))


def test_a_model_without_a_tokenizer_is_not_run_on_unknown_words(folder):
    for file in folder.glob("token*"):
        file.unlink()
    with pytest.raises(ModelNotFoundError, match="no tokenizer"):
        load_pipeline(spec_of(folder))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"attn_implementation": "nope"}, 'attn_implementation="nope"` is not supported'),
        ({"model_kwargs": {"nope": 1}}, "unexpected keyword argument 'nope'"),
        ({"task": "image-classification"}, "image processor"),
        ({"quantization": {"load_in_4bit": True, "bnb_4bit_compute_dtype": "nope"}}, "BitsAndBytesConfig"),
    ],
)
def test_what_a_model_does_not_take_is_said_in_one_line(model, changes, said):
    with pytest.raises(LoadError) as refused:
        load_pipeline(spec_of(model, **changes))
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("task", "kind", "named"),
    [
        ("text-classification", "features", ["pre_classifier.weight", "classifier.bias"]),
        ("sentiment-analysis", "gpt2", ["score.weight"]),
        ("token-classification", "features", ["classifier.weight"]),
        ("fill-mask", "features", ["vocab_transform.weight"]),
        ("zero-shot-classification", "fill-mask", ["classifier.weight"]),
    ],
)
def test_a_checkpoint_without_the_tasks_head_is_refused_with_what_it_lacks(build_model, task, kind, named):
    with pytest.raises(
        LoadError, match=r"no weights for .* it was not trained for .*; name a model that was"
    ) as refused:
        load_pipeline(PipelineSpec(task=task, model=build_model(kind), device="cpu"))
    assert [name for name in named if name not in str(refused.value)] == []
    assert "distilbert." not in str(refused.value)


@pytest.mark.parametrize("changes", [{}, {"quantization": "8bit"}, {"device": "auto", "device_map": "auto"}])
def test_a_missing_head_is_found_however_the_model_is_placed(build_model, changes):
    with pytest.raises(LoadError, match=r"no weights for pre_classifier\.weight"):
        load_pipeline(spec_of(build_model("features"), **changes))


def test_a_head_of_another_shape_in_the_checkpoint_is_a_missing_one(model):
    three = {"num_labels": 3, "ignore_mismatched_sizes": True}
    with pytest.raises(LoadError, match=r"no weights for classifier.weight, classifier.bias: it was"):
        load_pipeline(spec_of(model, model_kwargs=three))


@pytest.mark.parametrize(
    ("task", "kind"),
    [
        ("feature-extraction", "distilbert"),
        ("feature-extraction", "fill-mask"),
        ("image-feature-extraction", "vit"),  # without the pooler, which the head does not use
        ("text-generation", "gpt2"),  # tied to the embeddings
        ("fill-mask", "fill-mask"),
    ],
)
@pytest.mark.parametrize("changes", [{}, {"device_map": "auto", "device": "auto"}])
def test_a_checkpoint_that_lacks_only_what_the_task_does_not_use_is_taken(build_model, task, kind, changes):
    spec = PipelineSpec(task=task, model=build_model(kind), **{"device": "cpu", **changes})
    assert load_pipeline(spec).task == task


@pytest.mark.parametrize(
    ("task", "kind", "parameters"),
    [
        ("feature-extraction", "features", {"truncation": True, "tokenize_kwargs": {"truncation": True}}),
    ],
)
def test_parameters_that_the_pipeline_refuses_are_named(build_model, task, kind, parameters):
    with pytest.raises(SpecError, match=f"does not take the parameters .*{next(iter(parameters))}="):
        load_pipeline(PipelineSpec(task=task, model=build_model(kind), device="cpu", parameters=parameters))


@pytest.mark.parametrize("tokenizer", ["/no/such/folder", "no-such/tokenizer"])
def test_a_missing_tokenizer_is_named(model, tokenizer):
    with pytest.raises(ModelNotFoundError) as refused:
        load_pipeline(spec_of(model, tokenizer=tokenizer))
    assert refused.value.model == tokenizer


@pytest.mark.parametrize("device", ["cuda:7", 3, "cuda:63"])
def test_a_missing_device_is_refused_with_those_that_are_here(model, device):
    with pytest.raises(DeviceNotFoundError, match="cpu"):
        load_pipeline(spec_of(model, device=device))


@pytest.mark.parametrize(
    ("error", "package"),
    [
        (ImportError("No module named 'timm'", name="timm"), "timm"),
        (ImportError("This needs the soundfile library: `pip install soundfile`"), "soundfile"),
        (ImportError("requires accelerate: `pip install 'accelerate>=1.1'`"), "accelerate"),
    ],
)
def test_a_missing_package_is_named_with_the_command_that_installs_it(error, package):
    explained = load_failures.missing_package("someone/model", error)
    assert isinstance(explained, MissingPackageError)
    assert str(explained).endswith(f"pip install {package}")


def test_a_missing_package_without_a_name_is_told_as_it_is():
    explained = load_failures.missing_package("someone/model", ImportError("FlashAttention2 can't be used"))
    assert "FlashAttention2 can't be used" in str(explained)
    assert "pip install" not in str(explained)
