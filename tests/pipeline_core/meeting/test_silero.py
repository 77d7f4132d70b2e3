"""Silero's network over many frames at once says what its package says of them one after another."""

import sys
import threading
import warnings

import numpy as np
import pytest
import torch
from tiny_whisper import babble, silence

from pipeline_core.device_threads import run_on, thread_count_kept
from pipeline_core.meeting.silero import load_silero
from pipeline_core.meeting.voice_activity import Span, detect_speech, widened


@pytest.fixture(scope="module")
def theirs():
    with thread_count_kept(), warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        from silero_vad import load_silero_vad

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


def test_speech_is_found_where_all_else_is_computed(monkeypatch):
    where, network = [], load_silero()
    probabilities = network.probabilities
    monkeypatch.setattr(
        network, "probabilities", lambda audio: where.append(threading.current_thread().name) or probabilities(audio)
    )
    assert detect_speech(audio_of(40_000)).speech
    assert where == [run_on(torch.device("cpu"), lambda: threading.current_thread().name)]


def test_loading_changes_nothing_of_torch(monkeypatch):
    """Neither the number of threads, which importing silero_vad sets to one, nor what is drawn next."""
    for name in [name for name in sys.modules if name.startswith("silero_vad")]:
        monkeypatch.delitem(sys.modules, name)
    before, dtype = torch.get_num_threads(), torch.get_default_dtype()
    torch.set_num_threads(3)
    torch.set_default_dtype(torch.bfloat16)
    seed = torch.random.get_rng_state()
    try:
        load_silero.cache_clear()
        assert load_silero().probabilities(audio_of(2_000)).dtype == np.float32
        assert torch.get_num_threads() == 3
        assert torch.equal(torch.random.get_rng_state(), seed)
    finally:
        torch.set_num_threads(before)
        torch.set_default_dtype(dtype)


def test_speech_that_is_widened_stays_in_order_apart_and_within_the_recording():
    speech = [Span(3.0, 4.0), Span(40.0, 41.0), Span(60.0, 62.0), Span(580.0, 599.0)]
    assert widened(speech, 15.0, 600.0) == [Span(0.0, 19.0), Span(25.0, 77.0), Span(565.0, 600.0)]
    assert widened(speech, 0.0, 600.0) == speech
    assert widened([], 15.0, 600.0) == []
