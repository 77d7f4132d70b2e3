"""Weights that a checkpoint lacks: transformers draws them at random, and the answers with them."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from pipeline_core.errors import LoadError

_NAMED_WEIGHTS = 4
# These give the hidden states, which do not go through the pooler.
_WITHOUT_POOLER = {"feature-extraction", "image-feature-extraction"}


@contextmanager
def loading_reports() -> Iterator[list[tuple[Any, Mapping[str, Any]]]]:
    """Collect each model that is loaded meanwhile with its ``output_loading_info``, which a pipeline can't ask for."""
    from transformers import PreTrainedModel

    reports: list[tuple[Any, Mapping[str, Any]]] = []
    original = vars(PreTrainedModel)["from_pretrained"]

    def reporting(class_: type[Any], /, *arguments: Any, output_loading_info: bool = False, **keywords: Any) -> Any:
        model, info = original.__func__(class_, *arguments, output_loading_info=True, **keywords)
        reports.append((model, info))
        return (model, info) if output_loading_info else model

    PreTrainedModel.from_pretrained = classmethod(reporting)
    try:
        yield reports
    finally:
        PreTrainedModel.from_pretrained = original


def check_trained(name: str, task: str, model: Any, reports: list[tuple[Any, Mapping[str, Any]]]) -> None:
    """Refuse a model of which a whole part, such as its head, is not in the checkpoint.

    Single weights may be missing, for some models have ones that only their training reads; those of
    another shape in the checkpoint may not.

    Args:
        name: The model's name, for the error.
        task: The name of the task, with aliases resolved.
        model: What was loaded.
        reports: What ``loading_reports`` collected meanwhile.

    Raises:
        LoadError: Weights that decide the answers were drawn at random; it names them.
    """
    for loaded, info in reports:
        untrained = _untrained(model, task, info) if loaded is model else []
        if untrained:
            more = f" and {len(untrained) - _NAMED_WEIGHTS} more" if len(untrained) > _NAMED_WEIGHTS else ""
            raise LoadError(
                f"model {name!r} can't be loaded: the checkpoint has no weights for "
                f"{', '.join(untrained[:_NAMED_WEIGHTS])}{more}: it was not trained for {task}; "
                "name a model that was"
            )


def _untrained(model: Any, task: str, info: Mapping[str, Any]) -> list[str]:
    reshaped = {key for key, *_ in info["mismatched_keys"]}
    absent = reshaped | set(info["missing_keys"])
    # Each parameter comes once: one that is tied to the backbone is not among its head's, nor is a buffer.
    parameters = [name for name, _ in model.named_parameters()]
    parts = {name for name, _ in model.named_children()} - ({"pooler"} if task in _WITHOUT_POOLER else set())
    untrained = reshaped.intersection(parameters)
    for part in parts:
        own = {name for name in parameters if name.startswith(f"{part}.")}
        untrained |= own if own <= absent else set()
    return [name for name in parameters if name in untrained]
