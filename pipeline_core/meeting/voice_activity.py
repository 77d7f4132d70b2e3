"""Where people talk: Silero's voice activity model over 16 kHz audio, far faster than any transcription."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from pipeline_core.device_threads import run_on
from pipeline_core.meeting.silero import load_silero
from pipeline_core.requirements import check_installed

SAMPLE_RATE = 16_000
FRAME_S = 0.032
"""Seconds that one probability stands for."""

_THRESHOLD = 0.5
_MIN_SPEECH_S = 0.1
_MIN_PAUSE_S = 0.2
_PAD_S = 0.2

Audio = NDArray[np.float32]
"""``(samples,)`` float32, 16 kHz mono."""


class Span(NamedTuple):
    """A stretch of time, in seconds."""

    start_s: float
    end_s: float

    @property
    def duration_s(self) -> float:
        """How long it lasts."""
        return self.end_s - self.start_s

    def shifted(self, seconds: float) -> "Span":
        """The same stretch, so much later."""
        return Span(self.start_s + seconds, self.end_s + seconds)


class VoiceActivity(NamedTuple):
    """What was heard in a stretch of audio.

    Attributes:
        speech: Where somebody talks, in order, with a fifth of a second before and after.
        probabilities: ``(frames,)`` float32, how likely it is in each frame of ``FRAME_S`` that somebody talks.
    """

    speech: list[Span]
    probabilities: NDArray[np.float32]


def detect_speech(audio: Audio) -> VoiceActivity:
    """Find speech in ``(samples,)`` float32 audio, 16 kHz mono; pauses under a fifth of a second belong to it.

    Raises:
        MissingPackageError: silero-vad is not installed.
    """
    if not len(audio):
        return VoiceActivity([], np.zeros(0, np.float32))
    check_installed("finding speech", ["silero-vad"])
    probabilities = run_on(torch.device("cpu"), _probabilities, audio)
    from silero_vad import get_speech_timestamps_from_probs

    found = get_speech_timestamps_from_probs(
        probabilities,
        sampling_rate=SAMPLE_RATE,
        threshold=_THRESHOLD,
        min_speech_duration_ms=int(_MIN_SPEECH_S * 1000),
        min_silence_duration_ms=int(_MIN_PAUSE_S * 1000),
        speech_pad_ms=int(_PAD_S * 1000),
        audio_length_samples=len(audio),
    )
    speech = [Span(span["start"] / SAMPLE_RATE, span["end"] / SAMPLE_RATE) for span in found]
    return VoiceActivity(speech, probabilities)


def widened(speech: Iterable[Span], by_s: float, duration_s: float) -> list[Span]:
    """Speech with ``by_s`` seconds before and after, within a recording of ``duration_s``; those that meet are one."""
    stretches: list[Span] = []
    for span in speech:
        start_s, end_s = max(0.0, span.start_s - by_s), min(duration_s, span.end_s + by_s)
        if stretches and start_s <= stretches[-1].end_s:
            start_s = stretches.pop().start_s
        stretches.append(Span(start_s, end_s))
    return stretches


def _probabilities(audio: Audio) -> NDArray[np.float32]:
    return load_silero().probabilities(audio)
