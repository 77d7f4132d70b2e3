"""A tiny Whisper with random weights, two seconds of audio long, and sounds to give it."""

from pathlib import Path

import numpy as np
from scipy.signal import lfilter
from tiny_models import SENTENCES
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

CHUNK_S = 2
_VOWELS = ((730, 1090, 2440), (270, 2290, 3010), (300, 870, 2240), (530, 1840, 2480), (570, 840, 2410))
LANGUAGES = ("en", "de", "fr")
SPECIAL = (
    "<|endoftext|>",
    "<|startoftranscript|>",
    *(f"<|{language}|>" for language in LANGUAGES),
    "<|translate|>",
    "<|transcribe|>",
    "<|startoflm|>",
    "<|startofprev|>",
    "<|nospeech|>",
    "<|notimestamps|>",
    "<|0.00|>",
)


def whisper(folder: Path) -> None:
    import transformers

    tokenizer = _tokenizer()
    ids = {token: tokenizer.convert_tokens_to_ids(token) for token in SPECIAL}
    end, start = ids["<|endoftext|>"], ids["<|startoftranscript|>"]
    special = {"decoder_start_token_id": start, "bos_token_id": end, "eos_token_id": end, "pad_token_id": end}
    config = transformers.WhisperConfig(
        vocab_size=len(tokenizer),
        d_model=32,
        encoder_layers=2,
        decoder_layers=2,
        encoder_attention_heads=4,
        decoder_attention_heads=4,
        encoder_ffn_dim=48,
        decoder_ffn_dim=48,
        max_source_positions=CHUNK_S * 50,
        max_target_positions=40,
        num_mel_bins=80,
        init_std=0.4,
        suppress_tokens=None,
        begin_suppress_tokens=None,
        **special,
    )
    model = transformers.WhisperForConditionalGeneration(config)
    model.generation_config = transformers.GenerationConfig(
        alignment_heads=[[1, 0], [1, 2]],
        suppress_tokens=[ids["<|translate|>"], ids["<|transcribe|>"], start, ids["<|startoflm|>"]],
        begin_suppress_tokens=[end],
        is_multilingual=True,
        max_initial_timestamp_index=50,
        max_length=40,
        no_timestamps_token_id=ids["<|notimestamps|>"],
        prev_sot_token_id=ids["<|startofprev|>"],
        return_timestamps=False,
        lang_to_id={f"<|{language}|>": ids[f"<|{language}|>"] for language in LANGUAGES},
        task_to_id={"transcribe": ids["<|transcribe|>"], "translate": ids["<|translate|>"]},
        **special,
    )
    model.save_pretrained(folder)
    features = transformers.WhisperFeatureExtractor(feature_size=80, chunk_length=CHUNK_S)
    transformers.WhisperProcessor(features, tokenizer).save_pretrained(folder)


def sound(seconds: float, seed: int = 0) -> np.ndarray:
    """Tones that come and go: ``(samples,)`` float32, 16 kHz."""
    random = np.random.default_rng(seed)
    time = np.arange(int(seconds * 16_000)) / 16_000
    waves = [
        np.sin(2 * np.pi * random.uniform(100, 3000) * time) * np.sin(random.uniform(1, 9) * time) for _ in range(5)
    ]
    return (0.1 * np.sum(waves, axis=0) + random.normal(0, 0.01, len(time))).astype(np.float32)


def babble(seconds: float, seed: int = 0) -> np.ndarray:
    """What sounds like speech and says nothing, vowels of a humming voice: ``(samples,)`` float32, 16 kHz."""
    random, rate, parts = np.random.default_rng(seed), 16_000, []
    wanted = int(seconds * rate)
    while sum(map(len, parts)) < wanted:
        length = int(random.uniform(0.12, 0.25) * rate)
        pitch = random.uniform(90, 140) * (1 + 0.1 * np.sin(np.linspace(0, 3, length)))
        voice = np.diff(np.floor(np.cumsum(pitch / rate)), prepend=0) + random.normal(0, 0.01, length)
        for formant, width in zip(_VOWELS[random.integers(len(_VOWELS))], (80, 90, 120), strict=True):
            pole = np.exp(-np.pi * width / rate)
            voice = lfilter([1 - pole], [1, -2 * pole * np.cos(2 * np.pi * formant / rate), pole**2], voice)
        voice *= np.sqrt(np.hanning(length))
        parts += [random.normal(0, 0.03, int(random.uniform(0.03, 0.07) * rate)), 0.3 * voice / np.abs(voice).max()]
    return np.concatenate(parts)[:wanted].astype(np.float32)


def silence(seconds: float) -> np.ndarray:
    """Nothing: ``(samples,)`` float32, 16 kHz."""
    return np.zeros(int(seconds * 16_000), dtype=np.float32)


def _tokenizer():
    import transformers

    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    bpe.train_from_iterator(SENTENCES, trainers.BpeTrainer(vocab_size=320, initial_alphabet=alphabet))
    bpe.add_special_tokens([AddedToken(token, special=True) for token in SPECIAL])
    end = SPECIAL[0]
    return transformers.WhisperTokenizerFast(
        tokenizer_object=bpe, unk_token=end, bos_token=end, eos_token=end, pad_token=end, model_max_length=1024
    )
