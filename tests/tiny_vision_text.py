"""Tiny models of images with and without text, whose weights any release of transformers builds alike."""

from pathlib import Path
from typing import Any

import numpy as np
from tiny_seq2seq import save_filled, save_words

SIZE = 32
ANSWERS = ("red", "a dog", "two")


def picture(width: int, height: int, seed: int) -> Any:
    """An RGB Pillow image of coarse blocks of colour."""
    from PIL import Image

    blocks = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    return Image.fromarray(blocks).resize((width, height), Image.Resampling.NEAREST)


def save_pixels(folder: Path, kind: str, **settings: Any) -> None:
    """Save the image processor ``kind`` as one that Pillow serves."""
    import transformers

    processor = getattr(transformers, f"{kind}ImageProcessorPil", None) or getattr(
        transformers, f"{kind}ImageProcessor"
    )
    processor(**settings).save_pretrained(folder)


def captioner(folder: Path) -> None:
    """A ViT that a GPT-2 puts into words."""
    import transformers

    size = len(save_words(folder, first=None, last="</s>"))
    encoder = transformers.ViTConfig(
        hidden_size=32, num_hidden_layers=1, num_attention_heads=4, intermediate_size=48, image_size=SIZE, patch_size=16
    )
    decoder = transformers.GPT2Config(
        vocab_size=size,
        tie_word_embeddings=False,
        n_embd=32,
        n_layer=1,
        n_head=4,
        n_positions=300,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=0,
    )
    config = transformers.VisionEncoderDecoderConfig.from_encoder_decoder_configs(encoder, decoder)
    config.decoder_start_token_id, config.pad_token_id, config.eos_token_id = 1, 0, 2
    model = transformers.VisionEncoderDecoderModel(config)
    model.generation_config = transformers.GenerationConfig(decoder_start_token_id=1, pad_token_id=0, eos_token_id=2)
    save_filled(model, folder)
    save_pixels(folder, "ViT", size={"height": SIZE, "width": SIZE})


def git(folder: Path) -> None:
    """A GIT, which goes on from a prompt."""
    import transformers

    size = len(save_words(folder, first="<s>", last="</s>"))
    config = transformers.GitConfig(
        vision_config={
            "hidden_size": 32,
            "intermediate_size": 48,
            "num_hidden_layers": 1,
            "num_attention_heads": 4,
            "image_size": SIZE,
            "patch_size": 16,
        },
        vocab_size=size,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=1,
        num_attention_heads=4,
        max_position_embeddings=64,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
    )
    save_filled(transformers.GitForCausalLM(config), folder)
    save_pixels(folder, "CLIP", size={"shortest_edge": SIZE}, crop_size={"height": SIZE, "width": SIZE})


def vilt(folder: Path) -> None:
    """A ViLT, which chooses among ``ANSWERS``."""
    import transformers

    size = len(save_words(folder, first="<s>", last="</s>", limit=40))
    config = transformers.ViltConfig(
        vocab_size=size,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=48,
        max_position_embeddings=40,
        image_size=SIZE,
        patch_size=16,
        id2label=dict(enumerate(ANSWERS)),
        label2id={answer: number for number, answer in enumerate(ANSWERS)},
    )
    save_filled(transformers.ViltForQuestionAnswering(config), folder, 0.3)
    save_pixels(folder, "Vilt", size={"shortest_edge": SIZE}, size_divisor=16)


def blip_answerer(folder: Path) -> None:
    """A BLIP, which writes its answers."""
    import transformers

    size = len(save_words(folder, first="<s>", last="</s>"))
    layers = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 1, "num_attention_heads": 4}
    text = {**layers, "vocab_size": size, "max_position_embeddings": 64, "encoder_hidden_size": 32}
    text |= {"bos_token_id": 1, "eos_token_id": 2, "sep_token_id": 2, "pad_token_id": 0}
    vision = {**layers, "image_size": SIZE, "patch_size": 16}
    config = transformers.BlipConfig(
        text_config=text, vision_config=vision, projection_dim=16, image_text_hidden_size=16
    )
    save_filled(transformers.BlipForQuestionAnswering(config), folder, 1.5)
    save_pixels(folder, "Blip", size={"height": SIZE, "width": SIZE})


def upscaler(folder: Path) -> None:
    """A Swin2SR, which doubles an image's sides."""
    import transformers

    config = transformers.Swin2SRConfig(
        image_size=16,
        embed_dim=16,
        depths=[1],
        num_heads=[2],
        window_size=4,
        mlp_ratio=2.0,
        upscale=2,
        upsampler="pixelshuffledirect",
    )
    save_filled(transformers.Swin2SRForImageSuperResolution(config), folder, 0.1)
    save_pixels(folder, "Swin2SR")
