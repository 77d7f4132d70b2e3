"""Who talks when: durations, overlaps, the nearest speaker, labels."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from meetings import turns

from pipeline_core.meeting.turns import TurnIndex, at_most, in_order, talk_time

SOME_TURNS = st.lists(
    st.tuples(st.sampled_from("ABC"), st.integers(0, 40), st.integers(0, 20)).map(
        lambda turn: (turn[0], turn[1] / 4, (turn[1] + turn[2]) / 4)
    ),
    max_size=12,
).map(lambda given: turns(*given))


@settings(deadline=None, max_examples=60)
@given(SOME_TURNS, st.integers(0, 60), st.integers(0, 20))
def test_the_index_says_what_counting_quarters_of_a_second_says(some, start, length):
    index = TurnIndex(some)
    seconds: dict[str, float] = {}
    overlap = 0.0
    for quarter in range(start, start + length):
        middle = (quarter + 0.5) / 4
        talking = {turn.speaker for turn in some if turn.start_s < middle < turn.end_s}
        overlap += 0.25 * (len(talking) > 1)
        for speaker in talking:
            seconds[speaker] = seconds.get(speaker, 0.0) + 0.25
    assert index.talking(start / 4, (start + length) / 4) == pytest.approx(seconds)
    assert index.overlap_s(start / 4, (start + length) / 4) == pytest.approx(overlap)


@settings(deadline=None, max_examples=60)
@given(SOME_TURNS, st.floats(0, 20))
def test_the_nearest_speaker_is_one_whose_turn_is_nearest(some, moment):
    some = [turn for turn in some if turn.duration_s > 0]
    found = TurnIndex(some).nearest(moment)
    distances = [(max(turn.start_s - moment, moment - turn.end_s, 0.0), turn.speaker) for turn in some]
    if not distances:
        assert found is None
        return
    least = min(distances)[0]
    assert found in {speaker for distance, speaker in distances if distance <= least + 1e-9}


def test_talk_time_counts_a_speakers_overlapping_turns_once_and_the_longest_first():
    some = turns(("A", 0, 2), ("A", 1, 3), ("B", 2, 10))
    assert talk_time(some) == {"B": 8.0, "A": 3.0}
    assert list(talk_time(some)) == ["B", "A"]


def test_speakers_are_numbered_in_the_order_in_which_they_first_talk():
    some = in_order(turns(("x", 5, 6), ("b", 1, 2), ("x", 0.5, 0.8)))
    assert [(turn.speaker, turn.start_s) for turn in some] == [("S1", 0.5), ("S2", 1.0), ("S1", 5.0)]


@settings(deadline=None, max_examples=60)
@given(SOME_TURNS, st.integers(1, 4))
def test_no_more_speakers_than_asked_for_and_not_a_second_less_talk(some, speakers):
    some = [turn for turn in some if turn.duration_s > 0]
    kept = at_most(some, speakers)
    assert len({turn.speaker for turn in kept}) == min(speakers, len({turn.speaker for turn in some}))
    assert [(turn.start_s, turn.end_s) for turn in kept] == [(turn.start_s, turn.end_s) for turn in some]
