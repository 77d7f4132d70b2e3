"""Silero's network over many frames at once says what its package says of them one after another."""

import warnings

import numpy as np
import pytest
import torch
from silero_vad import load_silero_vad
from tiny_whisper import babble, silence

from pipeline_core.meeting.silero import load_silero


@pytest.fixture(scope="module")
def theirs():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return load_silero_vad()


def audio_of(samples: int) -> np.ndarray:
    """Something like speech between silences and noise, as long as asked for."""
    noise = np.random.default_rng(3).normal(0, 0.1, 16_000).astype(np.float32)
    some = np.concatenate([babble(2.0, 1), silence(1.5), noise, babble(1.0, 2)])
    return np.tile(some, -(-samples // len(some)))[:samples]


@pytest.mark.parametrize("samples", [1, 400, 511, 512, 513, 16_000, 1024 * 512, 1024 * 512 + 700, 1_300_000])
def test_frames_at_once_are_as_likely_to_be_speech_as_one_after_another(theirs, samples):
    audio = audio_of(samples)
    theirs.reset_states()
    whole = np.pad(audio, (0, max(0, 512 - samples)))  # theirs takes no less than a frame
    wanted = theirs.audio_forward(torch.from_numpy(whole), 16_000)[0].numpy()
    found = load_silero().probabilities(audio)
    assert found.shape == wanted.shape
    np.testing.assert_allclose(found, wanted, atol=1e-4)
    if samples > 16_000:
        assert found.min() < 0.1 < 0.5 < found.max()


def test_what_was_heard_before_is_forgotten():
    audio = audio_of(40_000)
    first = load_silero().probabilities(audio)
    load_silero().probabilities(audio_of(20_000)[::-1])
    np.testing.assert_array_equal(load_silero().probabilities(audio), first)


def test_loading_leaves_torchs_threads_as_they_are():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        load_silero.cache_clear()
        load_silero()
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
