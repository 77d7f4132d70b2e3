"""What a spec's parameters name, in words and numbers, of a pipeline that speaks: its vocoder and its voice."""

from collections.abc import Mapping
from typing import Any

import torch
from safetensors import SafetensorError

from pipeline_core.load_failures import explain
from pipeline_core.pinning import model_folder


def vocoder_of(parameters: Mapping[str, Any], token: str | None, use_safetensors: bool = True) -> Any:
    """The vocoder that ``parameters["vocoder"]`` names by folder or Hub name, or None if it names none.

    Raises:
        ModelNotFoundError: There is none of this name, or none with safetensors weights where these are wanted.
        LoadError: What is there can't be loaded.
    """
    name = parameters.get("vocoder")
    if name is None:
        return None
    from transformers import SpeechT5HifiGan

    folder = model_folder(name)
    source = str(folder) if folder is not None else name
    try:
        return SpeechT5HifiGan.from_pretrained(source, token=token, use_safetensors=use_safetensors).eval()
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        raise explain(name, folder, error) from error


def with_tensors(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters, with the lists of numbers in ``forward_params`` (``speaker_embeddings``) as float32 tensors."""
    made = dict(parameters)
    if isinstance(made.get("forward_params"), Mapping):
        made["forward_params"] = {name: _tensor(value) for name, value in made["forward_params"].items()}
    return made


def _tensor(value: Any) -> Any:
    first = value
    while isinstance(first, list) and first:
        first = first[0]
    return torch.tensor(value) if isinstance(value, list) and isinstance(first, float) else value
