"""Padding is used where trying it shows that it changes no answer, and nowhere else."""

import pytest
import transformers
from reference import alone, run, same, text_of
from tiny_models import save_tokenizer

from pipeline_core import BatchPolicy, PipelineSpec, infer, load_pipeline
from pipeline_core.inference import make_stages

TEXTS = [text_of(words) for words in (1, 3, 30, 12, 7, 45, 2, 20, 3, 30)]
SIZES = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}


def build(folder, kind: str, *, side: str = "right", names=None, **changes) -> PipelineSpec:
    size = save_tokenizer(folder, token_types=False)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    tokenizer.padding_side = side
    if names is not None:
        tokenizer.model_input_names = names
    tokenizer.save_pretrained(folder)
    common = {"vocab_size": size, "max_position_embeddings": 64, "initializer_range": 0.4, "pad_token_id": 0, **changes}
    if kind == "GPT2":
        common |= {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64}
    elif kind == "ConvBert":
        common |= {**SIZES, "embedding_size": 32}
    else:
        common |= SIZES
    config = getattr(transformers, f"{kind}Config")(**common)
    getattr(transformers, f"{kind}ForSequenceClassification")(config).save_pretrained(folder)
    return PipelineSpec(task="text-classification", model=str(folder), device="cpu")


@pytest.mark.parametrize(
    ("kind", "settings", "batching"),
    [
        ("Bert", {}, "pad"),
        ("Bert", {"side": "left"}, "pad"),
        ("Bert", {"names": ["input_ids"]}, "shape"),
        ("FNet", {"tpu_short_seq_length": 64}, "shape"),
        ("ConvBert", {}, "shape"),
        ("GPT2", {}, "pad"),
        ("GPT2", {"side": "left"}, "pad"),
        ("GPT2", {"pad_token_id": 7}, "shape"),
        ("GPT2", {"pad_token_id": None}, "alone"),
    ],
)
@pytest.mark.parametrize("policy", [BatchPolicy(batch_size=4), BatchPolicy()])
def test_unequal_texts_get_the_answers_they_have_alone(tmp_path, kind, settings, batching, policy):
    spec = build(tmp_path, kind, **settings)
    pipeline = load_pipeline(spec)
    predictions = list(infer(spec, TEXTS, batch=policy))
    assert all(prediction.error is None for prediction in predictions), predictions
    assert same([p.output for p in predictions], [alone(pipeline, text) for text in TEXTS])
    assert make_stages(pipeline, spec).batching == batching


def test_texts_of_one_length_share_a_batch_where_padding_is_of_no_use(tmp_path):
    spec = build(tmp_path, "ConvBert")
    stages = make_stages(load_pipeline(spec), spec)
    sizes = []
    forward = stages.forward
    stages.forward = lambda chunks: sizes.append({chunk.length for chunk in chunks}) or forward(chunks)
    run(stages, TEXTS * 5, BatchPolicy(batch_size=64))
    assert all(len(lengths) == 1 for lengths in sizes)
    assert len(sizes) == len({len(text.split()) for text in TEXTS})
