"""Compare predicted labels with the labels that a dataset has: accuracy, confusion matrix, F1 by class."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from pipeline_core.errors import SpecError


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


def evaluate(pairs: Iterable[tuple[Any, str]], model_labels: list[str]) -> Evaluation:
    """Count how predictions and labels meet.

    Args:
        pairs: Each row's label in the dataset and the predicted one. The first may be the label, in
            any case, or its number in the model; None is left out and counted.
        model_labels: The model's labels by number.

    Raises:
        SpecError: A label of the dataset is none of the model's.
    """
    by_name = {label.casefold(): label for label in model_labels}
    counts: dict[str, Counter[str]] = {label: Counter() for label in model_labels}
    unlabelled = 0
    for actual, predicted in pairs:
        if actual is None or actual == -1:  # -1 is how datasets mark a split without labels
            unlabelled += 1
            continue
        counts[_as_model_label(actual, by_name, model_labels)][predicted] += 1
    return Evaluation(model_labels, counts, unlabelled)


def _as_model_label(actual: Any, by_name: Mapping[str, str], model_labels: list[str]) -> str:
    if isinstance(actual, bool):
        actual = int(actual)
    if isinstance(actual, str):
        found = by_name.get(actual.strip().casefold())
        if found is not None:
            return found
        actual = int(actual) if actual.strip().isdecimal() else actual
    if isinstance(actual, int | float) and actual == int(actual) and 0 <= actual < len(model_labels):
        return model_labels[int(actual)]
    raise SpecError(
        f"the dataset's label {actual!r} is none of the model's: {', '.join(model_labels)}, "
        f"or their numbers 0 to {len(model_labels) - 1}"
    )
