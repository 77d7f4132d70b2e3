"""What Whisper's special tokens mean for one model: its languages, its tasks, and what it must not write."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipeline_core.errors import SpecError


@dataclass(frozen=True, slots=True)
class WhisperVocabulary:
    """The special tokens of one model.

    Attributes:
        start: Starts every text.
        end: Ends every text.
        no_timestamps: Asks for text without timestamps.
        no_speech: Its probability right after the start says how likely it is that nobody talks.
        languages: Tokens by language code; empty for a model of English only.
        tasks: Tokens of "transcribe" and "translate"; empty for a model of English only.
        suppressed: Never written.
        suppressed_first: Never written first.
    """

    start: int
    end: int
    no_timestamps: int
    no_speech: int
    languages: Mapping[str, int]
    tasks: Mapping[str, int]
    suppressed: tuple[int, ...]
    suppressed_first: tuple[int, ...]

    @classmethod
    def of(cls, model: Any, tokenizer: Any) -> "WhisperVocabulary":
        """The tokens of a transformers Whisper model and its tokenizer."""
        from transformers.models.whisper.tokenization_whisper import LANGUAGES

        known, generation = tokenizer.get_vocab(), model.generation_config
        multilingual = getattr(generation, "is_multilingual", "<|de|>" in known)
        named = {code: known[f"<|{code}|>"] for code in LANGUAGES if f"<|{code}|>" in known}
        tasks = {task: known[f"<|{task}|>"] for task in ("transcribe", "translate") if f"<|{task}|>" in known}
        # Multilingual vocabularies are newer than the no-speech token's name, which stands before this one.
        no_timestamps = known["<|notimestamps|>"]
        return cls(
            start=known["<|startoftranscript|>"],
            end=tokenizer.eos_token_id,
            no_timestamps=no_timestamps,
            no_speech=no_timestamps - 1,
            languages=named if multilingual else {},
            tasks=tasks if multilingual else {},
            suppressed=tuple(generation.suppress_tokens or ()),
            suppressed_first=tuple(generation.begin_suppress_tokens or ()),
        )

    def check(self, model: str, language: str | None, translate: bool) -> None:
        """Refuse what the model can't do.

        Raises:
            SpecError: It does not know the language, or does not translate.
        """
        if not self.languages:
            if language not in (None, "en"):
                raise SpecError(
                    f"model {model!r} knows English only: language must be 'en', but is {language!r} instead"
                )
            if translate:
                raise SpecError(f"model {model!r} knows English only and does not translate")
        elif language is not None and language not in self.languages:
            accepted = ", ".join(sorted(self.languages))
            raise SpecError(f"language of model {model!r} must be one of {accepted}, but is {language!r} instead")

    def timestamp_prompt(self, language: str | None, translate: bool) -> list[int]:
        """The tokens that a text among timestamps starts with; the first timestamp, 0.00, is the last of them."""
        return [*self.prompt(language, translate)[:-1], self.no_timestamps + 1]

    def prompt(self, language: str | None, translate: bool) -> list[int]:
        """The tokens that every text starts with."""
        if not self.languages:
            return [self.start, self.no_timestamps]
        task = self.tasks["translate" if translate else "transcribe"]
        return [self.start, self.languages[language or "en"], task, self.no_timestamps]
