"""The optional packages that one model needs, told from its configuration before anything of it is loaded."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pipeline_core.catalog import find_task
from pipeline_core.pinning import model_folder, model_name, token_of
from pipeline_core.requirements import check_installed
from pipeline_core.spec import PipelineSpec

# What transformers imports while it loads a model of this type, or its tokenizer of this class.
_BY_MODEL_TYPE: Mapping[str, str] = {
    "cpmant": "jieba",
    "fsmt": "sacremoses",
    "marian": "sentencepiece",
    "maskformer": "scipy",
    "speecht5": "sentencepiece",
    "timm_wrapper": "timm",
}
_BY_TOKENIZER: Mapping[str, str] = {
    "BertJapaneseTokenizer": "fugashi",
    "BioGptTokenizer": "sacremoses",
    "MarianTokenizer": "sentencepiece",
    "SpeechT5Tokenizer": "sentencepiece",
    "Wav2Vec2PhonemeCTCTokenizer": "phonemizer",
    "XLMTokenizer": "sacremoses",
}


def check_packages(spec: PipelineSpec) -> None:
    """Refuse to load a pipeline of which the task or the model needs a package that is not here.

    Raises:
        MissingPackageError: It is not installed; the message says how to install it.
        ModelNotFoundError: The model is a path, and nothing is there.
    """
    task = find_task(spec.task)
    check_installed(f"task {task.name!r}", task.requires)
    name = model_name(spec)
    check_installed(f"model {name!r}", dict.fromkeys(_packages(_config(spec, name, "config.json"))))
    tokenizer = str(_config(spec, name, "tokenizer_config.json").get("tokenizer_class"))
    if tokenizer in _BY_TOKENIZER and spec.tokenizer is None:
        check_installed(f"the tokenizer of model {name!r}", [_BY_TOKENIZER[tokenizer]])


def _packages(config: Mapping[str, Any]) -> Iterator[str]:
    """The packages of a configuration and of those within it."""
    kind = str(config.get("model_type"))
    if kind in _BY_MODEL_TYPE:
        yield _BY_MODEL_TYPE[kind]
    if config.get("use_timm_backbone") or kind == "timm_backbone":
        yield "timm"
    for part in config.values():
        if isinstance(part, Mapping):
            yield from _packages(part)


def _config(spec: PipelineSpec, name: str, file: str) -> Mapping[str, Any]:
    """A file of the model; empty where it is not there or can't be read, for loading says that better."""
    folder = model_folder(name)
    path = folder / file if folder is not None else _path_in_cache(spec, name, file)
    try:
        content = json.loads(path.read_text(encoding="utf-8")) if path is not None else {}
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _path_in_cache(spec: PipelineSpec, name: str, file: str) -> Path | None:
    from transformers.utils import cached_file

    try:
        found = cached_file(
            name,
            file,
            revision=spec.revision or "main",
            token=token_of(spec),
            _raise_exceptions_for_gated_repo=False,
            _raise_exceptions_for_missing_entries=False,
            _raise_exceptions_for_connection_errors=False,
        )
    except (OSError, ValueError):
        return None
    return Path(found) if found is not None else None
