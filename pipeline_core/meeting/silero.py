"""Silero's voice activity network, on its package's weights: all frames of a block at once, then one after another.

Only the recurrent layer has to wait for the frame before. Everything below it reads each frame alone, so that all
of a block's frames are a few large products instead of many small ones.
"""

import warnings
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pipeline_core.device_threads import thread_count_kept

_FRAME = 512
_CONTEXT = 64
_WINDOW, _HOP = 256, 128
_BLOCK_FRAMES = 1024
_STRIDES = (1, 2, 2, 1)
_RECURRENT = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")


class SileroNetwork:
    """Silero's network for 16 kHz audio.

    Args:
        weights: The state of its package's TorchScript model.
    """

    def __init__(self, weights: dict[str, Tensor]) -> None:
        self._basis = weights["_model.stft.forward_basis_buffer"]
        self._convolutions = [
            (weights[f"{layer}.weight"], weights[f"{layer}.bias"], stride)
            for layer, stride in ((f"_model.encoder.{at}.reparam_conv", stride) for at, stride in enumerate(_STRIDES))
        ]
        recurrent = {name: weights[f"_model.decoder.rnn.{name}"] for name in _RECURRENT}
        # Made without weights: those that it would draw have the process' default dtype, which loading models changes.
        self._recurrent = nn.LSTM(recurrent["weight_ih"].shape[1], recurrent["weight_hh"].shape[1], device="meta")
        self._recurrent.load_state_dict({f"{name}_l0": weight for name, weight in recurrent.items()}, assign=True)
        self._out = weights["_model.decoder.decoder.2.weight"][..., 0], weights["_model.decoder.decoder.2.bias"]

    @torch.inference_mode()
    def probabilities(self, audio: NDArray[np.float32]) -> NDArray[np.float32]:
        """How likely it is that somebody talks.

        Args:
            audio: ``(samples,)`` float32, 16 kHz mono, one or more.

        Returns:
            ``(frames,)`` float32, one for each 512 samples that were begun.
        """
        frames = -(-len(audio) // _FRAME)
        samples = torch.from_numpy(np.pad(audio, (_CONTEXT, frames * _FRAME - len(audio))))
        windows = samples.unfold(0, _CONTEXT + _FRAME, _FRAME)
        found, state = [], None
        for block in torch.split(windows, _BLOCK_FRAMES):
            states, state = self._recurrent(self._features(block)[:, None], state)
            found.append(torch.sigmoid(nn.functional.linear(states[:, 0].relu(), *self._out))[:, 0])
        return torch.cat(found).numpy()

    def _features(self, windows: Tensor) -> Tensor:
        """``(frames, samples)`` audio, each frame after the end of the last, to ``(frames, width)``."""
        padded = nn.functional.pad(windows, (0, _WINDOW // 4), "reflect")
        spectrum = nn.functional.conv1d(padded[:, None], self._basis, stride=_HOP)
        real, imaginary = spectrum.chunk(2, dim=1)
        states = (real.square() + imaginary.square()).sqrt()
        for weight, bias, stride in self._convolutions:
            states = nn.functional.conv1d(states, weight, bias, stride=stride, padding=1).relu()
        return states[..., 0]


@cache
def load_silero() -> SileroNetwork:
    """The network, once a process.

    Raises:
        ImportError: silero-vad is not installed.
    """
    with thread_count_kept():  # importing silero_vad sets it to one
        from silero_vad import load_silero_vad

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # torch's, of TorchScript
            model = load_silero_vad()
    return SileroNetwork(model.state_dict())
