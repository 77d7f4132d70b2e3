"""Tiny models that hear and see, with the architecture of real ones."""

import json
from collections.abc import Callable
from pathlib import Path

import torch
import transformers

_WAV2VEC2 = {
    "hidden_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "conv_dim": (16, 16),
    "conv_kernel": (10, 8),
    "conv_stride": (10, 8),
    "num_conv_pos_embeddings": 8,
    "num_conv_pos_embedding_groups": 4,
    "initializer_range": 0.4,
}


def speech(folder: Path) -> None:
    letters = {letter: number for number, letter in enumerate(["<pad>", "<s>", "</s>", "<unk>", "|", *"ETAONI"])}
    folder.mkdir(exist_ok=True)
    (folder / "vocab.json").write_text(json.dumps(letters))
    transformers.Wav2Vec2CTCTokenizer(str(folder / "vocab.json")).save_pretrained(folder)
    transformers.Wav2Vec2FeatureExtractor(sampling_rate=8_000, return_attention_mask=True).save_pretrained(folder)
    config = transformers.Wav2Vec2Config(vocab_size=len(letters), **_WAV2VEC2)
    transformers.Wav2Vec2ForCTC(config).save_pretrained(folder)


def sounds(folder: Path) -> None:
    transformers.Wav2Vec2FeatureExtractor(sampling_rate=8_000, return_attention_mask=True).save_pretrained(folder)
    config = transformers.Wav2Vec2Config(
        vocab_size=8,
        classifier_proj_size=16,
        id2label={0: "hum", 1: "hiss"},
        label2id={"hum": 0, "hiss": 1},
        **_WAV2VEC2,
    )
    transformers.Wav2Vec2ForSequenceClassification(config).save_pretrained(folder)


def clips(folder: Path) -> None:
    config = transformers.VideoMAEConfig(
        image_size=32,
        patch_size=16,
        num_frames=4,
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=4,
        intermediate_size=48,
        initializer_range=0.4,
        id2label={0: "run", 1: "jump"},
        label2id={"run": 0, "jump": 1},
    )
    transformers.VideoMAEForVideoClassification(config).save_pretrained(folder)
    transformers.VideoMAEImageProcessorPil(
        size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}
    ).save_pretrained(folder)


MEDIA_BUILDERS: dict[str, Callable[[Path], None]] = {"speech": speech, "sounds": sounds, "clips": clips}


def build(kind: str, folder: Path) -> str:
    torch.manual_seed(11)
    MEDIA_BUILDERS[kind](folder)
    return str(folder)
