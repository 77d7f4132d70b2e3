"""Which model a spec's names stand for at this moment: a commit, or a folder's content, and a dtype."""

import functools
import re
from importlib.resources import files
from pathlib import Path
from typing import Any

import xxhash
from pydantic import BaseModel, ConfigDict

from pipeline_core.catalog import find_task
from pipeline_core.errors import ModelNotFoundError, SpecError
from pipeline_core.spec import DEMO_MODEL, PipelineSpec

# What a training leaves beside the model and no inference reads.
_LEFTOVERS = re.compile(
    r"optimizer\.pt|scheduler\.pt|scaler\.pt|rng_state.*\.pth|trainer_state\.json|training_args\.bin|events\.out.*"
)

FolderStats = tuple[tuple[str, int, int], ...]
"""Name, size and modification time of each file of a folder."""


class ModelRecord(BaseModel):
    """Which model a run uses, for its report and its fingerprint.

    Attributes:
        name: The Hub id, the folder, or "demo:sentiment".
        revision: The Hub's commit; None for a folder.
        content: A hash of the files right in the folder, without texts (.md), hidden files and what a
            training leaves, such as its optimizer's state; None for a model of the Hub.
        licence: What the model card names; None if it names none, or is not at hand.
        dtype: The dtype asked for, with "fastest" resolved.
        tokenizer: The commit, or hash of the folder, of a tokenizer other than the model's own.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    revision: str | None = None
    content: str | None = None
    licence: str | None = None
    dtype: str
    tokenizer: str | None = None


class PinnedSpec(BaseModel):
    """A spec that names one commit or folder and one dtype, with its fingerprint."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    spec: PipelineSpec
    model: ModelRecord

    @property
    def fingerprint(self) -> str:
        """32 hex digits of the spec and the model's content: a folder may move, its files may not change."""
        model = self.model
        pinned = {"model": model.content or model.name, "revision": model.revision, "dtype": model.dtype}
        if model.tokenizer is not None:
            pinned["tokenizer"] = model.tokenizer
        return self.spec.model_copy(update=pinned).fingerprint


def pin(spec: PipelineSpec) -> PinnedSpec:
    """Resolve what can change behind a spec's names: the model's commit or content, and the fastest dtype.

    Raises:
        DeviceNotFoundError: This machine lacks the device.
        ModelNotFoundError: The folder does not exist.
        SpecError: A revision is given for a folder.
    """
    name = model_name(spec)
    dtype = dtype_name(spec)
    folder = spec_folder(spec)
    update: dict[str, Any] = {"model": name, "dtype": dtype}
    record: dict[str, Any] = {"name": name, "dtype": dtype}
    if folder is not None:
        record |= {"content": _folder_hash(weights_folder(folder, spec)), "licence": _licence(folder / "README.md")}
    else:
        update["revision"] = _commit(name, spec.revision, spec) or spec.revision
        record |= {"revision": update["revision"], "licence": _hub_licence(name, update["revision"])}
    if spec.tokenizer is not None:
        tokenizer = model_folder(spec.tokenizer)
        if tokenizer is not None:
            record["tokenizer"] = _folder_hash(tokenizer)
        else:
            repository, revision = tokenizer_name(spec.tokenizer)
            commit = record["tokenizer"] = _commit(repository, revision, spec) or revision
            update["tokenizer"] = repository if commit is None else f"{repository}@{commit}"
    return PinnedSpec(spec=spec.model_copy(update=update), model=ModelRecord(**record))


def model_folder(name: str) -> Path | None:
    """The folder that a model's name stands for, or None for a name of the Hub.

    Raises:
        ModelNotFoundError: The name is a path, and nothing is there.
    """
    if name == DEMO_MODEL:
        demo = Path(str(files("pipeline_core.demo"))) / "model"
        if not demo.is_dir():
            raise ModelNotFoundError(name, "this installation lacks its files; install pipeline-flows again")
        return demo
    path = Path(name).expanduser()
    if path.is_dir():
        return path
    if name.startswith((".", "/", "~")) or tokenizer_name(name)[0].count("/") > 1 or path.exists():
        raise ModelNotFoundError(name, "it is a path, and no folder is there; give a model's folder or a Hub id")
    return None


def spec_folder(spec: PipelineSpec) -> Path | None:
    """The folder that the spec's model is in, or None for a model of the Hub.

    Raises:
        ModelNotFoundError: The name is a path, and nothing is there; or the task has no default.
        SpecError: A revision is given for a folder.
    """
    name = model_name(spec)
    folder = model_folder(name)
    if folder is not None and spec.revision is not None:
        raise SpecError(f"revision is for a model of the Hub: leave it out for {name!r}")
    return folder


def model_name(spec: PipelineSpec) -> str:
    """The model that the spec names, or its task's default.

    Raises:
        ModelNotFoundError: The task has no default.
    """
    name = spec.model or find_task(spec.task).default_model
    if name is None:
        raise ModelNotFoundError("", f"task {spec.task!r} has no default model; name one")
    return name


def tokenizer_name(name: str) -> tuple[str, str | None]:
    """The repository and the revision that "someone/tokenizer@revision" stands for; the revision may be left out."""
    repository, _, revision = name.partition("@")
    return repository, revision or None


def dtype_name(spec: PipelineSpec) -> str:
    """The dtype that the spec asks for, with "fastest" resolved for its device."""
    if spec.dtype != "fastest":
        return spec.dtype
    from pipeline_core.devices import fastest_dtype, resolve_device

    device = resolve_device(spec.device if spec.device_map is None else "auto")
    return str(fastest_dtype(device)).removeprefix("torch.")


def token_of(spec: PipelineSpec) -> str | None:
    """The spec's token in the clear."""
    return spec.token.get_secret_value() if spec.token is not None else None


def folder_stats(folder: Path) -> FolderStats:
    """Name, size and time of each file that decides what the model returns."""
    files = sorted(path for path in folder.iterdir() if path.is_file() and path.suffix != ".md")
    used = [path for path in files if not path.name.startswith(".") and not _LEFTOVERS.fullmatch(path.name)]
    stats = [(path.name, path.stat()) for path in used]
    return tuple((name, stat.st_size, stat.st_mtime_ns) for name, stat in stats)


def weights_folder(folder: Path, spec: PipelineSpec) -> Path:
    """The folder that ``from_pretrained`` reads: the model's, or the subfolder of it that ``model_kwargs`` names.

    Raises:
        ModelNotFoundError: There is no such subfolder.
    """
    subfolder = str(spec.model_kwargs.get("subfolder") or "")
    if not (folder / subfolder).is_dir():
        raise ModelNotFoundError(str(folder), f"it has no subfolder {subfolder!r}")
    return folder / subfolder


def _commit(name: str, revision: str | None, spec: PipelineSpec) -> str | None:
    from transformers.utils.hub import resolve_revision

    commit: str | None = getattr(resolve_revision(name, revision, token=token_of(spec)), "resolved", None)
    return commit


def _folder_hash(folder: Path) -> str:
    return _content_hash(folder, folder_stats(folder))


@functools.lru_cache(maxsize=32)
def _content_hash(folder: Path, stats: FolderStats) -> str:
    digest = xxhash.xxh3_128()
    for name, size, _ in stats:
        digest.update(f"{name}\0{size}\0".encode())
        with open(folder / name, "rb") as file:
            while block := file.read(2**22):
                digest.update(block)
    return "xxh3:" + digest.hexdigest()


def _hub_licence(name: str, commit: str | None) -> str | None:
    from huggingface_hub import try_to_load_from_cache

    card = try_to_load_from_cache(name, "README.md", revision=commit)
    return _licence(Path(card)) if isinstance(card, str) else None


def _licence(card: Path) -> str | None:
    if not card.is_file():
        return None
    text = card.read_text(encoding="utf-8", errors="replace")
    front_matter = re.match(r"---\s*\n(.*?)\n---", text, re.DOTALL)
    if front_matter is None:
        return None
    found = re.search(r"^license:[ \t]*(?:\n[ \t]*-[ \t]*)?[\"']?([^\s\"'#]+)", front_matter.group(1), re.MULTILINE)
    return found.group(1) if found else None
