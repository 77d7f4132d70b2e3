"""Pipelines of sound that take samples at any rate, resampled as files are and without torchaudio."""

from functools import cache
from typing import Any

from pipeline_core.audio import mono, resample


def take_any_rate(pipeline: Any) -> None:
    """Make a pipeline of speech recognition or audio classification resample the arrays that it is called with."""
    from transformers.pipelines import AudioClassificationPipeline, AutomaticSpeechRecognitionPipeline

    if isinstance(pipeline, AudioClassificationPipeline | AutomaticSpeechRecognitionPipeline):
        pipeline_class: Any = type(pipeline)
        pipeline.__class__ = _resampling(pipeline_class)


@cache
def _resampling(parent: Any) -> Any:
    def preprocess(self: Any, inputs: Any, *arguments: Any, **parameters: Any) -> Any:
        return parent.preprocess(self, _resampled(inputs, self.feature_extractor), *arguments, **parameters)

    members = {"preprocess": preprocess, "__module__": parent.__module__, "__doc__": parent.__doc__}
    return type(parent.__name__, (parent,), members)


def _resampled(inputs: Any, feature_extractor: Any) -> Any:
    """A dict of samples at the rate that the model wants; anything else as it is."""
    wanted = getattr(feature_extractor, "sampling_rate", None)
    rate = inputs.get("sampling_rate") if isinstance(inputs, dict) else None
    if not rate or not wanted or rate == wanted:
        return inputs
    samples = next((inputs[key] for key in ("raw", "array") if inputs.get(key) is not None), None)
    if samples is None:
        return inputs
    others = {key: value for key, value in inputs.items() if key not in ("raw", "array", "path")}
    if "stride" in others:
        others["stride"] = tuple(round(length * wanted / rate) for length in others["stride"])
    return {**others, "raw": resample(mono(samples), rate, wanted), "sampling_rate": wanted}
