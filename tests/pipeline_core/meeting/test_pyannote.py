"""What a pyannote.audio pipeline answers is read, and why one can't be had is said; its models need an account."""

import os
import sys
import threading
import types
from collections.abc import Callable
from functools import partial
from typing import Any

import httpx
import numpy as np
import pytest
import torch
from huggingface_hub.errors import GatedRepoError
from meetings import turns
from stub_pyannote import Annotation, Track, install_pyannote

from pipeline_core.device_threads import run_on
from pipeline_core.errors import (
    InputTooLargeError,
    LoadError,
    MissingPackageError,
    ModelAccessError,
    ModelNotFoundError,
)
from pipeline_core.meeting.diarization import check_diarizer, diarize, find_diarizer
from pipeline_core.meeting.diarizer_ref import DiarizerRef
from pipeline_core.meeting.pyannote import PyannoteDiarizer, load_pyannote, turns_of

RATE = 16_000
SECONDS = np.zeros(3 * RATE, np.float32)


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> Callable[[Any], None]:
    """Puts a package in pyannote.audio's place that gives this for a pipeline, or raises it."""
    monkeypatch.setenv("PYANNOTE_METRICS_ENABLED", "1")
    return partial(install_pyannote, monkeypatch)


def test_answers_of_both_kinds_are_read_and_the_number_is_passed_on():
    asked = []

    def pipeline(audio: dict[str, Any], **options: int) -> Annotation:
        asked.append((tuple(audio["waveform"].shape), audio["sample_rate"], options))
        return Annotation(Track(0.0, 2.0, "A"), Track(1.5, 3.0, "B"))

    def wrapped(audio: dict[str, Any]) -> types.SimpleNamespace:
        return types.SimpleNamespace(speaker_diarization=pipeline(audio))

    found = turns_of(pipeline, SECONDS, 2)
    assert found == turns(("A", 0.0, 2.0), ("B", 1.5, 3.0))
    assert turns_of(wrapped, SECONDS, None) == found
    assert [options for _, _, options in asked] == [{"num_speakers": 2}, {}]
    assert asked[0][:2] == ((1, 3 * RATE), RATE)


def test_no_turn_lies_outside_the_recording():
    heard = Annotation(Track(-0.02, 1.0, "A"), Track(2.5, 4.97, "B"), Track(3.0, 4.0, "A"))
    assert turns_of(lambda audio: heard, SECONDS, None) == turns(("A", 0.0, 1.0), ("B", 2.5, 3.0))


def test_nobody_outside_is_told_what_is_transcribed(installed):
    installed(lambda audio: Annotation())
    assert PyannoteDiarizer("someone/pipeline")(lambda: iter([SECONDS[None]])) == []
    assert os.environ["PYANNOTE_METRICS_ENABLED"] == "0"


def test_on_a_cpu_it_computes_where_all_else_does(installed):
    where = []

    def pipeline(audio: dict[str, Any]) -> Annotation:
        where.append(threading.current_thread().name)
        return Annotation()

    installed(pipeline)
    PyannoteDiarizer("someone/pipeline")(lambda: iter([SECONDS[None]]))
    assert where == [run_on(torch.device("cpu"), lambda: threading.current_thread().name)]


def test_a_recording_that_would_not_fit_is_not_given_to_it():
    too_long = PyannoteDiarizer("nowhere", most_hours=0.001)
    with pytest.raises(InputTooLargeError, match=r"longer than the 0\.001 hours"):
        too_long(lambda: iter([np.zeros((1, 10 * RATE), np.float32)]), None)
    assert too_long(lambda: iter(()), None) == []


def test_what_would_be_refused_later_is_refused_before_a_recording_is_transcribed(installed):
    installed(lambda audio: Annotation())
    apart = partial(check_diarizer, DiarizerRef(way="pyannote", model="someone/pipeline"), "long.wav", lambda: iter(()))
    apart(4 * 3600, None)
    with pytest.raises(InputTooLargeError, match="longer than the 4 hours"):
        apart(4 * 3600 + 1, None)
    installed(FileNotFoundError(2, "No such file", "config.yaml"))
    with pytest.raises(LoadError, match=r"config\.yaml"):
        apart(60, 2)


def test_a_pipeline_that_can_not_be_had_is_told_in_our_words(installed, tmp_path):
    refusal = httpx.Response(403, request=httpx.Request("HEAD", "https://huggingface.co/someone/pipeline"))
    for given, name, kind, said in [
        (
            GatedRepoError("403 Client Error", response=refusal),
            "someone/pipeline",
            ModelAccessError,
            "accept its terms",
        ),
        (
            ModuleNotFoundError("No module named 'heard'", name="heard"),
            "someone/pipeline",
            MissingPackageError,
            "heard",
        ),
        (OSError("we couldn't connect"), "someone/pipeline", ModelNotFoundError, "can't be reached"),
        (FileNotFoundError(2, "No such file", "config.yaml"), str(tmp_path), LoadError, "config.yaml"),
        (None, str(tmp_path / "absent"), ModelNotFoundError, "it is a path"),
        (AttributeError("'str' object has no attribute 'get'"), str(tmp_path), LoadError, "can't be loaded"),
    ]:
        installed(given)
        with pytest.raises(kind, match=said):
            load_pyannote(name, None)


def test_what_can_not_be_imported_says_what_to_do(monkeypatch):
    load_pyannote.cache_clear()
    monkeypatch.setenv("PYANNOTE_METRICS_ENABLED", "0")
    monkeypatch.setitem(sys.modules, "pyannote.audio", None)
    with pytest.raises(MissingPackageError, match=r"pip install 'pyannote\.audio>=4'"):
        diarize(lambda: iter([SECONDS[None]]), diarizer=find_diarizer("pyannote"))
