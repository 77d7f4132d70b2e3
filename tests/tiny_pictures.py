"""Tiny models whose answers are images, boxes or sound."""

import json
from collections.abc import Callable
from pathlib import Path

_SIZES = {"hidden_sizes": [8, 8, 16, 16], "depths": [1, 1, 1, 1], "decoder_hidden_size": 8}
_LABELS = {
    "id2label": {0: "sky", 1: "sea", 2: "sand"},
    "label2id": {"sky": 0, "sea": 1, "sand": 2},
    "initializer_range": 0.4,
}


def segformer(folder: Path) -> None:
    import transformers

    config = transformers.SegformerConfig(**_SIZES, **_LABELS, num_attention_heads=[1, 1, 1, 1])
    transformers.SegformerForSemanticSegmentation(config).save_pretrained(folder)
    transformers.SegformerImageProcessorPil(size={"height": 32, "width": 32}).save_pretrained(folder)


def glpn(folder: Path) -> None:
    import transformers

    config = transformers.GLPNConfig(**_SIZES, num_attention_heads=[1, 1, 1, 1], initializer_range=0.4)
    transformers.GLPNForDepthEstimation(config).save_pretrained(folder)
    transformers.GLPNImageProcessorPil(size_divisor=32).save_pretrained(folder)


def yolos(folder: Path) -> None:
    import transformers

    config = transformers.YolosConfig(
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        image_size=[32, 32],
        patch_size=16,
        num_detection_tokens=4,
        **_LABELS,
    )
    transformers.YolosForObjectDetection(config).save_pretrained(folder)
    transformers.YolosImageProcessorPil(size={"shortest_edge": 32, "longest_edge": 32}).save_pretrained(folder)


def vits(folder: Path) -> None:
    import transformers

    letters = {letter: number for number, letter in enumerate("_abcdefghijklmnopqrstuvwxyz '")}
    folder.mkdir(exist_ok=True)
    config = transformers.VitsConfig(
        vocab_size=len(letters),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        ffn_dim=16,
        flow_size=16,
        spectrogram_bins=9,
        prior_encoder_num_flows=1,
        prior_encoder_num_wavenet_layers=1,
        posterior_encoder_num_wavenet_layers=1,
        duration_predictor_num_flows=1,
        depth_separable_num_layers=1,
        upsample_initial_channel=16,
        upsample_rates=[4, 4],
        upsample_kernel_sizes=[8, 8],
        resblock_kernel_sizes=[3],
        resblock_dilation_sizes=[[1]],
        sampling_rate=16_000,
        initializer_range=0.2,
    )
    transformers.VitsModel(config).save_pretrained(folder)
    (folder / "vocab.json").write_text(json.dumps(letters))
    tokenizer = transformers.VitsTokenizer(
        str(folder / "vocab.json"), pad_token="_", unk_token="_", phonemize=False, is_uroman=False
    )
    tokenizer.save_pretrained(folder)


BUILDERS: dict[str, Callable[[Path], None]] = {"segformer": segformer, "glpn": glpn, "yolos": yolos, "vits": vits}
