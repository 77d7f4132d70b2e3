"""What the Hub answers is told in words that say what to do, and never with a token."""

import pytest
from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError

from pipeline_core import load_failures, load_pipeline
from pipeline_core.errors import (
    LoadError,
    ModelAccessError,
    ModelNotFoundError,
    is_retryable,
)

from .conftest import spec_of

TOKEN = "hf_PLANTED"


def test_an_unknown_name_of_the_hub_says_what_can_be_done_offline():
    with pytest.raises(ModelNotFoundError, match="hf download no-such/model") as refused:
        load_pipeline(spec_of("no-such/model"))
    assert not is_retryable(refused.value)


def raised_from(message: str, cause: Exception | None) -> OSError:
    """An error as transformers raises it about the Hub's answer."""
    try:
        raise OSError(message) from cause
    except OSError as error:
        return error


def answer(kind: type[Exception], message: str) -> Exception:
    import httpx

    response = httpx.Response(401, request=httpx.Request("HEAD", "https://huggingface.co/someone/model"))
    return kind(message, response=response)


NOT_LISTED = "someone/model is not a local folder and is not a valid model identifier listed on 'https://hf.co/models'"


@pytest.mark.parametrize(
    ("error", "kind", "said"),
    [
        (
            raised_from(
                "You are trying to access a gated repo.\nMake sure ...", answer(GatedRepoError, "403 Client Error")
            ),
            ModelAccessError,
            "HF_TOKEN",
        ),
        (raised_from("There was a specific connection error", OSError("403 Forbidden")), ModelAccessError, "HF_TOKEN"),
        (raised_from(NOT_LISTED, answer(RepositoryNotFoundError, "401 Client Error.")), ModelNotFoundError, "HF_TOKEN"),
        (
            raised_from("v9 is not a valid git identifier", answer(RevisionNotFoundError, "404 Client Error.")),
            ModelNotFoundError,
            "v9 is not a valid git identifier",
        ),
        (raised_from("Disk quota exceeded", None), ModelNotFoundError, "Disk quota exceeded"),
        (ValueError("Unrecognized configuration class"), LoadError, "Unrecognized configuration class"),
        (OSError(), ModelNotFoundError, "OSError"),
    ],
)
def test_the_hubs_answers_are_told_apart(error, kind, said):
    explained = load_failures.explain("someone/model", None, error)
    assert type(explained) is kind
    assert said in str(explained)
    assert not is_retryable(explained)


def test_a_hub_that_can_not_be_reached_is_worth_another_try_unless_offline(monkeypatch):
    error = raised_from("We couldn't connect to 'https://huggingface.co' to load the files", None)
    assert not is_retryable(load_failures.explain("someone/model", None, error))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    assert is_retryable(load_failures.explain("someone/model", None, error))


@pytest.mark.parametrize("name", ["no-such/model", "/no/such/folder"])
def test_a_token_is_in_no_message(name):
    with pytest.raises(LoadError) as refused:
        load_pipeline(spec_of(name, token=TOKEN))
    error: BaseException | None = refused.value
    while error is not None:
        assert TOKEN not in str(error) + repr(error)
        error = error.__cause__ or error.__context__


def test_a_token_decides_neither_the_model_nor_the_answer(model):
    assert load_pipeline(spec_of(model, token=TOKEN)).model is load_pipeline(spec_of(model)).model
