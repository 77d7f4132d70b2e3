"""Models of fewer bits answer nearly the same, and have the layers asked for."""

import logging

import pytest
import torch
import transformers
from real_models import MODELS, needs_models
from tiny_models import SENTENCES

from pipeline_core import PipelineSpec, load_pipeline, quantization, unload
from pipeline_core.errors import MissingPackageError

from .conftest import scores, spec_of


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


def test_without_bitsandbytes_quantization_says_what_to_install(model, monkeypatch):
    monkeypatch.setattr(quantization, "find_spec", lambda name: None)
    with pytest.raises(MissingPackageError, match="pip install bitsandbytes"):
        load_pipeline(spec_of(model, quantization="8bit"))


@pytest.mark.real
@needs_models
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
    model = MODELS / "distilbert-random"

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
