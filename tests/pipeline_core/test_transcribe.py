"""Recordings become transcripts: in parts, in order, whatever their length, rate and channels."""

import io
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from tiny_media_models import build
from tiny_whisper import babble, silence, whisper

from pipeline_core import PipelineSpec, load_pipeline
from pipeline_core.audio import AudioFile
from pipeline_core.errors import InvalidInputError, SpecError
from pipeline_core.meeting.parts import Part, content_id, plan_parts
from pipeline_core.meeting.settings import TranscriptionSettings
from pipeline_core.meeting.transcribe import (
    join_parts,
    plan_transcription,
    transcribe_parts,
    transcribe_recording,
)
from pipeline_core.meeting.transcript import Transcript
from pipeline_core.meeting.voice_activity import SAMPLE_RATE, detect_speech
from pipeline_core.pinning import pin

TALK = np.concatenate([silence(1), babble(1.6, 1), silence(3), babble(1.2, 2), silence(1)])


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("whisper")
    torch.manual_seed(11)
    whisper(folder)
    return str(folder)


@pytest.fixture(scope="module")
def settings(model: str) -> Callable[..., TranscriptionSettings]:
    def make(parameters: dict[str, Any] | None = None, **given: Any) -> TranscriptionSettings:
        task = "automatic-speech-recognition"
        spec = PipelineSpec(task=task, model=given.pop("model", model), device="cpu", parameters=parameters or {})
        return TranscriptionSettings(pipeline=spec, **given)

    return make


@pytest.fixture(scope="module")
def transcript(settings: Callable[..., TranscriptionSettings]) -> Transcript:
    return transcribe_recording(TALK, settings(language="en"), name="talk.wav")


def test_segments_and_words_lie_where_there_is_speech(transcript: Transcript) -> None:
    spans = detect_speech(TALK).speech
    assert len(spans) == 2
    assert transcript.speech_s == pytest.approx(sum(span.duration_s for span in spans))
    assert transcript.duration_s == len(TALK) / SAMPLE_RATE
    words = [word for segment in transcript.segments for word in segment.words]
    assert {index for word in words for index, span in enumerate(spans) if _within(word, span)} == {0, 1}
    assert all(any(_within(word, span) for span in spans) for word in words)
    assert [word.start_s for word in words] == sorted(word.start_s for word in words)


@pytest.mark.parametrize("samples", [0.2, 3.0])
def test_silence_is_transcribed_as_nothing(settings: Callable[..., TranscriptionSettings], samples: float) -> None:
    transcript = transcribe_recording(silence(samples), settings())
    assert transcript.segments == ()
    assert transcript.speech_s == 0
    assert transcript.language is None
    assert transcript.duration_s == pytest.approx(samples)


def test_a_recording_in_memory_as_a_file_and_as_bytes_gives_one_transcript(
    settings: Callable[..., TranscriptionSettings], transcript: Transcript, tmp_path: Path
) -> None:
    path = tmp_path / "talk.wav"
    soundfile.write(path, TALK, SAMPLE_RATE, subtype="FLOAT")
    for source in (path, path.read_bytes()):
        found = transcribe_recording(source, settings(language="en"), name="talk.wav")
        assert found.model_copy(update={"content_id": transcript.content_id}) == transcript


def test_96_khz_and_eight_channels_are_read(settings: Callable[..., TranscriptionSettings], tmp_path: Path) -> None:
    import soxr

    path = tmp_path / "array.flac"
    soundfile.write(path, np.repeat(soxr.resample(TALK, SAMPLE_RATE, 96_000)[:, None], 8, axis=1), 96_000)
    found = transcribe_recording(path, settings(language="en"))
    assert found.recording == "array.flac"
    assert found.duration_s == pytest.approx(len(TALK) / SAMPLE_RATE, abs=1e-3)
    assert found.segments


@pytest.mark.parametrize("content", [b"", b"no sound at all" * 50, None])
def test_an_empty_a_corrupt_and_a_soundless_file_are_refused(
    settings: Callable[..., TranscriptionSettings], tmp_path: Path, content: bytes | None
) -> None:
    path = tmp_path / "bad.wav"
    if content is None:
        soundfile.write(path, np.zeros(0, np.float32), SAMPLE_RATE)
    else:
        path.write_bytes(content)
    with pytest.raises(InvalidInputError):
        transcribe_recording(path, settings())


def test_a_content_id_goes_by_what_is_in_a_file_and_not_by_its_name(tmp_path: Path) -> None:
    first, second = tmp_path / "a.wav", tmp_path / "b.wav"
    first.write_bytes(b"abc" * 10_000)
    second.write_bytes(b"abc" * 10_000)
    assert content_id(first) == content_id(second) == content_id(first.read_bytes())
    second.write_bytes(b"abd" * 10_000)
    assert content_id(first) != content_id(second)


LONG = np.concatenate([np.concatenate([babble(14.0, seed), silence(1 + seed % 3)]) for seed in range(12)])


def test_parts_make_up_the_recording_and_meet_in_pauses() -> None:
    parts = plan_parts(LONG, 60)
    assert len(parts) == 3
    assert [part.index for part in parts] == [0, 1, 2]
    assert parts[0].start_s == 0
    assert parts[-1].stop_s == len(LONG) / SAMPLE_RATE
    spans = detect_speech(LONG).speech
    for left, right in pairwise(parts):
        assert left.stop_s == right.start_s
        assert not any(span.start_s < left.stop_s < span.end_s for span in spans)
        assert abs(left.stop_s - len(LONG) / SAMPLE_RATE * right.index / 3) <= 15
    assert plan_parts(LONG, 60) == parts
    assert len(plan_parts(LONG, 600)) == 1


def test_planning_reads_no_more_than_the_surroundings_of_each_border(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, asked = tmp_path / "long.wav", []
    soundfile.write(path, LONG, SAMPLE_RATE)
    read = AudioFile.read

    def counted(audio: AudioFile, start_s: float = 0.0, stop_s: float | None = None) -> np.ndarray:
        samples = read(audio, start_s, stop_s)
        asked.append(len(samples) / SAMPLE_RATE)
        return samples

    monkeypatch.setattr(AudioFile, "read", counted)
    assert len(plan_parts(path, 60)) == 3
    assert asked == [30.0, 30.0]


def test_parts_by_themselves_and_together_give_the_same_and_join_in_order(
    settings: Callable[..., TranscriptionSettings],
) -> None:
    given = settings(language="en")
    halfway = 4.5
    parts = [Part(index=0, start_s=0, stop_s=halfway), Part(index=1, start_s=halfway, stop_s=len(TALK) / SAMPLE_RATE)]
    together = transcribe_parts([(TALK, part) for part in parts], given)
    alone = [transcribe_parts([(TALK, part)], given)[0] for part in parts]
    texts = [[segment.text for part in found for segment in part.segments] for found in (together, alone)]
    assert texts[0] == texts[1]
    joined = join_parts(reversed(alone), "talk.wav", "id", pin(given.pipeline))
    starts = [segment.start_s for segment in joined.segments]
    assert starts == sorted(starts)
    assert any(start > halfway for start in starts)
    assert joined.speech_s == sum(part.speech_s for part in alone)
    assert joined.language == "en"
    assert joined.model_revision == pin(given.pipeline).model.content


def test_chunks_of_fixed_length_give_what_transformers_gives(
    settings: Callable[..., TranscriptionSettings],
) -> None:
    parameters = {"chunk_length_s": 2, "stride_length_s": 0.25, "generate_kwargs": {"num_beams": 1, "language": "en"}}
    given = settings({**parameters, "ignore_warning": True}, timestamps="segment")
    audio = TALK[: 5 * SAMPLE_RATE]
    assert len(plan_transcription(audio, given)) == 1
    found = transcribe_recording(audio, given)
    pipeline = load_pipeline(given.pipeline)
    wanted = pipeline({"raw": audio.copy(), "sampling_rate": SAMPLE_RATE}, return_timestamps=True)
    texts = [chunk["text"].strip() for chunk in wanted["chunks"]]
    assert [segment.text for segment in found.segments] == [text for text in texts if text] != []


def test_a_model_that_is_no_whisper_gets_its_chunks_through_the_pipeline(
    settings: Callable[..., TranscriptionSettings], tmp_path: Path
) -> None:
    build("speech", tmp_path)
    given = settings(model=str(tmp_path))
    found = transcribe_recording(TALK, given)
    assert found.language is None
    assert found.segments
    for segment in found.segments:
        assert 0 <= segment.start_s <= segment.end_s <= found.duration_s
    with pytest.raises(SpecError, match="takes no language"):
        transcribe_recording(TALK, settings(model=str(tmp_path), language="en"))


def test_settings_change_their_fingerprint_when_transcripts_could_change(
    settings: Callable[..., TranscriptionSettings],
) -> None:
    base = settings()
    pinned = pin(base.pipeline)
    prints = [settings(**change).fingerprint(pinned) for change in ({"language": "de"}, {"translate": True})]
    assert len({base.fingerprint(pinned), *prints}) == 3
    assert settings(batch_size=3).fingerprint(pinned) == base.fingerprint(pinned)
    assert settings(language="auto") == base


def test_settings_are_for_speech_recognition_alone() -> None:
    with pytest.raises(ValueError, match="automatic-speech-recognition"):
        TranscriptionSettings(pipeline=PipelineSpec(task="text-classification"))


def test_progress_reaches_the_length_of_the_recording(settings: Callable[..., TranscriptionSettings]) -> None:
    told: list[float] = []
    audio = io.BytesIO()
    soundfile.write(audio, silence(61), SAMPLE_RATE, format="WAV")
    transcribe_recording(audio.getvalue(), settings(), on_progress=told.append)
    assert told[-1] == pytest.approx(61)


def _within(word: Any, span: Any) -> bool:
    return bool(span.start_s - 1e-6 <= word.start_s <= word.end_s <= span.end_s + 1e-6)
