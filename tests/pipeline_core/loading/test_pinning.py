"""A pinned model is known by what decides its answers, and by nothing else."""

import os
import shutil

import pytest
import transformers

from pipeline_core import PipelineSpec, load_pipeline, pinning
from pipeline_core.devices import fastest_dtype, resolve_device
from pipeline_core.errors import ModelNotFoundError, SpecError
from pipeline_core.pinning import PinnedSpec, pin

from .conftest import spec_of


def test_a_pinned_folder_is_known_by_its_files_and_not_by_its_place(model, folder):
    pinned = pin(spec_of(model))
    assert pinned.spec.model == model
    assert pinned.model.content.startswith("xxh3:")
    assert pinned.model.revision is None
    assert pin(spec_of(folder)).fingerprint == pinned.fingerprint
    assert pin(spec_of(folder)).model.name == str(folder)


@pytest.mark.parametrize("refuse", [pin, load_pipeline])
def test_a_folder_has_no_revisions(folder, refuse):
    for name in (str(folder), "demo:sentiment"):
        with pytest.raises(SpecError, match="revision is for a model of the Hub"):
            refuse(spec_of(name, revision="main"))


def test_texts_and_hidden_files_of_a_folder_change_no_fingerprint(folder):
    before = pin(spec_of(folder)).fingerprint
    (folder / "README.md").write_text("# Another card")
    (folder / ".cache" / "huggingface").mkdir(parents=True)
    (folder / ".cache" / "huggingface" / "download.metadata").write_text("when it was copied")
    (folder / ".gitattributes").write_text("*.safetensors")
    assert pin(spec_of(folder)).fingerprint == before


@pytest.mark.parametrize(
    "name",
    [
        "runs/events.out.1",
        "checkpoint-5/model.safetensors",
        "checkpoint-5/optimizer.pt",
        "events.out.tfevents.1",
        "optimizer.pt",
        "rng_state_0.pth",
        "scaler.pt",
        "scheduler.pt",
        "trainer_state.json",
        "training_args.bin",
    ],
)
def test_what_a_training_left_changes_no_fingerprint_and_loads_nothing_again(folder, name):
    before, loaded = pin(spec_of(folder)).fingerprint, load_pipeline(spec_of(folder)).model
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_text("x")
    assert pin(spec_of(folder)).fingerprint == before
    assert load_pipeline(spec_of(folder)).model is loaded


def test_the_files_of_the_subfolder_that_is_loaded_are_the_ones_that_count(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "both" / "inner")
    spec = spec_of(tmp_path / "both", model_kwargs={"subfolder": "inner"})
    before = pin(spec).fingerprint
    (tmp_path / "both" / "inner" / "config.json").write_text("{}")
    assert pin(spec).fingerprint != before
    with pytest.raises(ModelNotFoundError, match="no subfolder 'outer'"):
        pin(spec_of(tmp_path / "both", model_kwargs={"subfolder": "outer"}))


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "tokenizer.json"])
def test_one_byte_of_a_folder_changes_its_fingerprint(folder, name):
    before = pin(spec_of(folder)).fingerprint
    content = bytearray((folder / name).read_bytes())
    content[-1] ^= 1
    (folder / name).write_bytes(content)
    os.utime(folder / name, ns=(0, 0))
    assert pin(spec_of(folder)).fingerprint != before


def test_a_file_that_is_renamed_added_or_removed_changes_the_fingerprint(folder):
    seen = {pin(spec_of(folder)).fingerprint}
    (folder / "vocab.txt").write_text("x")
    seen.add(pin(spec_of(folder)).fingerprint)
    (folder / "vocab.txt").rename(folder / "words.txt")
    seen.add(pin(spec_of(folder)).fingerprint)
    assert len(seen) == 3
    (folder / "words.txt").unlink()
    assert pin(spec_of(folder)).fingerprint in seen


def test_another_tokenizers_files_are_part_of_the_fingerprint(model, folder):
    before = pin(spec_of(model, tokenizer=str(folder))).fingerprint
    assert before != pin(spec_of(model)).fingerprint
    (folder / "tokenizer.json").write_text("{}")
    assert pin(spec_of(model, tokenizer=str(folder))).fingerprint != before


@pytest.mark.parametrize(
    ("changes", "same"),
    [({"device": "auto"}, True), ({"token": "hf_b"}, True), ({"parameters": {"top_k": 2}}, False)],
)
def test_a_pinned_fingerprint_changes_as_the_specs_does(model, changes, same):
    assert (pin(spec_of(model, **changes)).fingerprint == pin(spec_of(model)).fingerprint) is same


def test_the_fastest_dtype_is_pinned_by_name(model):
    pinned = pin(spec_of(model, dtype="fastest"))
    assert pinned.spec.dtype == pinned.model.dtype == str(fastest_dtype(resolve_device("cpu"))).removeprefix("torch.")
    assert pinned.fingerprint == pin(spec_of(model, dtype=pinned.spec.dtype)).fingerprint


def test_a_model_of_the_hub_is_pinned_by_its_revision():
    pinned = pin(spec_of("someone/model", revision="abc"))
    assert (pinned.spec.revision, pinned.model.revision, pinned.model.content) == ("abc", "abc", None)
    assert pin(spec_of("someone/model", revision="abd")).fingerprint != pinned.fingerprint


def test_another_tokenizer_of_the_hub_is_loaded_at_the_commit_that_it_is_pinned_to(model, monkeypatch):
    asked = []

    def load(name, revision=None, **_):
        asked.append((name, revision))
        return real(model)

    real = transformers.AutoTokenizer.from_pretrained
    commits = {("someone/tokenizer", None): "c0ffee", ("someone/tokenizer", "c0ffee"): "c0ffee"}
    monkeypatch.setattr(pinning, "_commit", lambda name, revision, spec: commits[name, revision])
    pinned = pin(spec_of(model, tokenizer="someone/tokenizer"))
    assert (pinned.spec.tokenizer, pinned.model.tokenizer) == ("someone/tokenizer@c0ffee", "c0ffee")
    assert pin(pinned.spec) == pinned
    monkeypatch.setattr(transformers.AutoTokenizer, "from_pretrained", load)
    load_pipeline(pinned.spec)
    assert asked == [("someone/tokenizer", "c0ffee")]


def test_a_tokenizer_that_no_hub_can_tell_the_commit_of_keeps_its_name(model):
    pinned = pin(spec_of(model, tokenizer="no-such/tokenizer"))
    assert (pinned.spec.tokenizer, pinned.model.tokenizer) == ("no-such/tokenizer", None)
    assert pin(spec_of(model, tokenizer="no-such/tokenizer@refs/pr/1")).model.tokenizer == "refs/pr/1"


def test_the_tasks_own_model_is_pinned_by_its_name():
    pinned = pin(PipelineSpec(task="sentiment-analysis"))
    assert pinned.spec.model == pinned.model.name == "distilbert/distilbert-base-uncased-finetuned-sst-2-english"


def test_a_pinned_spec_of_a_spec_and_a_record_is_the_same(model):
    pinned = pin(spec_of(model, dtype="fastest"))
    assert PinnedSpec(spec=spec_of(model, dtype="fastest"), model=pinned.model).fingerprint == pinned.fingerprint


@pytest.mark.parametrize(
    ("card", "licence"),
    [
        ("---\nlicense: apache-2.0\ntags: [x]\n---\n# Model", "apache-2.0"),
        ('---\ntags: [x]\nlicense: "mit"  # yes\n---\n', "mit"),
        ("---\nlicense:\n- cc-by-4.0\n---\n", "cc-by-4.0"),
        ("---\nlicense:\ntags: [x]\n---\n", None),
        ("# Model\nlicense: mit\n", None),
        ("---\nlanguage: en\n---\nlicense: mit\n", None),
        (None, None),
    ],
)
def test_the_licence_is_the_one_of_the_cards_front_matter(folder, card, licence):
    if card is not None:
        (folder / "README.md").write_text(card)
    assert pin(spec_of(folder)).model.licence == licence


def test_a_card_that_is_no_text_names_no_licence(folder):
    (folder / "README.md").write_bytes(b"\xff\xfe\x00")
    assert pin(spec_of(folder)).model.licence is None


def test_a_missing_folder_can_not_be_pinned():
    with pytest.raises(ModelNotFoundError):
        pin(spec_of("/no/such/folder"))
