"""Tiny models of more than one input: pictures and words, sounds and words, two pictures, tables, documents."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from tiny_models import save_tokenizer

_LAYERS = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
_PIXELS = {"image_size": 32, "patch_size": 16}
_SEP = 3  # the last token of every text, by which a text's embedding is found


def detr(folder: Path) -> None:
    """A detector that reads pictures of any size."""
    import transformers

    backbone = transformers.ResNetConfig(
        embedding_size=8, hidden_sizes=[8, 8, 16, 16], depths=[1, 1, 1, 1], out_features=["stage4"]
    )
    config = transformers.DetrConfig(
        backbone_config=backbone,
        use_pretrained_backbone=False,
        use_timm_backbone=False,
        d_model=16,
        encoder_layers=1,
        decoder_layers=1,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=32,
        decoder_ffn_dim=32,
        num_queries=6,
        id2label={0: "cat", 1: "dog"},
        label2id={"cat": 0, "dog": 1},
    )
    transformers.DetrForObjectDetection(config).save_pretrained(folder)
    transformers.DetrImageProcessorPil(size={"shortest_edge": 32, "longest_edge": 64}).save_pretrained(folder)


def _texts(folder: Path, **more: Any) -> dict[str, Any]:
    size = save_tokenizer(folder, token_types=False)
    return {**_LAYERS, "vocab_size": size, "max_position_embeddings": 64, "eos_token_id": _SEP, **more}


def clip(folder: Path) -> None:
    import transformers

    config = transformers.CLIPConfig(
        text_config=_texts(folder), vision_config={**_LAYERS, **_PIXELS}, projection_dim=16
    )
    transformers.CLIPModel(config).save_pretrained(folder)
    transformers.CLIPImageProcessorPil(
        size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}
    ).save_pretrained(folder)


def owlvit(folder: Path) -> None:
    import transformers

    config = transformers.OwlViTConfig(
        text_config=_texts(folder), vision_config={**_LAYERS, **_PIXELS}, projection_dim=32
    )
    transformers.OwlViTForObjectDetection(config).save_pretrained(folder)
    transformers.OwlViTImageProcessorPil(size={"height": 32, "width": 32}, do_center_crop=False).save_pretrained(folder)


def clap(folder: Path) -> None:
    import transformers

    audio = {
        "num_mel_bins": 32,
        "spec_size": 64,
        "patch_embeds_hidden_size": 8,
        "patch_size": 4,
        "patch_stride": [4, 4],
        "depths": [1, 1],
        "num_attention_heads": [2, 2],
        "num_hidden_layers": 2,
        "hidden_size": 16,
        "window_size": 4,
        "mlp_ratio": 2.0,
    }
    text = _texts(folder, projection_dim=16, type_vocab_size=1)
    config = transformers.ClapConfig(text_config=text, audio_config={**audio, "projection_dim": 16}, projection_dim=16)
    transformers.ClapModel(config).save_pretrained(folder)
    transformers.ClapFeatureExtractor(
        truncation="rand_trunc",
        feature_size=32,
        sampling_rate=8_000,
        hop_length=160,
        fft_window_size=256,
        max_length_s=2,
        frequency_max=4_000,
    ).save_pretrained(folder)


def sam(folder: Path) -> None:
    """A model that finds what there is to cut out, of a vision part that is told nothing."""
    import transformers

    vision = {
        "hidden_size": 16,
        "output_channels": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "image_size": 64,
        "patch_size": 8,
        "window_size": 4,
        "mlp_dim": 32,
        "num_pos_feats": 8,
    }
    prompts = {"hidden_size": 16, "image_size": 64, "patch_size": 8, "mask_input_channels": 8}
    decoder = {"hidden_size": 16, "mlp_dim": 32, "num_attention_heads": 2, "iou_head_hidden_dim": 16}
    config = transformers.SamConfig(
        vision_config=vision,
        prompt_encoder_config={**prompts, "image_embedding_size": 8},
        mask_decoder_config=decoder,
        initializer_range=0.4,
    )
    transformers.SamModel(config).save_pretrained(folder)
    transformers.SamImageProcessorPil(
        size={"longest_edge": 64},
        pad_size={"height": 64, "width": 64},
        mask_size={"longest_edge": 32},
        mask_pad_size={"height": 32, "width": 32},
    ).save_pretrained(folder)


def superglue(folder: Path) -> None:
    import transformers

    points = transformers.SuperPointConfig(
        encoder_hidden_sizes=[8, 8, 16, 16],
        decoder_hidden_size=16,
        descriptor_decoder_dim=16,
        keypoint_threshold=0.01,
        max_keypoints=20,
    )
    config = transformers.SuperGlueConfig(
        keypoint_detector_config=points,
        hidden_size=16,
        keypoint_encoder_sizes=[8, 16],
        gnn_layers_types=["self", "cross"],
        num_attention_heads=2,
        sinkhorn_iterations=5,
    )
    transformers.SuperGlueForKeypointMatching(config).save_pretrained(folder)
    transformers.SuperGlueImageProcessorPil(size={"height": 48, "width": 64}).save_pretrained(folder)


def layoutlm(folder: Path) -> None:
    import transformers

    size = save_tokenizer(folder, token_types=True)
    config = transformers.LayoutLMConfig(
        **_LAYERS, vocab_size=size, max_position_embeddings=64, max_2d_position_embeddings=1024, initializer_range=0.4
    )
    transformers.LayoutLMForQuestionAnswering(config).save_pretrained(folder)


def tapas(folder: Path) -> None:
    import transformers
    from tiny_models import word_pieces

    words = sorted(word_pieces().get_vocab().items(), key=lambda item: item[1])
    (folder / "vocab.txt").write_text("\n".join(word for word, _ in words) + "\n[EMPTY]\n")
    transformers.TapasTokenizer(str(folder / "vocab.txt"), model_max_length=64).save_pretrained(folder)
    config = transformers.TapasConfig(
        **_LAYERS,
        vocab_size=len(words) + 1,
        max_position_embeddings=64,
        type_vocab_sizes=[3, 64, 64, 2, 64, 10, 10],
        num_aggregation_labels=2,
        aggregation_labels={0: "NONE", 1: "SUM"},
        no_aggregation_label_index=0,
        initializer_range=0.4,
    )
    transformers.TapasForQuestionAnswering(config).save_pretrained(folder)


def llava(folder: Path) -> None:
    """A model that talks about a picture, of which every text has one."""
    import transformers

    save_tokenizer(folder, token_types=False, max_length=256)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    tokenizer.add_special_tokens({"additional_special_tokens": ["<image>"]})
    tokenizer.padding_side = "left"
    image = tokenizer.convert_tokens_to_ids("<image>")
    text = {**_LAYERS, "num_key_value_heads": 2, "vocab_size": len(tokenizer), "max_position_embeddings": 256}
    config = transformers.LlavaConfig(
        text_config=transformers.LlamaConfig(**text, initializer_range=0.4, pad_token_id=0, eos_token_id=_SEP),
        vision_config=transformers.CLIPVisionConfig(**_LAYERS, **_PIXELS),
        image_token_index=image,
        image_seq_length=4,
    )
    model = transformers.LlavaForConditionalGeneration(config)
    model.generation_config = transformers.GenerationConfig(pad_token_id=0, eos_token_id=_SEP)
    model.save_pretrained(folder)
    pixels = transformers.CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    transformers.LlavaProcessor(
        image_processor=pixels,
        tokenizer=tokenizer,
        patch_size=16,
        vision_feature_select_strategy="default",
        image_token="<image>",
        num_additional_image_tokens=1,
    ).save_pretrained(folder)


def qwen2_audio(folder: Path) -> None:
    """A model that talks about a sound, in texts that have one and in texts that have none."""
    import transformers

    save_tokenizer(folder, token_types=False, max_length=256)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|AUDIO|>", "<|audio_bos|>", "<|audio_eos|>"]})
    tokenizer.padding_side = "left"
    text = {**_LAYERS, "num_key_value_heads": 2, "vocab_size": len(tokenizer), "max_position_embeddings": 256}
    audio = {
        "num_mel_bins": 8,
        "d_model": 16,
        "encoder_layers": 1,
        "encoder_attention_heads": 2,
        "encoder_ffn_dim": 24,
        "max_source_positions": 100,
    }
    config = transformers.Qwen2AudioConfig(
        text_config=transformers.Qwen2Config(**text, initializer_range=0.4, pad_token_id=0, eos_token_id=_SEP),
        audio_config=transformers.Qwen2AudioEncoderConfig(**audio, initializer_range=0.4),
        audio_token_index=tokenizer.convert_tokens_to_ids("<|AUDIO|>"),
    )
    model = transformers.Qwen2AudioForConditionalGeneration(config)
    model.generation_config = transformers.GenerationConfig(pad_token_id=0, eos_token_id=_SEP)
    model.save_pretrained(folder)
    frames = transformers.WhisperFeatureExtractor(feature_size=8, chunk_length=2)
    transformers.Qwen2AudioProcessor(feature_extractor=frames, tokenizer=tokenizer).save_pretrained(folder)


def decider(folder: Path) -> None:
    """A chat model whose answers to questions are read off the next token."""
    import transformers

    save_tokenizer(folder, token_types=False, max_length=256)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    tokenizer.add_tokens(["Yes", "No", "A", "B", "C"])
    tokenizer.chat_template = "{% for message in messages %}{{ message['content'] }} [SEP] {% endfor %}"
    tokenizer.save_pretrained(folder)
    config = transformers.LlamaConfig(
        **_LAYERS, vocab_size=len(tokenizer) + 8, max_position_embeddings=256, initializer_range=0.4, eos_token_id=_SEP
    )
    transformers.LlamaForCausalLM(config).save_pretrained(folder)


BUILDERS: dict[str, Callable[[Path], None]] = {
    "clap": clap,
    "clip": clip,
    "decider": decider,
    "detr": detr,
    "layoutlm": layoutlm,
    "llava": llava,
    "owlvit": owlvit,
    "qwen2-audio": qwen2_audio,
    "sam": sam,
    "superglue": superglue,
    "tapas": tapas,
}
