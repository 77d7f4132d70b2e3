"""What runs of a deployment may touch: nothing outside the roots, no remote code, no pickles, unless allowed."""

import pytest

from pipeline_core import DatasetRef, PipelineSpec
from pipeline_core.access import AccessPolicy
from pipeline_core.errors import AccessRefusedError, SpecError
from pipeline_core.manifest import OutputRef


def spec(task="text-classification", **settings):
    return PipelineSpec(**{"task": task, "model": "demo:sentiment", **settings})


@pytest.fixture
def root(tmp_path):
    (tmp_path / "root" / "in").mkdir(parents=True)
    (tmp_path / "outside").mkdir()
    (tmp_path / "root" / "leads-out").symlink_to(tmp_path / "outside")
    return tmp_path / "root"


def check(root, dataset="demo:reviews", output=None, allow="", media_root=None, **settings):
    policy = AccessPolicy.from_environment(
        {"PIPELINE_FLOWS_DATA_ROOTS": f"{root}, s3://bucket/inference", "PIPELINE_FLOWS_ALLOW": allow}
    )
    policy.check(
        DatasetRef(path=dataset, media_root=media_root), OutputRef(path=output or str(root / "out")), spec(**settings)
    )


@pytest.mark.parametrize("dataset", ["demo:reviews", "stanfordnlp/imdb", "imdb", "s3://bucket/inference/a.csv"])
def test_what_is_bundled_on_the_hub_or_below_a_root_may_be_named(root, dataset):
    check(root, dataset=dataset)
    check(root, dataset=f"{root}/in/*.parquet", output="s3://bucket/inference/out")
    check(root, model="distilbert/distilbert-base-uncased", tokenizer="someone/tokenizer@main")
    check(root, model=str(root / "in"))


def test_rows_may_name_media_below_a_root_alone(root):
    check(root, media_root=str(root / "in"))
    for folder in ("/", str(root.parent / "outside"), str(root / "leads-out"), "https://example.com/photos"):
        with pytest.raises(AccessRefusedError, match="media_root"):
            check(root, media_root=folder)


@pytest.mark.parametrize(
    "path",
    [
        "/etc/passwd",
        "{root}/../outside/a.csv",
        "{root}/*/../../outside/a.csv",
        "{root}/leads-out/a.csv",
        "{root}-of-another/a.csv",
        "~/a.csv",
        "./a.csv",
        "file:///etc/passwd",
        "file://{root}/../outside/a.csv",
        "zip://a.csv::/etc/all.zip",
        "simplecache::file:///etc/passwd",
        "https://example.com/a.csv",
        "s3://bucket/inference-of-another/a.csv",
        "s3://bucket/inference/../secret/a.csv",
        "s3://bucket/a.csv",
    ],
)
def test_a_path_outside_the_roots_is_refused_however_it_is_spelled(root, path):
    path = path.replace("{root}", str(root))
    with pytest.raises(AccessRefusedError, match="PIPELINE_FLOWS_DATA_ROOTS"):
        check(root, dataset=path)
    with pytest.raises(AccessRefusedError, match="output may not be"):
        check(root, output=path)


def test_without_roots_a_path_is_refused_and_the_message_names_the_setting():
    policy = AccessPolicy.from_environment({})
    with pytest.raises(AccessRefusedError, match="PIPELINE_FLOWS_DATA_ROOTS, which is not set"):
        policy.check(DatasetRef(path="demo:reviews"), OutputRef(path="/data/out"), spec())


@pytest.mark.parametrize(
    "settings",
    [
        {"trust_remote_code": True},
        {"attn_implementation": "kernels-community/flash-attn"},
        {"model_kwargs": {"trust_remote_code_of": {"trust_remote_code": True}}},
        {"task": "text-generation", "parameters": {"generate_kwargs": {"custom_generate": "someone/loop"}}},
    ],
)
def test_code_from_elsewhere_is_refused_unless_it_is_allowed(root, settings):
    with pytest.raises(AccessRefusedError, match="PIPELINE_FLOWS_ALLOW=remote-code"):
        check(root, **settings)
    check(root, allow="remote-code", **settings)


@pytest.mark.parametrize(
    "model_kwargs", [{"use_safetensors": False}, {"weights_only": False}, {"use_safetensors": None}]
)
def test_weights_that_are_pickles_are_refused_unless_they_are_allowed(root, model_kwargs):
    with pytest.raises(AccessRefusedError, match="PIPELINE_FLOWS_ALLOW=unsafe-weights"):
        check(root, model_kwargs=model_kwargs)
    check(root, allow="remote-code, unsafe-weights", model_kwargs=model_kwargs)


def test_a_pickle_that_is_loaded_by_its_name_is_refused_unless_it_is_allowed(root):
    def policy(allow):
        return AccessPolicy.from_environment({"PIPELINE_FLOWS_DATA_ROOTS": str(root), "PIPELINE_FLOWS_ALLOW": allow})

    for name in ("someone/voices", str(root / "in")):
        policy("unsafe-weights").check_pickles("diarizer", name)
        with pytest.raises(AccessRefusedError, match="PIPELINE_FLOWS_ALLOW=unsafe-weights"):
            policy("remote-code").check_pickles("diarizer", name)
    with pytest.raises(AccessRefusedError, match="PIPELINE_FLOWS_DATA_ROOTS"):
        policy("unsafe-weights").check_pickles("diarizer", str(root.parent / "outside"))


def test_media_may_come_from_below_the_roots_alone(root):
    policy = AccessPolicy(roots=(str(root),))
    for media_root, is_allowed in ((str(root / "in"), True), (str(root / "leads-out"), False)):
        dataset = DatasetRef(path="demo:reviews", media_root=media_root)
        if is_allowed:
            policy.check(dataset, OutputRef(path=str(root / "out")), spec())
        else:
            with pytest.raises(AccessRefusedError, match="media_root"):
                policy.check(dataset, OutputRef(path=str(root / "out")), spec())


def test_models_tokenizers_and_loading_options_name_no_path_outside_either(root):
    for settings in ({"model": "/outside"}, {"tokenizer": "/outside"}, {"model_kwargs": {"cache_dir": "/outside"}}):
        with pytest.raises(AccessRefusedError, match="/outside"):
            check(root, **settings)


@pytest.mark.parametrize("environment", [{"PIPELINE_FLOWS_ALLOW": "everything"}, {"PIPELINE_FLOWS_DATA_ROOTS": "data"}])
def test_a_setting_that_is_not_accepted_is_named(environment):
    (name,) = environment
    with pytest.raises(SpecError, match=name):
        AccessPolicy.from_environment(environment)
