"""What a pyannote.audio pipeline answers, as far as it is read; its models can't be had without an account."""

from collections.abc import Iterator
from typing import NamedTuple


class Track(NamedTuple):
    """One track of an annotation: the span is itself."""

    start: float
    end: float
    speaker: str


class Answer:
    """An annotation of these tracks."""

    def __init__(self, tracks: list[Track]) -> None:
        self._tracks = tracks

    def itertracks(self, yield_label: bool) -> Iterator[tuple[Track, str, str]]:
        assert yield_label
        return ((track, str(number), track.speaker) for number, track in enumerate(self._tracks))
