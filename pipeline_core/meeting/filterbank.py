"""Log mel energies as embeddings of voices take them: Kaldi's, of stretches of audio, less each stretch's mean."""

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

BANDS = 80

_SAMPLE_RATE = 16_000
_WINDOW_SAMPLES = 400


def log_mel(samples: NDArray[np.float32], spans: Sequence[tuple[float, float]]) -> list[NDArray[np.float32]]:
    """The energies of each span of ``(samples,)`` at 16 kHz, ``(frames, BANDS)``, a frame every 10 ms.

    Args:
        samples: From -1 to 1.
        spans: (start, end) in seconds; what lies outside of the audio is left out, and what is shorter than a window
            of 25 ms filled up with silence.
    """
    energies = []
    for start_s, end_s in spans:
        first = int(start_s * _SAMPLE_RATE)
        last = first + int((end_s - start_s) * _SAMPLE_RATE)
        energies.append(_of(samples[max(first, 0) : max(last, 0)]))
    return energies


def _of(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    from kaldi_native_fbank import OnlineFbank

    computer = OnlineFbank(_options())
    computer.accept_waveform(_SAMPLE_RATE, np.pad(samples, (0, max(0, _WINDOW_SAMPLES - len(samples)))))
    computer.input_finished()
    frames = range(computer.num_frames_ready)
    energies: NDArray[np.float32] = np.stack([computer.get_frame(frame) for frame in frames])
    energies -= energies.mean(axis=0)
    return energies


@cache
def _options() -> Any:
    from kaldi_native_fbank import FbankOptions

    options = FbankOptions()
    options.frame_opts.samp_freq = _SAMPLE_RATE
    options.frame_opts.dither = 0.0
    options.mel_opts.num_bins = BANDS
    return options
