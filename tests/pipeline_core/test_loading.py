"""Loading: what transformers gives, once a process, with errors that say what to do."""

import gc
import logging
import os
import shutil
import threading
import weakref
from pathlib import Path

import pytest
import torch
import transformers
from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError
from safetensors.torch import load_file
from tiny_models import SENTENCES

from pipeline_core import PipelineSpec, load_failures, load_pipeline, loading, pinning, quantization, unload
from pipeline_core.devices import fastest_dtype, resolve_device
from pipeline_core.errors import (
    DeviceNotFoundError,
    LoadError,
    MissingPackageError,
    ModelAccessError,
    ModelNotFoundError,
    SpecError,
    is_retryable,
)
from pipeline_core.pinning import PinnedSpec, pin
from pipeline_core.spec import DEMO_MODEL

TOKEN = "hf_PLANTED"


@pytest.fixture(autouse=True, scope="module")
def quick():
    """One thread is enough for tiny models, and what the imports made need not be looked through for garbage."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    gc.unfreeze()
    torch.set_num_threads(threads)


@pytest.fixture(autouse=True)
def nothing_warm():
    unload()
    gc.freeze()
    yield
    unload()


@pytest.fixture
def model(build_model) -> str:
    return build_model("distilbert")


@pytest.fixture
def folder(model, tmp_path) -> Path:
    """A copy of the model that a test may spoil."""
    return Path(shutil.copytree(model, tmp_path / "model"))


def spec_of(model, **changes) -> PipelineSpec:
    return PipelineSpec(**{"task": "text-classification", "model": str(model), "device": "cpu", **changes})


def scores(pipeline) -> torch.Tensor:
    """Those of NEG and POS for each sentence."""
    answers = [{answer["label"]: answer["score"] for answer in row} for row in pipeline(SENTENCES, top_k=None)]
    return torch.tensor([[answer["NEG"], answer["POS"]] for answer in answers])


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


def quantized(pipeline, name: str) -> int:
    return sum(type(layer).__name__ == name for layer in pipeline.model.modules())


@pytest.mark.parametrize("bits", ["8bit", {"load_in_8bit": True, "llm_int8_threshold": 0.0}])
def test_eight_bits_are_bitsandbytes_layers_that_answer_nearly_the_same(model, bits):
    pipeline = load_pipeline(spec_of(model, quantization=bits))
    assert quantized(pipeline, "Linear8bitLt") >= 12
    torch.testing.assert_close(scores(pipeline), scores(load_pipeline(spec_of(model))), atol=0.1, rtol=0)


@pytest.mark.parametrize(
    "bits", ["4bit", {"load_in_4bit": True}, {"load_in_4bit": True, "bnb_4bit_use_double_quant": True}]
)
@pytest.mark.parametrize(("task", "kind"), [("text-classification", "distilbert"), ("text-generation", "gpt2")])
def test_four_bits_run_on_a_cpu_even_where_layers_are_too_narrow_for_its_kernel(build_model, task, kind, bits):
    pipeline = load_pipeline(PipelineSpec(task=task, model=build_model(kind), device="cpu", quantization=bits))
    assert quantized(pipeline, "Linear4bit") >= 8
    with torch.inference_mode():
        logits = pipeline.model(**pipeline.tokenizer(SENTENCES[0], return_tensors="pt")).logits
    assert torch.isfinite(logits).all()


def test_wide_layers_keep_the_fast_kernel_and_it_agrees_with_the_plain_one(folder):
    from bitsandbytes.functional import has_avx512bf16

    config = transformers.AutoConfig.from_pretrained(folder)
    config.dim, config.hidden_dim, config.initializer_range = 64, 128, 0.1  # small, so that rounding stays so
    torch.manual_seed(11)
    transformers.DistilBertForSequenceClassification(config).save_pretrained(folder)
    pipeline = load_pipeline(spec_of(folder, quantization="4bit"))
    layers = {name: layer for name, layer in pipeline.model.named_modules() if type(layer).__name__ == "Linear4bit"}
    fast = {name for name, layer in layers.items() if layer.support_avx512bf16_for_cpu}
    assert fast == (layers.keys() - {"classifier"} if has_avx512bf16() else set())
    found = scores(pipeline)
    unload()
    plain = load_pipeline(spec_of(folder, quantization="4bit"))
    for layer in plain.model.modules():
        layer.support_avx512bf16_for_cpu = False
    torch.testing.assert_close(found, scores(plain), atol=0.05, rtol=0)


def test_eight_bit_layers_do_not_comment_on_every_forward_pass(model, caplog):
    pipeline = load_pipeline(spec_of(model, quantization="8bit"))
    caplog.clear()
    with caplog.at_level(logging.DEBUG):
        pipeline(SENTENCES)
        logging.getLogger("bitsandbytes.autograd._functions").warning("something else")
    assert [record.message for record in caplog.records if record.name.startswith("bitsandbytes")] == ["something else"]


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


def test_an_unknown_name_of_the_hub_says_what_can_be_done_offline():
    with pytest.raises(ModelNotFoundError, match="hf download no-such/model") as refused:
        load_pipeline(spec_of("no-such/model"))
    assert not is_retryable(refused.value)


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


def test_without_bitsandbytes_quantization_says_what_to_install(model, monkeypatch):
    monkeypatch.setattr(quantization, "find_spec", lambda name: None)
    with pytest.raises(MissingPackageError, match="pip install bitsandbytes"):
        load_pipeline(spec_of(model, quantization="8bit"))


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


def raised_from(message: str, cause: Exception | None) -> OSError:
    """An error as transformers raises it about the Hub's answer."""
    try:
        raise OSError(message) from cause
    except OSError as error:
        return error


def answer(kind: type[Exception], message: str) -> Exception:
    import httpx

    response = httpx.Response(401, request=httpx.Request("HEAD", "https://huggingface.co/someone/model"))
    return kind(message, response=response)


NOT_LISTED = "someone/model is not a local folder and is not a valid model identifier listed on 'https://hf.co/models'"


@pytest.mark.parametrize(
    ("error", "kind", "said"),
    [
        (
            raised_from(
                "You are trying to access a gated repo.\nMake sure ...", answer(GatedRepoError, "403 Client Error")
            ),
            ModelAccessError,
            "HF_TOKEN",
        ),
        (raised_from("There was a specific connection error", OSError("403 Forbidden")), ModelAccessError, "HF_TOKEN"),
        (raised_from(NOT_LISTED, answer(RepositoryNotFoundError, "401 Client Error.")), ModelNotFoundError, "HF_TOKEN"),
        (
            raised_from("v9 is not a valid git identifier", answer(RevisionNotFoundError, "404 Client Error.")),
            ModelNotFoundError,
            "v9 is not a valid git identifier",
        ),
        (raised_from("Disk quota exceeded", None), ModelNotFoundError, "Disk quota exceeded"),
        (ValueError("Unrecognized configuration class"), LoadError, "Unrecognized configuration class"),
        (OSError(), ModelNotFoundError, "OSError"),
    ],
)
def test_the_hubs_answers_are_told_apart(error, kind, said):
    explained = load_failures.explain("someone/model", None, error)
    assert type(explained) is kind
    assert said in str(explained)
    assert not is_retryable(explained)


def test_a_hub_that_can_not_be_reached_is_worth_another_try_unless_offline(monkeypatch):
    error = raised_from("We couldn't connect to 'https://huggingface.co' to load the files", None)
    assert not is_retryable(load_failures.explain("someone/model", None, error))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    assert is_retryable(load_failures.explain("someone/model", None, error))


@pytest.mark.parametrize("name", ["no-such/model", "/no/such/folder"])
def test_a_token_is_in_no_message(name):
    with pytest.raises(LoadError) as refused:
        load_pipeline(spec_of(name, token=TOKEN))
    error: BaseException | None = refused.value
    while error is not None:
        assert TOKEN not in str(error) + repr(error)
        error = error.__cause__ or error.__context__


def test_a_token_decides_neither_the_model_nor_the_answer(model):
    assert load_pipeline(spec_of(model, token=TOKEN)).model is load_pipeline(spec_of(model)).model


def test_a_pinned_folder_is_known_by_its_files_and_not_by_its_place(model, folder):
    pinned = pin(spec_of(model))
    assert pinned.spec.model == model
    assert pinned.model.content.startswith("xxh3:")
    assert pinned.model.revision is None
    assert pin(spec_of(folder)).fingerprint == pinned.fingerprint
    assert pin(spec_of(folder)).model.name == str(folder)


@pytest.mark.parametrize("refuse", [pin, load_pipeline])
def test_a_folder_has_no_revisions(folder, refuse):
    for name in (str(folder), "demo:sentiment"):
        with pytest.raises(SpecError, match="revision is for a model of the Hub"):
            refuse(spec_of(name, revision="main"))


def test_texts_and_hidden_files_of_a_folder_change_no_fingerprint(folder):
    before = pin(spec_of(folder)).fingerprint
    (folder / "README.md").write_text("# Another card")
    (folder / ".cache" / "huggingface").mkdir(parents=True)
    (folder / ".cache" / "huggingface" / "download.metadata").write_text("when it was copied")
    (folder / ".gitattributes").write_text("*.safetensors")
    assert pin(spec_of(folder)).fingerprint == before


@pytest.mark.parametrize(
    "name",
    [
        "runs/events.out.1",
        "checkpoint-5/model.safetensors",
        "checkpoint-5/optimizer.pt",
        "events.out.tfevents.1",
        "optimizer.pt",
        "rng_state_0.pth",
        "scaler.pt",
        "scheduler.pt",
        "trainer_state.json",
        "training_args.bin",
    ],
)
def test_what_a_training_left_changes_no_fingerprint_and_loads_nothing_again(folder, name):
    before, loaded = pin(spec_of(folder)).fingerprint, load_pipeline(spec_of(folder)).model
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_text("x")
    assert pin(spec_of(folder)).fingerprint == before
    assert load_pipeline(spec_of(folder)).model is loaded


def test_the_files_of_the_subfolder_that_is_loaded_are_the_ones_that_count(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "both" / "inner")
    spec = spec_of(tmp_path / "both", model_kwargs={"subfolder": "inner"})
    before = pin(spec).fingerprint
    (tmp_path / "both" / "inner" / "config.json").write_text("{}")
    assert pin(spec).fingerprint != before
    with pytest.raises(ModelNotFoundError, match="no subfolder 'outer'"):
        pin(spec_of(tmp_path / "both", model_kwargs={"subfolder": "outer"}))


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "tokenizer.json"])
def test_one_byte_of_a_folder_changes_its_fingerprint(folder, name):
    before = pin(spec_of(folder)).fingerprint
    content = bytearray((folder / name).read_bytes())
    content[-1] ^= 1
    (folder / name).write_bytes(content)
    os.utime(folder / name, ns=(0, 0))
    assert pin(spec_of(folder)).fingerprint != before


def test_a_file_that_is_renamed_added_or_removed_changes_the_fingerprint(folder):
    seen = {pin(spec_of(folder)).fingerprint}
    (folder / "vocab.txt").write_text("x")
    seen.add(pin(spec_of(folder)).fingerprint)
    (folder / "vocab.txt").rename(folder / "words.txt")
    seen.add(pin(spec_of(folder)).fingerprint)
    assert len(seen) == 3
    (folder / "words.txt").unlink()
    assert pin(spec_of(folder)).fingerprint in seen


def test_another_tokenizers_files_are_part_of_the_fingerprint(model, folder):
    before = pin(spec_of(model, tokenizer=str(folder))).fingerprint
    assert before != pin(spec_of(model)).fingerprint
    (folder / "tokenizer.json").write_text("{}")
    assert pin(spec_of(model, tokenizer=str(folder))).fingerprint != before


@pytest.mark.parametrize(
    ("changes", "same"), [({"device": "auto"}, True), ({"token": TOKEN}, True), ({"parameters": {"top_k": 2}}, False)]
)
def test_a_pinned_fingerprint_changes_as_the_specs_does(model, changes, same):
    assert (pin(spec_of(model, **changes)).fingerprint == pin(spec_of(model)).fingerprint) is same


def test_the_fastest_dtype_is_pinned_by_name(model):
    pinned = pin(spec_of(model, dtype="fastest"))
    assert pinned.spec.dtype == pinned.model.dtype == str(fastest_dtype(resolve_device("cpu"))).removeprefix("torch.")
    assert pinned.fingerprint == pin(spec_of(model, dtype=pinned.spec.dtype)).fingerprint


def test_a_model_of_the_hub_is_pinned_by_its_revision():
    pinned = pin(spec_of("someone/model", revision="abc"))
    assert (pinned.spec.revision, pinned.model.revision, pinned.model.content) == ("abc", "abc", None)
    assert pin(spec_of("someone/model", revision="abd")).fingerprint != pinned.fingerprint


def test_another_tokenizer_of_the_hub_is_loaded_at_the_commit_that_it_is_pinned_to(model, monkeypatch):
    asked = []

    def load(name, revision=None, **_):
        asked.append((name, revision))
        return real(model)

    real = transformers.AutoTokenizer.from_pretrained
    commits = {("someone/tokenizer", None): "c0ffee", ("someone/tokenizer", "c0ffee"): "c0ffee"}
    monkeypatch.setattr(pinning, "_commit", lambda name, revision, spec: commits[name, revision])
    pinned = pin(spec_of(model, tokenizer="someone/tokenizer"))
    assert (pinned.spec.tokenizer, pinned.model.tokenizer) == ("someone/tokenizer@c0ffee", "c0ffee")
    assert pin(pinned.spec) == pinned
    monkeypatch.setattr(transformers.AutoTokenizer, "from_pretrained", load)
    load_pipeline(pinned.spec)
    assert asked == [("someone/tokenizer", "c0ffee")]


def test_a_tokenizer_that_no_hub_can_tell_the_commit_of_keeps_its_name(model):
    pinned = pin(spec_of(model, tokenizer="no-such/tokenizer"))
    assert (pinned.spec.tokenizer, pinned.model.tokenizer) == ("no-such/tokenizer", None)
    assert pin(spec_of(model, tokenizer="no-such/tokenizer@refs/pr/1")).model.tokenizer == "refs/pr/1"


def test_the_tasks_own_model_is_pinned_by_its_name():
    pinned = pin(PipelineSpec(task="sentiment-analysis"))
    assert pinned.spec.model == pinned.model.name == "distilbert/distilbert-base-uncased-finetuned-sst-2-english"


def test_a_pinned_spec_of_a_spec_and_a_record_is_the_same(model):
    pinned = pin(spec_of(model, dtype="fastest"))
    assert PinnedSpec(spec=spec_of(model, dtype="fastest"), model=pinned.model).fingerprint == pinned.fingerprint


@pytest.mark.parametrize(
    ("card", "licence"),
    [
        ("---\nlicense: apache-2.0\ntags: [x]\n---\n# Model", "apache-2.0"),
        ('---\ntags: [x]\nlicense: "mit"  # yes\n---\n', "mit"),
        ("---\nlicense:\n- cc-by-4.0\n---\n", "cc-by-4.0"),
        ("---\nlicense:\ntags: [x]\n---\n", None),
        ("# Model\nlicense: mit\n", None),
        ("---\nlanguage: en\n---\nlicense: mit\n", None),
        (None, None),
    ],
)
def test_the_licence_is_the_one_of_the_cards_front_matter(folder, card, licence):
    if card is not None:
        (folder / "README.md").write_text(card)
    assert pin(spec_of(folder)).model.licence == licence


def test_a_card_that_is_no_text_names_no_licence(folder):
    (folder / "README.md").write_bytes(b"\xff\xfe\x00")
    assert pin(spec_of(folder)).model.licence is None


def test_a_missing_folder_can_not_be_pinned():
    with pytest.raises(ModelNotFoundError):
        pin(spec_of("/no/such/folder"))


def test_the_demo_model_is_a_folder_of_this_package():
    pinned = pin(spec_of(DEMO_MODEL))
    assert pinned.spec.model == pinned.model.name == DEMO_MODEL
    assert pinned.model.content.startswith("xxh3:")
    [answer] = load_pipeline(spec_of(DEMO_MODEL))(["A quiet triumph."])
    assert set(answer) == {"label", "score"}


@pytest.mark.real
@pytest.mark.parametrize(
    ("changes", "layer", "tolerance"),
    [
        ({"device_map": "auto", "device": "auto"}, "Linear", 1e-5),
        ({"quantization": "8bit"}, "Linear8bitLt", 0.05),
        ({"quantization": "4bit"}, "Linear4bit", 0.1),
        ({"quantization": {"load_in_4bit": True, "bnb_4bit_compute_dtype": "bfloat16"}}, "Linear4bit", 0.1),
        ({"quantization": "4bit", "device_map": "auto", "device": "auto"}, "Linear4bit", 0.1),
    ],
)
def test_a_model_of_full_size_answers_nearly_the_same_however_it_is_loaded(changes, layer, tolerance):
    models = os.environ.get("PIPELINE_FLOWS_MODELS")
    if not models:
        pytest.skip("PIPELINE_FLOWS_MODELS names no folder of models")
    model = Path(models) / "distilbert-random"

    def logits(spec: PipelineSpec) -> torch.Tensor:
        pipeline = load_pipeline(spec)
        assert quantized(pipeline, layer) >= 36 or layer == "Linear"
        inputs = pipeline.tokenizer(SENTENCES, padding=True, return_tensors="pt").to(pipeline.device)
        with torch.inference_mode():
            return pipeline.model(**inputs).logits.float().cpu()

    wanted = transformers.pipeline("text-classification", model=str(model), device="cpu").model
    tokenizer = transformers.AutoTokenizer.from_pretrained(model)
    with torch.inference_mode():
        whole = wanted(**tokenizer(SENTENCES, padding=True, return_tensors="pt")).logits
    torch.testing.assert_close(logits(spec_of(model, **changes)), whole, atol=tolerance, rtol=0)


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
