"""Compare predicted labels with the labels that a dataset has: accuracy, confusion matrix, F1 by class."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any, NamedTuple

from pipeline_core.catalog import find_task
from pipeline_core.columns import task_columns
from pipeline_core.errors import SpecError
from pipeline_core.input_columns import check_columns
from pipeline_core.loading import model_labels
from pipeline_core.sink import OutputFolder
from pipeline_core.sources import DatasetRef, OpenDataset, open_dataset
from pipeline_core.spec import PipelineSpec

_ROWS_TRIED = 100


class ClassScore(NamedTuple):
    """How well one class was found; 0 where nothing was predicted or nothing was there."""

    label: str
    precision: float
    recall: float
    f1: float
    rows: int


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Predictions against labels.

    Attributes:
        labels: All classes, in the model's order.
        counts: Rows by actual and then by predicted label.
        unlabelled: Rows that have no label to compare with.
    """

    labels: list[str]
    counts: Mapping[str, Mapping[str, int]]
    unlabelled: int = 0

    @property
    def rows(self) -> int:
        """Rows that were compared."""
        return sum(sum(found.values()) for found in self.counts.values())

    @property
    def accuracy(self) -> float:
        """Share of the rows whose predicted label is the actual one."""
        right = sum(self.counts[label].get(label, 0) for label in self.labels)
        return right / self.rows if self.rows else 0.0

    @property
    def classes(self) -> list[ClassScore]:
        """Precision, recall and F1 of each class."""
        return [self._score(label) for label in self.labels]

    def _score(self, label: str) -> ClassScore:
        hits = self.counts[label].get(label, 0)
        actual = sum(self.counts[label].values())
        predicted = sum(found.get(label, 0) for found in self.counts.values())
        precision = hits / predicted if predicted else 0.0
        recall = hits / actual if actual else 0.0
        f1 = 2 * hits / (actual + predicted) if actual + predicted else 0.0
        return ClassScore(label, precision, recall, f1, actual)


def open_labelled(dataset: DatasetRef, spec: PipelineSpec, label_column: str) -> OpenDataset:
    """Open a dataset whose output is to keep its labels, because they will be compared with the predicted ones.

    Raises:
        ColumnNotFoundError: The dataset has no such column.
        SpecError: The pipeline predicts no labels, or a label of the first rows is none of those that it knows.
    """
    if "predicted_label" not in task_columns(spec.task, spec.parameters).schema.names:
        raise SpecError(f"labels are compared for tasks that classify, but the task is {spec.task!r} instead")
    opened = open_dataset(dataset.keeping(label_column), spec.task, spec.parameters)
    if opened.rows and label_column not in opened.kept_schema.names:
        # Unless columns are named, the plain ones are kept: this one is not plain, or the input, or not there.
        kept = [*opened.kept_schema.names, label_column]
        opened = open_dataset(dataset.model_copy(update={"keep_columns": kept}), spec.task, spec.parameters)
    tried = islice(opened.records(), _ROWS_TRIED)
    evaluate(((record.kept.get(label_column), "") for record in tried), known_labels(spec))
    return opened


def evaluate_output(folder: OutputFolder, label_column: str) -> Evaluation:
    """Compare the labels that a run predicted with a column that its output kept.

    Raises:
        OutputNotFoundError: The folder is no run's output.
        ColumnNotFoundError: The output has no such column, or no predicted labels.
        SpecError: A label of the column is none of the model's.
    """
    plan, columns = folder.require_plan(), [label_column, "predicted_label"]
    if plan.rows:
        check_columns(folder.ref.path, columns, plan.schema.names)
    rows = (row for batch in folder.batches(columns) for row in batch.to_pylist())
    return evaluate(((row[label_column], row["predicted_label"]) for row in rows), known_labels(plan.spec))


def known_labels(spec: PipelineSpec) -> list[str]:
    """The labels that a pipeline chooses from: those it was given, or the model's by number.

    Raises:
        LoadError: The pipeline can't be loaded here.
        SpecError: It is given its labels row by row.
    """
    if "candidate_labels" not in find_task(spec.task).parameters:
        return model_labels(spec)
    given = spec.parameters.get("candidate_labels")
    labels = given.split(",") if isinstance(given, str) else given or []
    if not labels:
        raise SpecError("labels are compared with those of the parameter candidate_labels, which is not set")
    return [str(label).strip() for label in labels]


def evaluate(pairs: Iterable[tuple[Any, str]], labels: list[str]) -> Evaluation:
    """Count how predictions and labels meet.

    Args:
        pairs: Each row's label in the dataset and the predicted one. The first may be the label, in
            any case, or its number in the model; None, -1, not-a-number and blanks are left out and counted.
        labels: The model's labels by number.

    Raises:
        SpecError: A label of the dataset is none of the model's.
    """
    by_name = {label.casefold(): label for label in labels} | {label: label for label in labels}
    counts: dict[str, Counter[str]] = {label: Counter() for label in labels}
    unlabelled = 0
    for actual, predicted in pairs:
        if _is_missing(actual):
            unlabelled += 1
            continue
        counts[_as_model_label(actual, by_name, labels)][predicted] += 1
    return Evaluation(labels, counts, unlabelled)


def _is_missing(actual: Any) -> bool:
    if isinstance(actual, str):
        return actual.strip() in ("", "-1")
    # -1 is how datasets mark a split without labels; not-a-number, a gap in a table, differs from itself.
    return actual is None or bool(actual == -1 or actual != actual)


def _as_model_label(actual: Any, by_name: Mapping[str, str], labels: list[str]) -> str:
    number = actual
    if isinstance(actual, str):
        written = actual.strip()
        found = by_name.get(written) or by_name.get(written.casefold())
        if found is not None:
            return found
        number = int(written) if written.isdecimal() else None
    if isinstance(number, int | float) and number in range(len(labels)):
        return labels[int(number)]
    raise SpecError(
        f"the dataset's label {actual!r} is none of the model's: {', '.join(labels)}, "
        f"or their numbers 0 to {len(labels) - 1}"
    )
