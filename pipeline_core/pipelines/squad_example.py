"""One question with the text that holds its answer, and how calls of a pipeline spell them."""

import types
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from torch.utils.data import Dataset

_KEYS = ("question", "context")


@dataclass(frozen=True, slots=True)
class SquadExample:
    """A question and its context, with the fields of SQuAD in the order of transformers 4.

    Attributes:
        qas_id: Identifier of the question, or None.
        question_text: The question.
        context_text: The text to find the answer in.
        answer_text: The known answer, or None.
        start_position_character: Where it starts in ``context_text``, or None.
        title: Title of the text, or None.
        answers: All known answers.
        is_impossible: Whether the context holds no answer.
    """

    qas_id: str | None
    question_text: str
    context_text: str
    answer_text: str | None = None
    start_position_character: int | None = None
    title: str | None = None
    answers: tuple[Any, ...] = ()
    is_impossible: bool = False


def squad_examples(item: Any) -> Any:
    """The example that ``item`` is or describes, or a list of them where its question is a list.

    Raises:
        KeyError: A dict has no question or no context.
        ValueError: One of them is None or empty, or ``item`` is neither a dict nor an example.
    """
    if isinstance(item, dict):
        for key in _KEYS:
            if key not in item:
                raise KeyError("You need to provide a dictionary with keys {question:..., context:...}")
            if item[key] is None:
                raise ValueError(f"`{key}` cannot be None")
            if isinstance(item[key], str) and not item[key]:
                raise ValueError(f"`{key}` cannot be empty")
        if isinstance(item["question"], list):
            pairs = zip(item["question"], item["context"], strict=False)
            return [SquadExample(None, question, context) for question, context in pairs]
        return SquadExample(None, item["question"], item["context"])
    if hasattr(item, "question_text") and hasattr(item, "context_text"):
        return item
    raise ValueError(f"{item} argument needs to be of type (SquadExample, dict)")


def examples_of_call(*arguments: Any, **keywords: Any) -> Any:
    """The examples of a call: a list of ``SquadExample``, or the generator or dataset that was passed.

    Takes ``question`` and ``context`` (two texts, a list of questions on one context, or two lists), or
    what describes examples by position or as ``data`` or ``X``: a dict, a ``SquadExample``, a list of
    these, a question and a context.

    Raises:
        KeyError: A dict has no question or no context.
        ValueError: There is no question or no context, or they are not of these forms.
    """
    if len(arguments) == 2 and all(isinstance(argument, str) for argument in arguments):
        inputs: Any = [{"question": arguments[0], "context": arguments[1]}]
    elif arguments:
        inputs = arguments[0] if len(arguments) == 1 else list(arguments)
    elif "X" in keywords or "data" in keywords:
        inputs = keywords["X"] if "X" in keywords else keywords["data"]
    elif all(key in keywords for key in _KEYS):
        inputs = _paired(keywords["question"], keywords["context"])
    else:
        raise ValueError(f"Unknown arguments {keywords}")
    if isinstance(inputs, types.GeneratorType | Dataset):
        return inputs
    if isinstance(inputs, dict) or hasattr(inputs, "question_text"):
        inputs = [inputs]
    if not isinstance(inputs, Iterable):
        raise ValueError(f"Invalid arguments {inputs!r}: neither a dict, nor a SquadExample, nor a list of them")
    return [squad_examples(item) for item in inputs]


def _paired(question: Any, context: Any) -> list[dict[str, Any]]:
    match question, context:
        case str(), str():
            return [{"question": question, "context": context}]
        case list(), str():
            return [{"question": one, "context": context} for one in question]
        case list(), list():
            if len(question) != len(context):
                raise ValueError("Questions and contexts don't have the same lengths")
            return [{"question": one, "context": text} for one, text in zip(question, context, strict=True)]
    raise ValueError("Arguments can't be understood")
