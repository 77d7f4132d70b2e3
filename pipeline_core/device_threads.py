"""Which threads compute: one for each device, none that slows it, and none for what nobody waits for any more."""

import contextvars
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

import torch

from pipeline_core.errors import WorkStoppedError

Result = TypeVar("Result")

_threads: dict[str, ThreadPoolExecutor] = {}
_threads_lock = threading.Lock()
_stopped: contextvars.ContextVar[threading.Event | None] = contextvars.ContextVar("stopped", default=None)
# The number of threads that is set in one thread is also what those begin with that have not computed yet. Whoever
# changes it for itself alone holds this lock until it is back; whoever asks for it waits.
_thread_count_lock = threading.Lock()


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

    def follow() -> Result:
        if torch.get_num_threads() != threads:
            torch.set_num_threads(threads)
        check_wanted()
        return work(*arguments)

    with _threads_lock:
        thread = _threads.get(name)
        if thread is None:
            thread = ThreadPoolExecutor(1, name)
            thread.submit(int).result()  # what can't begin for want of memory is not kept, with its work queued
            _threads[name] = thread
    return thread.submit(contextvars.copy_context().run, follow).result()


@contextmanager
def stopping_when_interrupted() -> Iterator[None]:
    """Have what is asked for within, here or in threads that took over the context, end when this is left by force.

    By Ctrl-C or a signal, that is: work that has begun then ends at its next step, and what has not never does.
    An error, or a run beside this one, stops nothing.
    """
    stopped = threading.Event()
    token = _stopped.set(stopped)
    try:
        yield
    except Exception:
        raise
    except BaseException:
        stopped.set()
        raise
    finally:
        _stopped.reset(token)


def check_wanted() -> None:
    """End this work here if nobody waits for it any more.

    Raises:
        WorkStoppedError: What it is for was interrupted.
    """
    stopped = _stopped.get()
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
