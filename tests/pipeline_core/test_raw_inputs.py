"""Media reach a pipeline decoded; no string of a row is opened as a file or fetched, however deep it lies."""

import base64
import io
import json
import socket
import sys
from importlib.util import find_spec

import numpy as np
import pytest
import tiny_media_models
from media_files import encoded, picture, prepared, tone, write_sound, write_video
from PIL import Image
from reference import alone, same

from pipeline_core import BatchPolicy, PipelineSpec, infer, load_pipeline
from pipeline_core.catalog import find_task
from pipeline_core.errors import InvalidInputError, MediaNotAllowedError, MissingPackageError
from pipeline_core.raw_inputs import MediaInputs
from pipeline_core.records import Record

PICTURE = picture()
PNG = encoded(PICTURE)


@pytest.fixture(scope="module")
def spec_of(tmp_path_factory):
    """The spec of a task on the tiny model that is made for it."""
    kinds = {
        "automatic-speech-recognition": "speech",
        "audio-classification": "sounds",
        "video-classification": "clips",
    }
    return lambda task: PipelineSpec(
        task=task, model=tiny_media_models.build(kinds[task], tmp_path_factory.mktemp("model")), device="cpu"
    )


def shapes(value):
    """The structure of ``value``, with images and arrays by their size."""
    if isinstance(value, dict):
        return {key: shapes(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [shapes(item) for item in value]
    if isinstance(value, Image.Image):
        return (value.mode, *value.size)
    return value.shape if isinstance(value, np.ndarray) else value


RGB = ("RGB", 40, 30)
SECRET = "/etc/hostname"
CONTENT = [{"type": "image", "url": "NAME"}, {"type": "text", "text": "What is on NAME?"}]


@pytest.mark.parametrize(
    ("task", "inputs"),
    [
        ("image-classification", "NAME"),
        ("image-classification", {"bytes": None, "path": "NAME"}),
        ("image-to-image", "NAME"),
        ("keypoint-matching", ["NAME", "NAME"]),
        ("zero-shot-object-detection", {"image": "NAME", "candidate_labels": ["a cat"]}),
        ("document-question-answering", {"image": "NAME", "question": "Who?"}),
        ("visual-question-answering", {"image": {"path": "NAME"}, "question": "Who?"}),
        ("automatic-speech-recognition", "NAME"),
        ("automatic-speech-recognition", {"path": "NAME"}),
        ("zero-shot-audio-classification", {"audio": "NAME", "candidate_labels": ["a cat"]}),
        ("video-classification", "NAME"),
        ("image-text-to-text", [{"role": "user", "content": CONTENT}]),
        ("image-text-to-text", {"messages": [{"role": "user", "content": CONTENT}]}),
        ("image-text-to-text", [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "NAME"}}]}]),
        ("image-text-to-text", {"images": ["NAME"], "text": "What?"}),
        ("any-to-any", [{"role": "user", "content": [{"type": "audio", "path": "NAME"}]}]),
        ("any-to-any", {"text": "What?", "audio": "NAME"}),
        ("any-to-any", {"text": "What?", "videos": ["NAME"]}),
        ("decision", {"state": "x", "questions": {}, "assets": {"x": "NAME"}}),
        ("decision", json.dumps({"state": "x", "questions": {}, "assets": {"x": "NAME"}})),
    ],
)
def test_a_string_where_media_belong_is_not_opened_without_a_folder_nor_fetched_with_one(task, inputs, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.05)
        for name in (SECRET, f"http://127.0.0.1:{server.getsockname()[1]}/x.png", "../secret"):
            asked = json.loads(json.dumps(inputs).replace("NAME", name))
            for root in (None, tmp_path):
                with pytest.raises(MediaNotAllowedError):
                    prepared(task, asked, root)
        with pytest.raises(TimeoutError):
            server.accept()


def test_a_base64_asset_of_a_request_is_never_taken_for_a_name():
    request = {"state": "x", "questions": {}, "assets": {"x": {"type": "image", "data_base64": "NAME"}}}
    with pytest.raises(InvalidInputError, match="base64"):
        prepared("decision", json.loads(json.dumps(request).replace("NAME", "http://127.0.0.1:9/x.png")))
    asked = json.dumps(request).replace("NAME", base64.b64encode(PNG).decode())
    assert shapes(prepared("decision", asked))["assets"] == {"x": RGB}


@pytest.mark.parametrize("task", ["text-classification", "token-classification", "fill-mask", "feature-extraction"])
def test_a_text_task_gets_the_strings_that_it_was_given(task, tmp_path):
    for text in (SECRET, "http://127.0.0.1:9/x.png", "data:image/png;base64,AA"):
        assert prepared(task, text, tmp_path) == text


def test_every_form_of_an_image_is_the_same_image(tmp_path):
    (tmp_path / "a.png").write_bytes(PNG)
    uri = "data:image/png;base64," + base64.b64encode(PNG).decode()
    forms = [PICTURE, np.asarray(PICTURE), PNG, tmp_path / "a.png", "a.png", {"bytes": PNG, "path": None}, uri]
    forms += [{"bytes": None, "path": "a.png"}, Image.open(io.BytesIO(PNG)), str(tmp_path / "a.png")]
    for form in forms:
        assert np.array_equal(np.asarray(prepared("image-classification", form, tmp_path)), np.asarray(PICTURE))


def test_every_form_of_sound_is_the_same_sound_at_the_models_rate(tmp_path):
    samples = tone(0.5)
    write_sound(tmp_path / "a.wav", samples)
    exact = prepared("audio-classification", {"array": samples, "sampling_rate": 16_000})
    assert exact.shape == (4_000,)
    content = (tmp_path / "a.wav").read_bytes()
    forms = [
        tmp_path / "a.wav",
        "a.wav",
        content,
        {"bytes": content, "path": "a.wav"},
        {"raw": np.stack([samples, samples]), "sampling_rate": 16_000.0, "path": SECRET},
        {"array": samples.tolist(), "sampling_rate": 16_000},
    ]
    for form in forms:
        assert np.abs(prepared("audio-classification", form, tmp_path) - exact).max() < 1e-4
    assert prepared("audio-classification", exact) is exact
    assert prepared("audio-classification", exact.tolist()).dtype == np.float32


def test_speech_keeps_its_stride_and_what_else_came_with_it():
    given = {"raw": tone(1.0), "sampling_rate": 16_000, "stride": (1600, 800), "speaker": "A"}
    made = prepared("automatic-speech-recognition", given)
    assert shapes(made) == {"raw": (8_000,), "sampling_rate": 8_000, "stride": [800, 400], "speaker": "A"}
    assert given["stride"] == (1600, 800)


@pytest.mark.parametrize(
    "inputs",
    [
        None,
        {"array": np.zeros(9), "sampling_rate": 0},
        {"array": np.zeros(9), "sampling_rate": "fast"},
        {"array": None, "sampling_rate": 8_000},
        {"array": [[0.0], [0.0, 1.0]], "sampling_rate": 8_000},
        {"bytes": None, "path": None},
        b"",
    ],
)
def test_what_is_no_sound_is_an_invalid_input(inputs):
    with pytest.raises(InvalidInputError):
        prepared("audio-classification", inputs)


def test_a_missing_part_is_named():
    with pytest.raises(InvalidInputError, match="'image' is None"):
        prepared("document-question-answering", {"image": None, "question": "Who?"})


def test_the_media_of_a_chat_are_decoded_and_its_nulls_are_gone(tmp_path):
    from transformers.pipelines.any_to_any import AnyToAnyPipeline
    from transformers.utils.chat_template_utils import Chat

    (tmp_path / "a.png").write_bytes(PNG)
    write_sound(tmp_path / "a.wav", tone(0.5))
    encoded_png = base64.b64encode(PNG).decode()
    blocks = [
        {"type": "image", "url": "a.png", "text": None},
        {"type": "image", "image": PICTURE},
        {"type": "image", "base64": encoded_png},
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{encoded_png}"}},
        {"type": "image"},
        {"type": "audio", "path": "a.wav"},
        {"type": "video", "video": [PNG, "a.png"]},
        {"type": "text", "text": "a.png", "url": None},
    ]
    messages = [{"role": "system", "content": "Look at a.png"}, {"role": "user", "content": blocks}]
    made = prepared("image-text-to-text", messages, tmp_path)
    assert isinstance(made, Chat)
    assert made.messages[0] == messages[0]
    image = {"type": "image", "image": RGB}
    assert shapes(made.messages[1]["content"]) == [
        *[image] * 4,
        {"type": "image"},
        {"type": "audio", "audio": (4_000,)},
        {"type": "video", "video": [RGB, RGB]},
        {"type": "text", "text": "a.png"},
    ]
    assert blocks[0]["url"] == "a.png"
    own = object.__new__(AnyToAnyPipeline)
    with MediaInputs(own, find_task("any-to-any")).decoded(Record("r", [{"role": "user", "content": "Hi"}])) as chat:
        assert type(chat) is sys.modules[AnyToAnyPipeline.__module__].Chat


def test_a_video_in_a_chat_must_come_as_its_frames(tmp_path):
    block = {"type": "video", "path": "a.mp4"}
    with pytest.raises(InvalidInputError, match="a list of images"):
        prepared("image-text-to-text", [{"role": "user", "content": [block]}], tmp_path)


def test_messages_become_a_chat():
    from transformers.utils.chat_template_utils import Chat

    assert isinstance(prepared("text-generation", [{"role": "user", "content": "Hi"}]), Chat)
    assert prepared("image-text-to-text", "a.png") == "a.png"


def test_speech_and_sounds_in_files_are_answered_as_their_samples_are(spec_of, tmp_path):
    lengths = [0.4, 1.1, 0.7, 1.1]
    kinds = ["flac", "ogg", "m4a", "mp3"]
    files = [
        write_sound(tmp_path / f"{number}.{kind}", tone(length, 200.0 + 300 * number))
        for number, (kind, length) in enumerate(zip(kinds, lengths, strict=True))
    ]
    for task in ("automatic-speech-recognition", "audio-classification"):
        spec = spec_of(task)
        found = list(infer(spec, files, batch=BatchPolicy(batch_size=1)))
        assert [prediction.error for prediction in found] == [None] * 4
        decoded = [prepared(task, file) for file in files]
        assert same([p.output for p in found], [alone(load_pipeline(spec), samples.copy()) for samples in decoded])


def test_a_video_is_answered_as_transformers_answers_its_path(spec_of, tmp_path):
    spec = spec_of("video-classification")
    files = [write_video(tmp_path / name) for name in ("a.mp4", "b.webm", "c.avi")]
    broken = tmp_path / "d.mp4"
    broken.write_bytes(files[0].read_bytes()[:300])
    found = list(infer(spec, [*files, broken]))
    pipeline = load_pipeline(spec)
    assert same([p.output for p in found[:3]], [alone(pipeline, str(file)) for file in files])
    assert found[3].error.error_class == "InvalidInputError"


def test_a_row_that_may_not_be_opened_does_not_stop_the_others(build_model, tmp_path):
    (tmp_path / "link.png").symlink_to(SECRET)
    spec = PipelineSpec(task="image-classification", model=build_model("vit"), device="cpu")
    rows = [PICTURE, SECRET, None, tmp_path / "missing.png", PNG[:50], PNG]
    found = list(infer(spec, rows))
    classes = [prediction.error and prediction.error.error_class for prediction in found]
    assert classes == [None, "MediaNotAllowedError", *["InvalidInputError"] * 3, None]
    assert same(found[0].output, found[5].output)


def test_a_missing_package_is_one_error_that_names_the_extra(spec_of, tmp_path, monkeypatch):
    spec = spec_of("audio-classification")
    file = write_sound(tmp_path / "a.wav", tone(0.5))
    monkeypatch.setattr(
        "pipeline_core.requirements.find_spec", lambda name: None if name == "soundfile" else find_spec(name)
    )
    with pytest.raises(MissingPackageError, match=r"soundfile.*pipeline-flows\[audio\]"):
        list(infer(spec, [file, file]))
