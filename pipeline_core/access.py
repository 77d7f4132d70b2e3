"""What a run that somebody else asked for may touch: folders, URLs, code and weights that its owner allowed.

A person at a shell may read and run what that shell may. Parameters that come over a network may not: they name
data inside configured roots, models whose code is transformers' own, and weights that are not pickles. Names on
the Hugging Face Hub and what this package bundles are always theirs to name.
"""

import os
import re
from collections.abc import Iterator, Mapping
from typing import Any, Self

from pydantic import BaseModel, ConfigDict

from pipeline_core.errors import AccessRefusedError, SpecError
from pipeline_core.manifest import OutputRef
from pipeline_core.sources import DatasetRef
from pipeline_core.spec import PipelineSpec

ROOTS = "PIPELINE_FLOWS_DATA_ROOTS"
"""The variable that lists, with commas between, folders and URLs that runs may read and write below."""

ALLOW = "PIPELINE_FLOWS_ALLOW"
"""The variable that lists, with commas between, what else runs may do: remote-code, unsafe-weights."""

_ALLOWANCES = ("remote-code", "unsafe-weights")
_HUB_NAME = re.compile(r"[\w-][\w.-]*(/[\w-][\w.-]*)?(@[\w./-]+)?")
_BUNDLED = "demo:"


class AccessPolicy(BaseModel):
    """What parameters may name.

    Attributes:
        roots: Folders and URLs below which data and models may be.
        remote_code: Whether code from a model's repository may run.
        unsafe_weights: Whether weights may be pickles, which can run code when they are loaded.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    roots: tuple[str, ...] = ()
    remote_code: bool = False
    unsafe_weights: bool = False

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Self:
        """The policy that the variables ``PIPELINE_FLOWS_DATA_ROOTS`` and ``PIPELINE_FLOWS_ALLOW`` make.

        Raises:
            SpecError: A variable holds something that is not accepted.
        """
        roots, allowed = (_listed(environment.get(name, "")) for name in (ROOTS, ALLOW))
        for name in allowed:
            if name not in _ALLOWANCES:
                raise SpecError(f"{ALLOW} must list some of {', '.join(_ALLOWANCES)}, but has {name!r} instead")
        for root in roots:
            if "://" not in root and not os.path.isabs(root):
                raise SpecError(f"{ROOTS} must list absolute folders and URLs, but has {root!r} instead")
        return cls(roots=tuple(roots), remote_code="remote-code" in allowed, unsafe_weights="unsafe-weights" in allowed)

    def check(self, dataset: DatasetRef, output: OutputRef, spec: PipelineSpec) -> None:
        """Make sure that a run stays within the policy, before it opens anything.

        Raises:
            AccessRefusedError: It doesn't; the message says which setting would allow it.
        """
        self._check_name("dataset", dataset.path)
        if dataset.media_root is not None:
            self._check_path("media_root", dataset.media_root)
        self._check_path("output", output.path)
        for name, value in (("model", spec.model), ("tokenizer", spec.tokenizer)):
            if value is not None:
                self._check_name(name, value)
        for key, value in _entries(spec.model_kwargs):
            if isinstance(value, str) and _is_path(value):
                self._check_path(f"model_kwargs {key!r}", value)
        if not self.remote_code:
            self._check_code(spec)
        if not self.unsafe_weights:
            for key, safe in (("use_safetensors", True), ("weights_only", True)):
                if spec.model_kwargs.get(key, safe) is not safe:
                    raise AccessRefusedError(f"model_kwargs {key!r}", spec.model_kwargs[key], f"{ALLOW}=unsafe-weights")

    def check_pickles(self, what: str, name: str) -> None:
        """Make sure that a model whose weights are pickles may be loaded.

        Raises:
            AccessRefusedError: It may not; the message says which setting would allow it.
        """
        self._check_name(what, name)
        if not self.unsafe_weights:
            raise AccessRefusedError(what, name, f"{ALLOW}=unsafe-weights")

    def _check_name(self, what: str, name: str) -> None:
        """A name on the Hub is no path, unless something of that name is here."""
        if name.startswith(_BUNDLED) or (_HUB_NAME.fullmatch(name) and not os.path.exists(name)):
            return
        self._check_path(what, name)

    def _check_path(self, what: str, path: str) -> None:
        if not any(_is_below(path, root) for root in self.roots):
            raise AccessRefusedError(what, path, f"{ROOTS}, which is {','.join(self.roots) or 'not set'},")

    def _check_code(self, spec: PipelineSpec) -> None:
        settings: list[tuple[str, Any]] = [("trust_remote_code", spec.trust_remote_code)]
        settings += [
            (key, value)
            for key, value in (*_entries(spec.model_kwargs), *_entries(spec.parameters))
            if key in ("trust_remote_code", "custom_generate")
        ]
        # With a slash it names kernels on the Hub, which are compiled code.
        attention = spec.attn_implementation or ""
        settings.append(("attn_implementation", attention if "/" in attention else None))
        for key, value in settings:
            if value:
                raise AccessRefusedError(key, value, f"{ALLOW}=remote-code")


def _listed(text: str) -> list[str]:
    return [entry.strip() for entry in text.split(",") if entry.strip()]


def _entries(content: Any) -> Iterator[tuple[str, Any]]:
    """Every key with its value, however deep; the items of a list have its key."""
    for key, value in content.items():
        yield str(key), value
        for item in value if isinstance(value, list) else [value]:
            if isinstance(item, dict):
                yield from _entries(item)
            elif isinstance(value, list):
                yield str(key), item


def _is_path(text: str) -> bool:
    return text.startswith(("/", "~", ".")) or "://" in text or ".." in text.split("/")


def _is_below(path: str, root: str) -> bool:
    path = path.removeprefix("file://")
    # One fsspec URL in another can reach anywhere, whatever its first part says.
    if "::" in path:
        return False
    if "://" in root or "://" in path:
        whole, inside = root.rstrip("/"), not {"..", "."} & set(path.split("/"))
        return inside and (path == whole or path.startswith(whole + "/"))
    found, base = os.path.realpath(os.path.expanduser(path)), os.path.realpath(root)
    return os.path.commonpath([found, base]) == base
