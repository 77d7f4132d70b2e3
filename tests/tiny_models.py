"""Tiny models with the architecture of real ones, and the sentences that their tokenizers know."""

from collections.abc import Callable
from pathlib import Path

from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers

SENTENCES = [
    "A quiet triumph, patient and warm from the first frame to the last.",
    "Two hours I want back.",
    "The plot creaks, the jokes are older than the cast, and yet I laughed.",
    "Not bad at all!",
    "Who is this film for? Nobody I know, and nobody I would like to meet.",
    "Great score. Great cast. No story whatsoever, which is a strange thing to say of a mystery.",
]
WORDS = " ".join(SENTENCES).replace(",", "").replace(".", "").replace("!", "").replace("?", "").split()


def word_pieces() -> Tokenizer:
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokenizer.train_from_iterator(SENTENCES, trainers.WordPieceTrainer(vocab_size=300, special_tokens=special))
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[(token, tokenizer.token_to_id(token)) for token in ("[CLS]", "[SEP]")],
    )
    return tokenizer


def save_tokenizer(folder: Path, *, token_types: bool, max_length: int = 64) -> int:
    from transformers import PreTrainedTokenizerFast

    names = ["input_ids", "token_type_ids", "attention_mask"] if token_types else ["input_ids", "attention_mask"]
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=word_pieces(),
        model_max_length=max_length,
        model_input_names=names,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
    )
    tokenizer.save_pretrained(folder)
    return len(tokenizer)


def distilbert(folder: Path, head: str = "ForSequenceClassification", labels: tuple[str, ...] = ("NEG", "POS")) -> None:
    import transformers

    size = save_tokenizer(folder, token_types=False)
    config = transformers.DistilBertConfig(
        vocab_size=size,
        dim=32,
        hidden_dim=48,
        n_layers=2,
        n_heads=4,
        max_position_embeddings=64,
        initializer_range=0.4,  # far from zero, so that two texts never score the same
        id2label=dict(enumerate(labels)),
        label2id={label: index for index, label in enumerate(labels)},
    )
    getattr(transformers, f"DistilBert{head}")(config).save_pretrained(folder)


def bert(folder: Path) -> None:
    import transformers

    size = save_tokenizer(folder, token_types=True)
    config = transformers.BertConfig(
        vocab_size=size,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=64,
        initializer_range=0.4,
        id2label={0: "a", 1: "b", 2: "c"},
        label2id={"a": 0, "b": 1, "c": 2},
    )
    transformers.BertForSequenceClassification(config).save_pretrained(folder)


def gpt2(folder: Path) -> None:
    import transformers

    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=word_pieces(), model_max_length=64, unk_token="[UNK]", eos_token="[SEP]"
    )
    tokenizer._tokenizer.post_processor = processors.TemplateProcessing(single="$A", pair="$A $B", special_tokens=[])
    tokenizer.save_pretrained(folder)
    config = transformers.GPT2Config(
        vocab_size=len(tokenizer), n_embd=32, n_layer=2, n_head=4, n_positions=64, initializer_range=0.4, eos_token_id=3
    )
    transformers.GPT2LMHeadModel(config).save_pretrained(folder)


def vit(folder: Path) -> None:
    import transformers

    config = transformers.ViTConfig(
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=4,
        intermediate_size=48,
        image_size=32,
        patch_size=16,
        initializer_range=0.4,
        id2label={0: "cat", 1: "dog", 2: "bird"},
        label2id={"cat": 0, "dog": 1, "bird": 2},
    )
    transformers.ViTForImageClassification(config).save_pretrained(folder)
    transformers.ViTImageProcessorPil(size={"height": 32, "width": 32}).save_pretrained(folder)


BUILDERS: dict[str, Callable[[Path], None]] = {
    "distilbert": distilbert,
    "bert": bert,
    "gpt2": gpt2,
    "vit": vit,
    "features": lambda folder: distilbert(folder, "Model"),
    "fill-mask": lambda folder: distilbert(folder, "ForMaskedLM"),
    "answers": lambda folder: distilbert(folder, "ForQuestionAnswering"),
    "tokens": lambda folder: distilbert(folder, "ForTokenClassification", ("O", "B-X", "I-X")),
    "entailment": lambda folder: distilbert(folder, labels=("CONTRADICTION", "ENTAILMENT")),
}
