"""Where two talk at once: found frame by frame, given to whoever else talks nearest."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from meetings import turns

from pipeline_core.meeting.overlaps import find_overlaps, second_speakers

RATE = 16_000


def loudness_counts(frame: int = 160) -> SimpleNamespace:
    """A segmentation by loudness: nobody below 0.1, one speaker below 0.5, two above; windows of 10 s."""

    def model(windows: torch.Tensor) -> torch.Tensor:
        loud = windows[:, 0].unfold(-1, frame, frame).abs().mean(dim=-1)
        count = (loud > 0.1).long() + (loud > 0.5).long()
        return torch.nn.functional.one_hot(count, 3).float().clamp(min=1e-6).log()

    mapping = torch.tensor([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0]])
    return SimpleNamespace(model=model, mapping=mapping, window_size=10 * RATE, sample_rate=RATE)


@pytest.mark.parametrize("length_s", [3.0, 9.99, 10.0, 27.3, 100.0])
def test_overlaps_are_found_where_they_are_in_recordings_of_any_length(length_s):
    samples = np.full(round(length_s * RATE), 0.3, np.float32)
    wanted = [(0.5, 1.5), (length_s - 1.0, length_s - 0.3)]
    for start, end in wanted:
        samples[round(start * RATE) : round(end * RATE)] = 0.9
    samples[round(2 * RATE) : round(2.05 * RATE)] = 0.9
    found = find_overlaps(loudness_counts(), samples)
    assert found == [(pytest.approx(start, abs=0.03), pytest.approx(end, abs=0.03)) for start, end in wanted]


def test_a_recording_without_samples_has_no_overlaps():
    assert find_overlaps(loudness_counts(), np.zeros(0, np.float32)) == []


def test_the_second_speaker_is_whoever_else_talks_nearest():
    given = turns(("A", 0, 5), ("B", 6, 8), ("A", 8, 20), ("C", 21, 22))
    assert second_speakers(given, [(4.0, 4.5), (18.0, 19.0)]) == turns(("B", 4.0, 4.5), ("C", 18.0, 19.0))


def test_nobody_is_second_where_nobody_else_is_near_or_nobody_talks():
    given = turns(("A", 0, 100), ("B", 200, 201))
    assert second_speakers(given, [(10.0, 11.0), (150.0, 151.0)]) == []
    assert second_speakers([], [(1.0, 2.0)]) == []
