"""Meetings to text, in turn with what people use: speed, text, and how the texts differ, on one model and audio.

    python -m benchmarks.transcription [SYSTEM ...] [--meetings DIR] [--models DIR] [--rounds N] [--threads N ...]

DIR of meetings holds recordings, which are joined into one; DIR of models holds ``whisper-base`` in the formats of
transformers and, as ``whisper-base-ct2``, of CTranslate2. Every system has a process of its own, and runs
once before it is timed. Ours guards against loops and gives times of words unless it says otherwise. The
pipeline's defaults search with five beams and take minutes a round. Needs the extra ``benchmarks``.
"""

import argparse
import os
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers

from benchmarks.interleaved import Timed, interleave, ratio
from pipeline_core import PipelineSpec
from pipeline_core.audio import decode_audio
from pipeline_core.meeting.settings import TranscriptionSettings
from pipeline_core.meeting.transcribe import transcribe_recording

RATE = 16_000
TASK = "automatic-speech-recognition"
GREEDY: dict[str, Any] = {"num_beams": 1, "language": "en"}
PIPELINES = ["pipeline, chunks of 30 s, batch 1", "pipeline, chunks of 30 s, batch 8"]
FASTER = "faster-whisper float32, batched"
OURS = "ours, word times"
SHOWN = 300

_loaded: Callable[[], str]

System = Callable[[np.ndarray], str]
"""Transcribes ``(samples,)`` float32 at 16 kHz."""


def ours(model: Path, **settings: Any) -> System:
    """Ours, with the guard against loops."""
    dtype = settings.pop("dtype", "auto")
    spec = PipelineSpec(task=TASK, model=str(model), device="cpu", dtype=dtype)
    wanted = TranscriptionSettings(pipeline=spec, language="en", **settings)
    return lambda audio: " ".join(segment.text for segment in transcribe_recording(audio, wanted).segments)


def pipeline(model: Path, batch_size: int, **parameters: Any) -> System:
    """The pipeline of transformers with chunks of fixed length."""
    loaded = transformers.pipeline(TASK, model=str(model), device="cpu", ignore_warning=True)
    given = {"chunk_length_s": 30, "batch_size": batch_size, **parameters}
    return lambda audio: str(loaded({"raw": audio.copy(), "sampling_rate": RATE}, **given)["text"])


def long_form(model: Path) -> System:
    """Whisper's own way over long audio, window after window, in transformers' generate."""
    network = transformers.WhisperForConditionalGeneration.from_pretrained(model).eval()
    processor = transformers.WhisperProcessor.from_pretrained(model)

    def run(audio: np.ndarray) -> str:
        made = processor(
            audio,
            sampling_rate=RATE,
            return_tensors="pt",
            truncation=False,
            padding="longest",
            return_attention_mask=True,
        )
        tokens = network.generate(**made, return_timestamps=True, **GREEDY)
        return str(processor.batch_decode(tokens, skip_special_tokens=True)[0])

    return run


def faster_whisper(model: Path, compute_type: str, threads: int) -> System:
    """faster-whisper over batches of what its voice activity detection finds."""
    from faster_whisper import BatchedInferencePipeline, WhisperModel

    loaded = WhisperModel(str(model), device="cpu", compute_type=compute_type, cpu_threads=threads)
    batched = BatchedInferencePipeline(loaded)

    def run(audio: np.ndarray) -> str:
        segments, _ = batched.transcribe(audio, language="en", batch_size=8, beam_size=1)
        return " ".join(segment.text for segment in segments)

    return run


def systems(models: Path, threads: int) -> dict[str, Callable[[], System]]:
    """What there is to compare, by name; each loads its model when it is called."""
    model, ct2 = models / "whisper-base", models / "whisper-base-ct2"
    return {
        OURS: lambda: ours(model),
        "ours, segments": lambda: ours(model, timestamps="segment"),
        "ours, dtype fastest": lambda: ours(model, dtype="fastest"),
        PIPELINES[0]: lambda: pipeline(model, 1, generate_kwargs=GREEDY),
        PIPELINES[1]: lambda: pipeline(model, 8, generate_kwargs=GREEDY),
        "pipeline, its defaults": lambda: pipeline(model, 1),
        "generate, long form": lambda: long_form(model),
        FASTER: lambda: faster_whisper(ct2, "float32", threads),
        "faster-whisper int8, batched": lambda: faster_whisper(ct2, "int8", threads),
    }


@contextmanager
def in_a_process(name: str, models: Path, threads: int, audio: np.ndarray) -> Iterator[Callable[[], str]]:
    """A system in a process of its own, idle while others have their turn: their threads slow each other in one."""
    with ProcessPoolExecutor(1, get_context("spawn"), _load, (name, models, threads, audio)) as process:
        yield lambda: process.submit(_transcribe).result()


def _load(name: str, models: Path, threads: int, audio: np.ndarray) -> None:
    global _loaded
    torch.set_num_threads(threads)
    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    run = systems(models, threads)[name]()
    _loaded = lambda: run(audio)  # noqa: E731


def _transcribe() -> str:
    return _loaded()


def words(text: str) -> str:
    """Lower case, letters and digits alone."""
    return " ".join(re.findall(r"[\w']+", text.lower()))


def print_speed(timed: dict[str, Timed], seconds: float) -> None:
    """How many times faster than the recording plays, and the ratios that are promised."""
    print(f"{'system':<36}{'median s':>10}{'min':>8}{'max':>8}{'x real time':>13}{'x ours':>8}")
    for name, result in timed.items():
        share = ratio(timed, OURS, name) if OURS in timed else float("nan")
        print(
            f"{name:<36}{result.median_s:>10.2f}{min(result.seconds):>8.2f}{max(result.seconds):>8.2f}"
            f"{seconds / result.median_s:>13.1f}{share:>8.2f}"
        )
    if OURS in timed and set(PIPELINES) & set(timed):
        best = min(ratio(timed, name, OURS) for name in PIPELINES if name in timed)
        print(f"ours is {best:.2f} times as fast as the pipeline at its best (2.5 or more is wanted)")
    if OURS in timed and FASTER in timed:
        print(f"ours has {ratio(timed, FASTER, OURS):.2f} of the speed of {FASTER} (0.6 or more is wanted)")


def print_texts(timed: dict[str, Timed]) -> None:
    """What each wrote, and the word error rate of each column taken against each row."""
    import jiwer

    for name, result in timed.items():
        print(f"\n{name} ({len(words(result.answers).split())} words): {result.answers[:SHOWN].strip()} ...")
    print("\nword error rate, the row taken as the truth, columns in the same order")
    for name, result in timed.items():
        rates = [jiwer.wer(words(result.answers), words(other.answers)) for other in timed.values()]
        print(f"{name:<36}" + "".join(f"{rate:>7.2f}" for rate in rates))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    data, models = (os.environ.get(f"PIPELINE_FLOWS_{name}") for name in ("DATA", "MODELS"))
    parser.add_argument("--meetings", type=Path, default=data and Path(data) / "meetings")
    parser.add_argument("--models", type=Path, default=models and Path(models))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("systems", nargs="*", metavar="SYSTEM", help="parts of the names of those to run; all without")
    args = parser.parse_args()
    if args.meetings is None or args.models is None:
        parser.error("name --meetings and --models, or set PIPELINE_FLOWS_DATA and PIPELINE_FLOWS_MODELS")
    clips = [decode_audio(path, RATE)[0] for path in sorted(args.meetings.glob("*.wav"))]
    audio = np.concatenate(clips)
    for threads in args.threads:
        names = [
            name
            for name in systems(args.models, threads)
            if not args.systems or any(part in name for part in args.systems)
        ]
        with ExitStack() as processes:
            runs = {name: processes.enter_context(in_a_process(name, args.models, threads, audio)) for name in names}
            timed = interleave(runs, args.rounds)
        seconds = len(audio) / RATE
        print(f"\n{seconds:.0f} s of {len(clips)} recordings, {threads} thread(s), {args.rounds} rounds")
        print_speed(timed, seconds)
        print_texts(timed)


if __name__ == "__main__":
    main()
