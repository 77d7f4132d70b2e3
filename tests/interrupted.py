"""Runs that are interrupted in the middle of what they compute."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from contextvars import copy_context
from typing import Any

import torch

from pipeline_core.device_threads import run_on, stopping_when_interrupted


def interrupted_run(work: Callable[[Callable[[], None]], Any], device: str = "cpu") -> Any:
    """What becomes of ``work`` in a device's thread, whose run is interrupted once it calls what it is given."""
    reached, left = threading.Event(), threading.Event()

    def interrupt() -> None:
        reached.set()
        assert left.wait(10)

    with ThreadPoolExecutor(1) as thread:
        with suppress(KeyboardInterrupt), stopping_when_interrupted():
            future = thread.submit(copy_context().run, run_on, torch.device(device), work, interrupt)
            assert reached.wait(10)
            raise KeyboardInterrupt
        left.set()
        return future.result()
