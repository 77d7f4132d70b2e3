"""Windows of a context that fit into the model with the question, and where their tokens are in the text."""

import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

_MARK = -1  # no token has this id


class Place(NamedTuple):
    """Where some tokens are in the context: first character, end, and the text."""

    start: int
    end: int
    text: str


class Window(NamedTuple):
    """One window.

    Attributes:
        inputs: Model inputs by name, lists of one value a token.
        p_mask: 1 for tokens that are not of the context, else 0, one a token.
        place: The place of the tokens from one to another, given also whether whole words are wanted.
    """

    inputs: dict[str, list[int]]
    p_mask: list[int]
    place: Callable[[int, int, bool], Place]


def context_windows(
    tokenizer: Any, example: Any, padding: Any, doc_stride: int, max_question_len: int, max_seq_len: int
) -> Iterator[Window]:
    """Cut a context that is longer than ``max_seq_len`` tokens with its question into overlapping windows.

    With a fast tokenizer neighbours share ``doc_stride`` tokens and the question stays whole. With one in
    Python the question is cut at ``max_question_len`` tokens, a window starts every ``doc_stride`` tokens,
    no padding is made, and an answer is always whole words.
    """
    if tokenizer.is_fast:
        return _fast_windows(tokenizer, example, padding, doc_stride, max_seq_len)
    return _python_windows(tokenizer, example, doc_stride, max_question_len, max_seq_len)


def _fast_windows(tokenizer: Any, example: Any, padding: Any, doc_stride: int, max_seq_len: int) -> Iterator[Window]:
    question_first = tokenizer.padding_side == "right"
    texts = [example.question_text, example.context_text]
    encoded = tokenizer(
        *(texts if question_first else reversed(texts)),
        padding=padding,
        truncation="only_second" if question_first else "only_first",
        max_length=max_seq_len,
        stride=doc_stride,
        return_token_type_ids=True,
        return_overflowing_tokens=True,
    )
    context = int(question_first)
    names = [name for name in encoded if name != "overflow_to_sample_mapping"]
    for index in range(len(encoded["input_ids"])):
        p_mask = [int(part != context) for part in encoded.sequence_ids(index)]
        place = _FastPlaces(encoded[index], example.context_text, context)
        yield Window({name: encoded[name][index] for name in names}, p_mask, place)


class _FastPlaces:
    """Places of tokens by the offsets and words of their encoding."""

    def __init__(self, encoding: Any, context: str, sequence: int) -> None:
        self._encoding = encoding
        self._offsets: list[tuple[int, int]] = encoding.offsets
        self._context = context
        self._sequence = sequence

    def __call__(self, start: int, end: int, whole_words: bool) -> Place:
        first, last = self._offsets[start][0], self._offsets[end][1]
        if whole_words:
            words = [self._encoding.token_to_word(token) for token in (start, end)]
            spans = [self._encoding.word_to_chars(word, self._sequence) for word in words if word is not None]
            if len(spans) == 2 and None not in spans:  # some tokenizers know of no words
                first, last = spans[0][0], spans[1][1]
        return Place(first, last, self._context[first:last])


def _python_windows(
    tokenizer: Any, example: Any, doc_stride: int, max_question_len: int, max_seq_len: int
) -> Iterator[Window]:
    text = example.context_text
    words = [match.span() for match in re.finditer(r"\S+", text)]
    pieces = [(piece, span) for span in words for piece in tokenizer.tokenize(text[slice(*span)])]
    ids = tokenizer.convert_tokens_to_ids([piece for piece, _ in pieces])
    question = tokenizer.encode(
        example.question_text, add_special_tokens=False, truncation=True, max_length=max_question_len
    )
    size = max_seq_len - len(question) - tokenizer.num_special_tokens_to_add(pair=True)
    if size < 1:
        raise ValueError(f"`max_seq_len` ({max_seq_len}) leaves no room for the context after the question")
    for start in range(0, max(1, len(ids)), doc_stride):
        window = ids[start : start + size]
        parts = (question, window) if tokenizer.padding_side == "right" else (window, question)
        whole = tokenizer.build_inputs_with_special_tokens(*parts)
        marked = [[_MARK] * len(part) if part is window else part for part in parts]
        inside = [token == _MARK for token in tokenizer.build_inputs_with_special_tokens(*marked)]
        inputs = {
            "input_ids": whole,
            "attention_mask": [1] * len(whole),
            "token_type_ids": tokenizer.create_token_type_ids_from_sequences(*parts),
        }
        first = inside.index(True) if window else 0
        spans = {first + index: span for index, (_, span) in enumerate(pieces[start : start + size])}
        yield Window(inputs, [int(not token) for token in inside], _PythonPlaces(text, spans))
        if start + size >= len(ids):
            return


class _PythonPlaces:
    """Places of tokens by the word that each is a piece of."""

    def __init__(self, context: str, spans: dict[int, tuple[int, int]]) -> None:
        self._context = context
        self._spans = spans

    def __call__(self, start: int, end: int, whole_words: bool) -> Place:  # noqa: ARG002 - there is nothing less
        nowhere = (0, 0)
        first, last = self._spans.get(start, nowhere)[0], self._spans.get(end, nowhere)[1]
        return Place(first, last, self._context[first:last])
