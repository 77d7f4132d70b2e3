"""Every command of the documents about deploying runs as it is written, in their order, on a real server."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import ROOT, Installation

pytestmark = pytest.mark.real

BLOCK = re.compile(r"^```(sh|python)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# The server that this test has, and where it is.
HAS = ("prefect server start", "export PREFECT_API_URL=", "export PIPELINE_FLOWS_DATA=", "prefect work-queue create")


@pytest.mark.parametrize("name", ["deploying.md", "deploying-on-gpus.md", "on-call.md", "upgrading.md"])
def test_what_a_document_about_deploying_shows_runs(name, installation: Installation):
    (installation.data / "inference").mkdir(exist_ok=True)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    ran = 0
    for kind, text in BLOCK.findall((ROOT / "docs" / name).read_text(encoding="utf-8")):
        lines = text.splitlines() if kind == "sh" else [shlex.join([sys.executable, "-c", text])]
        for line in lines:
            if line.startswith(HAS):
                continue
            if line.startswith("pipeline-flows workers start"):
                assert "--pool inference" in line
                installation.start("workers", sys.executable, "-m", "flows.cli", *shlex.split(line)[1:])
                continue
            done = subprocess.run(
                ["bash", "-euc", line],
                env={**installation.environment, "PATH": path},
                cwd=ROOT,
                capture_output=True,
                text=True,
                timeout=300,
            )
            assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}\n{installation.logs()}"
            ran += 1
    assert ran
