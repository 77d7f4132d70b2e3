"""Train the bundled sentiment model from scratch on IMDB's training split, on a CPU.

    python -m pipeline_core.demo.train --imdb FOLDER --out FOLDER

``--imdb`` holds ``train.parquet`` and ``test.parquet`` with the columns ``text`` and ``label``
(0 negative, 1 positive). The test split is read once, at the end, to print the accuracy.
"""

import argparse
import math
import random
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import (
    DistilBertConfig,
    DistilBertForSequenceClassification,
    PreTrainedTokenizerFast,
)

VOCABULARY = 8_000
MAX_LENGTH = 512
LABELS = ("NEGATIVE", "POSITIVE")


def train_tokenizer(texts: list[str]) -> PreTrainedTokenizerFast:
    """Fit an uncased WordPiece vocabulary of ``VOCABULARY`` entries on ``texts``."""
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    trainer = trainers.WordPieceTrainer(vocab_size=VOCABULARY, special_tokens=special)
    tokenizer.train_from_iterator(texts, trainer)
    ends = [(token, tokenizer.token_to_id(token)) for token in ("[CLS]", "[SEP]")]
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=ends
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        model_max_length=MAX_LENGTH,
        model_input_names=["input_ids", "attention_mask"],
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
    )


def build_model(tokenizer: PreTrainedTokenizerFast) -> DistilBertForSequenceClassification:
    """A 2-layer DistilBERT of width 128 with random weights."""
    config = DistilBertConfig(
        vocab_size=len(tokenizer),
        max_position_embeddings=MAX_LENGTH,
        dim=128,
        hidden_dim=512,
        n_layers=2,
        n_heads=4,
        dropout=0.2,
        seq_classif_dropout=0.3,
        pad_token_id=tokenizer.pad_token_id,
        id2label=dict(enumerate(LABELS)),
        label2id={label: n for n, label in enumerate(LABELS)},
    )
    return DistilBertForSequenceClassification(config)


def fit_embeddings(
    model: DistilBertForSequenceClassification, encoded: list[list[int]], labels: torch.Tensor, epochs: int = 2
) -> None:
    """Start the model's word embeddings from those of a bag of words that was fitted to the labels.

    A mean of embeddings under a linear layer learns in seconds which words speak for which label; the
    transformer then has to learn only what their order adds.
    """
    bag = torch.nn.EmbeddingBag(model.config.vocab_size, model.config.dim, mode="mean")
    head = torch.nn.Linear(bag.embedding_dim, len(LABELS))
    torch.nn.init.normal_(bag.weight, std=0.1)
    optimizer = torch.optim.Adam([*bag.parameters(), *head.parameters()], lr=4e-3)
    for _ in range(epochs):
        order = torch.randperm(len(encoded)).tolist()
        for start in range(0, len(order), 128):
            rows = order[start : start + 128]
            ids = [torch.tensor(encoded[row]) for row in rows]
            ids = [row[torch.rand(len(row)) > 0.3] for row in ids]
            offsets = torch.tensor([0, *(len(row) for row in ids[:-1])]).cumsum(0)
            loss = torch.nn.functional.cross_entropy(head(bag(torch.cat(ids), offsets)), labels[rows])
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
    scale = 0.05 / bag.weight.std()
    with torch.no_grad():
        model.distilbert.embeddings.word_embeddings.weight.copy_(bag.weight * scale)


def batches(lengths: list[int], max_tokens: int) -> list[list[int]]:
    """Row numbers of similar length, at most ``max_tokens`` padded tokens a batch, in random order."""
    order = sorted(range(len(lengths)), key=lambda row: lengths[row] + random.random() * 16)
    made: list[list[int]] = []
    batch: list[int] = []
    longest = 0
    for row in order:
        longest = max(longest, lengths[row])
        if batch and longest * (len(batch) + 1) > max_tokens:
            made.append(batch)
            batch, longest = [], lengths[row]
        batch.append(row)
    made.append(batch)
    random.shuffle(made)
    return made


def collate(rows: list[list[int]], pad: int) -> tuple[torch.Tensor, torch.Tensor]:
    """``(batch, longest)`` int64 token ids and their attention mask."""
    longest = max(map(len, rows))
    ids = torch.full((len(rows), longest), pad)
    for n, row in enumerate(rows):
        ids[n, : len(row)] = torch.tensor(row)
    mask = torch.arange(longest)[None, :] < torch.tensor([len(row) for row in rows])[:, None]
    return ids, mask.long()


def crop(row: list[int]) -> list[int]:
    """A quarter of the time the head of MAX_LENGTH tokens, else a passage from either end.

    Passages cost less than half, and short ones show the model reviews of a sentence or two.
    """
    body = row[1:-1]
    choice = random.random()
    size = MAX_LENGTH - 2 if choice < 0.25 else 254 if choice < 0.85 else random.randint(30, 60)
    if len(body) > size:
        at_the_end = choice >= 0.25 and random.random() < 0.5
        body = body[-size:] if at_the_end else body[:size]
    return [row[0], *body, row[-1]]


def training_batches(
    encoded: list[list[int]], labels: torch.Tensor, tokenizer: PreTrainedTokenizerFast
) -> Iterator[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
    """One epoch of (ids, mask, labels); a tenth of the tokens is hidden so that no single word decides."""
    rows = [crop(row) for row in encoded]
    for batch in batches([len(row) for row in rows], max_tokens=8_192):
        ids, mask = collate([rows[n] for n in batch], tokenizer.pad_token_id)
        hidden = (torch.rand(ids.shape) < 0.1) & (ids > 4)
        yield ids.masked_fill(hidden, tokenizer.mask_token_id), mask, labels[batch]


def train(
    model: DistilBertForSequenceClassification,
    tokenizer: PreTrainedTokenizerFast,
    texts: list[str],
    labels: list[int],
    epochs: int,
    peak_rate: float,
) -> None:
    """Fit ``model`` in place with AdamW under a linear warm-up and a cosine decay."""
    encoded = tokenizer(texts, truncation=False, verbose=False)["input_ids"]
    targets = torch.tensor(labels)
    fit_embeddings(model, encoded, targets)
    steps = epochs * len(batches([min(len(row), MAX_LENGTH) for row in encoded], 8_192))
    optimizer = torch.optim.AdamW(model.parameters(), lr=peak_rate, weight_decay=0.02)

    def schedule(step: int) -> float:
        warm = max(1, steps // 15)
        if step < warm:
            return step / warm
        return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - warm) / (steps - warm))))

    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, schedule)
    model.train()
    for epoch in range(epochs):
        total = count = 0.0
        for ids, mask, wanted in training_batches(encoded, targets, tokenizer):
            logits = model(input_ids=ids, attention_mask=mask).logits
            loss = torch.nn.functional.cross_entropy(logits, wanted, label_smoothing=0.05)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            scheduler.step()
            total, count = total + float(loss.detach()), count + 1
        print(f"epoch {epoch + 1} of {epochs}: mean loss {total / count:.3f}", flush=True)


@torch.inference_mode()
def accuracy(
    model: DistilBertForSequenceClassification,
    tokenizer: PreTrainedTokenizerFast,
    texts: list[str],
    labels: list[int],
) -> float:
    """Share of ``texts``, cut at MAX_LENGTH tokens, whose likelier label is the one in ``labels``."""
    model.eval()
    encoded = tokenizer(texts, truncation=True, max_length=MAX_LENGTH)["input_ids"]
    right = 0
    for batch in batches([len(row) for row in encoded], max_tokens=16_384):
        ids, mask = collate([encoded[n] for n in batch], tokenizer.pad_token_id)
        found = model(input_ids=ids, attention_mask=mask).logits.argmax(-1)
        right += int((found == torch.tensor([labels[n] for n in batch])).sum())
    return right / len(labels)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--imdb", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--peak-rate", type=float, default=8e-4)
    parser.add_argument("--seed", type=int, default=7)
    args = parser.parse_args()
    random.seed(args.seed)
    torch.manual_seed(args.seed)

    table = pq.read_table(args.imdb / "train.parquet")
    texts, labels = table["text"].to_pylist(), table["label"].to_pylist()
    tokenizer = train_tokenizer(texts)
    model = build_model(tokenizer)
    print(f"{sum(p.numel() for p in model.parameters()):,} parameters", flush=True)
    train(model, tokenizer, texts, labels, args.epochs, args.peak_rate)
    model.save_pretrained(args.out)
    tokenizer.save_pretrained(args.out)

    table = pq.read_table(args.imdb / "test.parquet")
    measured = accuracy(model, tokenizer, table["text"].to_pylist(), table["label"].to_pylist())
    print(f"accuracy on the {table.num_rows:,} reviews of the test split: {measured:.4f}")


if __name__ == "__main__":
    main()
