"""Turn chunks of speech into segments of text, with any speech recognition model of transformers."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from pipeline_core.meeting.chunking import Chunk
from pipeline_core.meeting.transcript import Segment


class Recognized(NamedTuple):
    """What was said in one chunk.

    Attributes:
        segments: In order, their times those of the recording.
        language: ISO 639-1 code; None where the model does not say.
    """

    segments: list[Segment]
    language: str | None


class Recognizer(Protocol):
    """A model that writes down what it hears."""

    def recognize(self, chunks: Sequence[Chunk]) -> list[Recognized]:
        """One answer for each chunk, in order; no chunk changes another's answer, but for the language they share."""
