"""How much text a model takes, and what happens to more."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from pipeline_core.errors import InputTooLongError
from pipeline_core.spec import PipelineSpec


class TextLimit:
    """What happens to text that is longer than the model takes, in pipelines that tokenize row by row.

    Args:
        pipeline: The pipeline.
        task: Its task, aliases resolved.
        spec: Holds ``on_long``.
    """

    # How each pipeline hands settings to its tokenizer; the others cut by themselves, or never.
    _SETTINGS: Mapping[str, str | None] = {
        "text-classification": None,
        "feature-extraction": None,
        "fill-mask": "tokenizer_kwargs",
    }
    _CUT_BY_THEMSELVES = ("token-classification", "zero-shot-classification")

    def __init__(self, pipeline: Any, task: str, spec: PipelineSpec) -> None:
        known = task in self._SETTINGS or task in self._CUT_BY_THEMSELVES
        self._limit = model_limit(pipeline) if known and pipeline.tokenizer is not None else None
        self._on_long = spec.on_long
        self._whole = "stride" in spec.parameters  # read in windows by the pipeline itself
        given = {"truncation", "max_length", "tokenize_kwargs", "tokenizer_kwargs"} & spec.parameters.keys()
        self._cuts = task in self._SETTINGS and not given
        self._nested = self._SETTINGS.get(task)

    def length(self, tokenizer: Any, inputs: Any) -> int:
        """Tokens of a text, uncut; 0 where it is no text or the model takes any length.

        Raises:
            InputTooLongError: They are too many, under ``on_long="error"``.
        """
        if self._limit is None or not isinstance(inputs, str):
            return 0
        length = len(tokenizer(inputs, verbose=False)["input_ids"])
        if self._on_long == "error" and length > self._limit:
            raise InputTooLongError(length, self._limit)
        return length

    def parameters(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """The pipeline's parameters, and those that have it cut what is too long."""
        if self._limit is None or not self._cuts:
            return dict(given)
        settings = {"truncation": True, "max_length": self._limit}
        return {**given, **(settings if self._nested is None else {self._nested: settings})}

    def is_cut(self, length: int, read: Sequence[int]) -> bool:
        """Whether a text of ``length`` tokens was cut, going by how many the model reads in each chunk."""
        return not self._whole and length > max(read, default=0)


def model_limit(pipeline: Any) -> int | None:
    """Tokens that the model takes at most: what its tokenizer says, or its positions if they are fewer."""
    stated = pipeline.tokenizer.model_max_length
    limits = [limit for limit in (stated if stated < 10**9 else None, position_limit(pipeline.model)) if limit]
    return min(limits, default=None)


def position_limit(model: Any) -> int | None:
    """Positions that the model has a learned embedding for; None where it takes any number."""
    limits = []
    for name, module in model.named_modules():
        if name.endswith(("position_embeddings", "embed_positions", "wpe")) and isinstance(module, torch.nn.Embedding):
            # RoBERTa counts from its padding's number on, BART's tables start with two rows of their own.
            unused = module.padding_idx + 1 if module.padding_idx is not None else getattr(module, "offset", 0)
            limits.append(module.num_embeddings - unused)
    return min(limits, default=None)
