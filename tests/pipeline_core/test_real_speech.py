"""With whisper-base on recordings of people: word times, no loops, nothing invented over silence, noise and music."""

import itertools
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import soxr
from real_models import DATA, MODELS, needs_data, needs_models

from pipeline_core import PipelineSpec, load_pipeline
from pipeline_core.meeting.repetition import compression_ratio, find_repetition
from pipeline_core.meeting.settings import TranscriptionSettings
from pipeline_core.meeting.transcribe import transcribe_recording
from pipeline_core.meeting.transcript import Transcript

pytestmark = [pytest.mark.real, needs_models, needs_data]
CLIPS = ["dev00", "trn01", "trn02", "trn03", "trn04", "trn05"]
RATE = 16_000


@pytest.fixture(scope="module")
def settings() -> TranscriptionSettings:
    model = str(MODELS / "whisper-base")
    spec = PipelineSpec(task="automatic-speech-recognition", model=model, device="cpu")
    return TranscriptionSettings(pipeline=spec)


@pytest.fixture(scope="module")
def clip() -> Callable[[str], Path]:
    return lambda name: DATA / "meetings" / name


@pytest.fixture(scope="module")
def transcripts(settings: TranscriptionSettings, clip: Callable[[str], Path]) -> dict[str, Transcript]:
    return {name: transcribe_recording(clip(f"{name}.wav"), settings) for name in CLIPS}


def test_words_of_a_speech_are_within_a_fifth_of_a_second_of_those_of_transformers(
    settings: TranscriptionSettings, clip: Callable[[str], Path]
) -> None:
    samples, rate = soundfile.read(clip("jfk.flac"), dtype="float32")
    audio = soxr.resample(samples.mean(axis=1), rate, RATE).astype(np.float32)
    pipeline = load_pipeline(settings.pipeline)
    parameters: dict[str, Any] = {"num_beams": 1, "language": "en"}
    given = pipeline({"raw": audio, "sampling_rate": RATE}, return_timestamps="word", generate_kwargs=parameters)
    wanted = given["chunks"]
    found = [word for segment in transcribe_recording(clip("jfk.flac"), settings).segments for word in segment.words]
    assert [_plain(word.text) for word in found] == [_plain(chunk["text"]) for chunk in wanted]
    apart = {
        word.text: (word.start_s - chunk["timestamp"][0], word.end_s - chunk["timestamp"][1])
        for word, chunk in zip(found, wanted, strict=True)
    }
    assert all(abs(start) <= 0.2 and abs(end) <= 0.2 for start, end in apart.values()), apart


def test_word_times_rise_and_none_is_empty(transcripts: dict[str, Transcript]) -> None:
    for name, transcript in transcripts.items():
        words = [word for segment in transcript.segments for word in segment.words]
        for left, right in itertools.pairwise(words):
            assert left.end_s <= right.start_s + 1e-6, (name, left, right)
        assert all(word.end_s > word.start_s for word in words), name
        assert all(0 <= word.start_s <= word.end_s <= transcript.duration_s for word in words), name


def test_no_meeting_is_transcribed_as_a_loop(transcripts: dict[str, Transcript], settings: Any) -> None:
    tokenizer = load_pipeline(settings.pipeline).tokenizer
    for name, transcript in transcripts.items():
        text = " ".join(segment.text for segment in transcript.segments if not segment.uncertain)
        assert find_repetition(tokenizer(text, add_special_tokens=False).input_ids) is None, (name, text)
        assert compression_ratio(text) < 2.4, (name, text)


def test_clips_of_talk_have_text_and_silent_ones_hardly_any(transcripts: dict[str, Transcript]) -> None:
    words = {name: sum(len(segment.words) for segment in found.segments) for name, found in transcripts.items()}
    assert all(words[name] > 25 for name in ("dev00", "trn03", "trn05")), words
    assert words["trn02"] <= 3, words
    assert all(found.language in (None, "en") for name, found in transcripts.items() if words[name] > 10)


def _noise(seconds: int) -> np.ndarray:
    return np.random.default_rng(1).normal(0, 0.1, seconds * RATE).astype(np.float32)


def _music(seconds: int) -> np.ndarray:
    """Chords of a plucked, bell-like sound."""
    time = np.arange(RATE) / RATE
    played = []
    for beat in range(seconds):
        root = 220 * 2 ** (np.random.default_rng(beat).integers(0, 12) / 12)
        tones = [np.sin(2 * np.pi * root * step * time) for step in (1, 1.25, 1.5, 2, 3.01)]
        played.append(0.1 * np.sum(tones, axis=0) * np.exp(-3 * time))
    return np.concatenate(played).astype(np.float32)


@pytest.mark.parametrize(
    ("sound", "audio"), [("silence", np.zeros(30 * RATE, np.float32)), ("noise", _noise(30)), ("music", _music(30))]
)
def test_nothing_is_invented_where_nobody_talks(settings: Any, sound: str, audio: np.ndarray) -> None:
    transcript = transcribe_recording(audio, settings)
    assert [segment.text for segment in transcript.segments if not segment.uncertain] == []


@pytest.mark.parametrize("audio", [np.zeros(30 * RATE, np.float32), _noise(30), _music(30)])
def test_the_guard_alone_lets_no_loop_pass_where_voice_activity_is_fooled(settings: Any, audio: np.ndarray) -> None:
    from pipeline_core.meeting.chunking import whole_chunk
    from pipeline_core.meeting.recognition import load_recognizer

    recognizer = load_recognizer(settings.model_copy(update={"language": "en"}))
    ((segments,), _) = recognizer.recognize([[whole_chunk(audio)]])[0]
    text = " ".join(segment.text for segment in segments if not segment.uncertain)
    assert compression_ratio(text) < 2.4
    assert len(text) < 100, text


def _plain(text: str) -> str:
    return re.sub(r"\W+", "", text.lower())
