"""The command's options, group by group, and the settings that they make."""

import json
import re
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from cyclopts import Group, Parameter
from cyclopts.validators import Number

from pipeline_core.errors import SpecError
from pipeline_core.meeting.diarizer_ref import Way
from pipeline_core.policies import BatchPolicy, FailurePolicy
from pipeline_core.sources import DatasetRef
from pipeline_core.spec import PipelineSpec

_ROWS = Group("Rows", sort_key=1)
_PIPELINE = Group("Pipeline", sort_key=2)
_BATCHES = Group("Batches", sort_key=3)
_RUN = Group("Run", sort_key=4)
_SPEECH = Group("Speech", sort_key=5)
_COUNT = Number(gte=1)


def _option(group: Group, text: str, accepts: Number | None = None) -> Parameter:
    return Parameter(group=group, help=text, validator=accepts, negative=(), show_default=_shown)


def _shown(default: Any) -> str | None:
    return None if default in (None, False, []) else str(default)


@Parameter(name="*")
@dataclass
class RowOptions:
    """Which rows to take."""

    column: Annotated[
        list[str], _option(_ROWS, "The input's column, or INPUT=COLUMN for pipelines with several inputs.")
    ] = field(default_factory=list)
    id_column: Annotated[str | None, _option(_ROWS, "The column that names the rows.")] = None
    keep_column: Annotated[
        list[str], _option(_ROWS, "A column to carry to the output, '' for none; all of plain values unless given.")
    ] = field(default_factory=list)
    where: Annotated[list[str], _option(_ROWS, "A condition that rows meet, such as 'stars >= 4'.")] = field(
        default_factory=list
    )
    limit: Annotated[int | None, _option(_ROWS, "Rows to take, at most.", _COUNT)] = None
    split: Annotated[str | None, _option(_ROWS, "A split of the dataset.")] = None
    name: Annotated[str | None, _option(_ROWS, "A configuration of a Hub dataset.")] = None
    dataset_revision: Annotated[str | None, _option(_ROWS, "A revision of a Hub dataset.")] = None
    streaming: Annotated[bool, _option(_ROWS, "Read a Hub dataset over the network as it is needed.")] = False
    format: Annotated[
        Literal["parquet", "csv", "jsonl", "arrow", "text", "media"] | None, _option(_ROWS, "The files' format.")
    ] = None
    media_root: Annotated[
        str | None, _option(_ROWS, "The folder of the files that rows name; the dataset's own unless given.")
    ] = None

    @property
    def given(self) -> bool:
        """Whether any of them was."""
        return self != RowOptions()

    def of(self, dataset: str) -> DatasetRef:
        """These rows of ``dataset``.

        Raises:
            ValidationError: An option has a value that is not accepted.
        """
        return DatasetRef(
            path=dataset,
            name=self.name,
            split=self.split,
            revision=self.dataset_revision,
            streaming=self.streaming,
            format=self.format,
            column=_columns(self.column),
            id_column=self.id_column,
            keep_columns=[name for name in self.keep_column if name] if self.keep_column else None,
            media_root=self.media_root,
            limit=self.limit,
            where=self.where,  # type: ignore[arg-type]  # the model parses text
        )


@Parameter(name="*")
@dataclass
class PipelineOptions:
    """Which pipeline to run."""

    model: Annotated[str | None, _option(_PIPELINE, "A Hub model, a folder, or demo:sentiment.")] = None
    revision: Annotated[str | None, _option(_PIPELINE, "A branch, tag or commit of the model.")] = None
    tokenizer: Annotated[str | None, _option(_PIPELINE, "Another tokenizer than the model's.")] = None
    device: Annotated[str, _option(_PIPELINE, "auto, cpu, cuda, cuda:1, mps, or an accelerator's number.")] = "auto"
    device_map: Annotated[str | None, _option(_PIPELINE, "auto: spread the model over all devices.")] = None
    dtype: Annotated[
        Literal["auto", "float32", "float16", "bfloat16", "fastest"], _option(_PIPELINE, "Precision of the weights.")
    ] = "auto"
    quantization: Annotated[Literal["8bit", "4bit"] | None, _option(_PIPELINE, "Quantize with bitsandbytes.")] = None
    attn_implementation: Annotated[str | None, _option(_PIPELINE, "sdpa, eager, flash_attention_2, ...")] = None
    trust_remote_code: Annotated[bool, _option(_PIPELINE, "Run code from the model's repository.")] = False
    parameter: Annotated[
        list[str], _option(_PIPELINE, "NAME=VALUE of the pipeline's call, the value as JSON or plain text.")
    ] = field(default_factory=list)
    on_long: Annotated[
        Literal["truncate", "error", "window"], _option(_PIPELINE, "Text that is too long is cut, refused or windowed.")
    ] = "truncate"
    window_stride: Annotated[int, _option(_PIPELINE, "Tokens that neighbouring windows share.", Number(gte=0))] = 64
    seed: Annotated[int, _option(_PIPELINE, "What sampling starts from.", Number(gte=0))] = 0
    model_kwarg: Annotated[
        list[str], _option(_PIPELINE, "NAME=VALUE of the model's from_pretrained, the value as JSON or plain text.")
    ] = field(default_factory=list)

    def spec(self, task: str, default_model: str | None = None) -> PipelineSpec:
        """The pipeline of ``task``.

        Raises:
            ValidationError: An option has a value that is not accepted.
        """
        return PipelineSpec(
            task=task,
            model=self.model or default_model,
            revision=self.revision,
            tokenizer=self.tokenizer,
            device=int(self.device) if re.fullmatch("-?[0-9]+", self.device) else self.device,
            device_map=self.device_map,
            dtype=self.dtype,
            quantization=self.quantization,
            attn_implementation=self.attn_implementation,
            trust_remote_code=self.trust_remote_code,
            model_kwargs=_values("--model-kwarg", self.model_kwarg),
            parameters=_values("--parameter", self.parameter),
            on_long=self.on_long,
            window_stride=self.window_stride,
            seed=self.seed,
        )


@Parameter(name="*")
@dataclass
class SpeechOptions:
    """How recordings are transcribed."""

    language: Annotated[str, _option(_SPEECH, "auto, or a code such as en or de.")] = "auto"
    translate: Annotated[bool, _option(_SPEECH, "Write English whatever is spoken.")] = False
    speakers: Annotated[str, _option(_SPEECH, "How many speakers there are, auto, or off.")] = "auto"
    diarizer: Annotated[Way, _option(_SPEECH, "How speakers are told apart.")] = "auto"
    diarizer_model: Annotated[str | None, _option(_SPEECH, "The folder or the Hub name of pyannote's pipeline.")] = None
    names: Annotated[list[str], _option(_SPEECH, "What to call a speaker, such as S1=Ana.")] = field(
        default_factory=list
    )
    timestamps: Annotated[Literal["word", "segment"], _option(_SPEECH, "Times of words, or of segments.")] = "word"
    embed: Annotated[bool, _option(_SPEECH, "Put a copy of each recording into its page, to be sent around.")] = False

    def told(self) -> int | Literal["auto", "off"]:
        """The speakers as the flow takes them.

        Raises:
            SpecError: They are neither a number nor one of the words.
        """
        if self.speakers in ("auto", "off"):
            return self.speakers  # type: ignore[return-value]
        if not self.speakers.isdecimal() or int(self.speakers) < 1:
            raise SpecError(f"speakers must be a number from 1 on, auto or off, but is {self.speakers!r} instead")
        return int(self.speakers)


@Parameter(name="*")
@dataclass
class BatchOptions:
    """How rows are grouped; no option changes a result."""

    batch_size: Annotated[int | None, _option(_BATCHES, "Rows a batch, at most.", _COUNT)] = None
    max_batch_tokens: Annotated[
        int | None, _option(_BATCHES, "Tokens a batch, at most; measured unless given.", _COUNT)
    ] = None
    lookahead_rows: Annotated[
        int | None,
        _option(_BATCHES, "Rows to sort by length before they are batched; 64 batches' worth unless given.", _COUNT),
    ] = None

    def policy(self) -> BatchPolicy:
        """The batches.

        Raises:
            ValidationError: An option has a value that is not accepted.
        """
        return BatchPolicy(
            batch_size=self.batch_size,
            max_batch_tokens="auto" if self.max_batch_tokens is None else self.max_batch_tokens,
            lookahead_rows="auto" if self.lookahead_rows is None else self.lookahead_rows,
        )


@Parameter(name="*")
@dataclass
class FailureOptions:
    """How many rows may fail."""

    max_bad_rows: Annotated[int | None, _option(_RUN, "Rows that may end in quarantine, at most.", Number(gte=0))] = (
        None
    )
    max_bad_fraction: Annotated[
        float | None,
        _option(_RUN, "Their share of all rows, at most; 0.1 unless max-bad-rows is given.", Number(gte=0, lte=1)),
    ] = None

    def policy(self) -> FailurePolicy:
        """The failure policy.

        Raises:
            ValidationError: An option has a value that is not accepted.
        """
        fraction = self.max_bad_fraction
        if fraction is None and self.max_bad_rows is None:
            fraction = 0.1
        return FailurePolicy(max_bad_rows=self.max_bad_rows, max_bad_fraction=fraction)


@Parameter(name="*")
@dataclass
class RunOptions:
    """How the run goes about it."""

    replace: Annotated[bool, _option(_RUN, "Delete the output of another plan that is in the folder.")] = False
    arrays: Annotated[Literal["float32", "float16"], _option(_RUN, "Type of features and depths written.")] = "float32"
    rows_per_shard: Annotated[int | None, _option(_RUN, "Rows that are committed together.", _COUNT)] = None
    shards_at_once: Annotated[int, _option(_RUN, "Shards in flight; on one device they take turns.", _COUNT)] = 1


def _columns(given: list[str]) -> str | dict[str, str] | None:
    if not given:
        return None
    if len(given) == 1 and "=" not in given[0]:
        return given[0]
    pairs = [entry.split("=", 1) for entry in given]
    wrong = [entry for entry, pair in zip(given, pairs, strict=True) if len(pair) != 2]
    if wrong:
        raise SpecError(f"--column must be one column, or INPUT=COLUMN several times, but is {wrong[0]!r} among others")
    return dict(pairs)


def _values(option: str, given: list[str]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise SpecError(f"{option} must be NAME=VALUE, but is {text!r} instead")
        if name in values:
            raise SpecError(f"{option} {name} is given twice: keep one, or make it a list as in {name}='[1, 2]'")
        try:
            values[name] = json.loads(value)
        except json.JSONDecodeError:
            values[name] = value
    return values
