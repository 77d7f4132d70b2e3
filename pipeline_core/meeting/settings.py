"""What decides how a recording is transcribed."""

import hashlib
import json
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, PositiveInt, field_validator, model_validator

from pipeline_core.catalog import find_task
from pipeline_core.form_schema import form_schema
from pipeline_core.pinning import PinnedSpec
from pipeline_core.spec import PipelineSpec

_TASK = "automatic-speech-recognition"
# Raised whenever the same settings come to give other transcripts.
_FORMAT = 1


class TranscriptionSettings(BaseModel):
    """Everything that decides a transcript, and how it is computed.

    Attributes:
        pipeline: The speech recognition pipeline. With ``chunk_length_s`` among its ``parameters`` the recording
            is cut into windows of fixed length as transformers does it, whatever is said in them, in one part.
        language: ISO 639-1 code; None to have a Whisper model hear it.
        translate: Whether a Whisper model writes English whatever is spoken.
        timestamps: "word" for times of words, where the model can give them, or "segment".
        max_chunk_s: Seconds of speech that the model is given at once, at most.
        part_s: About how many seconds are read, and held, at once; longer recordings are cut at pauses.
        batch_size: Chunks a batch; None for as many as suit the device. It changes no transcript.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", json_schema_extra=form_schema(first=("language",)))

    pipeline: PipelineSpec
    language: str | None = None
    translate: bool = False
    timestamps: Literal["word", "segment"] = "word"
    max_chunk_s: Annotated[float, Field(ge=1, le=30)] = 30.0
    part_s: Annotated[float, Field(ge=60, allow_inf_nan=False)] = 600.0
    batch_size: PositiveInt | None = None

    @field_validator("language", mode="before")
    @classmethod
    def _auto_is_none(cls, language: Any) -> Any:
        return None if language == "auto" else language

    @model_validator(mode="after")
    def _recognizes_speech(self) -> Self:
        if find_task(self.pipeline.task).name != _TASK:
            raise ValueError(f"pipeline must be of task {_TASK!r}, but is of {self.pipeline.task!r} instead")
        return self

    @property
    def fixed_chunks(self) -> bool:
        """Whether recordings are cut into windows of fixed length."""
        return self.pipeline.parameters.get("chunk_length_s") is not None

    def fingerprint(self, pinned: PinnedSpec) -> str:
        """32 hex digits that change exactly when transcripts could; ``pinned`` is the pipeline's."""
        content = self.model_dump(mode="json", exclude={"pipeline", "batch_size"})
        content |= {"pipeline": pinned.fingerprint, "format": _FORMAT}
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:32]
