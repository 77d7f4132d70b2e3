"""What real pipelines return, through the columns and the files of a shard and back."""

import io

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from reference import alone, same, text_of
from small_runs import open_rows

from pipeline_core import DatasetRef, PipelineSpec, infer
from pipeline_core.figures import Figures
from pipeline_core.loading import load_pipeline
from pipeline_core.records import Record
from pipeline_core.shard_run import run_shard
from pipeline_core.shards import plan_shards
from pipeline_core.sink import OutputFolder
from pipeline_core.sources import open_dataset
from pipeline_core.storage import Storage

TEXTS = [text_of(words) for words in (3, 9, 5)]
PHOTOS = [
    Image.fromarray(np.random.default_rng(seed).integers(0, 255, (*size, 3), dtype=np.uint8))
    for seed, size in enumerate([(40, 50), (33, 48), (40, 50)])
]


@pytest.fixture
def written(build_model, tmp_path):
    """The rows of real predictions, after they were committed, beside what transformers gives for each input."""

    def write(kind, task, inputs, arrays="float32", **parameters):
        spec = PipelineSpec(task=task, model=build_model(kind), parameters=parameters)
        predictions = list(infer(spec, inputs))
        assert all(prediction.error is None for prediction in predictions), predictions
        plan = plan_shards(open_rows(tmp_path / "data.parquet", len(inputs)), spec, len(inputs), arrays=arrays)
        folder = OutputFolder(tmp_path / "out")
        folder.adopt(plan)
        with folder.shard_writer(plan.shards[0], plan) as writer:
            for row, prediction in enumerate(predictions):
                writer.write(Record(str(row), inputs[row], {"n": row, "note": None}), prediction)
            writer.commit(Figures(rows=len(inputs)))
        folder.commit_run(plan)
        assert folder.quarantine().num_rows == 0
        pipeline = load_pipeline(spec)
        return folder.table().to_pylist(), [alone(pipeline, given) for given in inputs], Storage(folder.ref.path)

    return write


@pytest.mark.parametrize(
    ("kind", "task", "inputs", "parameters"),
    [
        ("tokens", "token-classification", TEXTS, {"ignore_labels": []}),
        ("tokens", "token-classification", TEXTS, {"aggregation_strategy": "simple", "ignore_labels": []}),
        ("fill-mask", "fill-mask", [f"{text} [MASK]" for text in TEXTS], {"top_k": 3}),
        ("vit", "image-classification", PHOTOS, {"top_k": 2}),
        ("yolos", "object-detection", PHOTOS, {"threshold": 0.1}),
    ],
)
def test_lists_of_findings_are_the_column_predictions(written, kind, task, inputs, parameters):
    rows, wanted, _ = written(kind, task, inputs, **parameters)
    for row, findings in zip(rows, wanted, strict=True):
        assert findings
        masks = {"mask": 0} if task == "fill-mask" else {}
        assert same(row["predictions"], [{**finding, **masks} for finding in findings])


def test_a_zero_shot_answer_is_its_labels_in_order(written):
    rows, wanted, _ = written("entailment", "zero-shot-classification", TEXTS, candidate_labels=["art", "sport"])
    for row, output in zip(rows, wanted, strict=True):
        assert [label["label"] for label in row["predictions"]] == output["labels"]
        assert same([label["score"] for label in row["predictions"]], output["scores"])
        assert row["predicted_label"] == output["labels"][0]


def test_a_generated_text_is_a_column(written):
    rows, wanted, _ = written("gpt2", "text-generation", TEXTS, max_new_tokens=3, do_sample=False)
    assert [row["generated_text"] for row in rows] == [output[0]["generated_text"] for output in wanted]


def test_a_segments_mask_is_a_png_of_the_same_pixels(written):
    rows, wanted, storage = written("segformer", "image-segmentation", PHOTOS)
    for row, segments in zip(rows, wanted, strict=True):
        assert [found["label"] for found in row["predictions"]] == [segment["label"] for segment in segments]
        for found, segment in zip(row["predictions"], segments, strict=True):
            mask = Image.open(io.BytesIO(storage.read(found["mask"])))
            np.testing.assert_array_equal(np.asarray(mask), np.asarray(segment["mask"]))


@pytest.mark.parametrize("arrays", ["float32", "float16"])
def test_a_depth_is_an_array_and_a_picture(written, arrays):
    rows, wanted, storage = written("glpn", "depth-estimation", PHOTOS, arrays)
    for row, output in zip(rows, wanted, strict=True):
        depth = np.load(io.BytesIO(storage.read(row["predicted_depth"])))
        assert depth.dtype == arrays
        np.testing.assert_allclose(depth, output["predicted_depth"], atol=1e-4 if arrays == "float32" else 0.01)
        picture = np.asarray(Image.open(io.BytesIO(storage.read(row["depth"])))).astype(int)
        assert abs(picture - np.asarray(output["depth"])).max() <= 1


def test_speech_is_a_wav_at_the_models_rate(written):
    import soundfile

    (row,), _, storage = written("vits", "text-to-audio", ["so so"])
    samples, rate_hz = soundfile.read(io.BytesIO(storage.read(row["audio"])))
    assert row["sampling_rate"] == rate_hz == 16_000
    assert len(samples) > 100


@pytest.mark.parametrize("arrays", ["float32", "float16"])
def test_features_of_a_shard_are_those_that_the_pipeline_gives_as_lists(build_model, tmp_path, arrays):
    (tmp_path / "texts.txt").write_text("\n".join(TEXTS), encoding="utf-8")
    spec = PipelineSpec(task="feature-extraction", model=build_model("features"))
    plan = plan_shards(open_dataset(DatasetRef(path=str(tmp_path / "texts.txt")), spec.task), spec, arrays=arrays)
    folder = OutputFolder(tmp_path / "out")
    folder.adopt(plan)
    run_shard(plan.shards[0], plan, spec, folder)
    pipeline = load_pipeline(spec)
    for row, text in zip(folder.table().to_pandas().itertuples(), TEXTS, strict=True):
        wanted = np.array(alone(pipeline, text))
        assert row.features.dtype == arrays
        found = row.features.reshape(row.features_shape)
        np.testing.assert_allclose(found, wanted, atol=1e-4 if arrays == "float32" else 0.01)


def test_a_table_of_photos_becomes_a_table_and_a_folder_of_masks(build_model, tmp_path):
    images = [{"bytes": png_of(photo), "path": None} for photo in PHOTOS]
    pq.write_table(pa.table({"image": images}), tmp_path / "photos.parquet")
    spec = PipelineSpec(task="image-segmentation", model=build_model("segformer"))
    dataset = open_dataset(DatasetRef(path=str(tmp_path / "photos.parquet")), spec.task)
    plan = plan_shards(dataset, spec, 2)
    folder = OutputFolder(tmp_path / "out")
    folder.adopt(plan)
    for shard in plan.shards:
        run_shard(shard, plan, spec, folder)
    folder.commit_run(plan)
    masks = [(tmp_path / "out" / row["predictions"][0]["mask"]).read_bytes() for row in folder.table().to_pylist()]
    sizes = [Image.open(io.BytesIO(mask)).size for mask in masks]
    assert sizes == [photo.size for photo in PHOTOS]


def png_of(image):
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()
