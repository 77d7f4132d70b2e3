"""Log mel energies of voices: a frame every 10 ms, of the band that sounds, less the mean of their stretch."""

import numpy as np
from transformers.audio_utils import mel_filter_bank, spectrogram, window_function

from pipeline_core.meeting.filterbank import BANDS, log_mel
from pipeline_core.meeting.senko import _features

RATE = 16_000


def tone(hertz: float, seconds: float) -> np.ndarray:
    return (0.3 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * RATE)) / RATE)).astype(np.float32)


def test_there_is_a_frame_every_hundredth_of_a_second_and_stretches_know_nothing_of_each_other():
    samples = np.random.default_rng(0).normal(0, 0.1, 3 * RATE).astype(np.float32)
    spans = [(0.0, 1.45), (0.5, 1.95), (2.9, 3.0)]
    energies = log_mel(samples, spans)
    assert [span.shape for span in energies] == [(143, BANDS), (143, BANDS), (8, BANDS)]
    for span, alone in zip(energies, spans, strict=True):
        np.testing.assert_array_equal(span, log_mel(samples, [alone])[0])
        np.testing.assert_allclose(span.mean(axis=0), 0, atol=1e-4)


def test_the_band_that_sounds_is_the_loudest():
    samples = np.concatenate([tone(300, 1), tone(3000, 1)])
    (both,) = log_mel(samples, [(0.0, 2.0)])
    low, high = both[:90].mean(axis=0), both[110:].mean(axis=0)
    mels = 1127 * np.log1p(np.array([20, 300, 3000, 8000]) / 700)
    bands = (mels[1:3] - mels[0]) / (mels[3] - mels[0]) * (BANDS + 1) - 1
    assert abs(int((low - high).argmax()) - bands[0]) <= 1
    assert abs(int((high - low).argmax()) - bands[1]) <= 1


def test_what_lies_outside_of_the_audio_is_left_out():
    noise = np.random.default_rng(1).normal(0, 0.1, RATE).astype(np.float32)
    inside, before, after = log_mel(noise, [(0.0, 1.0), (-0.45, 1.0), (0.0, 1.6)])
    np.testing.assert_array_equal(before, inside)
    np.testing.assert_array_equal(after, inside)


def test_what_is_shorter_than_a_window_is_one_frame():
    assert [span.shape for span in log_mel(tone(500, 1), [(0.99, 1.0), (1.5, 2.0)])] == [(1, BANDS)] * 2


def test_energies_are_kaldis_as_transformers_computes_them():
    noise = np.random.default_rng(2).normal(0, 0.1, RATE).astype(np.float32)
    bands = mel_filter_bank(257, BANDS, 20, 8000, RATE, mel_scale="kaldi", triangularize_in_mel_space=True)
    wanted = spectrogram(
        noise,
        window_function(400, "povey", periodic=False),
        frame_length=400,
        hop_length=160,
        fft_length=512,
        power=2.0,
        center=False,
        preemphasis=0.97,
        remove_dc_offset=True,
        mel_filters=bands,
        mel_floor=1.1920929e-07,
        log_mel="log",
    ).T
    np.testing.assert_allclose(log_mel(noise, [(0.0, 1.0)])[0], wanted - wanted.mean(axis=0), atol=1e-3)


def test_senko_is_given_the_energies_of_all_spans_in_a_row():
    noise, spans = np.random.default_rng(1).normal(0, 0.1, 2 * RATE).astype(np.float32), [(0.0, 1.45), (0.5, 1.0)]
    flat, frames, starts, bands = _features(noise, spans)
    assert bands == BANDS
    for wanted, length, start in zip(log_mel(noise, spans), frames, starts, strict=True):
        np.testing.assert_array_equal(flat[start : start + length * BANDS].reshape(length, BANDS), wanted)
