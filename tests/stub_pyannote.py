"""A package in the place of pyannote.audio, whose models need an account, that answers with given tracks."""

import sys
import types
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest

from pipeline_core.meeting.pyannote import load_pyannote


class Track(NamedTuple):
    """One track of an annotation: the span is itself."""

    start: float
    end: float
    speaker: str


class Annotation:
    """An annotation of these tracks."""

    def __init__(self, *tracks: Track) -> None:
        self._tracks = tracks

    def itertracks(self, yield_label: bool) -> Iterator[tuple[Track, str, str]]:
        assert yield_label
        return ((track, str(number), track.speaker) for number, track in enumerate(self._tracks))


def install_pyannote(monkeypatch: pytest.MonkeyPatch, given: Any) -> None:
    """Put a package in pyannote.audio's place that gives this for a pipeline, or raises it."""

    def from_pretrained(name: str, token: str | None) -> Any:
        if isinstance(given, Exception):
            raise given
        return given

    package = types.ModuleType("pyannote.audio")
    package.Pipeline = types.SimpleNamespace(from_pretrained=from_pretrained)  # type: ignore[attr-defined]
    load_pyannote.cache_clear()
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setitem(sys.modules, "pyannote.audio", package)
