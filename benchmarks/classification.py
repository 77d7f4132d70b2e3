"""Classify real IMDB reviews with this engine and with transformers.pipeline, in one process, in turn.

    python -m benchmarks.classification [--imdb FILE] [--model FOLDER] [--rows N] [--rounds N] [--threads N]

Two comparisons: a full-size DistilBERT on whole reviews, cut at 512 tokens, and the bundled small
model on short texts. The documented call is the pipeline guide's: a KeyDataset, batch_size=8 and
truncation. Every system gets the same rows in the same order; medians over the rounds are printed,
ratios are medians of the rounds' ratios, and labels are compared row by row.
"""

import argparse
import os
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import datasets
import torch
from transformers import pipeline
from transformers.pipelines.pt_utils import KeyDataset
from transformers.utils import logging

from benchmarks.interleaved import agreement, interleave, print_table, ratio
from pipeline_core import BatchPolicy, PipelineSpec, load_pipeline
from pipeline_core.inference import make_engine
from pipeline_core.records import Record

TASK = "text-classification"
SHORT_WORDS = 22


def documented(model: str, rows: datasets.Dataset, dtype: torch.dtype, batch_size: int) -> Callable[[], list[str]]:
    """The pipeline guide's call."""
    classify = pipeline(TASK, model=model, dtype=dtype, device="cpu")

    def run() -> list[str]:
        outputs = classify(KeyDataset(rows, "text"), batch_size=batch_size, truncation="only_first")
        return [output["label"] for output in outputs]

    return run


def ours(model: str, rows: datasets.Dataset, dtype: str) -> Callable[[], list[str]]:
    """This engine with its defaults."""
    spec = PipelineSpec(task=TASK, model=model, dtype=dtype, device="cpu")

    def run() -> list[str]:
        engine = make_engine(load_pipeline(spec), spec, BatchPolicy())
        return [prediction.output["label"] for prediction in engine.run(records_of(rows))]

    return run


def records_of(rows: datasets.Dataset) -> Iterator[Record]:
    """The rows as records."""
    return (Record(str(row), text) for row, text in enumerate(rows["text"]))


def padding(rows: datasets.Dataset) -> None:
    """How much of the batches is padding; the bundled model cuts at the same 512 tokens."""
    spec = PipelineSpec(task=TASK, model="demo:sentiment", device="cpu")
    engine = make_engine(load_pipeline(spec), spec, BatchPolicy(lookahead_rows=512, max_batch_tokens=2_048))
    count = sum(1 for _ in engine.run(records_of(rows)))
    share = engine.figures.padding_share
    print(f"\npadding: {share:.2%} of the tokens of {count} reviews, 512 rows of look-ahead (floor: under 3%)")


def full_size(model: str, rows: datasets.Dataset, rounds: int) -> None:
    """Whole reviews with a model of full size."""
    systems: dict[str, Callable[[], Any]] = {
        "documented": documented(model, rows, torch.float32, 8),
        "pipeline fp32, batch_size 1": documented(model, rows, torch.float32, 1),
        "pipeline fp32, batch_size 32": documented(model, rows, torch.float32, 32),
        "pipeline bf16, batch_size 1": documented(model, rows, torch.bfloat16, 1),
        "pipeline bf16, batch_size 8": documented(model, rows, torch.bfloat16, 8),
        "engine float32": ours(model, rows, "float32"),
        "engine fastest": ours(model, rows, "fastest"),
    }
    timed = interleave(systems, rounds)
    print(f"\nFull size, {len(rows)} IMDB reviews, {rounds} rounds")
    print_table(timed, len(rows), "documented")
    best32 = min((name for name in systems if "fp32" in name or name == "documented"), key=lambda n: timed[n].median_s)
    best = min((name for name in systems if not name.startswith("engine")), key=lambda n: timed[n].median_s)
    wanted = timed["documented"].answers
    print(f"float32: {ratio(timed, 'documented', 'engine float32'):.2f} times the documented call (floor 1.7)")
    print(f"float32: {ratio(timed, best32, 'engine float32'):.2f} times its best batch size, {best32} (floor 0.97)")
    print(f"fastest: {ratio(timed, 'documented', 'engine fastest'):.2f} times the documented call (floor 5)")
    print(f"fastest: {ratio(timed, best, 'engine fastest'):.2f} times the best pipeline of any dtype, {best}")
    print(f"labels: float32 {agreement(timed['engine float32'].answers, wanted):.2%} as documented (floor 100%)")
    print(f"labels: fastest {agreement(timed['engine fastest'].answers, wanted):.2%} as documented (floor 99.5%)")


def small(rows: datasets.Dataset, rounds: int) -> None:
    """Short texts with the bundled model, where a row costs little but overhead."""
    from pipeline_core.pinning import model_folder

    model = str(model_folder("demo:sentiment"))
    sizes = (1, 8, 32, 256)
    systems: dict[str, Callable[[], Any]] = {
        f"pipeline fp32, batch_size {size}": documented(model, rows, torch.float32, size) for size in sizes
    }
    systems["engine float32"] = ours(model, rows, "float32")
    timed = interleave(systems, rounds)
    print(f"\nSmall model, {len(rows)} texts of {SHORT_WORDS} words, {rounds} rounds")
    base = "pipeline fp32, batch_size 8"
    print_table(timed, len(rows), base)
    best = min((name for name in systems if name != "engine float32"), key=lambda name: timed[name].median_s)
    print(f"float32: {ratio(timed, best, 'engine float32'):.2f} times its best batch size, {best} (floor 1.8)")
    print(f"labels: {agreement(timed['engine float32'].answers, timed[base].answers):.2%} as the pipeline (floor 100%)")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    data, models = os.environ.get("PIPELINE_FLOWS_DATA"), os.environ.get("PIPELINE_FLOWS_MODELS")
    parser.add_argument("--imdb", type=Path, default=data and Path(data) / "imdb" / "test.parquet")
    parser.add_argument("--model", type=Path, default=models and Path(models) / "distilbert-random")
    parser.add_argument("--rows", type=int, default=256)
    parser.add_argument("--short-rows", type=int, default=8_000)
    parser.add_argument("--padding-rows", type=int, default=4_096)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--only", choices=["full", "small"])
    args = parser.parse_args()
    if args.imdb is None or args.model is None:
        parser.error("name --imdb and --model, or set PIPELINE_FLOWS_DATA and PIPELINE_FLOWS_MODELS")
    torch.set_num_threads(args.threads)
    warnings.simplefilter("ignore")
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    reviews = datasets.Dataset.from_parquet(str(args.imdb)).shuffle(seed=1)
    print(f"{args.threads} threads, torch {torch.__version__}, {torch.backends.cpu.get_cpu_capability()}")
    if args.only != "small":
        full_size(str(args.model), reviews.select(range(args.rows)), args.rounds)
    if args.only != "full":
        short = [" ".join(text.split()[:SHORT_WORDS]) for text in reviews.select(range(args.short_rows))["text"]]
        small(datasets.Dataset.from_dict({"text": short}), args.rounds)
    padding(reviews.select(range(args.padding_rows)))


if __name__ == "__main__":
    main()
