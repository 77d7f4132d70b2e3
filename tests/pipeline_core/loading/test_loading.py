"""Loading: what transformers gives, once a process, with errors that say what to do."""

import gc
import threading
import weakref

import pytest
import torch
import transformers
from safetensors.torch import load_file
from tiny_models import SENTENCES

from pipeline_core import PipelineSpec, load_failures, load_pipeline, loading, unload
from pipeline_core.devices import fastest_dtype, resolve_device
from pipeline_core.errors import (
    DeviceNotFoundError,
    LoadError,
    MissingPackageError,
    ModelNotFoundError,
    SpecError,
)
from pipeline_core.pinning import pin
from pipeline_core.spec import DEMO_MODEL

from .conftest import scores, spec_of


def test_a_loaded_pipeline_gives_what_transformers_gives(model):
    pipeline = load_pipeline(spec_of(model))
    theirs = transformers.pipeline("text-classification", model=model, device="cpu")
    assert isinstance(pipeline, transformers.Pipeline)
    assert pipeline(SENTENCES) == theirs(SENTENCES)
    assert not pipeline.model.training
    assert pipeline.commit is None


@pytest.mark.parametrize(
    ("task", "kind", "parameters", "inputs"),
    [
        ("text-classification", "distilbert", {"top_k": None, "function_to_apply": "none"}, SENTENCES),
        ("token-classification", "tokens", {"aggregation_strategy": "simple"}, SENTENCES),
        ("text-generation", "gpt2", {"max_new_tokens": 4, "do_sample": False, "return_full_text": False}, "A quiet"),
        ("zero-shot-classification", "entailment", {"candidate_labels": ["warm", "cold"]}, SENTENCES),
    ],
)
def test_parameters_are_the_defaults_of_the_call(build_model, task, kind, parameters, inputs):
    spec = PipelineSpec(task=task, model=build_model(kind), device="cpu", parameters=parameters)
    theirs = transformers.pipeline(task, model=build_model(kind), device="cpu")
    assert load_pipeline(spec)(inputs) == theirs(inputs, **parameters)


def test_a_call_may_override_a_parameter(model):
    pipeline = load_pipeline(spec_of(model, parameters={"top_k": None}))
    assert [len(pipeline(SENTENCES[:1], **called)[0]) for called in ({}, {"top_k": 1}, {})] == [2, 1, 2]


def test_specs_that_differ_only_in_parameters_share_one_model(model):
    plain = load_pipeline(spec_of(model))
    two = load_pipeline(spec_of(model, parameters={"top_k": 2}))
    assert two.model is plain.model
    assert two is not plain
    assert len(two(SENTENCES[:1])[0]) == 2
    assert plain(SENTENCES[0]) == load_pipeline(spec_of(model))(SENTENCES[0])
    assert load_pipeline(spec_of(model, task="sentiment-analysis", device=-1, on_long="error")).model is plain.model


def test_what_one_caller_sets_on_his_pipeline_is_not_seen_by_the_next(model):
    load_pipeline(spec_of(model))._postprocess_params = {"top_k": None}
    assert load_pipeline(spec_of(model))._postprocess_params == {}


@pytest.mark.parametrize(
    "changes", [{"dtype": "bfloat16"}, {"attn_implementation": "eager"}, {"device_map": "auto", "device": "auto"}]
)
def test_specs_that_differ_in_how_they_load_share_nothing(model, changes):
    assert load_pipeline(spec_of(model)).model is not load_pipeline(spec_of(model, **changes)).model


@pytest.mark.parametrize(("most", "warm"), [(None, 2), ("1", 1), ("3", 3), ("0", 1)])
def test_only_the_last_few_models_stay_warm(build_model, monkeypatch, most, warm):
    if most is None:
        monkeypatch.delenv("PIPELINE_FLOWS_WARM_MODELS", raising=False)
    else:
        monkeypatch.setenv("PIPELINE_FLOWS_WARM_MODELS", most)
    kinds = ["distilbert", "bert", "entailment", "distilbert"]
    loaded = [weakref.ref(load_pipeline(spec_of(build_model(kind))).model) for kind in kinds]
    gc.collect()
    assert len({id(model()) for model in loaded if model() is not None}) == warm
    assert loaded[-1]() is not None


@pytest.mark.parametrize("most", ["x", "-1", "1.5"])
def test_a_number_of_warm_models_that_is_none_is_refused(model, monkeypatch, most):
    monkeypatch.setenv("PIPELINE_FLOWS_WARM_MODELS", most)
    with pytest.raises(
        SpecError, match=f"PIPELINE_FLOWS_WARM_MODELS must be a whole number from 1 up, but is '{most}'"
    ):
        load_pipeline(spec_of(model))


def test_the_model_asked_for_last_stays_longest(build_model):
    specs = [spec_of(build_model(kind)) for kind in ("distilbert", "bert", "entailment")]
    first = load_pipeline(specs[0]).model
    load_pipeline(specs[1])
    load_pipeline(specs[0])
    load_pipeline(specs[2])
    assert load_pipeline(specs[0]).model is first


def test_unload_frees_the_weights(build_model):
    specs = [spec_of(build_model(kind)) for kind in ("distilbert", "bert")]
    models = [weakref.ref(load_pipeline(spec).model) for spec in specs]
    unload(specs[0])
    assert [model() is None for model in models] == [True, False]
    unload()
    assert [model() is None for model in models] == [True, True]


def test_threads_that_load_at_once_load_once(model, monkeypatch):
    real, calls = loading._load, []
    monkeypatch.setattr(loading, "_load", lambda spec: calls.append(spec) or real(spec))
    together, loaded = threading.Barrier(4), []

    def load() -> None:
        together.wait()
        loaded.append(load_pipeline(spec_of(model)))

    threads = [threading.Thread(target=load) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(calls) == 1
    assert len({id(pipeline.model) for pipeline in loaded}) == 1
    assert len({id(pipeline) for pipeline in loaded}) == 4


def test_a_folder_whose_weights_changed_is_loaded_again(folder):
    before = scores(load_pipeline(spec_of(folder)))
    changed = transformers.AutoModelForSequenceClassification.from_pretrained(folder)
    torch.nn.init.ones_(changed.classifier.bias[:1])
    changed.save_pretrained(folder)
    after = scores(load_pipeline(spec_of(folder)))
    assert (after[:, 0] > before[:, 0]).all()


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_weights_have_the_dtype_asked_for(model, dtype):
    pipeline = load_pipeline(spec_of(model, dtype=dtype))
    assert {weight.dtype for weight in pipeline.model.parameters()} == {getattr(torch, dtype)}


def test_the_fastest_dtype_is_this_devices_and_shares_the_model_with_its_name(model):
    fastest = fastest_dtype(resolve_device("cpu"))
    pipeline = load_pipeline(spec_of(model, dtype="fastest"))
    assert pipeline.model.dtype == fastest
    assert load_pipeline(spec_of(model, dtype=str(fastest).removeprefix("torch."))).model is pipeline.model


def test_the_dtype_is_the_checkpoints_unless_named(folder):
    in_half = transformers.AutoModelForSequenceClassification.from_pretrained(folder, dtype=torch.bfloat16)
    in_half.save_pretrained(folder)
    assert load_pipeline(spec_of(folder)).model.dtype == torch.bfloat16


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_the_attention_is_the_one_asked_for_and_changes_no_answer(model, attention):
    pipeline = load_pipeline(spec_of(model, attn_implementation=attention))
    assert pipeline.model.config._attn_implementation == attention
    torch.testing.assert_close(scores(pipeline), scores(load_pipeline(spec_of(model))), atol=1e-4, rtol=0)


@pytest.mark.parametrize("device_map", ["auto", {"": "cpu"}])
def test_a_device_map_places_the_model_and_changes_no_answer(model, device_map):
    pipeline = load_pipeline(spec_of(model, device="auto", device_map=device_map))
    torch.testing.assert_close(scores(pipeline), scores(load_pipeline(spec_of(model))))


def test_parameters_go_with_a_model_that_accelerate_has_spread(model, tmp_path):
    spread = {"distilbert": "cpu", "pre_classifier": "disk", "classifier": "cpu"}
    placed = {"device": "auto", "device_map": spread, "model_kwargs": {"offload_folder": str(tmp_path)}}
    pipeline = load_pipeline(spec_of(model, **placed))
    assert pipeline.model.hf_device_map == spread
    two = load_pipeline(spec_of(model, parameters={"top_k": 2}, **placed))
    assert two.model is pipeline.model
    assert len(two(SENTENCES[:1])[0]) == 2
    torch.testing.assert_close(scores(two), scores(load_pipeline(spec_of(model))))


def test_another_tokenizer_is_taken_where_one_is_named(model, build_model, folder):
    for file in folder.glob("token*"):
        file.unlink()
    pipeline = load_pipeline(spec_of(folder, tokenizer=model))
    assert pipeline(SENTENCES) == load_pipeline(spec_of(model))(SENTENCES)


def test_weights_are_copied_without_a_bar_and_the_switch_is_put_back(model, capfd):
    hook = transformers.utils.logging.set_tqdm_hook(None)
    try:
        load_pipeline(spec_of(model))
        assert "Loading weights" not in capfd.readouterr().err
        transformers.AutoModel.from_pretrained(model)
        assert "Loading weights" in capfd.readouterr().err
    finally:
        transformers.utils.logging.set_tqdm_hook(hook)


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


def test_from_pretrained_is_put_back_after_a_load(model):
    before = vars(transformers.PreTrainedModel)["from_pretrained"]
    load_pipeline(spec_of(model))
    with pytest.raises(LoadError):
        load_pipeline(spec_of(model, attn_implementation="nope"))
    assert vars(transformers.PreTrainedModel)["from_pretrained"] is before


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


def test_the_demo_model_is_a_folder_of_this_package():
    pinned = pin(spec_of(DEMO_MODEL))
    assert pinned.spec.model == pinned.model.name == DEMO_MODEL
    assert pinned.model.content.startswith("xxh3:")
    [answer] = load_pipeline(spec_of(DEMO_MODEL))(["A quiet triumph."])
    assert set(answer) == {"label", "score"}


def test_what_a_pipeline_was_made_with_holds_in_every_call(build_model):
    from media_files import picture

    labels = {"candidate_labels": ["warm", "cold"]}
    clip = load_pipeline(
        PipelineSpec(task="zero-shot-image-classification", model=build_model("clip"), device="cpu", parameters=labels)
    )
    assert {found["label"] for found in clip(picture())} == {"warm", "cold"}
    assert [found["label"] for found in clip(picture(), ["odd"])] == ["odd"]
    assert [found["label"] for found in clip(picture(), candidate_labels=["odd"])] == ["odd"]

    speaker = PipelineSpec(
        task="text-to-audio",
        model=build_model("vits"),
        device="cpu",
        parameters={"forward_params": {"speaker_id": None}},
    )
    pipeline = load_pipeline(speaker)
    assert pipeline._sanitize_parameters()[1]["forward_params"] == {"speaker_id": None}
    assert pipeline._sanitize_parameters(forward_params={"speaker_id": 1})[1]["forward_params"] == {"speaker_id": 1}
    assert pipeline("A film.")["audio"].size
