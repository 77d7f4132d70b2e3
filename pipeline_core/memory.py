"""Fit a batch into device memory by halving it, and find the rows at fault in one that fails otherwise."""

import ctypes
import gc
import sys
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeVar

import torch

from pipeline_core.errors import DeviceFailedError, WorkStoppedError

Item = TypeVar("Item")
Output = TypeVar("Output")

_OUT_OF_MEMORY = (
    "out of memory",
    "can't allocate memory",
    "cannot allocate memory",
    "not enough memory",
    "unable to allocate",
    "bad_alloc",
    "could not create a primitive",  # oneDNN, when its scratch memory can't be had
    "could not create a memory",
    "status_alloc_failed",  # cuBLAS and cuDNN
    "invalid buffer size",  # MPS, for one tensor larger than it can hold
    "cudnn_status_not_supported",  # cuDNN, for tensors too large to index
    "hiperroroutofmemory",
)
_DEVICE_FAILED = (
    "device-side assert",
    "illegal memory access",
    "unspecified launch failure",
    "cuda error",
    "hip error",
)


class Failure(NamedTuple):
    """Why an item has no output, without the traceback that would keep its activations alive."""

    error_class: str
    message: str
    out_of_memory: bool = False


def is_out_of_memory(error: BaseException) -> bool:
    """Whether ``error`` says that host or device memory ran out."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    if not isinstance(error, RuntimeError):
        return False
    message = str(error).lower()
    return any(sign in message for sign in _OUT_OF_MEMORY)


def is_device_failure(error: BaseException) -> bool:
    """Whether ``error`` leaves the accelerator unusable for the rest of this process."""
    if not isinstance(error, RuntimeError) or is_out_of_memory(error):
        return False
    message = str(error).lower()
    return any(sign in message for sign in _DEVICE_FAILED)


def release_memory() -> None:
    """Give back what no tensor uses: to the device's allocator, and on Linux to the system."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    if torch.backends.mps.is_available():
        torch.mps.empty_cache()
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc has it, others have not
        if trim is not None:
            trim(0)


def forward_splitting(
    forward: Callable[[Sequence[Item]], Sequence[Output]],
    batch: Sequence[Item],
    on_out_of_memory: Callable[[Sequence[Item], str], Any],
) -> list[Output | Failure]:
    """Run ``forward`` over ``batch``, in halves wherever the whole does not fit or fails.

    Args:
        forward: Maps n inputs to their n outputs, in order.
        batch: n >= 1 inputs.
        on_out_of_memory: Told each part that did not fit, and the message.

    Returns:
        n outputs; the one at index i belongs to ``batch[i]``. An input that fails alone, or that
        exhausts the memory alone and once more after all else was freed, has a ``Failure`` there.

    Raises:
        DeviceFailedError: The accelerator is lost to this process.
        WorkStoppedError: The run that wanted it was interrupted.
    """
    results: list[Output | Failure] = []
    pending: list[tuple[Sequence[Item], bool]] = [(batch, False)]
    while pending:
        part, retried = pending.pop()
        try:
            results.extend(forward(part))
            continue
        except WorkStoppedError:
            raise
        except Exception as error:
            failure = Failure(type(error).__name__, str(error) or repr(error), is_out_of_memory(error))
            lost = is_device_failure(error)
        # Only after the except clause: inside it the traceback keeps the failed activations alive.
        if lost:
            raise DeviceFailedError(f"{failure.error_class}: {failure.message}")
        if failure.out_of_memory:
            on_out_of_memory(part, failure.message)
            release_memory()
        if len(part) > 1:
            middle = len(part) // 2
            pending += [(part[middle:], False), (part[:middle], False)]
        elif failure.out_of_memory and not retried:
            pending.append((part, True))
        else:
            results.append(failure)
    return results
