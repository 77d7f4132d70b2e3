"""What to do about a model that does not load: transformers raises OSError for most that can go wrong."""

import re
from collections.abc import Iterator
from pathlib import Path

from safetensors import SafetensorError

from pipeline_core.errors import LoadError, MissingPackageError, ModelAccessError, ModelNotFoundError


def missing_package(model: str, error: ImportError) -> LoadError:
    """Which package to install, where the error tells."""
    found = re.search(r"pip install (?:-U |--upgrade )?[`'\"]?([\w\-\[\]]+)", str(error))
    package = error.name or (found.group(1) if found else None)
    if package is None:
        return LoadError(f"model {model!r} can't be loaded: {_reason(error)}")
    return MissingPackageError(f"model {model!r}", package, f"pip install {package}")


def explain(model: str, folder: Path | None, error: Exception) -> LoadError:
    """What to do about an error of from_pretrained, which raises OSError for most that can go wrong."""
    from huggingface_hub.constants import is_offline_mode
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError

    reason = _reason(error)
    causes = [error, *_causes(error)]
    said = " ".join(map(_reason, causes))
    if re.search(r"no file named .*safetensors|have a file named .*safetensors", said):
        return ModelNotFoundError(
            model,
            "it has no safetensors weights, and others can run code when they are read; if you trust them, set "
            'model_kwargs={"use_safetensors": false}',
        )
    if any(isinstance(cause, SafetensorError) for cause in causes):
        return ModelNotFoundError(model, f"its weights are damaged or cut short; copy them again ({reason})")
    if folder is not None:
        return LoadError(f"model {model!r} can't be loaded: {reason}")
    if any(isinstance(cause, RevisionNotFoundError) for cause in causes):
        return ModelNotFoundError(model, reason)
    gated = any(isinstance(cause, GatedRepoError) for cause in causes)
    unknown = any(isinstance(cause, RepositoryNotFoundError) for cause in causes)
    if gated or (not unknown and re.search(r"gated repo|40[13] Client Error|Unauthorized|Forbidden", said)):
        return ModelAccessError(
            model,
            "it is gated or private; accept its terms on its page, then set HF_TOKEN or the spec's token "
            f"to a token that may read it ({reason})",
        )
    if unknown:  # to those who may not read it, the Hub says that a private model does not exist
        return ModelNotFoundError(
            model, "the Hub has no such model, or none that your token may read: set HF_TOKEN or the spec's token"
        )
    if isinstance(error, OSError):
        explained = ModelNotFoundError(
            model,
            "no folder has this name here, and the Hub does not have it, or can't be reached and it is not in the "
            f"cache (unset HF_HUB_OFFLINE, or download it first with: hf download {model}) ({reason})",
        )
        explained.retryable = "couldn't connect" in said and not is_offline_mode()
        return explained
    return LoadError(f"model {model!r} can't be loaded: {reason}")


def _causes(error: BaseException) -> Iterator[BaseException]:
    cause = error.__cause__ or error.__context__
    if cause is not None:
        yield cause
        yield from _causes(cause)


def _reason(error: BaseException) -> str:
    """The error's first line; where transformers has collected tracebacks in its text, the last one's."""
    message = str(error).strip()
    collected = re.findall(r"^[\w.]*(?:Error|Exception): (.+)", message, re.MULTILINE)
    return str((collected[-1:] or message.splitlines()[:1] or [type(error).__name__])[0])
