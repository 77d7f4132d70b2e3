"""Tokens come out of Secret blocks into the environment, and nowhere else."""

import os

import pytest
from prefect.blocks.system import Secret

from pipeline_core.errors import SpecError
from tasks.secrets import load_secrets


@pytest.fixture
def block(prefect_server, monkeypatch):
    Secret(value="hf_planted").save("hub-token", overwrite=True)
    monkeypatch.setattr(os, "environ", dict(os.environ))
    os.environ.pop("HF_TOKEN", None)
    return "hub-token"


def test_a_variable_gets_what_its_block_holds_unless_it_is_set(block):
    os.environ["PIPELINE_FLOWS_SECRETS"] = f"HF_TOKEN={block}, PATH={block}"
    path = os.environ["PATH"]
    load_secrets()
    assert os.environ["HF_TOKEN"] == "hf_planted"
    assert os.environ["PATH"] == path


@pytest.mark.parametrize("setting", ["HF_TOKEN", "=hub-token", "HF_TOKEN=no-such-block"])
def test_a_setting_that_can_not_be_followed_is_named_and_no_secret_is(block, setting):
    os.environ["PIPELINE_FLOWS_SECRETS"] = setting
    with pytest.raises(SpecError, match="PIPELINE_FLOWS_SECRETS") as refused:
        load_secrets()
    assert "hf_planted" not in str(refused.value)
