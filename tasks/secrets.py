"""Tokens from Prefect's Secret blocks, for the libraries that look for them in the environment.

``PIPELINE_FLOWS_SECRETS="HF_TOKEN=hub-token,AWS_SECRET_ACCESS_KEY=bucket-key"`` names variables and the blocks that
hold their values. What a block holds is in no parameter, and so in no database in plain text.
"""

import os

from prefect.blocks.system import Secret

from pipeline_core.errors import SpecError

SECRETS = "PIPELINE_FLOWS_SECRETS"


def load_secrets() -> None:
    """Put what the blocks hold into this process' environment, unless it is there already.

    Raises:
        SpecError: The variable is not a list of NAME=BLOCK, or a block is not there.
    """
    for entry in filter(None, map(str.strip, os.environ.get(SECRETS, "").split(","))):
        name, equals, block = map(str.strip, entry.partition("="))
        if not (name and equals and block):
            raise SpecError(f"{SECRETS} must list variables and Secret blocks as NAME=BLOCK, but has {entry!r} instead")
        if name in os.environ:
            continue
        try:
            os.environ[name] = _value_of(block)
        except ValueError as error:
            raise SpecError(
                f"{SECRETS}: there is no Secret block {block!r}; make one in the UI, under Blocks"
            ) from error


def _value_of(block: str) -> str:
    found = Secret.load(block)
    assert isinstance(found, Secret)  # a coroutine in an event loop, which tasks and flows here are not in
    return str(found.get())
