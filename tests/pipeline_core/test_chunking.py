"""Chunks hold all speech once, in order, within their length, and end in pauses."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline_core.meeting.chunking import Chunk, cut_chunks, halve, quietest_moment, whole_chunk
from pipeline_core.meeting.voice_activity import FRAME_S, SAMPLE_RATE, Span, VoiceActivity

MAX_S = 5.0


@st.composite
def activities(draw: st.DrawFn) -> tuple[np.ndarray, VoiceActivity]:
    """Speech of any lengths with any pauses between; each sample's value is its number."""
    at, speech = 0, []
    for pause, length in draw(st.lists(st.tuples(st.integers(1, 200), st.integers(5, 500)), max_size=6)):
        start = at + pause
        at = start + length
        speech.append(Span(start * 160 / SAMPLE_RATE, at * 160 / SAMPLE_RATE))
    audio = np.arange(at * 160 + draw(st.integers(0, 9_000)), dtype=np.float32)
    frames = -(-len(audio) // int(FRAME_S * SAMPLE_RATE))
    seed = draw(st.integers(0, 2**16))
    return audio, VoiceActivity(speech, np.random.default_rng(seed).random(frames, dtype=np.float32))


@given(activities())
@settings(deadline=None, max_examples=30)
def test_all_speech_is_in_the_chunks_once_and_in_order(given_: tuple[np.ndarray, VoiceActivity]) -> None:
    audio, activity = given_
    chunks = cut_chunks(audio, activity, MAX_S)
    for chunk in chunks:
        assert 0 < chunk.duration_s <= MAX_S + 1 / SAMPLE_RATE
        assert len(chunk.audio) == pytest.approx(sum(p.duration_s for p in chunk.pieces) * SAMPLE_RATE, abs=2)
    kept = np.concatenate([chunk.audio for chunk in chunks]) if chunks else np.zeros(0)
    assert (np.diff(kept) > 0).all(), "samples must come in order, each once"
    held = np.zeros(len(audio), dtype=bool)
    held[kept.astype(int)] = True
    for span in activity.speech:
        assert held[round(span.start_s * SAMPLE_RATE) : round(span.end_s * SAMPLE_RATE)].all()


@given(activities())
@settings(deadline=None, max_examples=30)
def test_chunks_end_in_pauses_unless_speech_goes_on_for_longer(given_: tuple[np.ndarray, VoiceActivity]) -> None:
    audio, activity = given_
    long = [span for span in activity.speech if span.duration_s > MAX_S]
    for chunk in cut_chunks(audio, activity, MAX_S):
        for border in (chunk.start_s, chunk.end_s):
            inside = [span for span in activity.speech if span.start_s + 1e-6 < border < span.end_s - 1e-6]
            assert all(span in long for span in inside)


@given(activities())
@settings(deadline=None, max_examples=30)
def test_silence_of_more_than_two_seconds_is_left_out(given_: tuple[np.ndarray, VoiceActivity]) -> None:
    audio, activity = given_
    kept_s = sum(chunk.duration_s for chunk in cut_chunks(audio, activity, MAX_S))
    borders = [border for span in activity.speech for border in span]
    pauses = np.diff([0.0, *borders, len(audio) / SAMPLE_RATE])[::2]
    short = [pause for pause in pauses if pause <= 2.0]
    assert kept_s <= sum(span.duration_s for span in activity.speech) + sum(short) + 1e-3


def test_speech_without_a_pause_is_cut_where_it_is_least_like_speech() -> None:
    audio = np.ones(SAMPLE_RATE * 8, dtype=np.float32)
    probabilities = np.ones(250, dtype=np.float32)
    probabilities[118:123] = 0.1  # around 3.86 s
    chunks = cut_chunks(audio, VoiceActivity([Span(0.0, 8.0)], probabilities), MAX_S)
    assert chunks[0].end_s == pytest.approx(120.5 * FRAME_S, abs=FRAME_S)
    assert chunks[0].end_s == chunks[1].start_s


def test_loud_speech_without_any_dip_is_cut_where_it_is_quietest() -> None:
    audio = np.ones(SAMPLE_RATE * 8, dtype=np.float32)
    audio[64_000:66_560] = 0.2  # 4.0 s to 4.16 s
    chunks = cut_chunks(audio, VoiceActivity([Span(0.0, 8.0)], np.ones(250, dtype=np.float32)), MAX_S)
    assert chunks[0].end_s == pytest.approx(4.08, abs=2 * FRAME_S)


def test_offsets_move_pieces_and_nothing_else() -> None:
    audio = np.ones(SAMPLE_RATE * 4, dtype=np.float32)
    activity = VoiceActivity([Span(1.0, 2.0)], np.ones(125, dtype=np.float32))
    (chunk,), (later,) = (cut_chunks(audio, activity, MAX_S, offset) for offset in (0.0, 600.0))
    assert later.speech == chunk.speech == Span(1.0, 2.0)
    assert later.pieces == tuple(piece.shifted(600.0) for piece in chunk.pieces)
    assert (later.audio == chunk.audio).all()


@given(st.lists(st.integers(1, 300), min_size=1, max_size=5))
@settings(deadline=None, max_examples=30)
def test_halves_make_up_the_chunk(lengths: list[int]) -> None:
    pieces, at = [], 0.0
    for length in lengths:
        pieces.append(Span(at, at + length / 100))
        at += length / 100 + 3.0
    audio = np.random.default_rng(len(lengths)).random(sum(lengths) * 160, dtype=np.float32)
    chunk = Chunk(audio, tuple(pieces), Span(0.0, len(audio) / SAMPLE_RATE))
    halves = halve(chunk)
    assert 1 <= len(halves) <= 2
    assert (np.concatenate([half.audio for half in halves]) == audio).all()
    for half in halves:
        assert half.duration_s == pytest.approx(sum(piece.duration_s for piece in half.pieces), abs=1e-3)
    if len(halves) == 2:
        assert halves[0].end_s <= halves[1].start_s


def test_a_stretch_over_a_cut_lies_in_the_piece_of_its_sure_moment() -> None:
    chunk = Chunk(np.ones(SAMPLE_RATE * 3, dtype=np.float32), (Span(10.0, 11.0), Span(70.0, 72.0)), Span(0.0, 3.0))
    assert chunk.in_recording(0.5, 1.5, 0.9) == Span(10.5, 11.0)
    assert chunk.in_recording(0.5, 1.5, 1.2) == Span(70.0, 70.5)
    assert chunk.in_recording(2.0, 3.5, 2.1) == Span(71.0, 72.0)


def test_the_quietest_moment_is_the_middle_of_the_longest_pause() -> None:
    audio = np.ones(SAMPLE_RATE * 20, dtype=np.float32)
    speech = [Span(0.0, 4.0), Span(4.5, 10.0), Span(12.0, 20.0)]
    activity = VoiceActivity(speech, np.ones(625, dtype=np.float32))
    assert quietest_moment(audio, activity, Span(2.0, 15.0)) == 11.0
    assert quietest_moment(audio, activity, Span(3.0, 9.0)) == 4.25
    assert 5.0 <= quietest_moment(audio, activity, Span(5.0, 9.0)) <= 9.0
    assert quietest_moment(audio, VoiceActivity([], activity.probabilities), Span(5.0, 9.0)) == 7.0


def test_a_whole_chunk_is_the_audio_where_it_stands() -> None:
    chunk = whole_chunk(np.ones(SAMPLE_RATE, dtype=np.float32), offset_s=30.0)
    assert chunk.pieces == (Span(30.0, 31.0),)


def test_a_short_recording_stays_whole_and_knows_where_speech_begins_and_ends() -> None:
    audio = np.ones(SAMPLE_RATE * 4, dtype=np.float32)
    (chunk,) = cut_chunks(audio, VoiceActivity([Span(0.5, 1.5), Span(2.0, 3.0)], np.ones(125, np.float32)), MAX_S)
    assert chunk.pieces == (Span(0.0, 4.0),)
    assert chunk.speech == Span(0.5, 3.0)
    assert len(chunk.audio) == len(audio)
