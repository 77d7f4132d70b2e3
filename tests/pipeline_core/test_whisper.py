"""Whisper's lean loop: the tokens of transformers' generate, whatever shares the batch."""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from interrupted import interrupted_run
from tiny_whisper import CHUNK_S, sound, whisper

from pipeline_core import PipelineSpec, load_pipeline
from pipeline_core.errors import SpecError, WorkStoppedError
from pipeline_core.meeting.chunking import Chunk, whole_chunk
from pipeline_core.meeting.voice_activity import Span
from pipeline_core.meeting.whisper import WhisperRecognizer
from pipeline_core.meeting.whisper_decoding import Decoded, decode
from pipeline_core.meeting.whisper_network import WhisperNetwork
from pipeline_core.meeting.whisper_vocabulary import WhisperVocabulary

END = 19  # these weights write it at many lengths, and their own end hardly ever
SOUNDS = [sound(0.4 + 0.25 * seed, seed) for seed in range(6)]


class Loaded(NamedTuple):
    pipeline: Any
    network: WhisperNetwork
    vocabulary: WhisperVocabulary
    states: torch.Tensor

    def decode(self, rows: list[int], temperature: float = 0.0) -> list[Decoded]:
        prompts = [self.vocabulary.prompt("de", translate=False)] * len(rows)
        with torch.inference_mode():
            heard = self.network.hear(self.states[rows])
            return decode(self.network, heard, prompts, self.vocabulary, temperature, rows)


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Loaded:
    folder = tmp_path_factory.mktemp("whisper")
    torch.manual_seed(11)
    whisper(folder)
    pipeline = load_pipeline(PipelineSpec(task="automatic-speech-recognition", model=str(folder), device="cpu"))
    network = WhisperNetwork(pipeline.model)
    vocabulary = WhisperVocabulary.of(pipeline.model, pipeline.tokenizer)

    vocabulary = dataclasses.replace(vocabulary, end=END, suppressed_first=(END,))
    features = pipeline.feature_extractor(SOUNDS, sampling_rate=16_000, return_tensors="pt").input_features
    with torch.inference_mode():
        return Loaded(pipeline, network, vocabulary, network.encode(features))


def test_the_encoder_gives_the_states_that_transformers_gives(loaded: Loaded) -> None:
    features = loaded.pipeline.feature_extractor(SOUNDS, sampling_rate=16_000, return_tensors="pt").input_features
    with torch.inference_mode():
        wanted = loaded.pipeline.model.model.encoder(features).last_hidden_state
    torch.testing.assert_close(loaded.states, wanted, rtol=1e-4, atol=1e-4)


def test_a_text_that_nobody_wants_any_more_is_not_written_to_its_end(loaded: Loaded) -> None:
    recognizer = WhisperRecognizer(loaded.pipeline, "tiny", language="de")
    chunks = [whole_chunk(one, 0.0) for one in SOUNDS[:3]]
    read, steps = recognizer._network._read, []

    def work(interrupt: Callable[[], None]) -> Any:
        def counted(*arguments: Any) -> torch.Tensor:
            steps.append(None)
            if len(steps) == 3:
                interrupt()
            return read(*arguments)

        recognizer._network._read = counted  # type: ignore[method-assign]
        return recognizer.recognize([chunks])

    try:
        with pytest.raises(WorkStoppedError):  # and not in halves, as what fails is tried again
            interrupted_run(work)
        assert len(steps) == 3
    finally:
        recognizer._network._read = read  # type: ignore[method-assign]
    assert recognizer.recognize([chunks])


def test_a_batch_whose_rows_end_one_by_one_has_the_tokens_of_generate(loaded: Loaded) -> None:
    features = loaded.pipeline.feature_extractor(SOUNDS, sampling_rate=16_000, return_tensors="pt").input_features
    wanted = []
    for row in range(len(SOUNDS)):
        tokens = loaded.pipeline.model.generate(
            input_features=features[row : row + 1],
            language="de",
            task="transcribe",
            num_beams=1,
            do_sample=False,
            eos_token_id=END,
            begin_suppress_tokens=[END],
        )[0].tolist()
        wanted.append(tokens[: tokens.index(END)] if END in tokens else tokens)
    found = loaded.decode(list(range(len(SOUNDS))))
    for decoded, tokens in zip(found, wanted, strict=True):
        assert decoded.tokens == tokens[: len(decoded.tokens)]
        assert len(decoded.tokens) == len(tokens) or not decoded.ended
    lengths = {len(decoded.tokens) for decoded in found}
    assert len(lengths) > 2, f"the rows must end at several lengths for this to say something, but do at {lengths}"


@pytest.mark.parametrize("temperature", [0.0, 0.7])
def test_a_row_writes_the_same_whatever_shares_its_batch(loaded: Loaded, temperature: float) -> None:
    together = loaded.decode([3, 0, 5, 1, 4, 2], temperature)
    for row, decoded in zip([3, 0, 5, 1, 4, 2], together, strict=True):
        (alone,) = loaded.decode([row], temperature)
        assert alone.tokens == decoded.tokens
        assert alone.ended == decoded.ended
        assert alone.log_probabilities == pytest.approx(decoded.log_probabilities, abs=1e-4)


def test_log_probabilities_are_those_that_the_whole_text_has_at_once(loaded: Loaded) -> None:
    (decoded,) = loaded.decode([2])
    prompt = loaded.vocabulary.prompt("de", translate=False)
    tokens = decoded.tokens + ([loaded.vocabulary.end] if decoded.ended else [])
    given = torch.tensor([prompt + tokens[:-1]])
    with torch.inference_mode():
        logits = loaded.pipeline.model(encoder_outputs=(loaded.states[2:3],), decoder_input_ids=given).logits[0]
    logits = logits.clone()
    logits[:, list(loaded.vocabulary.suppressed)] = -torch.inf
    logits[len(prompt) - 1, list(loaded.vocabulary.suppressed_first)] = -torch.inf
    chances = logits.log_softmax(-1)[len(prompt) - 1 :]
    wanted = [float(chances[place, token]) for place, token in enumerate(tokens)]
    assert decoded.log_probabilities == pytest.approx(wanted, abs=1e-3)


def test_attention_is_that_of_the_alignment_heads_of_transformers(loaded: Loaded) -> None:
    tokens = torch.tensor([*loaded.vocabulary.timestamp_prompt("de", translate=False), 5, 9, 13])
    with torch.inference_mode():
        found = loaded.network.attention(loaded.network.hear(loaded.states).view(1), tokens)
        model = loaded.pipeline.model
        model.set_attn_implementation("eager")
        looked = model(
            encoder_outputs=(loaded.states[1:2],), decoder_input_ids=tokens[None], output_attentions=True
        ).cross_attentions
        model.set_attn_implementation("sdpa")
    wanted = torch.stack([looked[layer][0, head] for layer, head in [(1, 0), (1, 2)]])
    torch.testing.assert_close(found, wanted, rtol=1e-3, atol=1e-4)


def test_each_token_and_the_end_have_a_log_probability(loaded: Loaded) -> None:
    for decoded in loaded.decode(list(range(len(SOUNDS)))):
        assert len(decoded.log_probabilities) == len(decoded.tokens) + decoded.ended
        assert all(chance <= 0 for chance in decoded.log_probabilities)


@pytest.fixture(scope="module")
def recognize(loaded: Loaded) -> Callable[..., list[Any]]:
    def run(chunks: list[Chunk], **settings: Any) -> list[Any]:
        recognizer = WhisperRecognizer(loaded.pipeline, "tiny", **settings)
        ((written, language),) = recognizer.recognize([chunks])
        return [(language, segments) for segments in written]

    return run


def test_chunks_have_the_same_segments_in_batches_of_any_size(recognize: Callable[..., list[Any]]) -> None:
    chunks = [whole_chunk(audio, offset_s=7.0 * number) for number, audio in enumerate(SOUNDS[:3])]
    wanted = recognize(chunks, language="fr", batch_size=1)
    for batch_size in (2, 3):
        found = recognize(chunks, language="fr", batch_size=batch_size)
        assert [_rounded(answer) for answer in found] == [_rounded(answer) for answer in wanted]


def test_words_rise_within_the_pieces_of_the_recording_that_they_come_from(
    recognize: Callable[..., list[Any]],
) -> None:
    audio = np.concatenate([sound(0.8, 1), sound(1.0, 2)])
    chunk = Chunk(audio, (Span(3.0, 3.8), Span(50.0, 51.0)), Span(0.1, 1.7))
    ((_, segments),) = recognize([chunk], language="en")
    words = [word for segment in segments for word in segment.words]
    assert words
    for word in words:
        assert word.start_s <= word.end_s
        assert 3.0 <= word.start_s <= word.end_s <= 3.8 or 50.0 <= word.start_s <= word.end_s <= 51.0
    assert [word.start_s for word in words] == sorted(word.start_s for word in words)
    for segment in segments:
        assert (segment.start_s, segment.end_s) == (segment.words[0].start_s, segment.words[-1].end_s)


def test_the_language_heard_is_the_same_whatever_the_batch_size(recognize: Callable[..., list[Any]]) -> None:
    chunks = [whole_chunk(audio) for audio in SOUNDS[:2]]
    heard = {language for size in (1, 2) for language, _ in recognize(chunks, batch_size=size)}
    assert len(heard) == 1
    assert heard <= {"en", "de", "fr"}


def test_no_chunk_is_encoded_twice_to_hear_its_language(loaded: Loaded, monkeypatch: pytest.MonkeyPatch) -> None:
    encode, encoded = WhisperNetwork.encode, []

    def counting(network: WhisperNetwork, features: torch.Tensor) -> torch.Tensor:
        encoded.extend(row.numpy().tobytes() for row in features)
        return encode(network, features)

    monkeypatch.setattr(WhisperNetwork, "encode", counting)
    stretches = [[whole_chunk(audio) for audio in SOUNDS[:3]], [], [whole_chunk(audio) for audio in SOUNDS[3:]]]
    answers = WhisperRecognizer(loaded.pipeline, "tiny", batch_size=2).recognize(stretches)
    assert [len(segments) for segments, _ in answers] == [3, 0, 3]
    assert [language is None for _, language in answers] == [False, True, False]
    assert len(encoded) == len(set(encoded)) >= len(SOUNDS)


def test_random_weights_make_no_text_that_passes_for_certain(recognize: Callable[..., list[Any]]) -> None:
    answers = recognize([whole_chunk(sound(float(CHUNK_S)))], language="en")
    assert all(segment.uncertain for _, segments in answers for segment in segments)


def test_segments_without_words_say_the_same(recognize: Callable[..., list[Any]]) -> None:
    chunks = [whole_chunk(SOUNDS[3])]
    ((_, full),), ((_, bare),) = (recognize(chunks, language="en", word_times=given) for given in (True, False))
    assert [segment.model_copy(update={"words": ()}) for segment in full] == bare


def test_a_language_that_the_model_lacks_is_refused_with_those_it_has(loaded: Loaded) -> None:
    with pytest.raises(SpecError, match=r"must be one of de, en, fr, but is 'xx' instead"):
        WhisperRecognizer(loaded.pipeline, "tiny", language="xx")


def test_a_model_of_english_only_takes_no_other_language_and_does_not_translate(loaded: Loaded) -> None:
    english = dataclasses.replace(loaded.vocabulary, languages={}, tasks={})
    english.check("tiny.en", "en", translate=False)
    assert english.prompt("en", translate=False) == [english.start, english.no_timestamps]
    with pytest.raises(SpecError, match="'de'"):
        english.check("tiny.en", "de", translate=False)
    with pytest.raises(SpecError, match="translate"):
        english.check("tiny.en", None, translate=True)


def test_translating_asks_for_another_task_alone(loaded: Loaded) -> None:
    plain, translating = (loaded.vocabulary.prompt("de", translate=given) for given in (False, True))
    assert [left == right for left, right in zip(plain, translating, strict=True)] == [True, True, False, True]


def _rounded(answer: Any) -> Any:
    language, segments = answer
    return language, [
        (
            segment.text,
            round(segment.start_s, 3),
            round(segment.end_s, 3),
            segment.uncertain,
            pytest.approx(segment.confidence, abs=1e-4),
            [(word.text, round(word.start_s, 3), round(word.end_s, 3)) for word in segment.words],
        )
        for segment in segments
    ]
