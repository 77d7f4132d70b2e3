"""Rows in quarantine are answered once what kept them there is mended; all others stay to the byte as they are."""

import csv

import pytest
import transformers
from tiny_models import WORDS

from pipeline_core import DatasetRef, PipelineSpec, infer
from pipeline_core.errors import DatasetChangedError, OutputInUseError, OutputMismatchError
from pipeline_core.pinning import pin
from pipeline_core.replay import Replay, replay_quarantine
from pipeline_core.shard_run import run_shard
from pipeline_core.shards import plan_shards
from pipeline_core.sink import OutputFolder
from pipeline_core.sources import open_dataset

ROWS = 24


@pytest.fixture
def texts():
    return [" ".join(WORDS[(row + word) % len(WORDS)] for word in range(3 + row % 5)) for row in range(ROWS)]


@pytest.fixture
def dataset(tmp_path, texts):
    path = tmp_path / "rows.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["key", "text"])
        writer.writerows([f"r{row:02d}", text] for row, text in enumerate(texts))
    return DatasetRef(path=str(path), id_column="key", column="text")


@pytest.fixture
def spec(build_model):
    return PipelineSpec(task="text-classification", model=build_model("bert"), device="cpu")


@pytest.fixture
def broken(monkeypatch):
    """A model that fails on inputs of eight tokens or more, until it is mended."""
    forward = transformers.BertForSequenceClassification.forward

    def failing(self, input_ids=None, attention_mask=None, **more):
        if int(attention_mask.sum(1).max()) >= 8:
            raise ValueError("broken")
        return forward(self, input_ids=input_ids, attention_mask=attention_mask, **more)

    with monkeypatch.context() as patch:
        patch.setattr(transformers.BertForSequenceClassification, "forward", failing)
        yield patch


def run(dataset, spec, folder, rows_per_shard=8):
    pinned = pin(spec)
    plan = plan_shards(open_dataset(dataset, spec.task), pinned.spec, rows_per_shard, pinned.model)
    with folder.claim() as lease:
        folder.adopt(plan, lease.owner)
        for shard in plan.shards:
            run_shard(shard, plan, pinned.spec, folder, lease.owner)
        folder.commit_run(plan, lease.owner)
    return plan


def test_replayed_rows_are_answered_in_their_places_and_the_others_are_not_inferred_again(
    dataset, spec, texts, broken, tmp_path
):
    folder = OutputFolder(str(tmp_path / "out"))
    plan = run(dataset, spec, folder)
    before, quarantined = folder.table(), folder.quarantine().num_rows
    assert 0 < quarantined < ROWS
    whole = [m for m in folder.manifests(plan) if not m.quarantined]

    seen = []
    broken.undo()
    done = replay_quarantine(folder, on_progress=lambda progress: seen.append(progress.rows))
    assert done == Replay(quarantined, quarantined, True)
    assert folder.quarantine().num_rows == 0
    after = folder.table()
    assert after.column("id").to_pylist() == [f"r{row:02d}" for row in range(ROWS)]
    wanted = [answer.output["label"] for answer in infer(spec, texts)]
    assert after.column("predicted_label").to_pylist() == wanted
    kept = {row["id"]: row for row in before.to_pylist()}
    assert [row for row in after.to_pylist() if row["id"] in kept] == list(kept.values())
    assert all(manifest in folder.manifests(plan) for manifest in whole)
    summary = folder.read_summary()
    assert (summary.rows, summary.quarantined, summary.figures.rows, summary.figures.quarantined) == (ROWS, 0, ROWS, 0)
    assert sum(summary.figures.labels.values()) == ROWS
    assert replay_quarantine(folder) == Replay(0, 0, True)


def test_rows_that_fail_again_stay_in_quarantine_once(dataset, spec, broken, tmp_path):
    folder = OutputFolder(str(tmp_path / "out"))
    run(dataset, spec, folder)
    before = folder.quarantine().to_pylist()
    assert replay_quarantine(folder) == Replay(len(before), 0, True)
    assert folder.quarantine().to_pylist() == before
    assert folder.table().num_rows == ROWS - len(before)


def test_a_shard_in_which_rows_share_an_id_is_inferred_whole(dataset, spec, texts, broken, tmp_path):
    path = tmp_path / "twice.csv"
    path.write_text("key,text\n" + "".join(f"same,{text}\n" for text in texts))
    folder = OutputFolder(str(tmp_path / "out"))
    run(dataset.model_copy(update={"path": str(path)}), spec, folder)
    quarantined = folder.quarantine().num_rows
    broken.undo()
    assert replay_quarantine(folder) == Replay(quarantined, quarantined, True)
    assert folder.table().column("predicted_label").to_pylist() == [a.output["label"] for a in infer(spec, texts)]


def test_a_replay_leaves_a_folder_alone_that_is_not_what_it_was(dataset, spec, broken, tmp_path):
    folder = OutputFolder(str(tmp_path / "out"))
    run(dataset, spec, folder)
    before = folder.quarantine()
    with folder.claim(), pytest.raises(OutputInUseError):
        replay_quarantine(folder)
    rows = tmp_path / "rows.csv"
    rows.write_text(rows.read_text().replace(WORDS[0], WORDS[1]))
    with pytest.raises(DatasetChangedError):
        replay_quarantine(folder)
    assert folder.quarantine().equals(before)


def test_a_replay_by_another_model_is_refused(dataset, spec, broken, tmp_path, build_model):
    import shutil

    model = tmp_path / "model"
    shutil.copytree(build_model("bert"), model)
    folder = OutputFolder(str(tmp_path / "out"))
    run(dataset, spec.model_copy(update={"model": str(model)}), folder)
    config = model / "config.json"
    config.write_text(config.read_text().replace('"a"', '"another"'))
    with pytest.raises(OutputMismatchError, match="the model of output"):
        replay_quarantine(folder)
