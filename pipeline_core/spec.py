"""What to run: the pipeline, with all that decides its answers."""

import hashlib
import inspect
import json
import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    field_validator,
    model_validator,
)

from pipeline_core.catalog import canonical_name, check_parameters, find_task
from pipeline_core.form_schema import form_schema
from pipeline_core.parameter_values import check_values
from pipeline_core.task_inputs import TASK_INPUTS

DEMO_MODEL = "demo:sentiment"
QUANTIZATIONS: Mapping[str, Mapping[str, Any]] = {
    "8bit": {"load_in_8bit": True},
    "4bit": {"load_in_4bit": True, "bnb_4bit_quant_type": "nf4"},
}
"""What the short names stand for, as arguments of a ``BitsAndBytesConfig``."""

SAMPLING = frozenset(
    {"do_sample", "temperature", "top_k", "top_p", "min_p", "top_h", "typical_p", "epsilon_cutoff", "eta_cutoff"}
)
"""Arguments of a generation that sampling takes. Whoever sets one has asked for it, as the pipeline's defaults do."""

# Speech and music are drawn, and CLAP listens to a stretch of long sound that is.
_DRAWING = frozenset({"text-to-audio", "zero-shot-audio-classification"})
# Arguments of transformers.pipeline() and from_pretrained that loading sets: those of a field, and the rest.
_OTHER_NAMES = {"use_auth_token": "token", "torch_dtype": "dtype"}
_NOT_TAKEN = frozenset(
    {
        "config",
        "feature_extractor",
        "image_processor",
        "output_loading_info",
        "pipeline_class",
        "processor",
        "state_dict",
        "use_fast",
        "video_processor",
    }
)
_DEVICE = re.compile(r"auto|cpu|mps|(cuda|xpu)(:\d+)?")
_DEVICE_MAPS = ("auto", "balanced", "balanced_low_0", "sequential")
# Where a run takes place and who may load the model decide nothing about what comes out.
_NOT_IN_FINGERPRINT = {"device", "device_map", "token"}


class PipelineSpec(BaseModel):
    """Everything that decides what a pipeline returns, and where it runs.

    Building one loads nothing and opens nothing; ``load_pipeline`` does.

    Attributes:
        task: A pipeline task or an alias of one, such as "text-classification".
        model: A Hub id, a folder, or "demo:sentiment"; None for the task's default model.
        revision: A branch, tag or commit of the model's repository.
        tokenizer: A tokenizer other than the model's own: a Hub id, such as "someone/tokenizer" or
            "someone/tokenizer@revision", or a folder.
        device: "auto" (the first accelerator, else the CPU), "cpu", "cuda", "cuda:1", "mps", an
            accelerator's number, or -1 for the CPU.
        device_map: "auto" or a map of modules to devices, for models that fit on no single one.
        dtype: "auto" as the checkpoint says, a dtype, or "fastest": what runs fastest here.
        quantization: "8bit", "4bit" (in NF4), or the arguments of a ``BitsAndBytesConfig``.
        attn_implementation: An attention of transformers' registry, such as "sdpa" or "eager".
        model_kwargs: More arguments of ``from_pretrained``, none that has a field here.
        trust_remote_code: Whether code from the model's repository may run.
        token: For gated models. It is left out of every dump, print and fingerprint.
        parameters: Arguments of the pipeline's call: top_k, truncation, generate_kwargs, ...
        on_long: Text longer than the model takes is cut ("truncate"), quarantined ("error") or, for
            text-classification, read in overlapping windows whose logits are averaged ("window").
        window_stride: Tokens that neighbouring windows share.
        seed: What sampling starts from. Every record has a seed of its own, made of this and its id, so that a
            rerun draws the same, whatever the batches.
    """

    # Pydantic prints the input of a spec that it refuses, and a token may be in it.
    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        protected_namespaces=(),
        hide_input_in_errors=True,
        json_schema_extra=form_schema(
            first=("task", "model", "dtype", "quantization", "device", "on_long"),
            last=("parameters", "model_kwargs", "trust_remote_code"),
            # A server would keep it as it is, for all to read.
            hidden=("token",),
            inputs={
                "task": {"type": "string", "enum": sorted(TASK_INPUTS)},
                "device": {"type": "string"},
                "device_map": {"type": "string", "enum": list(_DEVICE_MAPS)},
                "quantization": {"type": "string", "enum": list(QUANTIZATIONS)},
            },
        ),
    )

    task: str
    model: str | None = None
    revision: str | None = None
    tokenizer: str | None = None
    device: str | int = "auto"
    device_map: str | dict[str, str | int] | None = None
    dtype: Literal["auto", "float32", "float16", "bfloat16", "fastest"] = "auto"
    quantization: Literal["8bit", "4bit"] | dict[str, Any] | None = None
    attn_implementation: str | None = None
    model_kwargs: dict[str, Any] = Field(default_factory=dict)
    trust_remote_code: bool = False
    token: SecretStr | None = Field(default=None, exclude=True, repr=False)
    parameters: dict[str, Any] = Field(default_factory=dict)
    on_long: Literal["truncate", "error", "window"] = "truncate"
    window_stride: Annotated[int, Field(ge=0)] = 64
    seed: Annotated[int, Field(ge=0)] = 0

    @model_validator(mode="before")
    @classmethod
    def _known_fields(cls, data: Any) -> Any:
        for name in data if isinstance(data, dict) else ():
            if name not in cls.model_fields:
                raise ValueError(f"field must be one of {', '.join(cls.model_fields)}, but is {name!r} instead")
        return data

    @model_validator(mode="before")
    @classmethod
    def _one_spelling_of_quantization(cls, data: Any) -> Any:
        """Accept the spellings of the pipeline guide: a config object, and load_in_8bit."""
        if not isinstance(data, dict):
            return data
        data = dict(data)
        if isinstance(data.get("model_kwargs"), dict):
            model_kwargs = dict(data["model_kwargs"])
            found = [model_kwargs.pop("quantization_config", None)]
            found += [name[-4:] if model_kwargs.pop(name, False) else None for name in ("load_in_8bit", "load_in_4bit")]
            spellings = [value for value in (data.get("quantization"), *found) if value is not None]
            if len(spellings) > 1:
                raise ValueError("quantization is set twice: as quantization and in model_kwargs; keep the first")
            data["model_kwargs"], data["quantization"] = model_kwargs, next(iter(spellings), None)
        if hasattr(data.get("quantization"), "to_diff_dict"):
            data["quantization"] = data["quantization"].to_diff_dict()
        if isinstance(data.get("quantization"), dict):
            data["quantization"] = _canonical_quantization(data["quantization"])
        return data

    @field_validator("task")
    @classmethod
    def _known_task(cls, task: str) -> str:
        find_task(task)
        return task

    @field_validator("model")
    @classmethod
    def _known_bundled_model(cls, model: str | None) -> str | None:
        if model is not None and model.startswith("demo:") and model != DEMO_MODEL:
            raise ValueError(f"model must be a Hub id, a folder or {DEMO_MODEL!r}, but is {model!r} instead")
        return model

    @field_validator("device")
    @classmethod
    def _device_as_torch_names_it(cls, device: str | int) -> str | int:
        if isinstance(device, int):
            if device < -1:
                raise ValueError(f"device must be -1 for the CPU or an accelerator's number, but is {device} instead")
            return "cpu" if device == -1 else device
        if not _DEVICE.fullmatch(device):
            raise ValueError(
                'device must be "auto", "cpu", "mps", "cuda", "cuda:N", "xpu", "xpu:N" or a number, '
                f"but is {device!r} instead"
            )
        return device

    @field_validator("device_map")
    @classmethod
    def _known_device_map(cls, device_map: str | dict[str, str | int] | None) -> str | dict[str, str | int] | None:
        if isinstance(device_map, str) and device_map not in _DEVICE_MAPS:
            raise ValueError(
                f"device_map must be a map of modules to devices or one of {', '.join(_DEVICE_MAPS)}, "
                f"but is {device_map!r} instead"
            )
        return device_map

    @field_validator("model_kwargs", mode="before")
    @classmethod
    def _no_argument_of_ours(cls, model_kwargs: Any) -> Any:
        for name in model_kwargs if isinstance(model_kwargs, dict) else ():
            field = _OTHER_NAMES.get(name, name)
            if field in cls.model_fields:
                raise ValueError(f"set {field}=..., not {name!r} in model_kwargs")
            if name in _NOT_TAKEN:
                raise ValueError(f"model_kwargs takes no {name!r}: it goes by the model; leave it out")
        return model_kwargs

    @field_validator("model_kwargs", "parameters", "quantization")
    @classmethod
    def _plain_values(cls, value: Any) -> Any:
        """The value as JSON gives it back, so that a spec equals its own dump."""
        try:
            return json.loads(json.dumps(value, allow_nan=False))
        except (TypeError, ValueError) as error:
            raise ValueError(f"only values that JSON can write are taken here: {error}") from None

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        check_parameters(self.task, self.parameters)
        check_values(find_task(self.task), self.parameters)
        if self.on_long == "window" and find_task(self.task).name != "text-classification":
            raise ValueError(f'on_long="window" is for text-classification, not for {self.task!r}')
        if self.device_map is not None and self.device != "auto":
            raise ValueError("set device or device_map, not both: device_map places the model by itself")
        return self

    @property
    def may_sample(self) -> bool:
        """Whether random numbers decide something: sampling is asked for, or the task draws by itself."""
        task = find_task(self.task)
        asked = {**self.parameters, **(self.parameters.get("generate_kwargs") or {})}
        return (task.generates and bool(SAMPLING & asked.keys())) or task.name in _DRAWING

    @property
    def fingerprint(self) -> str:
        """32 hex digits that change exactly when results could.

        A model that is named and not pinned can change behind its name: a run resolves the name to
        a commit, or a folder to a hash of its files, and takes the fingerprint of that.
        """
        content = self.model_dump(mode="json", exclude=_NOT_IN_FINGERPRINT)
        content["task"] = canonical_name(self.task)
        if self.on_long != "window":
            del content["window_stride"]
        if not self.may_sample:
            del content["seed"]
        canonical = json.dumps(content, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()[:32]


def _canonical_quantization(arguments: dict[str, Any]) -> dict[str, Any] | str:
    """The arguments of a ``BitsAndBytesConfig`` that decide something, or the short name of what they come to."""
    from transformers import BitsAndBytesConfig

    accepted = [name for name in inspect.signature(BitsAndBytesConfig).parameters if name != "kwargs"]
    derived = ("quant_method", "_load_in_8bit", "_load_in_4bit")
    defaults = BitsAndBytesConfig().to_dict()
    known = {
        name: value
        for name, value in arguments.items()
        if name not in derived and value not in (None, defaults.get(name))
    }
    for name in known:
        if name not in accepted:
            raise ValueError(f"quantization must have the arguments {', '.join(accepted)}, but has {name!r} instead")
    if ("load_in_8bit" in known) == ("load_in_4bit" in known):
        raise ValueError("quantization must have either load_in_8bit or load_in_4bit")
    return next((short for short, meant in QUANTIZATIONS.items() if known == meant), known)
