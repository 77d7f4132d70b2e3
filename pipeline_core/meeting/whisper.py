"""Recognize chunks with a Whisper model: batched, with a guard against loops, with times of words."""

import hashlib
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeVar

import torch

from pipeline_core.device_threads import check_wanted
from pipeline_core.errors import InputTooLargeError, RecordError
from pipeline_core.meeting.chunking import Chunk, halve
from pipeline_core.meeting.fallback import Verdict, believable, with_fallback
from pipeline_core.meeting.phrases import TimedWord, segments_of
from pipeline_core.meeting.transcript import Segment
from pipeline_core.meeting.voice_activity import SAMPLE_RATE
from pipeline_core.meeting.whisper_decoding import Decoded, decode
from pipeline_core.meeting.whisper_network import Heard, WhisperNetwork
from pipeline_core.meeting.whisper_vocabulary import WhisperVocabulary
from pipeline_core.meeting.word_times import Alignment, align, rising
from pipeline_core.memory import Failure, forward_splitting

_MIN_HALVED_S = 4.0
_LANGUAGE_CHUNKS = 2
_CACHE_BYTES = {"cpu": 2**30}
_ACCELERATOR_CACHE_BYTES = 2**32
_MOST_ROWS = {"cpu": 8}
_ACCELERATOR_MOST_ROWS = 32
_FRAME_S = 0.02

_Item = TypeVar("_Item")
_Answer = TypeVar("_Answer")


class WhisperRecognizer:
    """Any Whisper model of transformers.

    Args:
        pipeline: A loaded speech recognition pipeline around it.
        model: Its name, for messages.
        language: ISO 639-1 code; None to hear it from the first chunks.
        translate: Whether to write English whatever is spoken.
        word_times: Whether segments have words.
        batch_size: Chunks a batch; None for as many as suit the device. It changes no answer.

    Raises:
        SpecError: The model does not know the language, or does not translate.
    """

    def __init__(
        self,
        pipeline: Any,
        model: str,
        language: str | None = None,
        translate: bool = False,
        word_times: bool = True,
        batch_size: int | None = None,
    ) -> None:
        self._tokenizer = pipeline.tokenizer
        self._features = pipeline.feature_extractor
        self._network = _network_of(pipeline.model)
        self._vocabulary = WhisperVocabulary.of(pipeline.model, pipeline.tokenizer)
        self._vocabulary.check(model, language, translate)
        self._language = language if self._vocabulary.languages else "en"
        self._translate = translate
        self._word_times = word_times
        self._batch_size = batch_size or self._fitting_rows()

    def recognize(self, stretches: Sequence[Sequence[Chunk]]) -> list[tuple[list[list[Segment]], str | None]]:
        """The segments of each stretch's chunks, and its language; None where it has no chunk.

        A language that was not named is the likeliest of a stretch's first chunks together.

        Raises:
            InputTooLargeError: One chunk alone does not fit into the device's memory.
            RecordError: A chunk alone makes the model fail.
            DeviceFailedError: The accelerator is lost to this process.
            WorkStoppedError: The run that wanted it was interrupted.
        """
        answers = []
        with torch.inference_mode():
            # What is kept of some while their language is heard takes memory.
            size = self._batch_size if self._language is None else max(1, len(stretches))
            for start in range(0, len(stretches), size):
                together = stretches[start : start + size]
                heard = self._hear(together)
                spoken = [
                    _Spoken(chunk, language, states[place] if place < len(states) else None)
                    for chunks, (language, states) in zip(together, heard, strict=True)
                    for place, chunk in enumerate(chunks)
                ]
                written = iter(self._in_batches(lambda batch: self._write(batch, may_halve=True), spoken))
                answers += [
                    ([next(written) for _ in chunks], language if chunks else None)
                    for chunks, (language, _) in zip(together, heard, strict=True)
                ]
                del heard, spoken
        return answers

    def _hear(self, stretches: Sequence[Sequence[Chunk]]) -> list[tuple[str, list[torch.Tensor]]]:
        """The language of each stretch, and the states of those of its chunks that were listened to for it."""
        if self._language is not None:
            return [(self._language, [])] * len(stretches)
        names, device = list(self._vocabulary.languages), self._network.device
        tokens = torch.tensor(list(self._vocabulary.languages.values()), device=device)

        def forward(chunks: Sequence[Chunk]) -> list[tuple[torch.Tensor, torch.Tensor]]:
            states = self._encode(chunks)
            start = torch.full((len(chunks), 1), self._vocabulary.start, device=device)
            hidden = self._network.decoding(self._network.hear(states), 1).read(start)[:, 0]
            return list(zip(states, self._network.logits(hidden)[:, tokens].log_softmax(-1).cpu(), strict=True))

        first = [chunks[:_LANGUAGE_CHUNKS] for chunks in stretches]
        heard = iter(self._in_batches(forward, [chunk for chunks in first for chunk in chunks]))
        found = []
        for chunks in first:
            chances, kept = torch.zeros(len(names)), []
            for chunk in chunks:
                states, likely = next(heard)
                chances += likely * chunk.duration_s
                kept.append(states)
            found.append((names[int(chances.argmax())], kept))
        return found

    def _fitting_rows(self) -> int:
        kind = self._network.device.type
        room = _CACHE_BYTES.get(kind, _ACCELERATOR_CACHE_BYTES) // self._network.cache_bytes
        return max(1, min(room, _MOST_ROWS.get(kind, _ACCELERATOR_MOST_ROWS)))

    def _in_batches(
        self, forward: Callable[[Sequence[_Item]], Sequence[_Answer]], items: Sequence[_Item]
    ) -> list[_Answer]:
        """The answer to each item, in smaller batches where they do not fit into memory at once."""
        answers: list[_Answer] = []
        for start in range(0, len(items), self._batch_size):
            check_wanted()
            batch = items[start : start + self._batch_size]
            for result in forward_splitting(forward, batch, lambda part, message: None):
                if isinstance(result, Failure):
                    message = f"a chunk of {self._features.chunk_length} s can't be transcribed: {result.message}"
                    raise InputTooLargeError(message) if result.out_of_memory else RecordError(message)
                answers.append(result)
        return answers

    def _encode(self, chunks: Sequence[Chunk]) -> torch.Tensor:
        audio = [chunk.audio for chunk in chunks]
        made = self._features(audio, sampling_rate=SAMPLE_RATE, return_tensors="pt")
        return self._network.encode(made.input_features)

    def _states(self, spoken: "Sequence[_Spoken]") -> torch.Tensor:
        new = [one.chunk for one in spoken if one.states is None]
        if len(new) == len(spoken):
            return self._encode(new)
        encoded = iter(self._encode(new) if new else ())
        return torch.stack([next(encoded) if one.states is None else one.states for one in spoken])

    def _write(self, spoken: "Sequence[_Spoken]", may_halve: bool) -> list[list[Segment]]:
        heard = self._network.hear(self._states(spoken))
        prompts = [self._vocabulary.prompt(one.language, self._translate) for one in spoken]

        def redo(rows: Sequence[int], temperature: float) -> list[Decoded]:
            seeds = [_seed(spoken[row].chunk) for row in rows]
            again = [prompts[row] for row in rows]
            return decode(self._network, heard.take(rows), again, self._vocabulary, temperature, seeds)

        settled = with_fallback(decode(self._network, heard, prompts, self._vocabulary), self._text, redo)
        segments = []
        for row, one in enumerate(spoken):
            decoded, verdict = settled[row]
            if verdict is Verdict.BAD and may_halve and one.chunk.duration_s > _MIN_HALVED_S:
                halves = [_Spoken(half, one.language) for half in halve(one.chunk)]
                written = self._in_batches(lambda batch: self._write(batch, may_halve=False), halves)
                segments.append([segment for half in written for segment in half])
            else:
                segments.append(self._segments(one, heard.view(row), decoded, verdict))
        return segments

    def _segments(self, spoken: "_Spoken", heard: Heard, decoded: Decoded, verdict: Verdict) -> list[Segment]:
        if verdict is Verdict.SILENT:
            return []
        uncertain = verdict is Verdict.BAD
        shown = believable(decoded) if uncertain else len(decoded.tokens)
        words = self._words(spoken, heard, decoded, shown)
        return segments_of(words, with_words=self._word_times, uncertain=uncertain)

    def _text(self, decoded: Decoded) -> str:
        return str(self._tokenizer.decode(decoded.tokens, skip_special_tokens=True))

    def _words(self, spoken: "_Spoken", heard: Heard, decoded: Decoded, shown: int) -> list[TimedWord]:
        """The words of the first ``shown`` tokens."""
        from transformers.models.whisper.tokenization_whisper import LANGUAGES, _combine_tokens_into_words

        written = [
            (token, chance)
            for token, chance in zip(decoded.tokens[:shown], decoded.log_probabilities, strict=False)
            if token < self._vocabulary.end
        ]
        if not written:
            return []
        chunk = spoken.chunk
        tokens = [token for token, _ in written]
        texts, _, indices = _combine_tokens_into_words(self._tokenizer, tokens, LANGUAGES.get(spoken.language))
        aligned = self._align(spoken, heard, tokens)
        starts = [aligned.times[places[0]] for places in indices]
        borders = rising([*starts, aligned.times[len(tokens)]], *chunk.speech)
        words = []
        for text, places, start_s, end_s in zip(texts, indices, borders, borders[1:], strict=False):
            first, last = int(start_s / _FRAME_S), max(int(start_s / _FRAME_S) + 1, int(end_s / _FRAME_S))
            looked = aligned.weights[places[0] : places[-1] + 1, first:last].sum(axis=0)
            surely_s = (first + int(looked.argmax())) * _FRAME_S if len(looked) else start_s
            surely_s = min(max(surely_s, start_s), end_s - 1e-6)  # frames are coarser than borders
            span = chunk.in_recording(float(start_s), float(end_s), float(surely_s))
            words.append(TimedWord(text, span.start_s, span.end_s, [written[place][1] for place in places]))
        return words

    def _align(self, spoken: "_Spoken", heard: Heard, tokens: Sequence[int]) -> Alignment:
        """When each token was said, found as transformers does: as if it was written among timestamps."""
        prompt = self._vocabulary.timestamp_prompt(spoken.language, self._translate)
        given = torch.tensor([*prompt, *tokens], device=self._network.device)
        frames = max(1, min(int(spoken.chunk.duration_s / _FRAME_S), heard.frames))
        looked = self._network.attention(heard, given)[:, len(prompt) - 1 :, :frames]
        return align(looked, _FRAME_S, self._network.config.median_filter_width)


class _Spoken(NamedTuple):
    """A chunk to write down in its language, with its states where they are there already."""

    chunk: Chunk
    language: str
    states: torch.Tensor | None = None


def _network_of(model: Any) -> WhisperNetwork:
    """The model's network, made once while the model is kept warm."""
    if not hasattr(model, "_lean_network"):
        model._lean_network = WhisperNetwork(model)
    network: WhisperNetwork = model._lean_network
    return network


def _seed(chunk: Chunk) -> int:
    """A number that goes by what is heard alone."""
    return int.from_bytes(hashlib.sha256(chunk.audio.tobytes()).digest()[:7], "big")
