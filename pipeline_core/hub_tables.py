"""Datasets of the Hugging Face Hub as tables: memory-mapped once downloaded, or streamed."""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pyarrow as pa
import xxhash

from pipeline_core.errors import DatasetNotFoundError, SplitNotFoundError
from pipeline_core.tables import BATCH_ROWS, Row, Table, arrow_caster, rows_of

_UNKNOWN_SPLIT = re.compile(r"(unknown|bad) split", re.IGNORECASE)


def open_hub_table(
    path: str, name: str | None = None, split: str | None = None, revision: str | None = None, streaming: bool = False
) -> Table:
    """One split of a Hub dataset.

    Raises:
        DatasetNotFoundError: The Hub has no such dataset, or can't be reached.
        SplitNotFoundError: No such split, or none is named and there are several.
    """
    import datasets

    def split_names() -> list[str]:
        names: list[str] = datasets.get_dataset_split_names(path, name, revision=revision)
        return names

    with _named_errors(path):
        if split is None:
            names = split_names()
            if len(names) != 1:
                raise SplitNotFoundError(path, None, names)
            split = names[0]
        try:
            dataset = datasets.load_dataset(path, name, split=split, revision=revision, streaming=streaming)
        except (ValueError, KeyError) as error:
            if not _UNKNOWN_SPLIT.search(str(error)):
                raise
            raise SplitNotFoundError(path, split, split_names()) from error
        return StreamedTable(dataset, path, split, revision) if streaming else DatasetTable(dataset)


def hub_media_root(path: str) -> str:
    """The folder of this machine that holds the files downloaded for a Hub dataset, and no others."""
    from huggingface_hub import constants

    return f"{constants.HF_HUB_CACHE}/datasets--{path.replace('/', '--')}"


class DatasetTable:
    """A ``datasets.Dataset``; cells of media columns are left as their bytes and path."""

    format = "hub"
    name = ""

    def __init__(self, dataset: Any) -> None:
        self._dataset = dataset
        self.rows = len(dataset)
        self.schema = dataset.features.arrow_schema.remove_metadata()

    def content(self, start: int, stop: int) -> str:  # noqa: ARG002
        """The fingerprint that ``datasets`` gives it."""
        return str(self._dataset._fingerprint)

    def read(self, start: int, stop: int, columns: Sequence[str]) -> Iterator[Row]:
        """The rows from ``start`` up to ``stop``."""
        dataset = self._dataset.select_columns(list(columns)).with_format("arrow")
        for begin in range(start, stop, BATCH_ROWS):
            yield from rows_of(dataset[begin : min(begin + BATCH_ROWS, stop)], columns)

    def caster(self, field: Any) -> Callable[[Any], Any] | None:
        """See ``arrow_caster``."""
        return arrow_caster(self.schema.field(field.name).type, field.type)


class StreamedTable:
    """A ``datasets.IterableDataset``, read from its start for every range; cells of media columns stay undecoded.

    Where the dataset's card does not tell the number of rows, they are counted once.
    """

    format = "hub"
    name = ""

    def __init__(self, dataset: Any, path: str, split: str, revision: str | None) -> None:
        self._dataset = dataset.decode(False)
        self._identity = (path, split, revision, dataset.info.config_name, str(dataset.info.version))
        self._checksums = dataset.info.download_checksums
        self.schema = _schema_of(dataset)
        known = (dataset.info.splits or {}).get(split)
        if known is not None and known.num_examples:
            self.rows = int(known.num_examples)
        else:
            self.rows = sum(1 for _ in self._dataset.select_columns(self.schema.names[:1]))

    def content(self, start: int, stop: int) -> str:  # noqa: ARG002
        """A hash of the dataset's name, version and what its card says of its files; rows are not looked at."""
        identity = [*self._identity, self.rows, self._checksums, str(self.schema)]
        return xxhash.xxh3_128_hexdigest(repr(identity).encode())

    def read(self, start: int, stop: int, columns: Sequence[str]) -> Iterator[Row]:
        """The rows from ``start`` up to ``stop``."""
        yield from self._dataset.select_columns(list(columns)).skip(start).take(max(0, stop - start))

    def caster(self, field: Any) -> Callable[[Any], Any] | None:
        """See ``arrow_caster``."""
        return arrow_caster(self.schema.field(field.name).type, field.type)


@contextmanager
def _named_errors(path: str) -> Iterator[None]:
    import datasets
    from datasets.exceptions import DatasetNotFoundError as NotOnTheHub
    from huggingface_hub.constants import is_offline_mode
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        yield
    except NotOnTheHub as error:
        raise DatasetNotFoundError(
            f"dataset {path!r} is not found: there is no such file or folder here, and none on the Hub ({error})"
        ) from error
    except (ConnectionError, LocalEntryNotFoundError) as error:
        unreached = DatasetNotFoundError(
            f"dataset {path!r} is not found: there is no such file or folder here, and the Hub can't be reached "
            f"({error})"
        )
        unreached.retryable = not (is_offline_mode() or datasets.config.HF_HUB_OFFLINE)
        raise unreached from error
    except (ValueError, FileNotFoundError) as error:
        raise DatasetNotFoundError(f"dataset {path!r} can't be loaded from the Hub: {error}") from error


def _schema_of(dataset: Any) -> Any:
    if dataset.features is not None:
        return dataset.features.arrow_schema.remove_metadata()
    return pa.Table.from_pylist(list(dataset.take(BATCH_ROWS))).schema
