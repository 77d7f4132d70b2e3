"""Which files of an output folder a run makes, and what may lie beside them."""

import re
from collections.abc import Sequence

from pipeline_core.errors import OutputMismatchError
from pipeline_core.lease import LEASE_FILE
from pipeline_core.manifest import OutputRef
from pipeline_core.media_files import MEDIA_FILES
from pipeline_core.storage import TEMPORARY
from pipeline_core.writer import MANIFESTS, PLAN_FILE, QUARANTINE, RUN_FILE

DATASETS_FILE = ".huggingface.yaml"
"""Tells ``datasets`` which files are the table."""

_RUN_FILE = re.compile(
    rf"part-\d{{5,}}-of-\d{{5,}}\.parquet|{MANIFESTS}\d{{5,}}\.json|{QUARANTINE}part-\d{{5,}}\.parquet"
    rf"|{MEDIA_FILES}|{re.escape(RUN_FILE)}|{re.escape(DATASETS_FILE)}"
)
_NAMED_FILES = 5


def is_run_file(name: str) -> bool:
    """Whether a file of this name, relative to the folder, is a run's, the plan and the lease aside."""
    return _RUN_FILE.fullmatch(name) is not None


def refuse_foreign_files(ref: OutputRef, names: Sequence[str], planned: bool) -> None:
    """Make sure that a run may write here.

    Args:
        ref: The folder.
        names: All its files.
        planned: Whether it has a plan. Every run's plan is written before and deleted after its files, so without
            one nothing is a run's.

    Raises:
        OutputMismatchError: Files that are not a run's would be read with its own, or are there without ``replace``.
    """
    foreign = [
        name
        for name in names
        if name not in (PLAN_FILE, LEASE_FILE)
        and not name.startswith(TEMPORARY)
        and not (planned and is_run_file(name))
    ]
    mixed = [name for name in foreign if _is_read_as_data(name)]
    if mixed:
        raise OutputMismatchError(
            f"output {ref.path!r} holds {some_of(mixed)}, not of a run of this package, which would be read as "
            "part of the output; name another folder, or move them away"
        )
    if foreign and not planned and not ref.replace:
        raise OutputMismatchError(
            f"output {ref.path!r} holds files that are not of a run: {some_of(foreign)}; "
            "name an empty folder, or set replace to write next to them"
        )


def _is_read_as_data(name: str) -> bool:
    return name.endswith(".parquet") and not any(part.startswith(("_", ".")) for part in name.split("/"))


def some_of(names: Sequence[str]) -> str:
    """The first of many names, and how many more there are."""
    more = f" and {len(names) - _NAMED_FILES} more" if len(names) > _NAMED_FILES else ""
    return ", ".join(names[:_NAMED_FILES]) + more
