"""Load a spec's transformers pipeline, keep it warm for the process, and pin down which model it is."""

import copy
import functools
import json
import logging
import os
import re
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
import xxhash
from pydantic import BaseModel, ConfigDict
from safetensors import SafetensorError

from pipeline_core.catalog import find_task
from pipeline_core.devices import fastest_dtype, resolve_device
from pipeline_core.errors import LoadError, MissingPackageError, ModelAccessError, ModelNotFoundError
from pipeline_core.memory import release_memory
from pipeline_core.spec import DEMO_MODEL, QUANTIZATIONS, PipelineSpec

_WARM_MODELS = 2
_LOADS = {"device", "device_map", "dtype", "quantization", "attn_implementation", "model_kwargs"}
_Stats = tuple[tuple[str, int, int], ...]
_NAMES = {"task", "model", "revision", "tokenizer", "trust_remote_code"}


class ModelRecord(BaseModel):
    """Which model a run uses, for its report and its fingerprint.

    Attributes:
        name: The Hub id, the folder, or "demo:sentiment".
        revision: The Hub's commit; None for a folder.
        content: A hash of the folder's files, its texts (.md) and hidden files aside; None for a model
            of the Hub.
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


def load_pipeline(spec: PipelineSpec) -> Any:
    """The spec's transformers pipeline, called like any other; its ``parameters`` are the call's defaults.

    The weights are loaded once a process for all specs that need the same ones: the last two models
    stay warm (``PIPELINE_FLOWS_WARM_MODELS`` sets another number). The pipeline's attribute
    ``commit`` holds the model's commit, or None for a folder.

    Raises:
        DeviceNotFoundError: This machine lacks the device.
        ModelNotFoundError: No such model, revision or weights.
        ModelAccessError: The model is gated and the token is missing or not allowed.
        MissingPackageError: A package that the model or the quantization needs is not installed.
    """
    return _with_parameters(_warm.get(spec), spec)


def unload(spec: PipelineSpec | None = None) -> None:
    """Let go of the spec's weights, or of all weights kept warm, and free their memory."""
    _warm.drop(spec)
    release_memory()


def pin(spec: PipelineSpec) -> PinnedSpec:
    """Resolve what can change behind a spec's names: the model's commit or content, and the fastest dtype.

    Raises:
        DeviceNotFoundError: This machine lacks the device.
        ModelNotFoundError: The folder does not exist.
    """
    name = _model_name(spec)
    dtype = _dtype_name(spec)
    folder = model_folder(name)
    update: dict[str, Any] = {"model": name, "dtype": dtype}
    record: dict[str, Any] = {"name": name, "dtype": dtype}
    if folder is not None:
        record |= {"content": _folder_hash(folder), "licence": _licence(folder / "README.md")}
    else:
        update["revision"] = _commit(name, spec.revision, spec) or spec.revision
        record |= {"revision": update["revision"], "licence": _hub_licence(name, update["revision"])}
    if spec.tokenizer is not None:
        tokenizer = model_folder(spec.tokenizer)
        record["tokenizer"] = _folder_hash(tokenizer) if tokenizer is not None else _commit(spec.tokenizer, None, spec)
    return PinnedSpec(spec=spec.model_copy(update=update), model=ModelRecord(**record))


def model_labels(spec: PipelineSpec) -> list[str]:
    """The model's labels by number.

    Raises:
        LoadError: The pipeline can't be loaded here.
    """
    labels: dict[int, str] = load_pipeline(spec).model.config.id2label
    return [labels[number] for number in sorted(labels)]


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
    if name.startswith((".", "/", "~")) or name.count("/") > 1 or path.exists():
        raise ModelNotFoundError(name, "it is a path, and no folder is there; give a model's folder or a Hub id")
    return None


class _WarmModels:
    """The last few pipelines, by what decides their weights; one thread loads, others wait for it.

    A folder whose files have changed since is loaded again.
    """

    def __init__(self) -> None:
        self._pipelines: OrderedDict[str, tuple[tuple[_Stats, ...], Any]] = OrderedDict()
        self._lock = threading.RLock()

    def get(self, spec: PipelineSpec) -> Any:
        key = self._key(spec)
        named = [model_folder(name) for name in (_model_name(spec), spec.tokenizer) if name is not None]
        with self._lock:
            stats = tuple(_stats(folder) for folder in named if folder is not None)
            if key in self._pipelines and self._pipelines[key][0] != stats:
                del self._pipelines[key]
                release_memory()
            if key not in self._pipelines:
                self._make_room()
                self._pipelines[key] = stats, _load(spec)
            self._pipelines.move_to_end(key)
            return self._pipelines[key][1]

    def drop(self, spec: PipelineSpec | None) -> None:
        with self._lock:
            if spec is None:
                self._pipelines.clear()
            else:
                self._pipelines.pop(self._key(spec), None)

    def _make_room(self) -> None:
        most = max(1, int(os.environ.get("PIPELINE_FLOWS_WARM_MODELS", _WARM_MODELS)))
        if len(self._pipelines) >= most:
            while len(self._pipelines) >= most:
                self._pipelines.popitem(last=False)
            release_memory()

    @staticmethod
    def _key(spec: PipelineSpec) -> str:
        content = spec.model_dump(mode="json", include=_LOADS | _NAMES)
        content["task"] = find_task(spec.task).name
        content["dtype"] = _dtype_name(spec)
        if spec.device_map is None:
            content["device"] = str(resolve_device(spec.device))
        return json.dumps(content, sort_keys=True)


_warm = _WarmModels()


def _load(spec: PipelineSpec) -> Any:
    import transformers

    name = _model_name(spec)
    folder = model_folder(name)
    model_kwargs: dict[str, Any] = {"use_safetensors": True, **spec.model_kwargs}
    if spec.attn_implementation is not None:
        model_kwargs["attn_implementation"] = spec.attn_implementation
    device: torch.device | None = None
    device_map = spec.device_map
    if device_map is None:
        device = resolve_device(spec.device)
        if spec.quantization is not None:  # quantized weights are made on their device and can't be moved
            device_map, device = {"": str(device)}, None
    if spec.quantization is not None:
        model_kwargs["quantization_config"] = _quantization_config(spec)
    try:
        with _without_weight_bars():
            pipeline = transformers.pipeline(
                spec.task,
                model=str(folder) if folder is not None else name,
                tokenizer=_other_tokenizer(spec),
                revision=spec.revision if folder is None else None,
                token=_token(spec),
                device=device,
                device_map=device_map,
                dtype=_dtype_name(spec),
                trust_remote_code=spec.trust_remote_code,
                model_kwargs=model_kwargs,
            )
    except ImportError as error:
        raise _missing_package(name, error) from error
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        raise _explained(name, folder, error) from error
    tokenizer = pipeline.tokenizer
    if tokenizer is not None and len(tokenizer) <= len(tokenizer.all_special_ids):
        # Transformers makes an empty one where there is none, and the model then reads only unknown words.
        raise ModelNotFoundError(name, "it has no tokenizer files; name a tokenizer")
    if spec.quantization is not None:
        _fit_for_cpu(pipeline.model)
    pipeline.model.eval()
    pipeline.commit = getattr(pipeline.model.config, "_commit_hash", None)
    return pipeline


def _other_tokenizer(spec: PipelineSpec) -> Any:
    """The tokenizer that the spec names; transformers would look for it at the model's revision."""
    if spec.tokenizer is None:
        return None
    from transformers import AutoTokenizer

    folder = model_folder(spec.tokenizer)
    try:
        return AutoTokenizer.from_pretrained(
            str(folder) if folder is not None else spec.tokenizer,
            token=_token(spec),
            trust_remote_code=spec.trust_remote_code,
        )
    except (OSError, ValueError, KeyError) as error:
        raise _explained(spec.tokenizer, folder, error) from error


@contextmanager
def _without_weight_bars() -> Iterator[None]:
    """Leave out the bars that transformers draws while it copies weights; those of downloads stay."""
    from transformers.utils import logging as transformers_logging

    def draw(factory: Callable[..., Any], arguments: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
        if keywords.get("desc") == "Loading weights":
            keywords = {**keywords, "disable": True}
        return before(factory, arguments, keywords) if before is not None else factory(*arguments, **keywords)

    before = transformers_logging.set_tqdm_hook(draw)
    try:
        yield
    finally:
        transformers_logging.set_tqdm_hook(before)


def _with_parameters(base: Any, spec: PipelineSpec) -> Any:
    """A pipeline of its own around the warm model, as if made with the spec's parameters."""
    if not spec.parameters:
        return copy.copy(base)
    components = {
        name: getattr(base, name)
        for name in ("tokenizer", "feature_extractor", "image_processor", "video_processor", "processor", "decoder")
        if getattr(base, name, None) is not None
    }
    device = None if getattr(base.model, "hf_device_map", None) is not None else base.device
    pipeline = type(base)(model=base.model, task=base.task, device=device, **components, **spec.parameters)
    pipeline.commit = base.commit
    return pipeline


def _model_name(spec: PipelineSpec) -> str:
    name = spec.model or find_task(spec.task).default_model
    if name is None:
        raise ModelNotFoundError("", f"task {spec.task!r} has no default model; name one")
    return name


def _dtype_name(spec: PipelineSpec) -> str:
    if spec.dtype != "fastest":
        return spec.dtype
    device = resolve_device(spec.device if spec.device_map is None else "auto")
    return str(fastest_dtype(device)).removeprefix("torch.")


def _commit(name: str, revision: str | None, spec: PipelineSpec) -> str | None:
    from transformers.utils.hub import resolve_revision

    commit: str | None = getattr(resolve_revision(name, revision, token=_token(spec)), "resolved", None)
    return commit


def _token(spec: PipelineSpec) -> str | None:
    return spec.token.get_secret_value() if spec.token is not None else None


def _quantization_config(spec: PipelineSpec) -> Any:
    if find_spec("bitsandbytes") is None:
        raise MissingPackageError(f"quantization={spec.quantization!r}", "bitsandbytes", "pip install bitsandbytes")
    from transformers import BitsAndBytesConfig

    _cast_noise.install()
    arguments = QUANTIZATIONS[spec.quantization] if isinstance(spec.quantization, str) else spec.quantization or {}
    try:
        return BitsAndBytesConfig(**arguments)
    except (TypeError, ValueError, AttributeError) as error:
        raise LoadError(f"quantization must be the arguments of a BitsAndBytesConfig: {error}") from error


class _CastNoise(logging.Filter):
    """Keeps back what bitsandbytes says in every 8-bit layer of every forward pass."""

    def filter(self, record: logging.LogRecord) -> bool:
        return not str(record.msg).startswith("MatMul8bitLt: inputs will be cast")

    def install(self) -> None:
        logging.getLogger("bitsandbytes.autograd._functions").addFilter(self)


_cast_noise = _CastNoise()


def _fit_for_cpu(model: Any) -> None:
    """Keep 4-bit layers that the fast kernel of a CPU can't take, such as a narrow head, to the plain one.

    The kernel takes 32 rows at a time and needs whole blocks of scales in each; bitsandbytes fails
    in the first forward pass where a layer has neither.
    """
    for layer in model.modules():
        if getattr(layer, "support_avx512bf16_for_cpu", False):
            blocksize = layer.weight.quant_state.blocksize
            layer.support_avx512bf16_for_cpu = layer.out_features % 32 == 0 and layer.in_features % blocksize == 0


def _missing_package(model: str, error: ImportError) -> LoadError:
    found = re.search(r"pip install (?:-U |--upgrade )?[`'\"]?([\w\-\[\]]+)", str(error))
    package = error.name or (found.group(1) if found else None)
    if package is None:
        return LoadError(f"model {model!r} can't be loaded: {_reason(error)}")
    return MissingPackageError(f"model {model!r}", package, f"pip install {package}")


def _explained(model: str, folder: Path | None, error: Exception) -> LoadError:
    """What to do about an error of from_pretrained, which raises OSError for most that can go wrong."""
    from huggingface_hub.constants import is_offline_mode
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError

    reason = _reason(error)
    causes = [error, *_causes(error)]
    said = " ".join(map(_reason, causes))
    if re.search(r"no file named .*safetensors|have a file named .*safetensors", said):
        return ModelNotFoundError(
            model,
            "it has no safetensors weights, and others can run code when they are read; if you trust them, set "
            'model_kwargs={"use_safetensors": false}',
        )
    if any(isinstance(cause, SafetensorError) for cause in causes):
        return ModelNotFoundError(model, f"its weights are damaged or cut short; copy them again ({reason})")
    if folder is not None:
        return LoadError(f"model {model!r} can't be loaded: {reason}")
    if any(isinstance(cause, RevisionNotFoundError) for cause in causes):
        return ModelNotFoundError(model, reason)
    gated = any(isinstance(cause, GatedRepoError) for cause in causes)
    unknown = any(isinstance(cause, RepositoryNotFoundError) for cause in causes)
    if gated or (not unknown and re.search(r"gated repo|40[13] Client Error|Unauthorized|Forbidden", said)):
        return ModelAccessError(
            model,
            "it is gated or private; accept its terms on its page, then set HF_TOKEN or the spec's token "
            f"to a token that may read it ({reason})",
        )
    if unknown:  # to those who may not read it, the Hub says that a private model does not exist
        return ModelNotFoundError(
            model, "the Hub has no such model, or none that your token may read: set HF_TOKEN or the spec's token"
        )
    if isinstance(error, OSError):
        explained = ModelNotFoundError(
            model,
            "no folder has this name here, and the Hub does not have it, or can't be reached and it is not in the "
            f"cache (unset HF_HUB_OFFLINE, or download it first with: hf download {model}) ({reason})",
        )
        explained.retryable = "couldn't connect" in said and not is_offline_mode()
        return explained
    return LoadError(f"model {model!r} can't be loaded: {reason}")


def _causes(error: BaseException) -> Iterator[BaseException]:
    cause = error.__cause__ or error.__context__
    if cause is not None:
        yield cause
        yield from _causes(cause)


def _reason(error: BaseException) -> str:
    """The error's first line; where transformers has collected tracebacks in its text, the last one's."""
    message = str(error).strip()
    collected = re.findall(r"^[\w.]*(?:Error|Exception): (.+)", message, re.MULTILINE)
    return str((collected[-1:] or message.splitlines()[:1] or [type(error).__name__])[0])


def _folder_hash(folder: Path) -> str:
    return _content_hash(folder, _stats(folder))


def _stats(folder: Path) -> _Stats:
    """Name, size and time of each file that decides what the model returns."""
    names = sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file() and path.suffix != ".md")
    visible = [name for name in names if not any(part.startswith(".") for part in name.parts)]
    stats = [(name.as_posix(), (folder / name).stat()) for name in visible]
    return tuple((name, stat.st_size, stat.st_mtime_ns) for name, stat in stats)


@functools.lru_cache(maxsize=32)
def _content_hash(folder: Path, stats: _Stats) -> str:
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
