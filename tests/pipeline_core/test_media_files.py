import io
import json
import uuid
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile
from PIL import Image
from small_runs import MASKS, answer, assert_every_row_once, damage, files, open_rows, readers, run, write_shard

import pipeline_core.writer
from pipeline_core.columns.files import ArrayFile, Picture, Sound
from pipeline_core.errors import MissingPackageError, OutputError, OutputMismatchError
from pipeline_core.figures import Figures
from pipeline_core.manifest import OutputRef
from pipeline_core.records import Prediction, Record
from pipeline_core.requirements import PACKAGES, Package
from pipeline_core.shards import plan_shards
from pipeline_core.sink import OutputFolder
from pipeline_core.spec import PipelineSpec
from pipeline_core.storage import Storage

MASK = "_media/part-00001/000002-mask-0.png"


@pytest.fixture
def dataset(tmp_path):
    return open_rows(tmp_path / "data.parquet")


@pytest.fixture
def plan(dataset):
    return plan_shards(dataset, MASKS, 3)


@pytest.fixture(params=["local", "memory"])
def folder(request, tmp_path):
    return OutputFolder(str(tmp_path / "out") if request.param == "local" else f"memory://{uuid.uuid4().hex}/out")


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out"


def media(folder):
    return Storage(folder.ref.path).names("_media/")


def test_every_row_has_its_files_and_the_manifest_sums_them_up(folder, dataset, plan):
    assert run(folder, dataset, plan) == [0, 1, 2, 3]
    assert_every_row_once(folder, 10)
    manifests = folder.manifests(plan)
    assert [manifest.media_files for manifest in manifests] == [3, 2, 3, 0]
    assert [manifest.media_sha256 is None for manifest in manifests] == [False, False, False, True]
    storage = Storage(folder.ref.path)
    sizes = sum(storage.digest(name)[1] for name in media(folder))
    assert sum(manifest.media_size_bytes for manifest in manifests) == sizes
    assert run(OutputFolder(folder.ref), dataset, plan) == []


@pytest.mark.parametrize("how", ["delete", "truncate", "empty", "flip", "one more", "another name"])
def test_a_shard_whose_files_are_not_as_written_is_done_again(out, dataset, plan, how):
    folder = OutputFolder(out)
    run(folder, dataset, plan)
    before = files(out)
    if how == "one more":
        (out / MASK).with_name("000009-mask-0.png").write_bytes((out / MASK).read_bytes())
    elif how == "another name":
        (out / MASK).rename((out / MASK).with_name("000009-mask-0.png"))
    else:
        damage(out / MASK, how)
    assert folder.committed(plan.shards[1], plan) is None
    with pytest.raises(OutputError, match="part-00001-of-00004"):
        folder.commit_run(plan)
    assert run(folder, dataset, plan) == [1]
    assert_every_row_once(folder, 10)
    assert files(out) == before


def test_doing_a_shard_again_deletes_the_files_that_it_no_longer_has(folder, dataset, plan):
    run(folder, dataset, plan)
    records = list(dataset.records(0, 3))
    with folder.shard_writer(plan.shards[0], plan) as writer:
        for record in records:
            writer.write(record, Prediction(record.id, []))
        manifest = writer.commit(Figures(rows=3))
    assert manifest.media_sha256 is None
    assert folder.committed(plan.shards[0], plan) == manifest
    assert not [name for name in media(folder) if "part-00000/" in name]
    folder.commit_run(plan)


def test_what_killed_attempts_and_other_plans_left_is_swept_and_nothing_else(out, dataset, plan):
    run(OutputFolder(out), dataset, plan)
    before = files(out)
    left = ["_tmp-0123abcd-0123-_media-part-00000.tmp/000000-mask-0.png", "_media/part-00007/000000-mask-0.png"]
    foreign = ["_media/mine.png", "_media/part-00001/mine.png"]
    for name in [*left, *foreign]:
        (out / name).parent.mkdir(exist_ok=True)
        (out / name).write_bytes(b"x")
    assert run(OutputFolder(out), dataset, plan) == []
    assert files(out) == sorted([*before, *foreign])
    assert not (out / left[0]).parent.exists()
    OutputFolder(OutputRef(path=str(out), replace=True)).adopt(plan_shards(dataset, MASKS, 4))
    assert files(out) == sorted([*foreign, "_plan.json", ".huggingface.yaml"])


def test_an_attempt_that_fails_leaves_no_files(folder, dataset, plan):
    folder.adopt(plan)
    before = Storage(folder.ref.path).names()

    def stopped():
        with folder.shard_writer(plan.shards[0], plan) as writer:
            for record in dataset.records(0, 2):
                writer.write(record, answer(record, task=MASKS.task))
            assert len(Storage(folder.ref.path).names()) > len(before)
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        stopped()
    assert Storage(folder.ref.path).names() == before


def test_a_row_that_is_set_aside_has_no_files(folder, dataset, plan):
    folder.adopt(plan)
    first, second, third = dataset.records(0, 3)
    segments = answer(second, task=MASKS.task).output
    with folder.shard_writer(plan.shards[0], plan) as writer:
        writer.write(Record(first.id, first.inputs, {"n": "many", "note": None}), answer(first, task=MASKS.task))
        writer.write(second, Prediction(second.id, [*segments, {"score": None, "label": 1, "mask": None}]))
        writer.write(third, answer(third, task=MASKS.task))
        manifest = writer.commit(Figures(rows=3))
    assert (manifest.rows, manifest.quarantined, manifest.media_files) == (1, 2, 1)
    assert media(folder) == ["_media/part-00000/000002-mask-0.png"]
    assert folder.committed(plan.shards[0], plan) == manifest


def test_an_image_that_cannot_be_written_sets_its_row_aside_with_its_files(folder, dataset, plan):
    folder.adopt(plan)
    segments = [{"score": None, "label": "sky", "mask": Image.new("L", size)} for size in ((2, 2), (0, 0))]
    with folder.shard_writer(plan.shards[3], plan) as writer:
        (record,) = dataset.records(9, 10)
        writer.write(record, Prediction(record.id, segments))
        manifest = writer.commit(Figures(rows=1))
    assert (manifest.rows, manifest.quarantined, manifest.media_files, media(folder)) == (0, 1, 0, [])


@pytest.mark.parametrize("name", ["../../etc/passwd", "/root/x", "a" * 5000, "übel\0/\n💥", "..", "", "CON"])
def test_no_part_of_a_files_name_comes_from_the_data(out, tmp_path, name):
    table = pa.table({"id": [name], "text": ["a"], "n": [1], "note": [name]})
    pq.write_table(table, tmp_path / "data.parquet")
    plan = plan_shards(open_rows(tmp_path / "other.parquet", rows=1), MASKS, 1)
    folder = OutputFolder(out)
    folder.adopt(plan)
    segment = {"score": None, "label": name, "mask": Image.new("L", (2, 2))}
    with folder.shard_writer(plan.shards[0], plan) as writer:
        writer.write(Record(name, "text", {"n": 1, "note": name}), Prediction(name, [segment]))
        writer.commit(Figures(rows=1))
    assert media(folder) == ["_media/part-00000/000000-mask-0.png"]
    assert {path.name for path in tmp_path.iterdir()} == {"data.parquet", "other.parquet", "out"}


@pytest.mark.parametrize("task", [MASKS.task, "depth-estimation"])
def test_datasets_and_pandas_read_the_rows_and_no_file_as_data(out, dataset, task):
    plan = plan_shards(dataset, PipelineSpec(task=task, model=MASKS.model), 3)
    folder = OutputFolder(out)
    folder.adopt(plan)
    for shard in plan.shards:
        with folder.shard_writer(shard, plan) as writer:
            for record in dataset.records(shard.start, shard.stop):
                output = answer(record, 0, MASKS.task).output
                if task != MASKS.task:
                    output = {"predicted_depth": np.ones((2, 3), np.float32), "depth": output[0]["mask"]}
                writer.write(record, Prediction(record.id, output))
            writer.commit(Figures())
    folder.commit_run(plan)
    wanted = [f"r{n}" for n in range(10)]
    assert readers(out) == dict.fromkeys(("datasets", "pandas", "duckdb"), wanted)
    for path in folder.table().to_pylist()[0].values():
        if isinstance(path, str) and path.endswith((".png", ".npy")):
            assert (out / path).is_file()


def test_features_are_written_group_by_group_so_that_memory_stays_bounded(out, tmp_path, monkeypatch):
    monkeypatch.setattr(pipeline_core.writer, "_BYTES_PER_GROUP", 2**16)
    dataset = open_rows(tmp_path / "data.parquet", rows=20)
    plan = plan_shards(dataset, PipelineSpec(task="feature-extraction", model=MASKS.model), 20)
    folder = OutputFolder(out)
    folder.adopt(plan)
    with folder.shard_writer(plan.shards[0], plan) as writer:
        for number, record in enumerate(dataset.records(0, 20)):
            writer.write(record, Prediction(record.id, np.full((1, 4, 1024), number, np.float32)))
        writer.commit(Figures(rows=20))
    with pq.ParquetFile(out / plan.parts[0]) as part:
        rows = [part.metadata.row_group(n).num_rows for n in range(part.num_row_groups)]
    assert rows == [4] * 5
    assert [features[0] for features in folder.table()["features"].to_pylist()] == list(range(20))


def test_texts_without_a_word_are_counted(out, dataset):
    plan = plan_shards(dataset, PipelineSpec(task="text-generation", model=MASKS.model), 10)
    folder, texts = OutputFolder(out), ["", " \n", "a", "b", "", "c", "d", "e", "f", "g"]
    folder.adopt(plan)
    with folder.shard_writer(plan.shards[0], plan) as writer:
        for record, text in zip(dataset.records(0, 10), texts, strict=True):
            writer.write(record, Prediction(record.id, [{"generated_text": text}]))
        manifest = writer.commit(Figures(rows=10))
    assert manifest.figures.empty == 3


def test_the_type_of_arrays_makes_another_plan_where_there_are_arrays(dataset):
    for task, same in (("depth-estimation", False), ("feature-extraction", False), (MASKS.task, True)):
        spec = PipelineSpec(task=task, model=MASKS.model)
        wide, narrow = (plan_shards(dataset, spec, 3, arrays=arrays) for arrays in ("float32", "float16"))
        assert (wide.fingerprint == narrow.fingerprint) is same
        if not same:
            assert narrow.differences(wide) == ["arrays was 'float32', now 'float16'"]


def test_another_type_of_arrays_is_refused_by_name(out, dataset):
    spec = PipelineSpec(task="depth-estimation", model=MASKS.model)
    OutputFolder(out).adopt(plan_shards(dataset, spec, 3))
    with pytest.raises(OutputMismatchError, match="arrays was 'float32', now 'float16'"):
        OutputFolder(out).adopt(plan_shards(dataset, spec, 3, arrays="float16"))


def test_a_package_that_files_need_is_missed_before_anything_is_inferred(out, dataset, monkeypatch):
    monkeypatch.setitem(PACKAGES, "soundfile", Package("no_such_module", "'pipeline-flows[audio]'"))
    plan = plan_shards(dataset, PipelineSpec(task="text-to-audio", model=MASKS.model), 10)
    OutputFolder(out).adopt(plan)
    with (
        pytest.raises(MissingPackageError, match=r"pipeline-flows\[audio\]"),
        OutputFolder(out).shard_writer(plan.shards[0], plan),
    ):
        pass


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16", "CMYK"])
def test_a_picture_is_a_png_of_the_same_pixels(mode):
    image = Image.effect_noise((7, 5), 80).convert(mode if mode != "I;16" else "L").convert(mode)
    if mode == "I;16":
        image = Image.fromarray(np.arange(35, dtype=np.uint16).reshape(5, 7) * 1000)
    found = Image.open(io.BytesIO(Picture(image).content()))
    assert found.format == "PNG"
    wanted = image.convert("RGB") if mode == "CMYK" else image
    np.testing.assert_array_equal(np.asarray(found), np.asarray(wanted))


@pytest.mark.parametrize("shape", [(2, 40), (40,)])
def test_speech_is_a_wav_of_the_same_samples(shape):
    samples = np.random.default_rng(1).normal(size=shape).astype("float32") * 3
    found, rate_hz = soundfile.read(io.BytesIO(Sound(samples, 22_050).content()), dtype="float32")
    assert rate_hz == 22_050
    np.testing.assert_array_equal(found.T, samples)


def test_an_array_is_an_npy_of_the_same_type():
    array = np.arange(6, dtype=np.float16).reshape(2, 3)
    found = np.load(io.BytesIO(ArrayFile(array).content()))
    assert found.dtype == np.float16
    np.testing.assert_array_equal(found, array)


def test_a_manifest_that_is_read_again_still_tells_of_the_files(out, dataset, plan):
    folder = OutputFolder(out)
    run(folder, dataset, plan)
    manifest = json.loads((Path(out) / "_manifests/00000.json").read_text())
    assert (manifest["media_files"], len(manifest["media_sha256"])) == (3, 64)
    write_shard(folder, dataset, plan, plan.shards[0])
    assert folder.manifests(plan)[0].media_sha256 == manifest["media_sha256"]
