"""Every error this project raises, and whether trying again can help.

    PipelineFlowsError
    ├── SpecError                  what was asked for can't be run as written
    │   ├── UnknownTaskError
    │   ├── UnknownParameterError
    │   └── AccessRefusedError
    ├── LoadError                  the pipeline can't be loaded here
    │   ├── ModelNotFoundError
    │   ├── ModelAccessError
    │   ├── MissingPackageError
    │   └── DeviceNotFoundError
    ├── SourceError                the dataset can't be read as described
    │   ├── DatasetNotFoundError
    │   ├── SplitNotFoundError
    │   ├── ColumnNotFoundError
    │   ├── InputNotFoundError
    │   ├── FormatError
    │   └── DatasetChangedError
    ├── RecordError                one record has no answer; it goes to quarantine
    │   ├── InvalidInputError
    │   │   └── MediaNotAllowedError
    │   ├── InputTooLongError
    │   └── InputTooLargeError
    ├── OutputError                the output folder can't be written
    │   ├── OutputNotFoundError
    │   ├── OutputMismatchError
    │   ├── OutputInUseError
    │   └── LeaseLostError
    ├── FailureBudgetExceededError
    ├── RecordingsFailedError
    ├── DeviceFailedError
    └── WorkStoppedError

``retryable`` is an attribute of the class: a scheduler reads it and decides nothing itself.
Errors that are not of this tree (a connection that broke, a host out of memory) are asked of
``is_retryable``.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipeline_core.task_inputs import Input


class PipelineFlowsError(Exception):
    """Root of the tree. Its errors cross process borders: a pickled one keeps its message and attributes."""

    retryable = False

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.args, self.__dict__)


class SpecError(PipelineFlowsError, ValueError):
    """What was asked for can't be run as written."""


class UnknownTaskError(SpecError):
    """No pipeline task has this name."""

    def __init__(self, task: str, accepted: Iterable[str]) -> None:
        self.task = task
        self.accepted = sorted(accepted)
        super().__init__(f"task must be one of {', '.join(self.accepted)}, but is {task!r} instead")


class UnknownParameterError(SpecError):
    """The task's pipeline takes no parameter of this name."""

    def __init__(self, task: str, parameter: str, accepted: Iterable[str]) -> None:
        self.task = task
        self.parameter = parameter
        self.accepted = sorted(accepted)
        super().__init__(
            f"task {task!r} takes no parameter {parameter!r}; it accepts {', '.join(self.accepted) or 'none'}"
        )


class AccessRefusedError(SpecError):
    """A run that somebody else asked for would touch what its owner has not allowed."""

    def __init__(self, what: str, value: object, setting: str) -> None:
        self.what = what
        self.value = value
        self.setting = setting
        super().__init__(f"{what} may not be {value!r} here: {setting} does not allow it to runs of a deployment")


class LoadError(PipelineFlowsError):
    """The pipeline can't be loaded here."""


class ModelNotFoundError(LoadError):
    """No model at this name or folder, or no such revision of it."""

    def __init__(self, model: str, reason: str) -> None:
        self.model = model
        super().__init__(f"model {model!r} can't be loaded: {reason}")


class ModelAccessError(LoadError):
    """The model exists, but not for this token, or for none."""

    def __init__(self, model: str, reason: str) -> None:
        self.model = model
        super().__init__(f"model {model!r} refused access: {reason}")


class MissingPackageError(LoadError):
    """A package that this model or option needs is not installed."""

    def __init__(self, needed_for: str, package: str, install: str) -> None:
        self.needed_for = needed_for
        self.package = package
        super().__init__(f"{needed_for} needs the package {package!r}, which is not installed; run: {install}")


class DeviceNotFoundError(LoadError):
    """This machine has no such device."""

    def __init__(self, device: str, available: Iterable[str]) -> None:
        self.device = device
        self.available = list(available)
        super().__init__(f"device {device!r} is not on this machine; it has {', '.join(self.available)}")


class SourceError(PipelineFlowsError):
    """The dataset can't be read as described."""


class DatasetNotFoundError(SourceError):
    """Nothing is at this path, or nothing there is readable."""


class SplitNotFoundError(SourceError):
    """The dataset has no such split, or several and none is named."""

    def __init__(self, dataset: str, split: str | None, available: Iterable[str]) -> None:
        self.dataset = dataset
        self.split = split
        self.available = sorted(available)
        wrong = f"has no split {split!r}; it has" if split is not None else "has several splits: name one of"
        super().__init__(f"dataset {dataset!r} {wrong} {', '.join(self.available)}")


class ColumnNotFoundError(SourceError):
    """The dataset has no such column, or none that can be taken without a word."""

    def __init__(self, dataset: str, column: str | None, available: Iterable[str]) -> None:
        self.dataset = dataset
        self.column = column
        self.available = list(available)
        wanted = f"has no column {column!r}" if column is not None else "has no single text column: name one"
        super().__init__(f"dataset {dataset!r} {wanted}; its columns are {', '.join(self.available) or 'none'}")


class InputNotFoundError(SourceError):
    """No column of the dataset can be taken for an input that the task requires."""

    def __init__(self, dataset: str, missing: "Input", inputs: "Iterable[Input]", available: Iterable[str]) -> None:
        self.dataset = dataset
        self.input = missing.name
        self.available = list(available)
        usual = ", ".join(
            f"{one.name} (usually {' or '.join(one.columns)})" if one.required else f"{one.name} (optional)"
            for one in inputs
        )
        super().__init__(
            f"dataset {dataset!r} has no column for the input {missing.name!r}; the task takes {usual}: name it as in "
            f"--column {missing.name}=COLUMN; the dataset's columns are {', '.join(self.available) or 'none'}"
        )


class FormatError(SourceError):
    """A file is not of an accepted format, or not what its name says."""


class DatasetChangedError(SourceError):
    """The rows of a shard are not the ones that the run was planned for."""

    def __init__(self, dataset: str, shard: str) -> None:
        self.dataset = dataset
        self.shard = shard
        super().__init__(
            f"dataset {dataset!r} has changed since the run was planned: the rows of {shard} are others now; "
            "run again, which makes the plan anew, with replace set or into another folder"
        )


class RecordError(PipelineFlowsError):
    """One record has no answer; it goes to quarantine and the rest go on."""


class InvalidInputError(RecordError):
    """A record's input is missing or of a type the task does not take."""


class MediaNotAllowedError(InvalidInputError):
    """A record names a file or URL that data may not name; nothing was opened or fetched."""

    def __init__(self, name: str, reason: str) -> None:
        self.name = name
        super().__init__(f"{name[:200]!r} is not opened: {reason}")


class InputTooLongError(RecordError):
    """A record is longer than the model takes, under ``on_long="error"``."""

    def __init__(self, tokens: int, limit: int) -> None:
        self.tokens = tokens
        self.limit = limit
        super().__init__(
            f"the input has {tokens} tokens, above the model's {limit}; "
            'set on_long="truncate", or "window" for text-classification'
        )


class InputTooLargeError(RecordError):
    """One record alone does not fit into the device's memory."""


class OutputError(PipelineFlowsError):
    """The output folder can't be written."""


class OutputNotFoundError(OutputError):
    """The folder is no run's output."""


class OutputMismatchError(OutputError):
    """The folder holds the output of another plan, or files that are not ours."""


class OutputInUseError(OutputError):
    """Another run that is alive holds the folder."""

    retryable = True


class LeaseLostError(OutputError):
    """Another run took the folder over; this one must write no more."""


class FailureBudgetExceededError(PipelineFlowsError):
    """More records failed than the run's failure policy allows."""

    def __init__(self, bad_rows: int, rows: int, allowed: str, examples: Iterable[str] = ()) -> None:
        self.bad_rows = bad_rows
        self.rows = rows
        self.examples = list(examples)
        shown = "".join(f"\n  {example}" for example in self.examples)
        super().__init__(
            f"{bad_rows} of {rows} records failed, more than {allowed} allows; what was committed stays{shown}"
        )


class RecordingsFailedError(PipelineFlowsError):
    """Some recordings of a run have no transcript; the others have theirs."""

    def __init__(self, failed: int, recordings: int, output: str) -> None:
        self.failed = failed
        self.recordings = recordings
        self.output = output
        super().__init__(
            f"{failed} of {recordings} recordings have no transcript; those of the others are in {output}; "
            "mend or take away the recordings that failed, and run the same command again"
        )


class WorkStoppedError(PipelineFlowsError):
    """What was being computed is not wanted any more: its run was interrupted."""


class DeviceFailedError(PipelineFlowsError):
    """The accelerator itself failed; nothing that runs in this process can use it any more."""

    retryable = True


def is_retryable(error: BaseException) -> bool:
    """Whether running the same work again may end differently.

    True for errors of this tree that say so, for memory that ran out, and for a network or file
    system that failed; False for anything else.
    """
    if isinstance(error, PipelineFlowsError):
        return error.retryable
    if isinstance(error, FileNotFoundError | PermissionError | IsADirectoryError | NotADirectoryError):
        return False
    return isinstance(error, OSError | MemoryError) or "OutOfMemory" in type(error).__name__


def _rebuild(kind: type[PipelineFlowsError], args: tuple[Any, ...], state: dict[str, Any]) -> PipelineFlowsError:
    error = kind.__new__(kind)
    error.args = args
    error.__dict__.update(state)
    return error
