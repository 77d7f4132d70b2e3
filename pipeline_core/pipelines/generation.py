"""Which generation parameters apply: those of the call, the pipeline, the task, the model, the defaults."""

from typing import Any

from transformers import GenerationConfig
from transformers.pipelines.base import Pipeline

_GENERATION_PARAMETERS = frozenset(name for name in vars(GenerationConfig()) if not name.startswith("_"))
_LENGTH_NOT_SET = (None, 20)  # what transformers 4 took for "the model sets no max_length"


class GeneratingPipeline(Pipeline):  # type: ignore[misc]
    """A pipeline whose model generates, by transformers 5's rules or, if asked for, by those of transformers 4.

    A parameter is taken from the first of these that sets it: the call, the pipeline's own arguments, the
    config's ``task_specific_params`` for this task, the model's generation config, the pipeline's defaults.
    A ``generation_config`` replaces all that the pipeline and the task set. The default ``max_new_tokens``
    does not apply where anyone sets ``max_length``, so that a ``max_length`` in a call holds.

    With ``legacy_generation=True`` the rules are those of transformers 4.56: the pipeline's defaults come
    before the model's generation config; ``task_specific_params`` come before the pipeline's own arguments;
    ``max_length`` gives way to the default ``max_new_tokens``, unless the model or the pipeline sets one
    that is not 20; a ``generation_config`` in a call stands alone.
    """

    _pipeline_calls_generate = True

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        specific = getattr(self.model.config, "task_specific_params", None) or {}
        specific = specific.get(self.task) or {}
        self._task_params = {name: value for name, value in specific.items() if name in _GENERATION_PARAMETERS}
        self.prefix = specific.get("prefix", getattr(self, "prefix", None))

    def _assistant(self) -> dict[str, Any]:
        """The arguments of assisted generation, if the pipeline was given an ``assistant_model``."""
        if getattr(self, "assistant_model", None) is None:
            return {}
        if self.assistant_tokenizer is None:
            return {"assistant_model": self.assistant_model}
        return {
            "assistant_model": self.assistant_model,
            "tokenizer": self.tokenizer,
            "assistant_tokenizer": self.assistant_tokenizer,
        }

    def _arguments_of_generate(self, given: dict[str, Any], legacy: bool) -> dict[str, Any]:
        """The arguments of the model's ``generate`` for a call that gives these."""
        if legacy:
            return self._legacy_arguments(given)
        if "generation_config" not in given and "generation_config" not in self._generate_kwargs:
            own = {**self._generate_kwargs, **given}
            task = dict(self._task_params)
            if "max_new_tokens" in own:
                task.pop("max_length", None)
            given = {**task, **own}
        arguments: dict[str, Any] = self._prepare_generate_kwargs(given)
        return arguments

    def _legacy_arguments(self, given: dict[str, Any]) -> dict[str, Any]:
        if "generation_config" in given:
            return given
        model = self.model.generation_config.to_diff_dict()
        defaults = dict(self._generation_defaults)
        if model.get("pad_token_id") is not None:
            defaults.pop("pad_token_id", None)
        arguments = {**defaults, **self._generate_kwargs}
        length = arguments.get("max_length", model.get("max_length"))
        if arguments.get("max_new_tokens") == defaults.get("max_new_tokens") and length not in _LENGTH_NOT_SET:
            arguments.pop("max_new_tokens", None)
        return {**arguments, **self._task_params, **given}
