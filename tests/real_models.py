"""Where real models, data and recorded answers are, for the tests that need them."""

import os
from pathlib import Path

import pytest

_MODELS, _DATA, _ORACLE = (os.environ.get(f"PIPELINE_FLOWS_{name}") for name in ("MODELS", "DATA", "ORACLE"))
MODELS, DATA, ORACLE = Path(_MODELS or "no-models"), Path(_DATA or "no-data"), Path(_ORACLE or "no-oracle")

needs_models = pytest.mark.skipif(not _MODELS, reason="PIPELINE_FLOWS_MODELS names no folder of models")
needs_data = pytest.mark.skipif(not _DATA, reason="PIPELINE_FLOWS_DATA names no folder of data")
needs_oracle = pytest.mark.skipif(not _ORACLE, reason="PIPELINE_FLOWS_ORACLE names no folder of recorded answers")
