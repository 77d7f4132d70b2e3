"""Fixtures of the meeting transcription's tests: a folder of recordings, and what the flow is called with."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from tiny_whisper import babble, silence, whisper

from pipeline_core import PipelineSpec
from pipeline_core.meeting.settings import TranscriptionSettings

RATE = 16_000
TALK = np.concatenate([silence(0.5), babble(1.5, 1), silence(1)])


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> TranscriptionSettings:
    folder = tmp_path_factory.mktemp("whisper")
    torch.manual_seed(11)
    whisper(folder)
    spec = PipelineSpec(task="automatic-speech-recognition", model=str(folder), device="cpu")
    return TranscriptionSettings(pipeline=spec, language="en", part_s=60)


@pytest.fixture
def recordings(tmp_path: Path) -> Path:
    folder = tmp_path / "recordings"
    (folder / "monday").mkdir(parents=True)
    soundfile.write(folder / "talk.wav", TALK, RATE)
    soundfile.write(folder / "monday" / "quiet.flac", silence(2), RATE)
    return folder


@pytest.fixture
def arguments(recordings: Path, tmp_path: Path, settings: TranscriptionSettings) -> dict[str, Any]:
    return {"recordings": str(recordings), "output": str(tmp_path / "out"), "settings": settings, "speakers": "off"}
