"""Words meet turns: each has a speaker, segments end where their speaker changes, overlaps are marked."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from meetings import say, turns

from pipeline_core.errors import SpecError
from pipeline_core.meeting.speakers import assign_speakers, parse_names
from pipeline_core.meeting.transcript import Segment, Word


def said_by(segments):
    return [(segment.speaker, segment.text) for segment in segments]


def test_a_segment_is_cut_where_its_speaker_changes():
    segment = say("How are you? I am fine, thanks.", 0.0)
    assigned = assign_speakers([segment], turns(("S1", 0.0, 0.85), ("S2", 0.95, 3.0)))
    assert said_by(assigned) == [("S1", "How are you?"), ("S2", "I am fine, thanks.")]
    assert [word.text for piece in assigned for word in piece.words] == [word.text for word in segment.words]
    assert (assigned[0].start_s, assigned[-1].end_s) == (segment.start_s, segment.end_s)
    assert assigned[0].end_s <= assigned[1].start_s


def test_a_script_without_spaces_gets_none_where_it_is_cut():
    words = [Word(text=text, start_s=i, end_s=i + 0.9) for i, text in enumerate(["今日は", "晴れ", "です。", "はい"])]
    segment = Segment(text="今日は晴れです。はい", start_s=0, end_s=4, words=tuple(words))
    assigned = assign_speakers([segment], turns(("S1", 0.0, 2.95), ("S2", 3.0, 4.0)))
    assert said_by(assigned) == [("S1", "今日は晴れです。"), ("S2", "はい")]


def test_words_that_nobody_claims_go_to_whoever_talks_nearest():
    assigned = assign_speakers([say("one two", 0.0), say("nine ten", 9.0)], turns(("S1", 2, 3), ("S2", 7, 8)))
    assert said_by(assigned) == [("S1", "one two"), ("S2", "nine ten")]


def test_in_an_overlap_the_speaker_goes_on_and_the_segment_is_marked():
    both = turns(("S1", 0.0, 3.0), ("S2", 1.0, 2.0))
    assigned = assign_speakers([say("we all talk at the same time here", 0.0)], both)
    assert said_by(assigned) == [("S1", "we all talk at the same time here")]
    assert assigned[0].overlap
    assert not assign_speakers([say("we talk", 0.0)], both)[0].overlap


def test_a_touch_of_two_turns_is_no_overlap():
    assigned = assign_speakers([say("one two three four", 0.0)], turns(("S1", 0.0, 0.65), ("S2", 0.6, 2.0)))
    assert [segment.overlap for segment in assigned] == [False, False]


def test_a_segment_without_words_goes_to_whoever_talks_most_in_it():
    segment = Segment(text="all of it", start_s=0.0, end_s=4.0)
    assert said_by(assign_speakers([segment], turns(("S1", 0.0, 1.0), ("S2", 1.0, 4.0)))) == [("S2", "all of it")]


def test_without_turns_nothing_is_claimed():
    segment = say("who is there", 0.0)
    assert assign_speakers([segment], []) == (segment,)
    assert assign_speakers([segment], turns(("S1", 2.0, 2.0))) == (segment,)


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.tuples(st.floats(0, 3), st.integers(1, 9)), min_size=1, max_size=5),
    st.lists(st.tuples(st.sampled_from(["S1", "S2", "S3"]), st.floats(0, 20), st.floats(0.1, 5)), min_size=1),
)
def test_no_word_is_lost_none_is_without_a_speaker_and_none_leaves_its_segment(gaps, given_turns):
    segments, at = [], 0.0
    for gap, words in gaps:
        segments.append(say(" ".join(f"w{i}," for i in range(words)), at + gap))
        at = segments[-1].end_s
    some = turns(*((speaker, start, start + length) for speaker, start, length in given_turns))
    assigned = assign_speakers(segments, some)
    before = [word.text for segment in segments for word in segment.words]
    assert [word.text for segment in assigned for word in segment.words] == before
    assert " ".join(segment.text for segment in assigned) == " ".join(segment.text for segment in segments)
    for segment in assigned:
        assert {word.speaker for word in segment.words} == {segment.speaker} <= {"S1", "S2", "S3"}
        assert segment.start_s <= segment.words[0].start_s
        assert segment.words[-1].end_s <= segment.end_s + 1e-9


def test_names_are_read_as_given():
    assert parse_names(["S1=Ana", " S2 = Dr.  Bo = B "]) == {"S1": "Ana", "S2": "Dr. Bo = B"}


@pytest.mark.parametrize("text", ["S1", "S1=", "=Ana", "1=Ana", "S0=Ana", "Ana=S1"])
def test_a_name_that_can_not_be_read_is_refused_by_showing_how(text):
    with pytest.raises(SpecError, match=r"S1=Ana"):
        parse_names([text])


def test_a_speaker_is_named_once_and_has_to_be_there():
    with pytest.raises(SpecError, match="named twice"):
        parse_names(["S1=Ana", "S1=Bo"])
    with pytest.raises(SpecError, match="no speaker S3; there are S1, S2"):
        parse_names(["S3=Ana"], ["S1", "S2"])
