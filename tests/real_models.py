"""Where real models and data are, for the tests that need them."""

import os
from pathlib import Path

import pytest

_MODELS, _DATA = (os.environ.get(f"PIPELINE_FLOWS_{name}") for name in ("MODELS", "DATA"))
MODELS, DATA = Path(_MODELS or "no-models"), Path(_DATA or "no-data")

needs_models = pytest.mark.skipif(not _MODELS, reason="PIPELINE_FLOWS_MODELS names no folder of models")
needs_data = pytest.mark.skipif(not _DATA, reason="PIPELINE_FLOWS_DATA names no folder of data")
