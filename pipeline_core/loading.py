"""Load a spec's transformers pipeline and keep it warm for the process."""

import copy
import json
import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from safetensors import SafetensorError

from pipeline_core.call_defaults import class_with_defaults, complete, spread_generation
from pipeline_core.catalog import find_task
from pipeline_core.device_threads import run_on
from pipeline_core.devices import resolve_device
from pipeline_core.errors import ModelNotFoundError, SpecError
from pipeline_core.load_failures import explain, missing_package
from pipeline_core.mask_suppression import suppress_masks_without_torchvision
from pipeline_core.memory import release_memory
from pipeline_core.missing_weights import check_trained, loading_reports
from pipeline_core.model_requirements import check_packages
from pipeline_core.pinning import (
    FolderStats,
    dtype_name,
    folder_stats,
    model_folder,
    model_name,
    spec_folder,
    token_of,
    tokenizer_name,
    weights_folder,
)
from pipeline_core.quantization import fit_for_cpu, quantization_config
from pipeline_core.sampling_rates import take_any_rate
from pipeline_core.spec import PipelineSpec
from pipeline_core.speech_parts import vocoder_of, with_tensors

_WARM_MODELS = 2
_LOADS = {"device", "device_map", "dtype", "quantization", "attn_implementation", "model_kwargs"}
_COMPONENTS = (
    "tokenizer",
    "feature_extractor",
    "image_processor",
    "video_processor",
    "processor",
    "decoder",
    "vocoder",
)
_NAMES = {"task", "model", "revision", "tokenizer", "trust_remote_code"}


def load_pipeline(spec: PipelineSpec) -> Any:
    """The spec's transformers pipeline, called like any other; its ``parameters`` are the call's defaults.

    The weights are loaded once a process for all specs that need the same ones: the last two models
    stay warm (``PIPELINE_FLOWS_WARM_MODELS`` sets another number). The pipeline's attribute
    ``commit`` holds the model's commit, or None for a folder.

    Raises:
        DeviceNotFoundError: This machine lacks the device.
        ModelNotFoundError: No such model, revision or weights.
        ModelAccessError: The model is gated and the token is missing or not allowed.
        MissingPackageError: A package that the task, the model or the quantization needs is not installed.
        LoadError: The checkpoint lacks a part of the model, such as its head.
        SpecError: The pipeline does not take the values of its ``parameters``, or a revision is given for a folder.
    """
    return _with_parameters(_warm.get(spec), spec)


def unload(spec: PipelineSpec | None = None) -> None:
    """Let go of the spec's weights, or of all weights kept warm, and free their memory."""
    _warm.drop(spec)
    release_memory()


def model_labels(spec: PipelineSpec) -> list[str]:
    """The model's labels by number.

    Raises:
        LoadError: The pipeline can't be loaded here.
    """
    pipeline = run_on(resolve_device(spec.device), load_pipeline, spec)
    labels: dict[int, str] = pipeline.model.config.id2label
    return [labels[number] for number in sorted(labels)]


class _WarmModels:
    """The last few pipelines, by what decides their weights; one thread loads, others wait for it.

    A folder whose files have changed since is loaded again.
    """

    def __init__(self) -> None:
        self._pipelines: OrderedDict[str, tuple[tuple[FolderStats, ...], Any]] = OrderedDict()
        self._lock = threading.RLock()

    def get(self, spec: PipelineSpec) -> Any:
        key = self._key(spec)
        model = spec_folder(spec)
        tokenizer = model_folder(spec.tokenizer) if spec.tokenizer is not None else None
        folders = (weights_folder(model, spec) if model is not None else None, tokenizer)
        with self._lock:
            stats = tuple(folder_stats(folder) for folder in folders if folder is not None)
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
        most = _most_warm()
        if len(self._pipelines) >= most:
            while len(self._pipelines) >= most:
                self._pipelines.popitem(last=False)
            release_memory()

    @staticmethod
    def _key(spec: PipelineSpec) -> str:
        content = spec.model_dump(mode="json", include=_LOADS | _NAMES)
        content["task"] = find_task(spec.task).name
        content["dtype"] = dtype_name(spec)
        content["vocoder"] = spec.parameters.get("vocoder")
        if spec.device_map is None:
            content["device"] = str(resolve_device(spec.device))
        return json.dumps(content, sort_keys=True)


_warm = _WarmModels()


def _most_warm() -> int:
    wanted = os.environ.get("PIPELINE_FLOWS_WARM_MODELS") or str(_WARM_MODELS)
    if not wanted.isdecimal():
        raise SpecError(f"PIPELINE_FLOWS_WARM_MODELS must be a whole number from 1 up, but is {wanted!r} instead")
    return max(1, int(wanted))


def _load(spec: PipelineSpec) -> Any:
    import transformers

    check_packages(spec)
    name = model_name(spec)
    folder = spec_folder(spec)
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
        model_kwargs["quantization_config"] = quantization_config(spec)
    try:
        with _without_weight_bars(), loading_reports() as reports:
            vocoder = vocoder_of(spec.parameters, token_of(spec), model_kwargs["use_safetensors"])
            pipeline = transformers.pipeline(
                spec.task,
                model=str(folder) if folder is not None else name,
                tokenizer=_other_tokenizer(spec),
                revision=spec.revision,
                token=token_of(spec),
                device=device,
                device_map=device_map,
                dtype=dtype_name(spec),
                trust_remote_code=spec.trust_remote_code,
                model_kwargs=model_kwargs,
                **({"vocoder": vocoder} if vocoder is not None else {}),
            )
    except ImportError as error:
        raise missing_package(name, error) from error
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        raise explain(name, folder, error) from error
    check_trained(name, find_task(spec.task).name, pipeline.model, reports)
    tokenizer = pipeline.tokenizer
    if tokenizer is not None and len(tokenizer) <= len(tokenizer.all_special_ids):
        # Transformers makes an empty one where there is none, and the model then reads only unknown words.
        raise ModelNotFoundError(name, "it has no tokenizer files; name a tokenizer")
    if spec.quantization is not None:
        fit_for_cpu(pipeline.model)
    if vocoder is not None:
        vocoder.to(pipeline.device)
    suppress_masks_without_torchvision(pipeline.image_processor)
    take_any_rate(pipeline)
    pipeline.model.eval()
    pipeline.commit = getattr(pipeline.model.config, "_commit_hash", None)
    return pipeline


def _other_tokenizer(spec: PipelineSpec) -> Any:
    """The tokenizer that the spec names; transformers would look for it at the model's revision."""
    if spec.tokenizer is None:
        return None
    from transformers import AutoTokenizer

    folder = model_folder(spec.tokenizer)
    name, revision = (str(folder), None) if folder is not None else tokenizer_name(spec.tokenizer)
    try:
        return AutoTokenizer.from_pretrained(
            name,
            revision=revision,
            token=token_of(spec),
            trust_remote_code=spec.trust_remote_code,
        )
    except (OSError, ValueError, KeyError) as error:
        raise explain(spec.tokenizer if folder is not None else name, folder, error) from error


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
    if not spec.parameters and base.task == spec.task:
        return copy.copy(base)
    components = {name: getattr(base, name) for name in _COMPONENTS if getattr(base, name, None) is not None}
    parameters = with_tensors({name: value for name, value in spec.parameters.items() if name != "vocoder"})
    device = None if getattr(base.model, "hf_device_map", None) is not None else base.device
    made = class_with_defaults(type(base), spec.parameters)
    given = spread_generation(type(base), parameters)
    try:
        pipeline = made(model=base.model, task=spec.task, device=device, **components, **given)
    except (ValueError, KeyError, TypeError) as error:
        shown = ", ".join(f"{name}={value!r}" for name, value in spec.parameters.items())
        raise SpecError(f"the pipeline of task {spec.task!r} does not take the parameters {shown}: {error}") from error
    complete(pipeline, spec.parameters)
    pipeline.commit = base.commit
    return pipeline
