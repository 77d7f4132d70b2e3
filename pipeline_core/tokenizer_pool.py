"""A tokenizer for each thread that needs one."""

import copy
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from weakref import WeakKeyDictionary

_clones: "WeakKeyDictionary[Any, deque[Any]]" = WeakKeyDictionary()


class TokenizerPool:
    """Clones of a tokenizer: one can't be used by two threads at once, and cloning a large one takes a while.

    They are kept for as long as the tokenizer itself lives.
    """

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        fast = getattr(tokenizer, "is_fast", False)
        self._free = _clones.setdefault(tokenizer, deque()) if fast else None

    @contextmanager
    def borrowed(self) -> Iterator[Any]:
        """A clone that no other thread has meanwhile; a tokenizer written in Python is shared."""
        if self._free is None:
            yield self._tokenizer
            return
        try:
            clone = self._free.pop()
        except IndexError:
            clone = copy.copy(self._tokenizer)
            clone._tokenizer = copy.deepcopy(self._tokenizer._tokenizer)
        yield clone
        self._free.append(clone)
