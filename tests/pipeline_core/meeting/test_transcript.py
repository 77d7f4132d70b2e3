"""The model of a transcript: what it refuses, and that it survives being written."""

import pytest
from meetings import a_meeting, say, transcript_of
from pydantic import ValidationError

from pipeline_core.meeting.transcript import Segment, Transcript, Turn, Word


def test_a_transcript_is_the_same_after_it_was_written():
    transcript = a_meeting(names={"S1": "Ana"})
    assert Transcript.model_validate_json(transcript.model_dump_json()) == transcript


@pytest.mark.parametrize(("start_s", "end_s"), [(2.0, 1.0), (-1.0, 1.0), (0.0, float("nan")), (0.0, float("inf"))])
def test_times_that_can_not_be_are_refused(start_s, end_s):
    with pytest.raises(ValidationError):
        Turn(speaker="S1", start_s=start_s, end_s=end_s)


def test_speakers_are_listed_as_they_first_talk_and_called_by_their_names():
    transcript = a_meeting(names={"S2": "Bo"})
    assert transcript.speakers == ["S1", "S2", "S3"]
    assert [transcript.name(speaker) for speaker in transcript.speakers] == ["S1", "Bo", "S3"]


def test_a_file_name_that_is_no_text_can_be_kept():
    transcript = transcript_of([say("hello", 0.0)], recording="caf\udce9.wav")
    assert transcript.recording == "caf?.wav"
    assert Transcript.model_validate_json(transcript.model_dump_json()) == transcript


@pytest.mark.parametrize(
    ("text", "words", "pieces", "tail"),
    [
        (" Hello,  world! ", ["Hello", "world"], [" Hello", ",  world"], "! "),
        ("今日は晴れ", ["今日", "は", "晴れ"], ["今日", "は", "晴れ"], ""),
        ("other text", ["not", "there"], ["not", " there"], ""),
    ],
)
def test_the_pieces_of_a_segment_make_up_its_text(text, words, pieces, tail):
    made = tuple(Word(text=word, start_s=i, end_s=i + 1) for i, word in enumerate(words))
    assert Segment(text=text, start_s=0, end_s=9, words=made).pieces() == (pieces, tail)
