"""Whatever holds inputs is taken, in its order, one by one, and nothing is taken before it is asked for."""

import subprocess
import sys
from pathlib import Path

import datasets
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch
from transformers.pipelines.pt_utils import KeyDataset, KeyPairDataset

from pipeline_core.errors import ColumnNotFoundError, InvalidInputError, SpecError
from pipeline_core.inputs import count_inputs, iterate_inputs
from pipeline_core.sources import DatasetRef

TEXTS = ["a", None, "c"]
TABLE = pa.table({"text": TEXTS, "n": [1, 2, 3]})
DATASET = datasets.Dataset.from_dict({"text": TEXTS, "n": [1, 2, 3]})


def untyped_stream():
    return datasets.IterableDataset.from_generator(lambda: iter([{"text": text, "n": 1} for text in TEXTS]))


class Mapped(torch.utils.data.Dataset):
    def __len__(self):
        return len(TEXTS)

    def __getitem__(self, number):
        return TEXTS[number]


class Streamed(torch.utils.data.IterableDataset):
    def __iter__(self):
        return iter(TEXTS)


class Indexed:
    """The old iteration protocol."""

    def __getitem__(self, number):
        return TEXTS[number]


KINDS = {
    "list": (lambda: list(TEXTS), 3),
    "tuple": (lambda: tuple(TEXTS), 3),
    "generator": (lambda: (text for text in TEXTS), None),
    "iterator": (lambda: iter(TEXTS), None),
    "map": (lambda: map({"a": "a", "c": "c"}.get, TEXTS), None),
    "numpy objects": (lambda: np.array(TEXTS, dtype=object), 3),
    "pandas Series": (lambda: pd.Series(TEXTS), 3),
    "pandas Series of objects": (lambda: pd.Series(["a", float("nan"), "c"], dtype=object), 3),
    "pandas Index": (lambda: pd.Index(TEXTS), 3),
    "pandas DataFrame": (lambda: pd.DataFrame({"text": TEXTS, "n": [1, 2, 3]}), 3),
    "Arrow Table": (lambda: TABLE, 3),
    "Arrow RecordBatch": (lambda: TABLE.to_batches()[0], 3),
    "Arrow RecordBatchReader": (lambda: TABLE.to_reader(), None),
    "Arrow Array": (lambda: pa.array(TEXTS), 3),
    "Arrow ChunkedArray": (lambda: TABLE["text"], 3),
    "Dataset": (lambda: DATASET, 3),
    "IterableDataset": (lambda: DATASET.to_iterable_dataset(), None),
    "IterableDataset without features": (untyped_stream, None),
    "column of a Dataset": (lambda: DATASET["text"], 3),
    "column of an IterableDataset": (lambda: DATASET.to_iterable_dataset()["text"], None),
    "KeyDataset": (lambda: KeyDataset(DATASET, "text"), 3),
    "KeyDataset over a list": (lambda: KeyDataset([{"text": text} for text in TEXTS], "text"), 3),
    "KeyDataset over an IterableDataset": (lambda: KeyDataset(DATASET.to_iterable_dataset(), "text"), None),
    "torch Dataset": (Mapped, 3),
    "torch IterableDataset": (Streamed, None),
    "indexable": (Indexed, None),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_gives_its_inputs_in_order_numbered_from_zero(kind):
    make, count = KINDS[kind]
    records = list(iterate_inputs(make()))
    assert [(record.id, record.inputs, record.error) for record in records] == [
        ("0", "a", None),
        ("1", None, None),
        ("2", "c", None),
    ]
    assert count_inputs(make()) == count


@pytest.mark.parametrize(
    "empty",
    [
        [],
        (),
        iter([]),
        np.array([]),
        pd.Series([], dtype=object),
        pd.DataFrame({"text": []}, dtype=object),
        TABLE.slice(0, 0),
        DATASET.select([]),
        DATASET.select([])["text"],
        KeyDataset(DATASET.select([]), "text"),
        KeyDataset([], "text"),
    ],
    ids=lambda empty: type(empty).__name__,
)
def test_what_holds_nothing_gives_nothing(empty):
    assert list(iterate_inputs(empty)) == []


def test_a_range_and_numpy_strings_give_plain_python_values():
    assert [record.inputs for record in iterate_inputs(range(3))] == [0, 1, 2]
    inputs = [record.inputs for record in iterate_inputs(np.array(["a", "b"]))]
    assert inputs == ["a", "b"]
    assert {type(value) for value in inputs} == {str}
    rows = [record.inputs for record in iterate_inputs(np.zeros((2, 3), np.float32))]
    assert [row.shape for row in rows] == [(3,), (3,)]


def test_nothing_is_taken_before_it_is_asked_for_and_no_more_than_asked_for():
    taken = []
    records = iterate_inputs(taken.append(number) or str(number) for number in range(10))
    assert taken == []
    assert next(records).inputs == "0"
    assert taken == [0]

    def rows():
        for number in range(10):
            taken.append(number)
            yield {"text": str(number)}

    taken.clear()
    streams = [
        iterate_inputs(datasets.IterableDataset.from_generator(rows)),
        iterate_inputs(rows(), column="text"),
        iterate_inputs(KeyDataset(datasets.IterableDataset.from_generator(rows), "text")),
    ]
    assert taken == []
    for records in streams:
        next(records)
        assert taken == [0]
        taken.clear()


@pytest.mark.parametrize(
    "table",
    [
        pd.DataFrame({"key": ["x", None], "title": ["a", "b"], "body": ["c", "d"]}),
        pa.table({"key": ["x", None], "title": ["a", "b"], "body": ["c", "d"]}),
        datasets.Dataset.from_dict({"key": ["x", None], "title": ["a", "b"], "body": ["c", "d"]}),
        [{"key": "x", "title": "a", "body": "c"}, {"key": None, "title": "b", "body": "d"}],
    ],
    ids=lambda table: type(table).__name__,
)
def test_tables_and_dicts_give_the_columns_asked_for(table):
    records = list(iterate_inputs(table, column={"text": "title", "text_pair": "body"}, id_column="key"))
    assert [(record.id, record.inputs) for record in records] == [
        ("x", {"text": "a", "text_pair": "c"}),
        ("1", {"text": "b", "text_pair": "d"}),
    ]
    with pytest.raises(ColumnNotFoundError, match="has no column 'tilte'; its columns are key, title, body"):
        list(iterate_inputs(table, column="tilte"))
    if not isinstance(table, list):
        with pytest.raises(ColumnNotFoundError, match="name one"):
            iterate_inputs(table)
        with pytest.raises(ColumnNotFoundError, match="'kye'"):
            iterate_inputs(table, column="title", id_column="kye")


def test_a_tables_column_called_id_names_no_record_unless_it_is_asked_for():
    table = pa.table({"id": ["x", "y"], "text": ["a", "b"]})
    assert [record.id for record in iterate_inputs(table)] == ["0", "1"]
    assert [record.id for record in iterate_inputs(table, id_column="id")] == ["x", "y"]


def test_dicts_are_inputs_of_their_own_without_a_column():
    rows = [{"question": "q", "context": "c"}]
    assert [record.inputs for record in iterate_inputs(rows)] == rows


def test_a_pair_dataset_gives_its_pairs():
    pairs = KeyPairDataset(datasets.Dataset.from_dict({"a": ["1"], "b": ["2"]}), "a", "b")
    assert [record.inputs for record in iterate_inputs(pairs)] == [{"text": "1", "text_pair": "2"}]


def test_a_later_row_that_lacks_the_column_is_a_bad_record():
    records = list(iterate_inputs([{"text": "a"}, {"txt": "b"}, None, "x", {"text": "e"}], column="text"))
    assert [record.inputs for record in records] == ["a", None, None, None, "e"]
    assert [type(record.error) for record in records[1:4]] == [InvalidInputError] * 3
    with pytest.raises(SpecError, match="for tables and rows that are dicts, not for list"):
        list(iterate_inputs(["a"], column="text"))


@pytest.mark.parametrize("single", ["text", b"bytes", {"text": "x"}, Path("x")])
def test_a_single_input_is_refused_with_the_way_to_give_it(single):
    for function in (iterate_inputs, count_inputs):
        with pytest.raises(
            SpecError, match=f"but is one {type(single).__name__} instead; wrap a single input in a list"
        ):
            function(single)


def test_what_cannot_be_iterated_in_an_order_is_refused_by_its_type():
    with pytest.raises(SpecError, match=r"must be a list or another iterable.* but is a int instead"):
        iterate_inputs(3)
    with pytest.raises(SpecError, match="but is a NoneType instead"):
        iterate_inputs(None)
    with pytest.raises(SpecError, match="must come in an order, but a set has none"):
        iterate_inputs({"a"})
    with pytest.raises(SpecError, match="several splits: take one of train, as in inputs\\['train'\\]"):
        iterate_inputs(datasets.DatasetDict(train=DATASET))
    with pytest.raises(SpecError, match="but is a ndarray instead"):
        iterate_inputs(np.array("a"))


def test_a_transform_of_a_dataset_sees_all_its_columns():
    shouting = DATASET.with_transform(
        lambda rows: {"text": [f"{t}{n}" for t, n in zip(rows["text"], rows["n"], strict=True)]}
    )
    assert [record.inputs for record in iterate_inputs(shouting, column="text")] == ["a1", "None2", "c3"]


def test_a_dataset_ref_keeps_its_ids_and_columns(tmp_path):
    (tmp_path / "a.csv").write_text("body,title,n\nx,t,1\ny,u,2\n")
    ref = DatasetRef(path=str(tmp_path / "a.csv"), column="body")
    records = list(iterate_inputs(ref))
    assert [(record.id, record.inputs, record.kept["n"]) for record in records] == [
        ("a.csv:0", "x", 1),
        ("a.csv:1", "y", 2),
    ]
    assert [record.inputs for record in iterate_inputs(ref, column="title")] == ["t", "u"]
    assert count_inputs(ref) == 2
    assert count_inputs(ref.model_copy(update={"where": DatasetRef(path="x.csv", where="n > 1").where})) is None


def test_importing_it_imports_no_package_that_its_inputs_may_come_from():
    code = "import sys, pipeline_core.inputs; print({'pandas', 'datasets', 'torch', 'transformers'} & set(sys.modules))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "set()"
