"""What this machine computes on: which devices it has, how fast their dtypes are, and who uses them now."""

import platform
from functools import cache

import psutil
import torch

from pipeline_core.cpu_dtype import fastest_cpu_dtype
from pipeline_core.errors import DeviceNotFoundError


def available_devices() -> list[str]:
    """Names of all devices that torch can use here, the fastest kind first."""
    found = [f"cuda:{index}" for index in range(torch.cuda.device_count())]
    if torch.xpu.is_available():
        found += [f"xpu:{index}" for index in range(torch.xpu.device_count())]
    if torch.backends.mps.is_available():
        found.append("mps")
    return [*found, "cpu"]


def resolve_device(device: str | int) -> torch.device:
    """The device that ``PipelineSpec.device`` names on this machine.

    Raises:
        DeviceNotFoundError: The machine does not have it.
    """
    available = available_devices()
    if device == "auto":
        return torch.device(available[0])
    if isinstance(device, int):
        accelerators = [name for name in available if name != "cpu"]
        if device >= len(accelerators):
            raise DeviceNotFoundError(str(device), available)
        return torch.device(accelerators[device])
    name = f"{device}:0" if device in ("cuda", "xpu") else device
    if name not in available:
        raise DeviceNotFoundError(device, available)
    return torch.device(name)


def device_name(device: torch.device) -> str:
    """The product's name, such as "NVIDIA H100" or "x86_64 CPU with 8 threads"."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    if device.type == "cpu":
        return f"{platform.machine()} CPU with {torch.get_num_threads()} threads"
    return str(device)


def memory_bytes(device: torch.device) -> tuple[int, int]:
    """(free, total) bytes of the device; for the CPU no more than this process may still take."""
    if device.type == "cuda":
        free, total = torch.cuda.mem_get_info(device)
        return int(free), int(total)
    memory = psutil.virtual_memory()
    free, total = int(memory.available), int(memory.total)
    limit = _address_space_limit()
    if limit is not None:
        used = psutil.Process().memory_info().vms
        free, total = min(free, max(0, limit - used)), min(total, limit)
    return free, total


@cache
def fastest_dtype(device: torch.device) -> torch.dtype:
    """float32, float16 or bfloat16: what the device multiplies matrices fastest in.

    bfloat16 on GPUs from compute capability 8 on, float16 on older ones and on Macs; see ``fastest_cpu_dtype`` for
    CPUs.
    """
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.get_device_capability(device)[0] >= 8 else torch.float16
    if device.type == "mps":
        return torch.float16
    return torch.bfloat16 if device.type == "xpu" else fastest_cpu_dtype(device_name(device))


def _address_space_limit() -> int | None:
    try:
        import resource
    except ImportError:  # not on Windows
        return None
    soft, _ = resource.getrlimit(resource.RLIMIT_AS)
    return None if soft == resource.RLIM_INFINITY else soft
