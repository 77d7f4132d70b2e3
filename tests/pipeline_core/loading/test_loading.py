"""Loading: what transformers gives, once a process, with errors that say what to do."""

import gc
import threading
import weakref

import pytest
import torch
import transformers
from tiny_models import SENTENCES

from pipeline_core import PipelineSpec, load_pipeline, loading, unload
from pipeline_core.devices import fastest_dtype, resolve_device
from pipeline_core.errors import LoadError, SpecError
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


def test_from_pretrained_is_put_back_after_a_load(model):
    before = vars(transformers.PreTrainedModel)["from_pretrained"]
    load_pipeline(spec_of(model))
    with pytest.raises(LoadError):
        load_pipeline(spec_of(model, attn_implementation="nope"))
    assert vars(transformers.PreTrainedModel)["from_pretrained"] is before


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
