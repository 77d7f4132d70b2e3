"""Which rows of which dataset a run takes, and which of their columns."""

from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, PositiveInt, field_validator, model_validator

from pipeline_core.conditions import Condition
from pipeline_core.data_file import Format
from pipeline_core.form_schema import form_schema
from pipeline_core.input_columns import Column


class DatasetRef(BaseModel):
    """Which rows of which dataset, and which of their columns; a plain string stands for its path.

    Building one reads nothing; ``open_dataset`` does.

    Attributes:
        path: "demo:reviews", a Hub id, a file, a glob, a folder, or an fsspec URL such as s3://...
        name: A configuration of a Hub dataset.
        split: A split of a Hub dataset; of files, those named so or in a subfolder named so.
        revision: A branch, tag or commit of a Hub dataset.
        streaming: Whether a Hub dataset is read over the network instead of downloaded first.
        format: The files' format; None goes by their names.
        column: The column to take as input; or a dict from the task's inputs to columns, such as
            {"question": "q", "context": "passage"}; None takes columns that have the usual names of
            the task's inputs, or the only text column.
        id_column: The column that names the rows; None takes a column "id" of strings or integers if there
            is one that is not the input. Rows without a name, or null there, are named by file and position.
        keep_columns: Columns to carry to the output; None for all of plain scalars.
        media_root: The folder whose files the rows may name in media columns, local or an fsspec URL; None for
            the folder of the dataset's own files where these are local, and for none otherwise. Whoever
            may set it, or ``path``, may have the run read what its process may read.
        limit: Rows to take, at most, counted after ``where``.
        where: Conditions that all hold for a row that is taken, as ``Condition`` or as text, such as
            "stars >= 4", "lang == 'en'", "label in [0, 1]" or "text is not null".
    """

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        json_schema_extra=form_schema(
            first=("path", "split", "column", "limit", "where"),
            last=("media_root", "revision", "streaming"),
            inputs={"where": {"type": "array", "items": {"type": "string"}}},
        ),
    )

    path: str = Field(min_length=1)
    name: str | None = None
    split: str | None = None
    revision: str | None = None
    streaming: bool = False
    format: Format | None = None
    column: str | dict[str, str] | None = None
    id_column: str | None = None
    keep_columns: list[str] | None = None
    media_root: str | None = Field(default=None, min_length=1)
    limit: PositiveInt | None = None
    where: list[Condition] = Field(default_factory=list)

    @model_validator(mode="before")
    @classmethod
    def _from_path(cls, data: Any) -> Any:
        return {"path": data} if isinstance(data, str) else data

    @field_validator("where", mode="before")
    @classmethod
    def _one_or_many(cls, where: Any) -> Any:
        if where is None:
            return []
        return [where] if isinstance(where, str | dict | Condition) else where

    @field_validator("column")
    @classmethod
    def _some_column(cls, column: Column | None) -> Column | None:
        if column is not None and not column:
            raise ValueError('column must name a column or map keys to columns, as {"text": "body"}, but is empty')
        return column

    def keeping(self, column: str) -> Self:
        """The same rows, with ``column`` among the ones that are carried to the output."""
        if self.keep_columns is None or column in self.keep_columns:
            return self
        return self.model_copy(update={"keep_columns": [*self.keep_columns, column]})
