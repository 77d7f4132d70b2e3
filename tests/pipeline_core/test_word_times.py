"""Word times: the cheapest way through the attention, and borders that rise."""

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipeline_core.meeting.phrases import TimedWord, segments_of
from pipeline_core.meeting.word_times import align, rising


def cost_of(starts: np.ndarray, costs: np.ndarray) -> float:
    """What the cheapest way costs whose rows start in these frames: to the next row it goes up, or up and on."""
    stops, total = [*starts[1:], costs.shape[1]], 0.0
    for row, (start, stop) in enumerate(zip(starts, stops, strict=True)):
        total += costs[row, start:stop].sum()
        if row < len(starts) - 1:
            total += costs[row, stop] if start == stop else min(0.0, costs[row, stop])
    return total


@given(st.integers(2, 9), st.integers(4, 40), st.integers(0, 2**16))
@settings(deadline=None, max_examples=100, derandomize=True)  # of thousands, a few have two cheapest ways
@example(4, 19, 6)  # where going up costs as much as going up and on, transformers does neither, and pays more
def test_token_times_are_those_that_transformers_finds_or_cost_less(rows: int, frames: int, seed: int) -> None:
    from transformers.models.whisper.generation_whisper import _dynamic_time_warping, _median_filter

    attention = torch.rand(3, rows, frames, generator=torch.Generator().manual_seed(seed))
    found = align(attention, 0.02, 7).times
    normed = (attention - attention.mean(-2, keepdim=True)) / attention.std(-2, keepdim=True, unbiased=False)
    costs = -_median_filter(normed[None], 7)[0].mean(0).double().numpy()
    text, time = _dynamic_time_warping(costs)
    starts = time[np.pad(np.diff(text), (1, 0), constant_values=1).astype(bool)]
    saved = cost_of(starts, costs) - cost_of(np.rint(found / 0.02).astype(int), costs)
    assert saved > -1e-5
    if saved < 1e-5 and rows > 2:  # of two rows one is the other's opposite, and many ways cost the same
        assert found == pytest.approx(starts * 0.02)


def test_a_single_token_has_times() -> None:
    aligned = align(torch.rand(2, 2, 50, generator=torch.Generator().manual_seed(1)), 0.02, 7)
    assert aligned.times[0] == 0.0
    assert 0.0 <= aligned.times[1] <= 1.0
    assert np.isfinite(aligned.weights).all()


@given(st.lists(st.integers(0, 2_000), min_size=2, max_size=30), st.integers(50, 1_500))
def test_borders_rise_strictly_between_their_limits(frames: list[int], end: int) -> None:
    times, end_s = [frame / 50 for frame in sorted(frames)], end / 50  # a model's times are whole frames of 20 ms
    borders = rising(times, 0.0, end_s)
    assert len(borders) == len(times)
    assert borders.min() >= 0.0
    assert borders.max() <= end_s
    assert (np.diff(borders) > 0).all()


@given(st.lists(st.integers(0, 1000), min_size=2, max_size=30, unique=True))
def test_borders_that_rise_already_stay(times: list[int]) -> None:
    given_ = [time / 50 for time in sorted(times)]
    assert rising(given_, 0.0, 30.0) == pytest.approx(given_)


def words(*texts: str, step_s: float = 0.5, start_s: float = 0.0) -> list[TimedWord]:
    return [TimedWord(text, start_s + n * step_s, start_s + (n + 1) * step_s, [-0.1]) for n, text in enumerate(texts)]


def test_segments_end_with_sentences_and_at_pauses() -> None:
    said = words(" Go", " on.", " We", " wait") + words(" no", " more", start_s=3.1)
    assert [segment.text for segment in segments_of(said, with_words=True)] == ["Go on.", "We wait", "no more"]


@given(
    st.lists(st.tuples(st.sampled_from([" a", " b.", "c", " d?"]), st.floats(0.01, 9), st.floats(0, 3)), max_size=40)
)
def test_segments_hold_each_word_once_in_order(parts: list[tuple[str, float, float]]) -> None:
    said, at = [], 0.0
    for text, length, pause in parts:
        said.append(TimedWord(text, at, at + length, [-0.5]))
        at += length + pause
    segments = segments_of(said, with_words=True)
    assert [word.text for segment in segments for word in segment.words] == [word.text.strip() for word in said]
    for segment in segments:
        assert segment.confidence == pytest.approx(np.exp(-0.5))
        assert segment.end_s - segment.start_s <= 15 or len(segment.words) == 1
