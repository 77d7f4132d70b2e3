"""A few rows through a pipeline, before all of them: predictions, what is cut off, rate, estimated time."""

import time
from itertools import islice

from rich.console import Console
from rich.table import Table
from rich.text import Text

from flows.readable import readable_input, readable_output
from pipeline_core.catalog import find_task
from pipeline_core.inference import Inference
from pipeline_core.loading import load_pipeline
from pipeline_core.policies import BatchPolicy
from pipeline_core.records import Prediction
from pipeline_core.sources import DatasetRef, open_dataset
from pipeline_core.spec import PipelineSpec
from tasks.progress import duration

_WIDTH = 70
_ERROR_WIDTH = 200


def show_preview(spec: PipelineSpec, dataset: DatasetRef, batch: BatchPolicy, rows: int) -> None:
    """Print the first rows' predictions and what the whole dataset would take.

    Raises:
        LoadError: The pipeline can't be loaded here.
        SourceError: The dataset can't be read as described.
    """
    opened = open_dataset(dataset, spec.task, spec.parameters)
    load_pipeline(spec)
    started = time.perf_counter()
    tried = list(Inference(spec, islice(opened.records(), rows), batch))
    seconds = time.perf_counter() - started

    table = Table("id", "input", "prediction", "tokens", title=f"{spec.task} over {dataset.path}")
    inputs = find_task(spec.task).inputs
    for record, prediction in tried:
        cut = " (cut)" if prediction.truncated else ""
        cells = (prediction.record_id, readable_input(record, inputs, _WIDTH), _answer(prediction))
        # As texts, so that nothing in them is read as markup.
        table.add_row(*map(Text, cells), f"{prediction.tokens}{cut}")
    console = Console()
    console.print(table)
    if not tried:
        console.print("the dataset has no rows")
        return
    bad = sum(prediction.error is not None for _, prediction in tried)
    cut_off = sum(prediction.truncated for _, prediction in tried)
    rate = len(tried) / seconds
    console.print(
        f"{len(tried)} rows in {seconds:.1f} s: {rate:,.1f} rows/s, {cut_off} with text cut off, {bad} failed; "
        f"all {opened.rows:,} rows take about {duration(opened.rows / rate)}, or less in larger batches"
    )


def _answer(prediction: Prediction) -> str:
    if prediction.error is not None:
        return f"! {readable_output(str(prediction.error), _ERROR_WIDTH)}"
    return readable_output(prediction.output, _WIDTH)
