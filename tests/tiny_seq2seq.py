"""Tiny encoder-decoders and question answerers, whose weights any release of transformers builds alike."""

import zlib
from pathlib import Path
from typing import Any

import numpy as np
from tiny_models import SENTENCES, WORDS
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

SPECIAL = ["<pad>", "<s>", "</s>", "<unk>"]
PREFIXES = {
    "summarization": "summarize : ",
    "translation_en_to_de": "into German : ",
    "translation_en_to_fr": "into French : ",
}
LANGUAGES = ["eng_Latn", "fra_Latn", "deu_Latn"]


def save_filled(model: Any, folder: Path, spread: float = 0.5) -> None:
    """Save a model with each weight filled with the numbers that belong to its name in the checkpoint."""
    from safetensors.numpy import load_file, save_file

    model.save_pretrained(folder)
    weights = load_file(folder / "model.safetensors")
    for name, drawn in weights.items():
        numbers = np.random.default_rng(zlib.crc32(name.encode())).normal(0, spread, drawn.shape)
        if "norm" in name.lower() and name.endswith("weight"):
            numbers = 1 + 0.2 * numbers
        if drawn.dtype == np.float32:
            weights[name] = numbers.astype(np.float32)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def save_words(
    folder: Path, *, first: str | None, last: str, extra: tuple[str, ...] = (), limit: int = 64
) -> dict[str, int]:
    """Save a tokenizer of the known words, their letters and ``extra``; return its vocabulary."""
    from transformers import PreTrainedTokenizerFast

    words = sorted(
        {word.lower() for word in WORDS} | {word for text in PREFIXES.values() for word in text.lower().split()}
    )
    letters = sorted({letter for text in SENTENCES for letter in text.lower() if letter.isalpha()})
    pieces = [*SPECIAL, *extra, *".,!?:", *letters, *(f"##{letter}" for letter in letters)]
    vocabulary = {piece: number for number, piece in enumerate(dict.fromkeys([*pieces, *words]))}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="<unk>"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece(cleanup=False)
    before = [first] if first else []
    tokenizer.post_processor = processors.TemplateProcessing(
        single=[*before, "$A", last],
        pair=[*before, "$A", last, "$B", last],
        special_tokens=[(token, vocabulary[token]) for token in ("<s>", "</s>")],
    )
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        model_max_length=limit,
        model_input_names=["input_ids", "attention_mask"],
        pad_token="<pad>",
        bos_token="<s>",
        eos_token="</s>",
        unk_token="<unk>",
        cls_token="<s>",
        sep_token="</s>",
    )
    fast.save_pretrained(folder)
    return vocabulary


def t5(folder: Path, *, lengths: bool = False) -> None:
    """A T5 with prefixes and beams for its tasks and, if ``lengths``, a generation config of its own."""
    import transformers

    size = len(save_words(folder, first=None, last="</s>"))
    specific: dict[str, dict[str, Any]] = {
        task: {"prefix": prefix, "num_beams": 2} for task, prefix in PREFIXES.items()
    }
    specific["summarization"] |= {"max_length": 12, "min_length": 4, "no_repeat_ngram_size": 2, "early_stopping": True}
    config = transformers.T5Config(
        vocab_size=size,
        d_model=32,
        d_kv=8,
        d_ff=48,
        num_layers=2,
        num_heads=4,
        decoder_start_token_id=0,
        eos_token_id=2,
        pad_token_id=0,
        task_specific_params=specific,
    )
    model = transformers.T5ForConditionalGeneration(config)
    model.generation_config = transformers.GenerationConfig(
        decoder_start_token_id=0,
        eos_token_id=2,
        pad_token_id=0,
        **({"num_beams": 2, "max_new_tokens": 4} if lengths else {}),
    )
    save_filled(model, folder)


def bart(folder: Path) -> None:
    import transformers

    size = len(save_words(folder, first="<s>", last="</s>"))
    config = transformers.BartConfig(
        vocab_size=size,
        d_model=32,
        encoder_layers=2,
        decoder_layers=2,
        encoder_attention_heads=4,
        decoder_attention_heads=4,
        encoder_ffn_dim=48,
        decoder_ffn_dim=48,
        max_position_embeddings=64,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        decoder_start_token_id=2,
        forced_eos_token_id=2,
        forced_bos_token_id=None,
    )
    save_filled(transformers.BartForConditionalGeneration(config), folder, 1.5)


def answerer(folder: Path) -> None:
    """A RoBERTa-like extractive question answerer."""
    import transformers

    size = len(save_words(folder, first="<s>", last="</s>"))
    config = transformers.RobertaConfig(
        vocab_size=size,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=80,
        type_vocab_size=1,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
    )
    save_filled(transformers.RobertaForQuestionAnswering(config), folder, 0.6)
