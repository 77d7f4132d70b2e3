"""What this machine computes on: which devices it has, how fast their dtypes are, and who uses them now."""

import contextvars
import platform
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from typing import Any, TypeVar

import psutil
import torch

from pipeline_core.cpu_dtype import fastest_cpu_dtype
from pipeline_core.errors import DeviceNotFoundError, WorkStoppedError

Result = TypeVar("Result")

_threads: dict[str, ThreadPoolExecutor] = {}
_threads_lock = threading.Lock()
_wanted: set[threading.Event] = set()
_this_work = threading.local()
# The number of threads that is set in one thread is also what those begin with that have not computed yet. Whoever
# changes it for itself alone holds this lock until it is back; whoever asks for it waits.
_thread_count_lock = threading.Lock()


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


def run_on(device: torch.device, work: Callable[..., Result], *arguments: Any) -> Result:
    """Do ``work`` in the thread that this process keeps for the device; more work waits for its turn.

    OpenMP keeps a team of threads for every thread that has computed. With a second team there are
    more of them than cores, and all wait by sleeping: a CPU then computes a quarter slower.
    A thread keeps the number of threads that torch was set to when it began; this one follows its caller's.
    Work may ask for more work on its device, which is then done at once.
    """
    name = f"device-{device}"
    if threading.current_thread().name.startswith(f"{name}_"):
        return work(*arguments)
    with _thread_count_lock:
        threads = torch.get_num_threads()

    stopped = threading.Event()

    def follow() -> Result:
        if torch.get_num_threads() != threads:
            torch.set_num_threads(threads)
        _this_work.stopped = stopped
        check_wanted()
        return work(*arguments)

    with _threads_lock:
        thread = _threads.get(name)
        if thread is None:
            thread = ThreadPoolExecutor(1, name)
            thread.submit(int).result()  # what can't begin for want of memory is not kept, with its work queued
            _threads[name] = thread
        _wanted.add(stopped)
    try:
        return thread.submit(contextvars.copy_context().run, follow).result()
    finally:
        with _threads_lock:
            _wanted.discard(stopped)


def stop_work() -> None:
    """Have all that ``run_on`` is at, or has yet to begin, end with its batch, for nobody waits for it any more."""
    with _threads_lock:
        for stopped in _wanted:
            stopped.set()


def check_wanted() -> None:
    """End this thread's work here if it is not wanted any more.

    Raises:
        WorkStoppedError: ``stop_work`` was called since it was asked for.
    """
    stopped = getattr(_this_work, "stopped", None)
    if stopped is not None and stopped.is_set():
        raise WorkStoppedError("stopped, because the run that wanted it was")


def run_beside(device: torch.device, work: Callable[..., Result], *arguments: Any) -> Result:
    """Do ``work`` that others of the device need not wait for: here, but on the CPU in its thread (see ``run_on``)."""
    return run_on(device, work, *arguments) if device.type == "cpu" else work(*arguments)


def helper_threads(device: torch.device, count: int, name: str) -> ThreadPoolExecutor:
    """Threads that prepare for the one that computes on ``device``, or clear up after it.

    On the CPU each does its own arithmetic alone, so that there is no second team of threads (see ``run_on``).
    """
    return ThreadPoolExecutor(count, name, _compute_alone if device.type == "cpu" else None)


@contextmanager
def thread_count_kept() -> Iterator[None]:
    """Keep the number of torch's threads, whatever is made of it within, by an import for example."""
    with _thread_count_lock:
        threads = torch.get_num_threads()
        try:
            yield
        finally:
            torch.set_num_threads(threads)


def _compute_alone() -> None:
    """Have this thread do its arithmetic by itself, and no other."""
    with _thread_count_lock:
        threads = torch.get_num_threads()
        if threads == 1:
            return
        torch.set_num_threads(1)
        others = threading.Thread(target=torch.set_num_threads, args=(threads,))
        try:
            others.start()
        except (RuntimeError, MemoryError):  # no memory for one more: a second team is better than one thread for all
            torch.set_num_threads(threads)
        else:
            others.join()


def _address_space_limit() -> int | None:
    try:
        import resource
    except ImportError:  # not on Windows
        return None
    soft, _ = resource.getrlimit(resource.RLIMIT_AS)
    return None if soft == resource.RLIM_INFINITY else soft
