"""Run transformers pipelines over datasets: batched, exact, within memory, resumable.

from pipeline_core import PipelineSpec, infer

spec = PipelineSpec(task="text-classification", model="demo:sentiment")
for prediction in infer(spec, ["A quiet triumph.", "Two hours I want back."]):
    print(prediction.output)
"""

from typing import TYPE_CHECKING, Any

from pipeline_core.pipelines.registration import register_on_import

if TYPE_CHECKING:
    from pipeline_core.inference import infer
    from pipeline_core.loading import load_pipeline, unload
    from pipeline_core.policies import BatchPolicy, FailurePolicy
    from pipeline_core.records import Prediction, RowError
    from pipeline_core.sink import OutputRef
    from pipeline_core.sources import DatasetRef
    from pipeline_core.spec import PipelineSpec

__all__ = [
    "BatchPolicy",
    "DatasetRef",
    "FailurePolicy",
    "OutputRef",
    "PipelineSpec",
    "Prediction",
    "RowError",
    "infer",
    "load_pipeline",
    "unload",
]

_HOMES = {
    "BatchPolicy": "policies",
    "DatasetRef": "sources",
    "FailurePolicy": "policies",
    "OutputRef": "sink",
    "PipelineSpec": "spec",
    "Prediction": "records",
    "RowError": "records",
    "infer": "inference",
    "load_pipeline": "loading",
    "unload": "loading",
}

register_on_import()


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for: torch and transformers take seconds."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
