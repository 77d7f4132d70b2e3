"""Turn chunks of speech into segments of text, with any speech recognition model of transformers."""

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

from pipeline_core.errors import RecordError, SpecError
from pipeline_core.inference import make_engine
from pipeline_core.loading import load_pipeline
from pipeline_core.meeting.chunking import Chunk
from pipeline_core.meeting.phrases import TimedWord, segments_of
from pipeline_core.meeting.settings import TranscriptionSettings
from pipeline_core.meeting.transcript import Segment
from pipeline_core.meeting.voice_activity import SAMPLE_RATE
from pipeline_core.meeting.whisper import WhisperRecognizer
from pipeline_core.pinning import model_name
from pipeline_core.policies import BatchPolicy
from pipeline_core.records import Prediction, Record
from pipeline_core.spec import PipelineSpec

_WHISPER = "seq2seq_whisper"
_TELLS_WORD_TIMES = ("ctc", "ctc_with_lm", _WHISPER)


class Recognized(NamedTuple):
    """What was said in a stretch of chunks.

    Attributes:
        segments: Those of each chunk, their times those of the recording.
        language: ISO 639-1 code; None where the model does not say.
    """

    segments: list[list[Segment]]
    language: str | None


class Recognizer(Protocol):
    """A model that writes down what it hears.

    Attributes:
        max_chunk_s: Seconds that a chunk may last.
    """

    max_chunk_s: float

    def recognize(self, stretches: Sequence[Sequence[Chunk]]) -> list[Recognized]:
        """One answer for each stretch, in order.

        The chunks of one stretch are taken to be in one language. Otherwise no chunk changes another's answer,
        and chunks of all stretches share batches.
        """


def load_recognizer(settings: TranscriptionSettings) -> Recognizer:
    """The recognizer that the settings ask for; a Whisper model without parameters gets the faster loop.

    Raises:
        LoadError: The pipeline can't be loaded here.
        SpecError: The model does not take the language, or does not translate.
    """
    pipeline = load_pipeline(settings.pipeline)
    if pipeline.type == _WHISPER and not settings.pipeline.parameters:
        return _LeanRecognizer(pipeline, settings)
    return PipelineRecognizer(settings)


class _LeanRecognizer:
    def __init__(self, pipeline: Any, settings: TranscriptionSettings) -> None:
        self.max_chunk_s = _max_chunk_s(pipeline, settings)
        self._whisper = WhisperRecognizer(
            pipeline,
            model_name(settings.pipeline),
            settings.language,
            settings.translate,
            settings.timestamps == "word",
            settings.batch_size,
        )

    def recognize(self, stretches: Sequence[Sequence[Chunk]]) -> list[Recognized]:
        return [Recognized(*answer) for answer in self._whisper.recognize(stretches)]


class PipelineRecognizer:
    """Any model that transformers' speech recognition pipeline takes, chunk by chunk through the engine.

    Args:
        settings: What to run. The language and the translation are for Whisper models alone.

    Attributes:
        max_chunk_s: Seconds that a chunk may last.

    Raises:
        SpecError: The model takes no language, or does not translate.
    """

    def __init__(self, settings: TranscriptionSettings) -> None:
        pipeline = load_pipeline(settings.pipeline)
        kind = pipeline.type
        self.max_chunk_s = _max_chunk_s(pipeline, settings)
        self._spec, self._batch = settings.pipeline, BatchPolicy(batch_size=settings.batch_size)
        self._with_words = settings.timestamps == "word"
        self._language = settings.language
        if kind == _WHISPER:
            self._spec = _whisper_spec(settings)
        elif settings.language is not None or settings.translate:
            model = model_name(settings.pipeline)
            raise SpecError(f"model {model!r} is no Whisper model: it takes no language and does not translate")
        self._timed = self._spec
        if kind in _TELLS_WORD_TIMES:
            told = "word" if self._with_words or kind != _WHISPER else True
            self._timed = _with_parameters(self._spec, return_timestamps=told)

    def recognize(self, stretches: Sequence[Sequence[Chunk]]) -> list[Recognized]:
        """One answer for each stretch, in order; the language is the one asked for.

        Raises:
            RecordError: A chunk has no answer.
        """
        chunks = [chunk for stretch in stretches for chunk in stretch]
        predictions = self._predict(self._timed, chunks)
        failed = [number for number, prediction in enumerate(predictions) if prediction.error is not None]
        if failed and self._timed is not self._spec:  # not every model that might tell times does
            again = self._predict(self._spec, [chunks[number] for number in failed])
            for number, prediction in zip(failed, again, strict=True):
                predictions[number] = prediction
        written = iter(zip(chunks, predictions, strict=True))
        return [Recognized([self._segments(*next(written)) for _ in stretch], self._language) for stretch in stretches]

    def _predict(self, spec: PipelineSpec, chunks: Sequence[Chunk]) -> list[Prediction]:
        records = (
            Record(str(number), {"raw": chunk.audio, "sampling_rate": SAMPLE_RATE})
            for number, chunk in enumerate(chunks)
        )
        return list(make_engine(load_pipeline(spec), spec, self._batch).run(records))

    def _segments(self, chunk: Chunk, prediction: Prediction) -> list[Segment]:
        if prediction.error is not None:
            where = f"{chunk.start_s:.1f} s to {chunk.end_s:.1f} s"
            raise RecordError(f"the model has no answer for {where}: {prediction.error}")
        told = prediction.output.get("chunks")
        if not told:
            text = str(prediction.output["text"]).strip()
            return [Segment(text=text, start_s=chunk.start_s, end_s=chunk.end_s)] if text else []
        words, last_s = [], 0.0
        for part in told:
            start_s, end_s = (last_s if moment is None else float(moment) for moment in part["timestamp"])
            start_s, last_s = max(last_s, start_s), max(last_s, start_s, end_s)
            span = chunk.in_recording(start_s, last_s, start_s)
            text = part["text"] if part["text"].startswith(" ") else f" {part['text']}"
            words.append(TimedWord(text, span.start_s, span.end_s))
        if self._timed.parameters["return_timestamps"] == "word":
            return segments_of(words, self._with_words)
        return [
            Segment(text=word.text.strip(), start_s=word.start_s, end_s=word.end_s)
            for word in words
            if word.text.strip()
        ]


def _max_chunk_s(pipeline: Any, settings: TranscriptionSettings) -> float:
    """What was asked for, or less where the model takes less: Whisper reads windows of one length."""
    window_s = pipeline.feature_extractor.chunk_length if pipeline.type == _WHISPER else settings.max_chunk_s
    return min(float(window_s), settings.max_chunk_s)


def _whisper_spec(settings: TranscriptionSettings) -> PipelineSpec:
    """The pipeline with the settings' language and task among what it hands to generate."""
    wanted: dict[str, Any] = {}
    if settings.language is not None:
        wanted["language"] = settings.language
    if settings.translate:
        wanted["task"] = "translate"
    if not wanted:
        return settings.pipeline
    given = settings.pipeline.parameters.get("generate_kwargs", {})
    return _with_parameters(settings.pipeline, generate_kwargs={**given, **wanted})


def _with_parameters(spec: PipelineSpec, **parameters: Any) -> PipelineSpec:
    return spec.model_copy(update={"parameters": {**spec.parameters, **parameters}})
