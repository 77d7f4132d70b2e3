"""A folder of media is a dataset: one row a file or a row of its metadata, with stable ids, and opened row by row."""

import json
import os
import shutil

import datasets
import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from media_files import encoded, picture, prepared, tone, write_sound, write_video
from reference import same

from pipeline_core import DatasetRef, PipelineSpec, infer
from pipeline_core.errors import (
    ColumnNotFoundError,
    DatasetNotFoundError,
    FormatError,
    MediaNotAllowedError,
    SpecError,
    SplitNotFoundError,
)
from pipeline_core.sources import open_dataset

TASK = "image-classification"


@pytest.fixture
def photos(tmp_path):
    """photos/ with cats/0.png, cats/1.JPG, dogs/2.png and a note."""
    folder = tmp_path / "photos"
    for number, name in enumerate(["cats/0.png", "cats/1.JPG", "dogs/2.png"]):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(encoded(picture(seed=number), "JPEG" if name.endswith("JPG") else "PNG"))
    (folder / "notes.txt").write_text("cats and dogs\n")
    return folder


def opened(path, task=TASK, **settings):
    return open_dataset(DatasetRef(path=str(path), **settings), task)


def rows(dataset):
    return [(record.id, record.inputs, dict(record.kept)) for record in dataset.records()]


def test_every_file_is_a_row_named_by_its_path_and_labelled_by_its_folder(photos):
    names = ["cats/0.png", "cats/1.JPG", "dogs/2.png"]
    labels = ["cats", "cats", "dogs"]
    found = rows(opened(photos))
    assert found == [
        (name, name, {"file_name": name, "label": label}) for name, label in zip(names, labels, strict=True)
    ]
    (photos / "3.png").write_bytes(encoded(picture()))
    assert next(kept for _, _, kept in rows(opened(photos))) == {"file_name": "3.png"}
    assert [record.id for record in opened(photos).records(1, 3)] == names[:2]


def test_the_rows_are_those_of_datasets_own_folders(photos):
    theirs = datasets.load_dataset("imagefolder", data_dir=str(photos), split="train").cast_column(
        "image", datasets.Image(decode=False)
    )
    names = {label: number for number, label in enumerate(theirs.features["label"].names)}
    ours = {record.id: names[record.kept["label"]] for record in opened(photos).records()}
    assert ours == {os.path.relpath(row["image"]["path"], photos): row["label"] for row in theirs}


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_metadata_describes_the_files(photos, suffix):
    described = [
        {"file_name": "dogs/2.png", "age": 4, "name": "Rex"},
        {"file_name": "cats/0.png", "age": 2, "name": None},
        {"file_name": "cats/9.png", "age": 3, "name": "Tom"},
        {"file_name": "../secret.png", "age": 1, "name": "x"},
        {"file_name": "http://127.0.0.1:9/x.png", "age": 1, "name": "x"},
    ]
    target = photos / f"metadata.{suffix}"
    if suffix == "csv":
        lines = [",".join(str(value or "") for value in row.values()) for row in described]
        target.write_text("\n".join(["file_name,age,name", *lines]) + "\n")
    elif suffix == "jsonl":
        target.write_text("".join(json.dumps(row) + "\n" for row in described))
    else:
        pq.write_table(pa.Table.from_pylist(described), target)
    dataset = opened(photos)
    found = rows(dataset)
    assert [id_ for id_, _, _ in found] == [row["file_name"] for row in described]
    assert [kept["age"] for _, _, kept in found] == [4, 2, 3, 1, 1]
    assert [kept["file_name"] for _, _, kept in found] == [row["file_name"] for row in described]
    records = list(dataset.records())
    for record in records[3:]:
        with pytest.raises(MediaNotAllowedError):
            prepared(TASK, record.inputs, record.media_root.folder)


def test_metadata_of_a_subfolder_names_files_of_that_subfolder(photos):
    for part in ("cats", "dogs"):
        names = sorted(path.name for path in (photos / part).iterdir())
        (photos / part / "metadata.csv").write_text("file_name,id\n" + "".join(f"{name},{name}!\n" for name in names))
    assert [(id_, inputs) for id_, inputs, _ in rows(opened(photos))] == [
        ("0.png!", "cats/0.png"),
        ("1.JPG!", "cats/1.JPG"),
        ("2.png!", "dogs/2.png"),
    ]
    assert [inputs for _, inputs, _ in rows(opened(photos, split="dogs"))] == ["dogs/2.png"]
    with pytest.raises(SplitNotFoundError, match="cats, dogs"):
        opened(photos, split="birds")


def test_metadata_that_does_not_fit_is_refused(photos):
    (photos / "metadata.csv").write_text("name\nx\n")
    with pytest.raises(ColumnNotFoundError, match="file_name"):
        opened(photos)
    (photos / "metadata.csv").write_text("file_name,image\nx,y\n")
    with pytest.raises(FormatError, match="column 'image'"):
        opened(photos)


def test_a_fingerprint_changes_with_the_rows_own_files_alone(photos):
    def fingerprints():
        dataset = opened(photos)
        return [dataset.fingerprint(number, number + 1) for number in range(3)]

    before = fingerprints()
    assert fingerprints() == before
    status = (photos / "cats/1.JPG").stat()
    content = bytearray((photos / "cats/1.JPG").read_bytes())
    content[len(content) // 2] ^= 1
    (photos / "cats/1.JPG").write_bytes(content)
    os.utime(photos / "cats/1.JPG", ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    after = fingerprints()
    assert [a == b for a, b in zip(after, before, strict=True)] == [True, False, True]
    moved = shutil.copytree(photos, photos.parent / "moved")
    assert opened(moved).fingerprint() == opened(photos).fingerprint()


@pytest.mark.timeout(60)
def test_a_link_out_of_the_folder_is_a_row_that_is_not_opened_and_a_pipe_hangs_nothing(photos, build_model):
    (photos / "cats" / "3.png").symlink_to("/etc/hostname")
    os.mkfifo(photos / "cats" / "4.png")
    dataset = opened(photos)
    assert len(dataset.fingerprint()) == 32
    spec = PipelineSpec(task=TASK, model=build_model("vit"), device="cpu")
    found = {p.record_id: p.error and p.error.error_class for p in infer(spec, dataset.ref)}
    assert found == {
        "cats/0.png": None,
        "cats/1.JPG": None,
        "cats/3.png": "MediaNotAllowedError",
        "cats/4.png": "MediaNotAllowedError",
        "dogs/2.png": None,
    }


def test_a_table_beside_media_is_the_dataset_and_names_files_of_its_folder(photos):
    (photos / "index.csv").write_text("image,who\ncats/0.png,a\n/etc/hostname,b\n")
    (photos / "notes.txt").unlink()
    records = list(opened(photos).records())
    assert [(record.id, record.inputs) for record in records] == [
        ("index.csv:0", "cats/0.png"),
        ("index.csv:1", "/etc/hostname"),
    ]
    assert prepared(TASK, records[0].inputs, records[0].media_root.folder).size == (40, 30)
    assert next(record.id for record in opened(photos, format="media").records()) == "cats/0.png"
    elsewhere = opened(photos / "index.csv", media_root=str(photos / "cats"))
    assert {record.media_root.folder for record in elsewhere.records()} == {str(photos / "cats")}
    assert elsewhere.fingerprint() != opened(photos / "index.csv").fingerprint()


def test_sound_and_videos_are_found_by_the_task_and_a_text_task_finds_none(tmp_path):
    write_sound(tmp_path / "a.wav", tone(0.2))
    write_video(tmp_path / "b.mp4", 3)
    (tmp_path / "c.png").write_bytes(encoded(picture()))
    for task, names in [
        ("automatic-speech-recognition", ["a.wav", "b.mp4"]),
        ("video-classification", ["b.mp4"]),
        (TASK, ["c.png"]),
    ]:
        assert [record.inputs for record in opened(tmp_path, task).records()] == names
    assert [record.id for record in opened(tmp_path / "a.wav", "audio-classification").records()] == ["a.wav"]
    assert [record.id for record in opened(tmp_path / "*.wav", "audio-classification").records()] == ["a.wav"]
    with pytest.raises(DatasetNotFoundError, match="no file of an accepted format"):
        opened(tmp_path, "fill-mask")
    with pytest.raises(SpecError, match="tasks that take images"):
        opened(tmp_path, "fill-mask", format="media")
    with pytest.raises(SpecError, match="media_root is not for"):
        opened(tmp_path, TASK, media_root="/")
    (tmp_path / "c.png").unlink()
    with pytest.raises(DatasetNotFoundError, match="no image file"):
        opened(tmp_path, TASK, format="media")


def test_a_remote_folder_is_read_like_a_local_one(photos):
    fs = fsspec.filesystem("memory")
    for path in photos.rglob("*.*"):
        fs.pipe_file(f"/photos/{path.relative_to(photos)}", path.read_bytes())
    dataset = opened("memory://photos")
    assert rows(dataset) == rows(opened(photos))
    record = next(dataset.records())
    assert prepared(TASK, record.inputs, record.media_root.folder).size == (40, 30)
    before = dataset.fingerprint(0, 1)
    fs.pipe_file("/photos/cats/0.png", encoded(picture(seed=9)))
    assert opened("memory://photos").fingerprint(0, 1) != before


def test_media_columns_need_no_decoder_of_datasets(build_model, tmp_path, monkeypatch):
    spec = PipelineSpec(task=TASK, model=build_model("vit"), device="cpu")
    images = [picture(30 + number, 40, seed=number) for number in range(3)]
    wanted = [prediction.output for prediction in infer(spec, images)]
    cells = [{"bytes": encoded(image), "path": f"{number}.png"} for number, image in enumerate(images)]
    for number, image in enumerate(images):
        (tmp_path / f"{number}.png").write_bytes(encoded(image))
    features = datasets.Features({"image": datasets.Image(), "n": datasets.Value("int64")})
    dataset = datasets.Dataset.from_dict({"image": cells, "n": [1, 2, 3]}, features=features)
    named = datasets.Dataset.from_dict(
        {"image": [{"bytes": None, "path": f"{number}.png"} for number in range(3)], "n": [1, 2, 3]}, features=features
    )
    dataset.to_parquet(tmp_path / "a.parquet")
    pq.write_table(pa.table({"image": [cell["bytes"] for cell in cells]}), tmp_path / "b.parquet")
    monkeypatch.setattr(datasets.Image, "decode_example", None)
    for inputs in (
        dataset,
        dataset["image"],
        dataset.to_iterable_dataset(),
        dataset.to_iterable_dataset()["image"],
        dataset.to_pandas(),
        dataset.data.table,
        DatasetRef(path=str(tmp_path / "a.parquet")),
        DatasetRef(path=str(tmp_path / "b.parquet")),
    ):
        assert same([prediction.output for prediction in infer(spec, inputs)], wanted)
    for inputs in (named, [f"{number}.png" for number in range(3)]):
        found = infer(spec, inputs, media_root=tmp_path)
        assert same([prediction.output for prediction in found], wanted)
        assert {p.error.error_class for p in infer(spec, inputs)} == {"MediaNotAllowedError"}


def test_a_column_of_sound_needs_no_decoder_of_datasets(tmp_path):
    buffers = []
    for number in range(2):
        write_sound(tmp_path / f"{number}.flac", tone(0.2, 200.0 + number))
        buffers.append({"bytes": (tmp_path / f"{number}.flac").read_bytes(), "path": None})
    dataset = datasets.Dataset.from_dict({"audio": buffers}).cast_column("audio", datasets.Audio())
    dataset.to_parquet(tmp_path / "a.parquet")
    for record in open_dataset(str(tmp_path / "a.parquet"), "audio-classification").records():
        assert prepared("audio-classification", record.inputs).shape == (1_600,)
    from pipeline_core.inputs import iterate_inputs

    for inputs in (dataset, dataset.to_iterable_dataset()):
        for record in iterate_inputs(inputs, task="audio-classification"):
            assert prepared("audio-classification", record.inputs).shape == (1_600,)


def test_rows_with_large_media_are_read_few_at_a_time(tmp_path, monkeypatch):
    monkeypatch.setattr("pipeline_core.tables._BATCH_BYTES", 100_000)
    cells = [{"bytes": bytes(30_000), "path": f"{number}"} for number in range(40)]
    table = pa.table({"image": cells, "n": range(40)})
    pq.write_table(table, tmp_path / "a.parquet", row_group_size=40, compression="none", use_dictionary=False)
    with pa.ipc.new_file(tmp_path / "b.arrow", table.schema) as writer:
        writer.write_table(table)
    sizes = []
    from pipeline_core import tables

    to_rows = tables.rows_of

    def counted(batch, columns):
        sizes.append(batch.num_rows)
        return to_rows(batch, columns)

    monkeypatch.setattr(tables, "rows_of", counted)
    for name in ("a.parquet", "b.arrow"):
        records = list(open_dataset(DatasetRef(path=str(tmp_path / name)), TASK).records(3, 30))
        assert [record.inputs["path"] for record in records] == [str(number) for number in range(3, 30)]
    assert max(sizes[:-1]) <= 3
