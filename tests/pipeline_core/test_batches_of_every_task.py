"""Whatever the task and the batch, a record gets the answer that its pipeline gives for it alone."""

from pathlib import Path

import numpy as np
import pytest
import torch
from media_files import picture, tone, write_video
from PIL import Image
from reference import same
from tiny_models import SENTENCES

from pipeline_core import BatchPolicy, PipelineSpec, infer, load_pipeline, unload
from pipeline_core.catalog import find_task, task_names
from pipeline_core.generation import record_seed, seeded
from pipeline_core.inference import make_stages
from pipeline_core.input_shapes import shape_inputs

TEXTS = [SENTENCES[row] for row in (0, 1, 2, 3, 1)]
SOUNDS = [
    tone(seconds, hertz, 8_000) for seconds, hertz in ((1.0, 300), (0.6, 500), (1.0, 200), (1.3, 400), (0.8, 300))
]
PICTURES = [picture(*size, seed) for seed, size in enumerate([(40, 36), (60, 44), (40, 36), (36, 64), (40, 36)])]
LABELS = {"candidate_labels": ["warm", "older than the cast", "odd"]}
WORDS = [[word, [10 * place, 5, 10 * place + 8, 15]] for place, word in enumerate(SENTENCES[0].split())]
TABLES = [
    {"word": ["quiet", "warm", "odd"][: rows + 1], "films": ["2", "3", "4"][: rows + 1]} for rows in (1, 2, 1, 0, 2)
]
QUESTIONS = [{"question": text, "context": " ".join(SENTENCES[row : row + 3])} for row, text in enumerate(TEXTS)]
ASKED = [{"image": one, "question": text} for one, text in zip(PICTURES, TEXTS, strict=True)]
GREEDY = {"max_new_tokens": 4}

DECISIONS = {
    "sad": {"type": "noul", "instructions": "Was the film bad?"},
    "cast": {"type": "choice", "instructions": "Who was great?", "criteria": {"cast": None, "story": "the plot"}},
    "stars": {"type": "score", "instructions": "How good is it?", "criteria": ["bad", "odd", "great"]},
}

CASES = [
    ("any-to-any", "qwen2-audio", TEXTS, GREEDY),
    (
        "any-to-any",
        "qwen2-audio",
        [
            {"text": f"<|audio_bos|><|AUDIO|><|audio_eos|> {text}", "audio": sound}
            for text, sound in zip(TEXTS, SOUNDS, strict=True)
        ],
        GREEDY,
    ),
    ("audio-classification", "sounds", SOUNDS, {}),
    ("automatic-speech-recognition", "speech", SOUNDS, {}),
    ("automatic-speech-recognition", "speech", SOUNDS, {"chunk_length_s": 0.5, "stride_length_s": 0.1}),
    ("decision", "decider", [{"state": text, "questions": DECISIONS} for text in TEXTS], {}),
    ("depth-estimation", "glpn", PICTURES, {}),
    (
        "document-question-answering",
        "layoutlm",
        [{"question": text, "word_boxes": WORDS[: 4 + row]} for row, text in enumerate(TEXTS)],
        {},
    ),
    ("feature-extraction", "features", TEXTS, {}),
    ("fill-mask", "fill-mask", [f"{text} [MASK]" for text in TEXTS], {"top_k": 2}),
    ("image-classification", "vit", PICTURES, {}),
    ("image-feature-extraction", "vit", PICTURES, {}),
    ("image-segmentation", "segformer", PICTURES, {}),
    (
        "image-text-to-text",
        "llava",
        [{"images": one, "text": f"<image> {text}"} for one, text in zip(PICTURES, TEXTS, strict=True)],
        GREEDY,
    ),
    ("image-to-image", "upscaler", [one.resize((8 + 2 * (row % 3), 6)) for row, one in enumerate(PICTURES)], {}),
    ("image-to-text", "captioner", PICTURES, GREEDY),
    ("image-to-text", "git", PICTURES, GREEDY),
    ("keypoint-matching", "superglue", [[one, PICTURES[0]] for one in PICTURES], {}),
    (
        "mask-generation",
        "sam",
        PICTURES[:3],
        {"points_per_crop": 2, "points_per_batch": 3, "pred_iou_thresh": 0.0, "stability_score_thresh": 0.0},
    ),
    ("object-detection", "detr", PICTURES, {"threshold": 0.0}),
    ("question-answering", "answerer", QUESTIONS, {}),
    ("question-answering", "answerer", QUESTIONS, {"doc_stride": 4, "max_seq_len": 40, "top_k": 2}),
    ("summarization", "t5", TEXTS, GREEDY),
    ("summarization", "bart", TEXTS, {**GREEDY, "num_beams": 2}),
    (
        "table-question-answering",
        "tapas",
        [{"table": table, "query": text} for table, text in zip(TABLES, TEXTS, strict=True)],
        {},
    ),
    ("text-classification", "bert", TEXTS, {"top_k": None}),
    ("text-generation", "gpt2", TEXTS, GREEDY),
    ("text-generation", "gpt2", TEXTS, {**GREEDY, "num_return_sequences": 2, "num_beams": 3, "return_tensors": True}),
    ("text-generation", "gpt2", TEXTS, {**GREEDY, "do_sample": True, "temperature": 3.0}),
    ("text-to-audio", "vits", TEXTS, {}),
    ("text2text-generation", "t5", TEXTS, {**GREEDY, "num_beams": 2, "num_return_sequences": 2}),
    ("token-classification", "tokens", TEXTS, {"aggregation_strategy": "simple"}),
    ("translation_en_to_fr", "t5", TEXTS, GREEDY),
    ("video-classification", "clips", None, {}),
    ("visual-question-answering", "vilt", ASKED, {}),
    ("visual-question-answering", "blip-answerer", ASKED, GREEDY),
    ("zero-shot-audio-classification", "clap", SOUNDS, LABELS),
    ("zero-shot-classification", "entailment", TEXTS, LABELS),
    ("zero-shot-image-classification", "clip", PICTURES, LABELS),
    (
        "zero-shot-object-detection",
        "owlvit",
        [{"image": one, "candidate_labels": ["warm", "odd"][: 1 + row % 2]} for row, one in enumerate(PICTURES)],
        {"threshold": 0.0},
    ),
]


def equal(found, wanted) -> bool:
    """``same``, for arrays and images too."""
    if isinstance(wanted, torch.Tensor | np.ndarray):
        return np.shape(found) == np.shape(wanted) and np.allclose(found, wanted, atol=1e-4, rtol=1e-4)
    if isinstance(wanted, Image.Image):
        levels = [np.asarray(image, dtype=float) for image in (found, wanted)]
        return levels[0].shape == levels[1].shape and np.abs(levels[0] - levels[1]).max() <= 1
    if isinstance(wanted, dict):
        return found.keys() == wanted.keys() and all(equal(found[key], wanted[key]) for key in wanted)
    if isinstance(wanted, list | tuple):
        return len(found) == len(wanted) and all(map(equal, found, wanted))
    return same(found, wanted)


def one_by_one(spec, inputs):
    """What transformers' own stages give for each record, under the seed that it has in a run."""
    stages = make_stages(load_pipeline(spec), spec)
    pipeline = stages._pipeline
    for row, given in enumerate(inputs):
        shaped = shape_inputs(find_task(spec.task), given, spec.parameters)
        with seeded(record_seed(spec.seed, str(row)), pipeline.device):
            before = {**pipeline._preprocess_params, **shaped.parameters}
            taken = str(shaped.inputs) if isinstance(shaped.inputs, Path) else shaped.inputs
            output = pipeline.run_single(taken, before, pipeline._forward_params, pipeline._postprocess_params)
        if isinstance(output, dict):
            output.pop("is_last", None)  # a call takes this out of its chunks, which run_single does not
        yield output


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clips")
    return [write_video(folder / f"{frames}.mp4", frames) for frames in (20, 12, 16)]


@pytest.mark.parametrize(("task", "kind", "inputs", "parameters"), CASES)
def test_a_record_gets_the_answer_it_has_alone(build_model, clips, task, kind, inputs, parameters):
    inputs = clips if inputs is None else inputs
    spec = PipelineSpec(task=task, model=build_model(kind), device="cpu", parameters=parameters)
    wanted = list(one_by_one(spec, inputs))
    for batch_size in (1, 2, 8, None):
        predictions = list(infer(spec, inputs, batch=BatchPolicy(batch_size=batch_size)))
        assert all(prediction.error is None for prediction in predictions), predictions
        assert equal([prediction.output for prediction in predictions], wanted)


def test_every_task_is_tried():
    tried = {task for task, *_ in CASES}
    assert {find_task(name).name for name in task_names()} == {find_task(name).name for name in tried}


NEAR = {
    "alike by the thousand": [8_100, 8_400, 8_100, 6_000, 3_000, 2_000],
    "alike by the frame": [8_110, 8_100, 6_000, 3_000],
    "far apart later": [8_000, 7_000, 8_000, 7_000, 900, 8_000, 700, 8_000],
}


@pytest.mark.parametrize("lengths", NEAR.values(), ids=NEAR)
@pytest.mark.parametrize(
    ("task", "kind"), [("automatic-speech-recognition", "speech"), ("audio-classification", "sounds")]
)
@pytest.mark.parametrize("batch_size", [2, 3])
def test_a_first_batch_that_shows_nothing_of_padding_is_not_trusted_with_it(
    build_model, task, kind, lengths, batch_size
):
    sounds = [tone(2.0, 300 + 50 * row, 8_000)[:length] for row, length in enumerate(lengths)]
    spec = PipelineSpec(task=task, model=build_model(kind), device="cpu")
    unload()  # what other tests showed of this model
    predictions = list(infer(spec, sounds, batch=BatchPolicy(batch_size=batch_size)))
    assert equal([prediction.output for prediction in predictions], list(one_by_one(spec, sounds)))


def test_a_record_of_several_texts_keeps_all_of_its_rows(build_model):
    spec = PipelineSpec(
        task="feature-extraction",
        model=build_model("features"),
        device="cpu",
        parameters={"tokenize_kwargs": {"padding": True}},
    )
    pipeline = load_pipeline(spec)
    inputs = [TEXTS[0], TEXTS[1], TEXTS[:2], TEXTS[2:4], TEXTS[1]]
    for policy in (BatchPolicy(batch_size=2), BatchPolicy(batch_size=5)):
        found = [prediction.output for prediction in infer(spec, inputs, batch=policy)]
        assert [len(output) for output in found] == [1, 1, 2, 2, 1]
        for given, output in zip(inputs, found, strict=True):
            wanted = pipeline.run_single(given, pipeline._preprocess_params, {}, {})
            assert equal(output, wanted)


def test_whisper_that_falls_back_to_sampling_draws_from_the_record_alone(build_model):
    spec = PipelineSpec(
        task="automatic-speech-recognition",
        model=build_model("whisper"),
        device="cpu",
        parameters={
            "generate_kwargs": {
                "temperature": [0.0, 0.9],
                "logprob_threshold": 9.0,
                "max_new_tokens": 6,
                "language": "en",
            }
        },
    )
    sounds = [tone(seconds, 300, 16_000) for seconds in (1.0, 0.5, 1.0)]
    runs = [
        [prediction.output for prediction in infer(spec, sounds, batch=BatchPolicy(batch_size=size))]
        for size in (1, 3, 3)
    ]
    assert runs[0] == runs[1] == runs[2]


def test_what_preprocessing_draws_at_random_is_the_records_own(build_model):
    spec = PipelineSpec(
        task="zero-shot-audio-classification", model=build_model("clap"), device="cpu", parameters=LABELS
    )
    long = np.concatenate([tone(4.0, hertz, 8_000) for hertz in (300, 900)])
    first, again = ([prediction.output for prediction in infer(spec, [long, long])] for _ in range(2))
    assert equal(first, again)
    assert not equal(first[0], first[1])


def test_a_processors_tokenizer_is_used_by_one_thread_at_a_time(build_model):
    spec = PipelineSpec(
        task="image-text-to-text", model=build_model("llava"), device="cpu", parameters={"max_new_tokens": 1}
    )
    one = {"images": PICTURES[0], "text": f"<image> {TEXTS[1]}"}
    two = {"images": PICTURES[:2], "text": [f"<image> {TEXTS[0]}", f"<image> {TEXTS[1]}"]}
    predictions = infer(spec, [one, two] * 12, batch=BatchPolicy(preprocess_threads=4, batch_size=1))
    assert [prediction.error for prediction in predictions] == [None] * 24
