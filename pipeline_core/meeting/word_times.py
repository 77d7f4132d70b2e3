"""When each token was said: dynamic time warping over where Whisper's decoder looked in the audio.

The method is Whisper's own: attention of the alignment heads, normalized over the tokens, smoothed
over time, then the cheapest way through it from the first token to the last.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

Times = NDArray[np.float64]
"""Seconds."""


class Alignment(NamedTuple):
    """How n tokens lie in the audio.

    Attributes:
        times: ``(n + 1,)`` seconds that do not fall: when each token starts, and the last one ends.
        weights: ``(n + 1, frames)``, how much each token, and the end, has to do with each frame.
    """

    times: Times
    weights: NDArray[np.float32]


def align(attention: torch.Tensor, frame_s: float, median_filter_width: int) -> Alignment:
    """Find when each of n tokens was said.

    Args:
        attention: ``(heads, n + 1, frames)``, where the decoder looked when it wrote each token and the end.
        frame_s: Seconds a frame.
        median_filter_width: Frames to smooth over.
    """
    spread, mean = torch.std_mean(attention, dim=-2, keepdim=True, unbiased=False)
    smooth = _median((attention - mean) / spread.clamp_min(1e-6), median_filter_width)
    weights: NDArray[np.float32] = smooth.mean(dim=0).cpu().numpy()
    times: Times = _first_frames(-weights).astype(np.float64) * frame_s
    return Alignment(times, weights)


def rising(times: Sequence[float] | Times, start_s: float, end_s: float) -> Times:
    """Borders of words made to rise: those at one moment share the time up to the next that differs.

    Args:
        times: n + 1 seconds that do not fall: n starts, and the last end.
        start_s: Nothing lies before it.
        end_s: Nothing lies after it; above ``start_s``.
    """
    clipped = np.clip(np.asarray(times, dtype=np.float64), start_s, end_s)
    moments, first = np.unique(clipped, return_index=True)
    if len(moments) == 1:
        return np.linspace(start_s, end_s, len(clipped))
    first[-1] = len(clipped) - 1  # those at the very end share the time before it
    return np.interp(np.arange(len(clipped)), first, moments)


def _median(weights: torch.Tensor, width: int) -> torch.Tensor:
    """The median over ``width`` frames, mirrored at both ends."""
    reach = width // 2
    if weights.shape[-1] <= reach:
        return weights
    padded = torch.nn.functional.pad(weights, (reach, reach), mode="reflect")
    # Each pass moves the largest that is left to the end: of a few, that is faster than sorting every window.
    shifted = [padded[..., place : place + weights.shape[-1]] for place in range(width)]
    for last in range(width - 1, reach - 1, -1):
        for place in range(last):
            left, right = shifted[place], shifted[place + 1]
            shifted[place], shifted[place + 1] = torch.minimum(left, right), torch.maximum(left, right)
    return shifted[reach]


def _first_frames(costs: NDArray[np.float32]) -> NDArray[np.int64]:
    """The first frame of each row on the cheapest way through ``(rows, frames)`` costs, corner to corner.

    The cheapest way to a cell enters its row somewhere and goes on along it. Along a row the costs add up, so all
    of its cells are known from the least of what entering cost, less the sum up to there.
    """
    rows, frames = costs.shape
    sums = np.zeros(frames + 1)
    total = np.full(frames + 1, np.inf)
    total[0] = 0
    moves = np.empty((rows + 1, frames + 1), dtype=np.int8)
    moves[0, :], moves[:, 0] = 2, 1
    for row in range(1, rows + 1):
        np.cumsum(costs[row - 1], dtype=np.float64, out=sums[1:])
        both, up = total[:-1], total[1:]
        reached = np.full(frames + 1, np.inf)
        reached[1:] = sums[1:] + np.minimum.accumulate(np.minimum(both, up) - sums[:-1])
        left = reached[:-1]
        moves[row, 1:] = np.where(left <= np.minimum(both, up), 2, np.where(both <= up, 0, 1))
        total = reached
    first = np.zeros(rows, dtype=np.int64)
    token, frame = rows, frames
    while token > 0:
        first[token - 1] = max(frame - 1, 0)
        way = moves[token, frame]
        token, frame = token - (way != 2), frame - (way != 1)
    return first
