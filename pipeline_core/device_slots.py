"""One shard at a time on one device, whichever process of this user runs it.

A slot is a locked file in the temporary folder. The system frees it when its process ends, however it ends.
"""

import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import torch

from pipeline_core.errors import SpecError

CPU_SLOTS = "PIPELINE_FLOWS_CPU_SLOTS"
"""The variable that says how many shards may be on this machine's CPU at a time; any number unless it is set."""

_POLL_S = 0.2


@contextmanager
def device_slot(device: torch.device, while_waiting: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Hold the device: an accelerator alone, the CPU together with as many as ``PIPELINE_FLOWS_CPU_SLOTS`` allows.

    Args:
        device: What to compute on.
        while_waiting: Called now and then until the device is free; an error that it raises ends the wait.

    Raises:
        SpecError: ``PIPELINE_FLOWS_CPU_SLOTS`` is not a whole number from 1 up.
    """
    slots = _slots(device)
    if not slots:
        yield
        return
    held = _hold(slots)
    while held is None:
        while_waiting()
        time.sleep(_POLL_S)
        held = _hold(slots)
    with held:
        yield


def _slots(device: torch.device) -> list[str]:
    if device.type == "cpu":
        wanted = os.environ.get(CPU_SLOTS) or "0"
        if not wanted.isdecimal() or (os.environ.get(CPU_SLOTS) and int(wanted) < 1):
            raise SpecError(f"{CPU_SLOTS} must be a whole number from 1 up, but is {wanted!r} instead")
        return [f"cpu-{number}" for number in range(int(wanted))]
    if device.type == "cuda":
        # Processes number the GPUs that they see; what they share is the GPU's own name.
        return [f"cuda-{torch.cuda.get_device_properties(device).uuid}"]
    return [str(device).replace(":", "-")]


def _hold(slots: list[str]) -> IO[bytes] | None:
    import fcntl  # not on Windows

    folder = Path(tempfile.gettempdir()) / f"pipeline-flows-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    for slot in slots:
        file = (folder / f"{slot}.lock").open("ab")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.close()
            continue
        return file
    return None
