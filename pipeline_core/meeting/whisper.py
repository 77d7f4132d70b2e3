"""Recognize chunks with a Whisper model: batched, with a guard against loops, with times of words."""

import hashlib
from collections.abc import Sequence
from typing import Any

import torch

from pipeline_core.errors import InputTooLargeError, RecordError
from pipeline_core.meeting.chunking import Chunk, halve
from pipeline_core.meeting.fallback import Verdict, believable, with_fallback
from pipeline_core.meeting.phrases import TimedWord, segments_of
from pipeline_core.meeting.transcript import Segment
from pipeline_core.meeting.voice_activity import SAMPLE_RATE
from pipeline_core.meeting.whisper_decoding import Decoded, decode
from pipeline_core.meeting.whisper_network import WhisperNetwork
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

    def hear_language(self, chunks: Sequence[Chunk]) -> str:
        """The language that was named, or the likeliest of the first of one or more chunks together."""
        if self._language is not None:
            return self._language
        languages, heard = self._vocabulary.languages, chunks[:_LANGUAGE_CHUNKS]
        with torch.inference_mode():
            start = torch.full((len(heard), 1), self._vocabulary.start, device=self._network.device)
            hidden = self._network.decoding(self._encode(heard), 1).read(start)[:, 0]
            tokens = torch.tensor(list(languages.values()), device=self._network.device)
            chances = self._network.logits(hidden)[:, tokens].log_softmax(-1)
        seconds = torch.tensor([chunk.duration_s for chunk in heard], device=chances.device)
        return list(languages)[int((chances * seconds[:, None]).sum(0).argmax())]

    def write(self, chunks: Sequence[Chunk], languages: Sequence[str]) -> list[list[Segment]]:
        """The segments of each chunk in its language, in order.

        Raises:
            InputTooLargeError: One chunk alone does not fit into the device's memory.
            RecordError: A chunk alone makes the model fail.
            DeviceFailedError: The accelerator is lost to this process.
        """
        spoken = list(zip(chunks, languages, strict=True))
        segments: list[list[Segment]] = []
        with torch.inference_mode():
            for start in range(0, len(spoken), self._batch_size):
                segments += self._fitting(spoken[start : start + self._batch_size], may_halve=True)
        return segments

    def _fitting_rows(self) -> int:
        kind = self._network.device.type
        room = _CACHE_BYTES.get(kind, _ACCELERATOR_CACHE_BYTES) // self._network.cache_bytes
        return max(1, min(room, _MOST_ROWS.get(kind, _ACCELERATOR_MOST_ROWS)))

    def _fitting(self, spoken: Sequence[tuple[Chunk, str]], may_halve: bool) -> list[list[Segment]]:
        """The chunks' segments, in smaller batches where they do not fit into memory at once."""

        def forward(part: Sequence[tuple[Chunk, str]]) -> list[list[Segment]]:
            return self._write(part, may_halve)

        results = forward_splitting(forward, spoken, lambda part, message: None)
        failed = [result for result in results if isinstance(result, Failure)]
        for failure in failed:
            message = f"a chunk of {self._features.chunk_length} s can't be transcribed: {failure.message}"
            raise InputTooLargeError(message) if failure.out_of_memory else RecordError(message)
        return [result for result in results if not isinstance(result, Failure)]

    def _encode(self, chunks: Sequence[Chunk]) -> torch.Tensor:
        audio = [chunk.audio for chunk in chunks]
        made = self._features(audio, sampling_rate=SAMPLE_RATE, return_tensors="pt")
        return self._network.encode(made.input_features)

    def _write(self, spoken: Sequence[tuple[Chunk, str]], may_halve: bool) -> list[list[Segment]]:
        chunks = [chunk for chunk, _ in spoken]
        states = self._encode(chunks)
        prompts = [self._vocabulary.prompt(language, self._translate) for _, language in spoken]

        def redo(rows: Sequence[int], temperature: float) -> list[Decoded]:
            seeds = [_seed(chunks[row]) for row in rows]
            again = [prompts[row] for row in rows]
            return decode(self._network, states[list(rows)], again, self._vocabulary, temperature, seeds)

        settled = with_fallback(decode(self._network, states, prompts, self._vocabulary), self._text, redo)
        return [
            self._segments(chunk, states[row], language, *settled[row], may_halve)
            for row, (chunk, language) in enumerate(spoken)
        ]

    def _segments(
        self, chunk: Chunk, states: torch.Tensor, language: str, decoded: Decoded, verdict: Verdict, may_halve: bool
    ) -> list[Segment]:
        if verdict is Verdict.SILENT:
            return []
        if verdict is Verdict.BAD and may_halve and chunk.duration_s > _MIN_HALVED_S:
            halves = self._fitting([(half, language) for half in halve(chunk)], may_halve=False)
            return [segment for half in halves for segment in half]
        uncertain = verdict is Verdict.BAD
        shown = believable(decoded) if uncertain else len(decoded.tokens)
        words = self._words(chunk, states, language, decoded, shown)
        return segments_of(words, with_words=self._word_times, uncertain=uncertain)

    def _text(self, decoded: Decoded) -> str:
        return str(self._tokenizer.decode(decoded.tokens, skip_special_tokens=True))

    def _words(
        self, chunk: Chunk, states: torch.Tensor, language: str, decoded: Decoded, shown: int
    ) -> list[TimedWord]:
        """The words of the first ``shown`` tokens."""
        from transformers.models.whisper.tokenization_whisper import LANGUAGES, _combine_tokens_into_words

        written = [
            (token, chance)
            for token, chance in zip(decoded.tokens[:shown], decoded.log_probabilities, strict=False)
            if token < self._vocabulary.end
        ]
        if not written:
            return []
        tokens = [token for token, _ in written]
        texts, _, indices = _combine_tokens_into_words(self._tokenizer, tokens, LANGUAGES.get(language))
        aligned = self._align(chunk, states, language, tokens)
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

    def _align(self, chunk: Chunk, states: torch.Tensor, language: str, tokens: Sequence[int]) -> Alignment:
        """When each token was said, found as transformers does: as if it was written among timestamps."""
        prompt = self._vocabulary.timestamp_prompt(language, self._translate)
        given = torch.tensor([*prompt, *tokens], device=self._network.device)
        frames = max(1, min(int(chunk.duration_s / _FRAME_S), len(states)))
        looked = self._network.attention(states, given)[:, len(prompt) - 1 :, :frames]
        return align(looked, _FRAME_S, self._network.config.median_filter_width)


def _network_of(model: Any) -> WhisperNetwork:
    """The model's network, made once while the model is kept warm."""
    if not hasattr(model, "_lean_network"):
        model._lean_network = WhisperNetwork(model)
    network: WhisperNetwork = model._lean_network
    return network


def _seed(chunk: Chunk) -> int:
    """A number that goes by what is heard alone."""
    return int.from_bytes(hashlib.sha256(chunk.audio.tobytes()).digest()[:7], "big")
