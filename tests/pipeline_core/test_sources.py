"""A dataset is a fixed sequence of rows: every range gives its own rows, and every row comes once."""

import bz2
import csv
import gzip
import io
import json
import lzma
import os
from datetime import UTC, date, datetime
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path

import datasets
import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from huggingface_hub.errors import LocalEntryNotFoundError
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from pipeline_core.errors import (
    ColumnNotFoundError,
    DatasetNotFoundError,
    FormatError,
    InvalidInputError,
    MissingPackageError,
    SpecError,
    SplitNotFoundError,
    is_retryable,
)
from pipeline_core.sources import DatasetRef, open_dataset

ROWS = [
    {"key": f"r{number}", "text": text, "stars": number % 5 + 1, "score": number / 4}
    for number, text in enumerate(["good", 'she said "no"', "two\nlines", "a, b; c", "naïve ☃", "plain", "x"] * 4)
]


def write(path: Path, rows: list[dict], ends: str = "\n") -> Path:
    """Write ``rows`` in the format of the path's suffix, plain text keeping the texts alone."""
    suffixes = path.suffixes
    packed = {".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress}.get(suffixes[-1])
    kind = suffixes[-2] if packed else suffixes[-1]
    if kind == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path, row_group_size=5)
        return path
    if kind == ".arrow":
        with pa.ipc.new_file(path, pa.Table.from_pylist(rows).schema) as writer:
            writer.write_table(pa.Table.from_pylist(rows), max_chunksize=4)
        return path
    if kind == ".csv":
        text = io.StringIO()
        writer = csv.DictWriter(text, list(rows[0]), lineterminator=ends)
        writer.writeheader()
        writer.writerows(rows)
        content = text.getvalue()
    elif kind == ".jsonl":
        content = "".join(json.dumps(row) + ends for row in rows)
    else:
        content = "".join(row["text"].replace("\n", " ") + ends for row in rows)
    path.write_bytes(packed(content.encode()) if packed else content.encode())
    return path


def open_rows(path, **settings):
    return open_dataset(DatasetRef(path=str(path), **settings))


def ids(dataset, start=0, stop=None):
    return [record.id for record in dataset.records(start, stop)]


FORMATS = ["a.parquet", "a.arrow", "a.csv", "a.jsonl", "a.txt", "a.csv.gz", "a.jsonl.xz", "a.txt.bz2"]


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("formats")
    return {name: write(folder / name, ROWS) for name in FORMATS}


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("where", [[], ["stars >= 3"]])
@given(cuts=st.lists(st.integers(0, len(ROWS)), max_size=4), limit=st.none() | st.integers(1, 30))
@settings(max_examples=15, deadline=None)
def test_any_partition_of_the_positions_gives_every_row_once_and_in_order(written, name, where, cuts, limit):
    if name.startswith("a.txt") and where:
        where = ["text != x"]
    dataset = open_rows(written[name], where=where, limit=limit)
    bounds = sorted({0, dataset.rows, *(min(cut, dataset.rows) for cut in cuts)})
    parts = [record for start, stop in pairwise(bounds) for record in dataset.records(start, stop)]
    assert parts == list(dataset.records())
    expected = [
        f"{name}:{number}"
        for number, row in enumerate(ROWS)
        if not where or (row["text"] != "x" if name.startswith("a.txt") else row["stars"] >= 3)
    ][:limit]
    assert [record.id for record in parts] == expected


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_gives_the_texts_and_types_that_were_written(written, name):
    dataset = open_rows(written[name])
    records = list(dataset.records())
    is_plain_text = name.startswith("a.txt")
    assert [record.inputs for record in records] == [
        row["text"].replace("\n", " ") if is_plain_text else row["text"] for row in ROWS
    ]
    if is_plain_text:
        assert dataset.kept_schema.names == []
        return
    assert dataset.kept_schema == pa.schema([("key", pa.string()), ("stars", pa.int64()), ("score", pa.float64())])
    kept = [{key: row[key] for key in ("key", "stars", "score")} for row in ROWS]
    assert [record.kept for record in records] == kept
    pa.Table.from_pylist([dict(record.kept) for record in records], schema=dataset.kept_schema)


@pytest.mark.parametrize("name", ["big.csv", "big.jsonl", "big.txt", "big.csv.gz"])
def test_ranges_beyond_the_first_index_entry_start_at_the_right_row(tmp_path, name):
    rows = [{"text": f"row\n{number}", "n": number} for number in range(2500)]
    dataset = open_rows(write(tmp_path / name, rows))
    assert dataset.rows == 2500
    for start, stop in [(0, 2), (999, 1001), (1000, 1000), (2000, 2003), (2499, 2600)]:
        texts = [record.inputs.split()[1] for record in dataset.records(start, stop)]
        assert texts == [str(number) for number in range(start, min(stop, 2500))]


@pytest.mark.parametrize("name", ["w.csv", "w.jsonl", "w.txt"])
def test_windows_line_ends_a_byte_order_mark_and_blank_lines_at_the_end_are_no_part_of_the_rows(tmp_path, name):
    plain = open_rows(write(tmp_path / name, ROWS))
    path = write(tmp_path / f"win-{name}", ROWS, ends="\r\n")
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes() + b"\r\n  \r\n\r\n")
    windows = open_rows(path)
    assert windows.rows == plain.rows == len(ROWS)
    assert [record.inputs for record in windows.records()] == [record.inputs for record in plain.records()]
    assert windows.kept_schema == plain.kept_schema


def test_text_without_an_end_of_line_at_its_end_has_its_last_row(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("one\n\nthree")
    assert [record.inputs for record in open_rows(path).records()] == ["one", "", "three"]


def test_a_json_line_that_cannot_be_read_is_one_bad_record_and_stops_nothing(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_bytes(
        b'{"text": "a"}\n{"text": \n[1]\n{"text": "\xff"}\n'
        b'{"text": "\\ud800"}\n\n{"text": null}\n{"n": 1}\n{"text": " "}\n'
    )
    records = list(open_rows(path, keep_columns=[]).records())
    assert [record.id for record in records] == [f"a.jsonl:{number}" for number in range(8)]
    assert [type(record.error) for record in records] == [type(None)] + [InvalidInputError] * 4 + [type(None)] * 3
    assert [record.inputs for record in records if record.error is None] == ["a", None, None, " "]
    assert "must be a JSON object, but is a list instead" in str(records[2].error)


def test_a_csv_row_that_cannot_be_read_is_one_bad_record_and_stops_nothing(tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes(b'text,n\na,1\nb\nc,2,3\n\xff,4\n"never closed,5\nd,6\n"e\r\nf",7\n,8\n')
    dataset = open_rows(path)
    records = list(dataset.records())
    assert [record.inputs for record in records if record.error is None] == ["a", "d", "e\r\nf", None]
    assert [str(record.error) for record in records if record.error] == [
        "the row has 1 fields, but the header has 2",
        "the row has 3 fields, but the header has 2",
        "the row is not UTF-8: 'utf-8' codec can't decode byte 0xff in position 0: invalid start byte",
        "a quote that the row opens is not closed, or not within 16 MiB",
    ]
    assert [record.id for record in records] == [f"a.csv:{number}" for number in range(8)]
    assert [record.kept for record in records if not record.error] == [{"n": 1}, {"n": 6}, {"n": 7}, {"n": 8}]
    for start in range(8):
        assert ids(dataset, start, start + 1) == [f"a.csv:{start}"]


def test_a_bad_row_is_given_whatever_the_condition_and_counts_towards_the_limit(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "a", "n": 1}\nbroken\n{"text": "b", "n": 5}\n{"text": "c", "n": 6}\n')
    assert ids(open_rows(path, where="n > 4")) == ["a.jsonl:1", "a.jsonl:2", "a.jsonl:3"]
    assert ids(open_rows(path, where="n > 4", limit=2)) == ["a.jsonl:1", "a.jsonl:2"]


def test_bytes_in_parquet_that_are_no_text_are_one_bad_record(tmp_path):
    raw = pa.array([b"a", b"\xff\xfe", b"c"], pa.binary())
    texts = pa.StringArray.from_buffers(3, raw.buffers()[1], raw.buffers()[2])
    pq.write_table(pa.table({"text": texts}), tmp_path / "a.parquet")
    records = list(open_rows(tmp_path / "a.parquet").records())
    assert [record.inputs for record in records] == ["a", None, "c"]
    assert isinstance(records[1].error, InvalidInputError)


def test_csv_inputs_and_ids_stay_as_written_and_other_columns_get_the_type_of_all_their_cells(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("key;text;zip;n;x;flag;none\n007;1;01234;1;1;true;\n8;2.50;99999;-2;2.5;FALSE;\n;x;1;;;;\n")
    dataset = open_rows(path, id_column="key")
    records = list(dataset.records())
    assert [record.id for record in records] == ["007", "8", "a.csv:2"]
    assert [record.inputs for record in records] == ["1", "2.50", "x"]
    assert [str(kind) for kind in dataset.kept_schema.types] == ["string", "int64", "double", "bool", "string"]
    assert records[0].kept == {"zip": "01234", "n": 1, "x": 1.0, "flag": True, "none": None}
    assert records[2].kept == {"zip": "1", "n": None, "x": None, "flag": None, "none": None}


def test_json_columns_of_several_or_nested_types_are_kept_as_json_text(tmp_path):
    rows = [
        {"text": "a", "mixed": 1, "number": 1, "nested": {"k": ["ü"]}, "huge": 2**70, "empty": None},
        {"text": "b", "mixed": "1", "number": 0.5, "late": True},
    ]
    dataset = open_rows(write(tmp_path / "a.jsonl", rows), column="text")
    assert dataset.kept_schema.names == ["mixed", "number", "huge", "empty", "late"]
    assert [str(kind) for kind in dataset.kept_schema.types] == ["string", "double", "string", "string", "bool"]
    first, second = dataset.records()
    assert first.kept == {"mixed": "1", "number": 1.0, "huge": str(2**70), "empty": None, "late": None}
    assert second.kept == {"mixed": '"1"', "number": 0.5, "huge": None, "empty": None, "late": True}
    nested = open_rows(tmp_path / "a.jsonl", keep_columns=["nested"], column={"question": "text", "table": "nested"})
    record = next(nested.records())
    assert record.kept == {"nested": '{"k": ["ü"]}'}
    assert record.inputs == {"question": "a", "table": {"k": ["ü"]}}


def test_parquet_rows_are_read_without_the_row_groups_before_them(tmp_path):
    table = pa.table({"text": [f"row {number}" for number in range(3000)]})
    path = tmp_path / "a.parquet"
    pq.write_table(table, path, row_group_size=1000, use_dictionary=False, compression="none")
    content = bytearray(path.read_bytes())
    first = pq.read_metadata(path).row_group(0).column(0)
    content[first.data_page_offset : first.data_page_offset + first.total_compressed_size] = bytes(
        first.total_compressed_size
    )
    path.write_bytes(content)
    dataset = open_rows(path)
    assert [record.inputs for record in dataset.records(1999, 2001)] == ["row 1999", "row 2000"]
    with pytest.raises(OSError, match=r".+"):
        list(dataset.records(0, 1))


def test_arrow_streams_and_dictionary_columns_are_read_as_values(tmp_path):
    table = pa.table({"text": pa.array(["a", "b", "a"]).dictionary_encode(), "kind": pa.array([1, 2, 3], pa.int8())})
    with pa.ipc.new_stream(tmp_path / "a.arrow", table.schema) as writer:
        writer.write_table(table, max_chunksize=2)
    dataset = open_rows(tmp_path / "a.arrow")
    assert [record.inputs for record in dataset.records(1, 3)] == ["b", "a"]
    assert dataset.kept_schema == pa.schema([("kind", pa.int8())])


def test_only_plain_scalar_columns_are_kept_unless_named(tmp_path):
    table = pa.table(
        {
            "text": ["a"],
            "day": [date(2024, 1, 2)],
            "at": [datetime(2024, 1, 2, 3)],
            "tags": [["x"]],
            "raw": [b"x"],
            "label": [1],
        }
    )
    pq.write_table(table, tmp_path / "a.parquet")
    assert open_rows(tmp_path / "a.parquet").kept_schema.names == ["day", "at", "label"]
    named = open_rows(tmp_path / "a.parquet", keep_columns=["tags", "text"])
    assert next(named.records()).kept == {"tags": ["x"], "text": "a"}


def test_files_come_in_name_order_and_adding_one_moves_no_id(tmp_path):
    write(tmp_path / "b.jsonl", ROWS[:2])
    write(tmp_path / "d.jsonl", ROWS[2:4])
    before = ids(open_rows(tmp_path))
    assert before == ["b.jsonl:0", "b.jsonl:1", "d.jsonl:0", "d.jsonl:1"]
    (tmp_path / "c").mkdir()
    write(tmp_path / "c" / "x.jsonl", ROWS[4:5])
    assert ids(open_rows(tmp_path)) == [*before[:2], "c/x.jsonl:0", *before[2:]]
    assert ids(open_rows(tmp_path / "*.jsonl")) == before
    assert ids(open_rows(tmp_path / "**" / "*.jsonl")) == ids(open_rows(tmp_path))


def test_where_and_limit_change_no_id(written):
    dataset = open_rows(written["a.csv"], where=["stars in [2, 3]", "text is not null"], limit=3)
    assert ids(dataset) == ["a.csv:1", "a.csv:2", "a.csv:6"]
    assert dataset.rows == 7
    assert open_rows(written["a.csv"], limit=4).rows == 4
    assert open_rows(written["a.csv"], where="stars == 99", limit=4).rows == len(ROWS)


def test_columns_of_several_files_get_one_type(tmp_path):
    write(tmp_path / "a.jsonl", [{"text": "a", "n": 1, "m": 1, "gone": None}])
    write(tmp_path / "b.jsonl", [{"text": "b", "n": 0.5, "m": "x", "new": True, "gone": 3}])
    dataset = open_rows(tmp_path)
    assert [str(kind) for kind in dataset.kept_schema.types] == ["double", "string", "int64", "bool"]
    assert [dict(record.kept) for record in dataset.records()] == [
        {"n": 1.0, "m": "1", "gone": None, "new": None},
        {"n": 0.5, "m": '"x"', "gone": 3, "new": True},
    ]


def test_parquet_files_of_types_that_nothing_can_hold_are_refused_by_name(tmp_path):
    write(tmp_path / "a.parquet", [{"text": "a", "n": 1}])
    write(tmp_path / "b.parquet", [{"text": "b", "n": "x"}])
    with pytest.raises(FormatError, match=r"column 'n' is int64 in one file and string in 'b\.parquet'"):
        open_rows(tmp_path)
    assert len(ids(open_rows(tmp_path, keep_columns=[]))) == 2


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("n >= 2", ["2", "3"]),
        ("n != 2", ["1", "3"]),
        ("n in [1, 3]", ["1", "3"]),
        ("n not in (1, 3)", ["2"]),
        ("lang == 'en'", ["1"]),
        ("lang == en", ["1"]),
        ('"two words" == true', ["1", "4"]),
        ("lang is null", ["3"]),
        ("n is  not null", ["1", "2", "3"]),
        ("day > 2024-01-02", ["3", "4"]),
        ({"column": "n", "op": "<", "value": 2}, ["1"]),
        (["n > 1", "lang is not null"], ["2"]),
    ],
)
def test_a_condition_takes_the_rows_that_meet_it_and_no_null(tmp_path, condition, expected):
    table = pa.table(
        {
            "text": ["1", "2", "3", "4"],
            "n": [1, 2, 3, None],
            "lang": ["en", "fr", None, "de"],
            "two words": [True, False, None, True],
            "day": [date(2024, 1, day) for day in (1, 2, 3, 4)],
        }
    )
    pq.write_table(table, tmp_path / "a.parquet")
    dataset = open_rows(tmp_path / "a.parquet", column="text", where=condition)
    assert [record.inputs for record in dataset.records()] == expected


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        ("stars", "a condition is written COLUMN OP VALUE"),
        ("stars = 4", "a condition is written COLUMN OP VALUE"),
        ("stars > 4 and lang == en", "is not one value"),
        ("stars >", "is not one value"),
        ("stars in 4", "takes a list of values, but has 4 instead"),
        ("stars == null", "takes a number, a boolean or a string, but has None instead"),
        ("stars is null 3", "takes no value, but has 3 instead"),
        ("stars == __import__('os')", "is not one value"),
    ],
)
def test_a_condition_that_is_not_one_is_refused_when_written(condition, message):
    with pytest.raises(ValidationError, match=message):
        DatasetRef(path="x.csv", where=condition)


def test_a_condition_that_cannot_be_asked_of_its_column_is_refused_when_opened(written):
    with pytest.raises(SpecError, match=r"column 'stars' holds int64, which can't be compared in \"stars == 'five'\""):
        open_rows(written["a.csv"], where="stars == five")
    with pytest.raises(ColumnNotFoundError, match="has no column 'starz'"):
        open_rows(written["a.csv"], where="starz == 5")


def test_moments_are_compared_in_utc_where_the_column_has_a_zone(tmp_path):
    at = [datetime(2024, 1, 2, hour, tzinfo=UTC) for hour in (1, 2, 3)]
    table = pa.table({"text": ["1", "2", "3"], "at": at, "naive": [moment.replace(tzinfo=None) for moment in at]})
    pq.write_table(table, tmp_path / "a.parquet")
    for condition in ("at >= 2024-01-02T02:00", "at >= '2024-01-02T04:00+02:00'", "naive >= '2024-01-02 02:00:00'"):
        dataset = open_rows(tmp_path / "a.parquet", where=condition)
        assert [record.inputs for record in dataset.records()] == ["2", "3"]
    with pytest.raises(SpecError, match="column 'naive' holds timestamp"):
        open_rows(tmp_path / "a.parquet", where="naive > '2024-01-02T04:00+02:00'")


def test_a_plain_string_stands_for_a_path_and_building_a_ref_reads_nothing():
    assert DatasetRef.model_validate("demo:reviews") == DatasetRef(path="demo:reviews")
    assert DatasetRef(path="/no/such.csv").where == []
    round_trip = DatasetRef(path="x.csv", where="a in [1, 2]", column={"text": "b"})
    assert DatasetRef.model_validate_json(round_trip.model_dump_json()) == round_trip
    for wrong in ({"limit": 0}, {"limits": 3}, {"format": "xml"}, {"column": ""}):
        with pytest.raises(ValidationError):
            DatasetRef(path="x.csv", **wrong)


def test_the_column_is_found_or_the_error_names_those_there_are(tmp_path):
    only = write(tmp_path / "only.jsonl", [{"key": "1", "body": "x", "n": 1}])
    assert open_rows(only, id_column="key").ref.column == "body"
    with pytest.raises(ColumnNotFoundError, match="has no single text column: name one; its columns are key, body, n"):
        open_rows(only)
    for setting in ({"column": "bdy"}, {"id_column": "bdy"}, {"keep_columns": ["bdy"]}, {"column": {"text": "bdy"}}):
        with pytest.raises(ColumnNotFoundError, match="has no column 'bdy'; its columns are key, body, n"):
            open_rows(only, **{"column": "body", **setting})


@pytest.mark.parametrize("name", ["a.parquet", "a.csv", "a.jsonl"])
@pytest.mark.parametrize(("values", "expected"), [(["x", "y"], ["x", "y"]), ([7, 8], ["7", "8"])])
def test_a_column_called_id_names_the_rows_unless_another_does(tmp_path, name, values, expected):
    path = write(tmp_path / name, [{"id": value, "body": "b", "k": f"k{value}"} for value in values])
    dataset = open_rows(path, column="body")
    assert ids(dataset) == expected
    assert (dataset.ref.id_column, dataset.kept_schema.names) == ("id", ["k"])
    assert ids(open_rows(path, column="body", keep_columns=[])) == expected
    assert ids(open_rows(path, column="body", id_column="k")) == [f"k{value}" for value in values]
    assert ids(open_rows(path, column={"text": "body", "text_pair": "id"})) == [f"{name}:0", f"{name}:1"]


def test_a_column_called_id_of_other_values_names_no_row_and_an_empty_cell_neither(tmp_path):
    for values in ([0.5, 1.5], [True, False], [1, "x"], [["x"], ["y"]]):
        path = write(tmp_path / "a.jsonl", [{"id": value, "text": "b"} for value in values])
        os.utime(path, ns=(len(str(values)), 1))
        assert ids(open_rows(path)) == ["a.jsonl:0", "a.jsonl:1"]
    write(tmp_path / "b.jsonl", [{"id": "x", "text": "b"}, {"id": None, "text": "b"}, {"text": "b"}])
    assert ids(open_rows(tmp_path / "b.jsonl")) == ["x", "b.jsonl:1", "b.jsonl:2"]


def test_files_with_and_without_ids_and_of_other_types_are_one_dataset(tmp_path):
    write(tmp_path / "a.parquet", [{"id": 1, "text": "a"}])
    write(tmp_path / "b.parquet", [{"id": "x", "text": "b"}])
    write(tmp_path / "c.parquet", [{"text": "c"}])
    assert ids(open_rows(tmp_path)) == ["1", "x", "c.parquet:0"]


def test_the_only_text_beside_the_ids_is_the_input_and_ids_alone_are(tmp_path):
    assert open_rows(write(tmp_path / "a.csv", [{"id": "x", "body": "b"}])).ref.column == "body"
    alone = open_rows(write(tmp_path / "b.csv", [{"id": "x", "n": 1}]))
    assert (alone.ref.column, alone.ref.id_column, ids(alone)) == ("id", None, ["b.csv:0"])


@pytest.mark.parametrize("name", FORMATS)
def test_the_fingerprint_of_an_open_dataset_follows_its_file(tmp_path, name):
    dataset = open_rows(write(tmp_path / name, ROWS))
    before = dataset.fingerprint(0, 5)
    assert dataset.fingerprint(0, 5) == before
    write(tmp_path / name, ROWS[1:])
    assert dataset.fingerprint(0, 5) != before


def test_splits_are_told_by_file_and_folder_names(tmp_path):
    for name in ("train-00000.csv", "test.csv", "dev_1.csv", "extra/more.csv", "extra/trainer.csv"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        write(tmp_path / name, ROWS[:1])
    assert ids(open_rows(tmp_path, split="train")) == ["train-00000.csv:0"]
    assert ids(open_rows(tmp_path, split="dev")) == ["dev_1.csv:0"]
    assert ids(open_rows(tmp_path, split="extra")) == ["extra/more.csv:0", "extra/trainer.csv:0"]
    assert open_rows(tmp_path).rows == 5
    with pytest.raises(SplitNotFoundError, match="no split 'valid'; it has dev, extra, more, test, train, trainer"):
        open_rows(tmp_path, split="valid")


def test_a_folder_passes_over_hidden_names_and_refuses_mixed_formats(tmp_path):
    write(tmp_path / "part-0.parquet", ROWS)
    (tmp_path / "_quarantine").mkdir()
    write(tmp_path / "_quarantine" / "part-0.parquet", [{"other": 1}])
    (tmp_path / "_run.json").write_text("{}")
    (tmp_path / "README.md").write_text("#")
    assert open_rows(tmp_path).rows == len(ROWS)
    write(tmp_path / "more.csv", ROWS)
    with pytest.raises(FormatError, match="several formats: csv, parquet; set format"):
        open_rows(tmp_path)
    assert ids(open_rows(tmp_path, format="csv", limit=1)) == ["more.csv:0"]


def test_what_is_not_there_is_said_with_what_is(tmp_path):
    for number in range(12):
        write(tmp_path / f"f{number:02}.txt", ROWS[:1])
    with pytest.raises(DatasetNotFoundError, match=r"g\.txt' is not there; .* has f00\.txt, .*, f09\.txt and 2 more"):
        open_rows(tmp_path / "g.txt")
    with pytest.raises(DatasetNotFoundError, match="nor is its folder"):
        open_rows(tmp_path / "no" / "such.csv")
    with pytest.raises(DatasetNotFoundError, match="matches no file"):
        open_rows(tmp_path / "*.csv")
    (tmp_path / "e").mkdir()
    with pytest.raises(DatasetNotFoundError, match=r"folder without files; accepted are \.parquet"):
        open_rows(tmp_path / "e")
    (tmp_path / "e" / "a.xml").write_text("x")
    with pytest.raises(DatasetNotFoundError, match=r"no file of an accepted format \(\.parquet.*it has a\.xml"):
        open_rows(tmp_path / "e")
    with pytest.raises(DatasetNotFoundError, match="'demo:reviews' is"):
        open_rows("demo:other")


def test_a_file_that_is_not_what_its_name_says_is_a_format_error(tmp_path):
    for name, message in {
        "a.xml": r"ends like no accepted format \(\.parquet",
        "a.parquet.gz": "ends like no accepted format",
        "a.parquet": "is not a parquet file",
        "a.arrow": "neither an Arrow file nor an Arrow stream",
        "a.csv.gz": "can't be decompressed",
        "a.jsonl.xz": "can't be decompressed",
    }.items():
        (tmp_path / name).write_bytes(b"no such thing")
        with pytest.raises(FormatError, match=message):
            open_rows(tmp_path / name)
    (tmp_path / "twice.csv").write_text("text,text\na,b\n")
    with pytest.raises(FormatError, match=r"twice\.csv': the CSV header names 'text' more than once"):
        open_rows(tmp_path / "twice.csv")
    for name in ("e.parquet", "e.arrow"):
        (tmp_path / name).write_bytes(b"")
        with pytest.raises(FormatError):
            open_rows(tmp_path / name)


def test_a_compression_or_file_system_that_is_not_installed_is_named(tmp_path):
    if find_spec("s3fs") is None:
        with pytest.raises(MissingPackageError, match=r"'s3fs'.*pipeline-flows\[s3\]"):
            open_rows("s3://bucket/a.csv")
    (tmp_path / "a.csv.zst").write_bytes(b"x")
    if "zstd" not in fsspec.compression.compr:
        with pytest.raises(MissingPackageError, match="pip install zstandard"):
            open_rows(tmp_path / "a.csv.zst")


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a.txt"])
def test_an_empty_file_is_a_dataset_without_rows(tmp_path, name):
    (tmp_path / name).write_bytes(b"")
    dataset = open_rows(tmp_path / name, limit=3)
    assert (dataset.rows, list(dataset.records())) == (0, [])
    assert len(dataset.fingerprint()) == 32


@pytest.mark.parametrize("name", FORMATS)
def test_a_remote_file_is_read_like_a_local_one(written, name):
    fs = fsspec.filesystem("memory")
    fs.pipe(f"/remote/{name}", written[name].read_bytes())
    local, remote = open_rows(written[name]), open_rows(f"memory://remote/{name}")
    both = zip(remote.records(3), remote.records(3), strict=True)
    assert [(a, b) for a, b in both] == [(record, record) for record in local.records(3)]
    before = remote.fingerprint(0, 5)
    fs.pipe(f"/remote/{name}", write(written[name].parent / f"b{name}", ROWS[1:]).read_bytes())
    assert open_rows(f"memory://remote/{name}").fingerprint(0, 5) != before


@pytest.mark.parametrize("name", FORMATS)
def test_the_fingerprint_changes_with_the_content_the_range_and_the_columns_in_use(tmp_path, name):
    path = write(tmp_path / name, ROWS)
    dataset = open_rows(path)
    fingerprints = {dataset.fingerprint(0, 5), dataset.fingerprint(5, 10), dataset.fingerprint()}
    assert len(fingerprints) == 3
    assert open_rows(path).fingerprint(0, 5) == dataset.fingerprint(0, 5)
    others = [] if name.startswith("a.txt") else [{"id_column": "key"}, {"column": "key"}, {"keep_columns": []}]
    for settings_ in [*others, {"where": "text != x"}]:
        assert open_rows(path, **settings_).fingerprint(0, 5) not in fingerprints
    write(path, [*ROWS[:-1], {**ROWS[-1], "text": "y"}])
    os.utime(path, ns=(1, 1))
    assert open_rows(path).fingerprint(0, 5) not in fingerprints


def test_a_file_beside_changes_no_fingerprint_of_other_rows(tmp_path):
    write(tmp_path / "a.csv", ROWS)
    write(tmp_path / "b.csv", ROWS)
    before = [open_rows(tmp_path).fingerprint(0, 5), open_rows(tmp_path).fingerprint(len(ROWS), len(ROWS) + 5)]
    write(tmp_path / "b.csv", ROWS[1:])
    os.utime(tmp_path / "b.csv", ns=(1, 1))
    after = [open_rows(tmp_path).fingerprint(0, 5), open_rows(tmp_path).fingerprint(len(ROWS), len(ROWS) + 5)]
    assert before[0] == after[0]
    assert before[1] != after[1]


def test_settings_for_another_kind_of_dataset_are_refused(written):
    with pytest.raises(SpecError, match="revision is not for files"):
        open_rows(written["a.csv"], revision="main")
    with pytest.raises(SpecError, match="format is not for a Hub dataset"):
        open_rows("org/name", format="csv")


def test_a_hub_dataset_that_cannot_be_found_is_said_to_be_neither_here_nor_there(monkeypatch):
    def offline(*_, **__):
        raise ConnectionError("Couldn't reach 'org/name' on the Hub")

    monkeypatch.setattr(datasets, "load_dataset", offline)
    monkeypatch.setattr(datasets, "get_dataset_split_names", offline)
    with pytest.raises(DatasetNotFoundError, match=r"no such file or folder here, and the Hub can't be reached"):
        open_rows("org/name")

    def missing(*_, **__):
        raise datasets.exceptions.DatasetNotFoundError("Dataset 'org/name' doesn't exist on the Hub")

    monkeypatch.setattr(datasets, "load_dataset", missing)
    with pytest.raises(DatasetNotFoundError, match=r"no such file or folder here, and none on the Hub"):
        open_rows("org/name", split="train")


@pytest.mark.parametrize(
    ("error", "offline", "retryable"),
    [
        (ConnectionError("Couldn't reach it"), False, True),
        (LocalEntryNotFoundError("Couldn't connect"), False, True),
        (ConnectionError("Couldn't reach it"), True, False),
        (ValueError("broken"), False, False),
    ],
)
def test_a_hub_that_cannot_be_reached_is_worth_another_try_unless_offline(monkeypatch, error, offline, retryable):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr(datasets, "get_dataset_split_names", fail)
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", offline)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    with pytest.raises(DatasetNotFoundError) as refused:
        open_rows("org/name")
    assert is_retryable(refused.value) is retryable


@pytest.fixture
def hub(monkeypatch):
    """A Hub of one dataset with two splits."""
    table = datasets.Dataset.from_list(ROWS)

    def load_dataset(path, name=None, split=None, revision=None, streaming=False):
        if split not in ("train", "test"):
            raise ValueError(f"Unknown split \"{split}\". Should be one of ['train', 'test'].")
        return table.to_iterable_dataset() if streaming else table

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    monkeypatch.setattr(datasets, "get_dataset_split_names", lambda *_, **__: ["train", "test"])


@pytest.mark.parametrize("streaming", [False, True])
def test_hub_rows_are_numbered_and_every_range_gives_its_own(hub, streaming):
    dataset = open_rows("org/name", split="train", streaming=streaming, where="stars > 2")
    expected = [str(number) for number, row in enumerate(ROWS) if row["stars"] > 2]
    assert dataset.rows == len(ROWS)
    assert ids(dataset) == expected == ids(dataset, 0, 11) + ids(dataset, 11, 12) + ids(dataset, 12)
    assert dataset.kept_schema.names == ["key", "stars", "score"]
    assert dataset.fingerprint(0, 5) != dataset.fingerprint(5, 10)
    assert (
        dataset.fingerprint()
        == open_rows("org/name", split="train", streaming=streaming, where="stars > 2").fingerprint()
    )


def test_a_hub_split_must_be_one_of_those_there_are(hub):
    with pytest.raises(SplitNotFoundError, match="has no split 'valid'; it has test, train"):
        open_rows("org/name", split="valid")
    with pytest.raises(SplitNotFoundError, match="has several splits: name one of test, train"):
        open_rows("org/name")


def test_the_demo_has_its_own_ids():
    dataset = open_dataset("demo:reviews")
    records = list(dataset.records())
    assert dataset.ref.column == "text"
    assert dataset.ref.id_column == "id"
    assert len({record.id for record in records}) == len(records) == dataset.rows > 0
    assert dataset.kept_schema.field("label").type == pa.int64()
    assert all(record.error is None and record.inputs for record in records)
