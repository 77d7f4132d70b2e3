"""What a recording says: segments of words, turns of speakers, and where all of it came from.

All times are seconds since the start of the recording.
"""

from typing import Annotated, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1)]
# A file's name may hold bytes that are no text in any encoding.
FileName = Annotated[str, BeforeValidator(lambda name: name.encode(errors="replace").decode())]


class _Timed(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    start_s: Seconds
    end_s: Seconds

    @model_validator(mode="after")
    def _ends_after_it_starts(self) -> Self:
        if self.end_s < self.start_s:
            raise ValueError(f"end_s must not be before start_s={self.start_s}, but is {self.end_s} instead")
        return self

    @property
    def duration_s(self) -> float:
        """How long it lasts."""
        return self.end_s - self.start_s


class Word(_Timed):
    """One word as it was said.

    Attributes:
        text: The word with its punctuation, without spaces around it.
        start_s: When it begins.
        end_s: When it ends.
        probability: How sure the model was of it; None where it does not say.
        speaker: Who said it, by the label of a turn; None where nobody is known.
    """

    text: str
    probability: Share | None = None
    speaker: str | None = None


class Segment(_Timed):
    """A stretch of speech that reads as one piece: a chunk, a phrase or a sentence.

    Attributes:
        text: What was said.
        start_s: When it begins.
        end_s: When it ends.
        speaker: Who said it, by the label of a turn; None where nobody is known.
        words: Its words in order; empty where the model gives no word times.
        confidence: Mean token probability, exp of the average log-probability; None where the model gives none.
        uncertain: Whether the text is a guess: it kept repeating itself, or stayed improbable.
        overlap: Whether more than one speaker talks in it.
    """

    text: str
    speaker: str | None = None
    words: tuple[Word, ...] = ()
    confidence: Share | None = None
    uncertain: bool = False
    overlap: bool = False

    def pieces(self) -> tuple[list[str], str]:
        """The text in pieces that make it up again: what ends with each word, and what is left after the last.

        Words are looked up in the text, which has the spaces and the punctuation; not every script has spaces.
        """
        found, position = [], 0
        for word in self.words:
            place = self.text.find(word.text, position)
            if place < 0:
                return [word.text if i == 0 else f" {word.text}" for i, word in enumerate(self.words)], ""
            found.append(self.text[position : place + len(word.text)])
            position = place + len(word.text)
        return found, self.text[position:]


class Turn(_Timed):
    """One speaker talking without a pause, whoever else talks meanwhile."""

    speaker: str


class Transcript(BaseModel):
    """One recording's transcript.

    Attributes:
        recording: The file's name, without its folder.
        content_id: Identifies the audio, whatever the file is called.
        duration_s: Length of the recording.
        speech_s: How much of it is speech.
        language: ISO 639-1 code; None where neither asked for nor detected.
        model: What transcribed it.
        model_revision: The model's commit or content hash, where known.
        segments: In order of their start.
        turns: In order of their start; empty where speakers were not told apart.
        names: What to call the speakers, by their labels; a label that is not in it is its own name.
        speakers_note: What to know about how sure the speakers are; None where all is as it was asked for.
        created_with: The package and version that made it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    recording: FileName
    content_id: str
    duration_s: Seconds
    speech_s: Seconds
    language: str | None
    model: str
    model_revision: str | None
    segments: tuple[Segment, ...]
    turns: tuple[Turn, ...] = ()
    names: dict[str, str] = {}
    speakers_note: str | None = None
    created_with: str

    @property
    def speakers(self) -> list[str]:
        """Labels of those who talk, in order of their first word or turn."""
        starts = [(turn.start_s, turn.speaker) for turn in self.turns]
        for segment in self.segments:
            said = [(word.start_s, word.speaker) for word in segment.words] or [(segment.start_s, segment.speaker)]
            starts += [(start, speaker) for start, speaker in said if speaker is not None]
        return list(dict.fromkeys(speaker for _, speaker in sorted(starts)))

    def name(self, speaker: str) -> str:
        """What to call a speaker."""
        return self.names.get(speaker, speaker)
