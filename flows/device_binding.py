"""Which device each worker of a machine gets: a GPU of its own, or a share of the CPU's cores."""

import os
from dataclasses import dataclass

import psutil

from pipeline_core.errors import SpecError


@dataclass(frozen=True)
class Binding:
    """What makes a process see one device only.

    Attributes:
        name: Such as "gpu 0" or "cpu 1".
        environment: The variables that it starts with.
    """

    name: str
    environment: dict[str, str]


def bindings(count: int | None, *, cpu: bool = False) -> list[Binding]:
    """One binding a worker.

    Args:
        count: Workers; None for one a visible GPU, or one on a machine without.
        cpu: Whether to leave GPUs alone.

    Raises:
        SpecError: More workers are asked for than there are GPUs.
    """
    gpus = [] if cpu else visible_gpus()
    if not gpus:
        return cpu_bindings(count or 1, psutil.cpu_count(logical=False) or os.cpu_count() or 1)
    if count is not None and count > len(gpus):
        raise SpecError(f"--count must be at most {len(gpus)}, one a visible GPU, but is {count} instead; or set --cpu")
    return [gpu_binding(gpu) for gpu in gpus[:count]]


def gpu_binding(gpu: str) -> Binding:
    """One GPU, by its number or its UUID."""
    return Binding(f"gpu {gpu}", {"CUDA_VISIBLE_DEVICES": gpu})


def cpu_bindings(count: int, cores: int) -> list[Binding]:
    """``count`` workers that share the cores: each one's OpenMP team has its part, but never none."""
    share = max(1, cores // count)
    threads = os.environ.get("OMP_NUM_THREADS") or str(share)
    environment = {"CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": threads}
    return [Binding(f"cpu {number}", environment) for number in range(count)]


def visible_gpus() -> list[str]:
    """What CUDA_VISIBLE_DEVICES may name, as it names them itself where it is set."""
    import torch

    found = torch.cuda.device_count()
    named = [name.strip() for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name.strip()]
    return named[:found] if named else [str(number) for number in range(found)]
