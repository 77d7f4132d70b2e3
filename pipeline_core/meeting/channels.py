"""Speakers by the channel that they are recorded on: whose channel is loud, talks.

A channel is taken for talking while it is well above its own quiet, and not so much softer than the loudest one
that it may only hear another's voice through the room.
"""

from collections.abc import Callable, Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from pipeline_core.meeting.transcript import Turn

_FRAME = 320
_FRAME_S = 0.02
_QUIET_SHARE = 0.05
_ABOVE_QUIET_DB = 12.0
_LEAST_DB = -55.0
_BLEED_DB = 10.0
_APART_SHARE = 0.7
_LEAST_TALK_SHARE = 0.02
_PAUSE_S = 0.4
_LEAST_TURN_S = 0.12
_PAD_S = 0.06


def diarize_channels(parts: Callable[[], Iterable[NDArray[np.float32]]], _speakers: int | None = None) -> list[Turn]:
    """The turns of all channels, each one speaker's, however many are known to be there."""
    levels = channel_levels(parts())
    end_s = levels.shape[1] * _FRAME_S
    return [
        Turn(speaker=f"channel {channel + 1}", start_s=max(start - _PAD_S, 0.0), end_s=min(end + _PAD_S, end_s))
        for channel, frames in enumerate(_talking(levels))
        for start, end in _stretches(frames)
    ]


def are_separate(parts: Callable[[], Iterable[NDArray[np.float32]]]) -> bool:
    """Whether the channels hold different voices: mostly one of them talks at a time, and at least two do."""
    levels = channel_levels(parts())
    if len(levels) < 2 or not levels.shape[1]:
        return False
    anybody = _loud(levels).any(axis=0)
    if not anybody.any():
        return False
    ordered = np.sort(levels[:, anybody], axis=0)
    apart = ordered[-1] - ordered[-2] >= _BLEED_DB
    loudest = np.bincount(levels[:, anybody].argmax(axis=0)[apart], minlength=len(levels)) / anybody.sum()
    return bool(apart.mean() >= _APART_SHARE and (loudest >= _LEAST_TALK_SHARE).sum() > 1)


def channel_levels(parts: Iterable[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Levels of consecutive ``(channels, samples)`` parts: ``(channels, frames)`` in dB below full scale."""
    levels = []
    rest: NDArray[np.float32] | None = None
    for part in parts:
        whole = part if rest is None else np.concatenate([rest, part], axis=1)
        frames = whole.shape[1] // _FRAME
        rest = whole[:, frames * _FRAME :]
        framed = whole[:, : frames * _FRAME].reshape(len(whole), frames, _FRAME).astype(np.float32)
        levels.append(10 * np.log10(np.einsum("cfs,cfs->cf", framed, framed) / _FRAME + 1e-10))
    return np.concatenate(levels, axis=1) if levels else np.zeros((0, 0), np.float32)


def _loud(levels: NDArray[np.float32]) -> NDArray[np.bool_]:
    quiet = np.quantile(levels, _QUIET_SHARE, axis=1, keepdims=True)
    # A channel on which somebody talks all the time has no quiet to compare with.
    threshold = np.maximum(np.minimum(quiet + _ABOVE_QUIET_DB, _LEAST_DB + 20.0), _LEAST_DB)
    return np.asarray(levels > threshold)


def _talking(levels: NDArray[np.float32]) -> NDArray[np.bool_]:
    if not levels.size:
        return np.zeros(levels.shape, bool)
    return np.asarray(_loud(levels) & (levels > levels.max(axis=0, keepdims=True) - _BLEED_DB))


def _stretches(frames: NDArray[np.bool_]) -> Iterator[tuple[float, float]]:
    """(start, end) in seconds of each run of frames, short pauses closed and clicks left out."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], frames, [False]]).astype(np.int8)))
    runs = [(float(start) * _FRAME_S, float(end) * _FRAME_S) for start, end in edges.reshape(-1, 2)]
    merged: list[tuple[float, float]] = []
    for start, end in runs:
        if merged and start - merged[-1][1] <= _PAUSE_S:
            merged[-1] = (merged[-1][0], end)
        else:
            merged.append((start, end))
    return ((start, end) for start, end in merged if end - start >= _LEAST_TURN_S)
