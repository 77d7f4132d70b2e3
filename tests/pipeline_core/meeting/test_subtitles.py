"""Subtitles: within broadcasters' limits, complete, readable by others, and never markup."""

import pysubs2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from meetings import HOSTILE, a_meeting, say, transcript_of

from pipeline_core.meeting.cues import COLUMNS, GAP_S, LINES, MOST_S, make_cues
from pipeline_core.meeting.lines import break_lines, chop, width
from pipeline_core.meeting.subtitles import to_srt, to_vtt
from pipeline_core.meeting.transcript import Segment, Word

CHARACTERS = st.characters(codec="utf-8", exclude_categories=["Cs"])
WORDS = st.text(CHARACTERS, min_size=1, max_size=60).filter(lambda text: text.split() != [])


def text_of(cues) -> str:
    return "".join("".join(cue.lines) for cue in cues).replace(" ", "")


def test_cues_keep_the_limits_and_say_it_all_in_order():
    long = " ".join(f"Sentence {i} says a little more, about as much as the one before." for i in range(40))
    transcript = transcript_of([say(long, 0.0, word_s=0.35)])
    cues = make_cues(transcript)
    assert text_of(cues) == long.replace(" ", "")
    for cue, following in zip(cues, [*cues[1:], None], strict=True):
        assert len(cue.lines) <= LINES
        assert all(width(line) <= COLUMNS for line in cue.lines)
        assert cue.start_s < cue.end_s <= cue.start_s + MOST_S
        assert following is None or following.start_s - cue.end_s >= GAP_S - 1e-6
    ends = sum(cue.lines[-1].endswith((".", ",")) for cue in cues)
    assert ends >= 0.9 * len(cues)


def test_speech_slow_enough_to_read_is_shown_long_enough_to_read():
    transcript = transcript_of([say("Yes.", 0.0), say("A little later, another.", 5.0)])
    first, second = make_cues(transcript)
    assert first.end_s - first.start_s >= 5 / 6
    assert sum(map(width, second.lines)) / (second.end_s - second.start_s) <= 20.01


def test_a_cue_has_one_speaker_whose_name_stands_where_they_begin():
    transcript = a_meeting(names={"S1": "Ana"})
    cues = make_cues(transcript)
    shown = [cue.lines[0].partition(":")[0] for cue in cues if ":" in cue.lines[0]]
    assert shown == ["Ana", "S2", "S3", "S2", "S3", "Ana"]
    alone = transcript_of([say("Only me here.", 0.0, "S1")])
    assert make_cues(alone)[0].lines == ("Only me here.",)


def test_what_is_uncertain_says_so():
    cues = make_cues(a_meeting())
    assert [cue.lines[0] for cue in cues if "[?]" in cue.lines[0]] == ["S3: [?] mumble mumble the the"]


def test_segments_without_words_are_spread_over_their_time():
    transcript = transcript_of([Segment(text="ten words " * 20, start_s=2.0, end_s=22.0)])
    cues = make_cues(transcript)
    assert len(cues) >= 3
    assert cues[0].start_s == 2.0
    assert text_of(cues) == "tenwords" * 20
    assert cues[-1].end_s <= 23.0


def test_words_of_scripts_without_spaces_are_not_torn_apart():
    words = tuple(Word(text="漢字", start_s=i * 0.4, end_s=i * 0.4 + 0.4) for i in range(30))
    transcript = transcript_of([Segment(text="漢字" * 30, start_s=0.0, end_s=12.0, words=words)])
    cues = make_cues(transcript)
    assert {line for cue in cues for line in cue.lines if " " in line} == set()
    assert all(width(line) <= COLUMNS for cue in cues for line in cue.lines)
    assert text_of(cues) == "漢字" * 30


@settings(deadline=None, max_examples=60)
@given(st.lists(WORDS, min_size=1, max_size=12), st.floats(0.01, 3), st.booleans())
def test_whatever_is_said_keeps_the_limits_and_can_be_read_back(said, word_s, named):
    text = " ".join(said)
    segments = [say(text, 1.0, "S1" if named else None, word_s=word_s), say("End.", 1000.0, "S2")]
    transcript = transcript_of(segments, names={"S1": text})
    cues = make_cues(transcript)
    assert all(width(line) <= COLUMNS for cue in cues for line in cue.lines)
    for written in (to_srt(transcript), to_vtt(transcript)):
        read = pysubs2.SSAFile.from_string(written)
        assert len(read) == len(cues)
        assert [event.start for event in read] == [round(cue.start_s * 1000) for cue in cues]


def test_what_is_said_is_never_markup():
    said = f"<b>bold</b> {{\\an8}} 00:00:01,000 --> 00:00:02,000 C:\\new & {HOSTILE}"
    transcript = transcript_of([say(said, 0.0, "S1"), say("Bye.", 60.0, "S2")], names={"S1": "<c.red>A\n\n--> B"})
    srt, vtt = to_srt(transcript), to_vtt(transcript)
    for markup in ("<b", "</b", "<script", "{\\", "\\n"):
        assert markup not in srt
        assert markup not in vtt
    cues = make_cues(transcript)
    assert srt.count("-->") == vtt.count("-->") == len(cues)
    assert vtt.count("<v ") == vtt.count("<") == len(cues)
    assert "&lt;b&gt;bold" in vtt
    assert "C:" in srt
    assert "new" in srt


def test_an_empty_transcript_has_no_cues_and_the_files_are_still_of_their_kind():
    transcript = transcript_of([])
    assert to_srt(transcript) == ""
    assert to_vtt(transcript).startswith("WEBVTT")


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("short", ["short"]),
        ("one two three, four five six", ["one two three,", "four five six"]),
        ("a bb ccc dddd eeeee fffff", ["a bb ccc dddd", "eeeee fffff"]),
    ],
)
def test_lines_break_evenly_and_at_punctuation(text, lines):
    assert break_lines([f" {word}" for word in text.split()], 15, 2) == lines


def test_text_that_does_not_fit_is_not_broken():
    assert break_lines([" aaaa"] * 10, 15, 2) is None
    assert break_lines([" aaaa"] * 4, 15, 1) is None


def test_long_words_are_chopped_by_their_width():
    assert chop("漢字漢字漢", 4) == ["漢字", "漢字", "漢"]
    assert "".join(chop("a" * 100, 42)) == "a" * 100
