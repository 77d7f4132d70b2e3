"""The dtype that a CPU multiplies matrices fastest in: known with AMX, else measured once and remembered."""

import hashlib
import os
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor

import torch

from pipeline_core.tuning import cache_folder

_CLEARLY = 1.2
_DTYPES = {"bfloat16": torch.bfloat16, "float32": torch.float32}


def fastest_cpu_dtype(cpu: str) -> torch.dtype:
    """bfloat16 or float32.

    AMX makes bfloat16 faster for certain. Other CPUs that have instructions for it may still be slower in it, so
    both are measured for some ten milliseconds. What was found is kept in the cache folder, for two runs on one
    machine must agree.

    Args:
        cpu: The CPU's name, with its number of threads.
    """
    if torch.cpu._is_amx_tile_supported():
        return torch.bfloat16
    path = cache_folder() / "dtypes" / hashlib.sha256(cpu.encode()).hexdigest()[:24]
    try:
        return _DTYPES[path.read_text().strip()]
    except (OSError, KeyError, UnicodeDecodeError):
        with ThreadPoolExecutor(1) as thread:  # whose team of threads ends with it; see device_threads.run_on
            found = "bfloat16" if thread.submit(bfloat16_gain).result() > _CLEARLY else "float32"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=path.parent, suffix=".tmp", delete=False) as file:
            file.write(found + "\n")
        os.replace(file.name, path)
    except OSError:  # a folder that can't be written costs the memory, never the run
        pass
    return _DTYPES[found]


def bfloat16_gain() -> float:
    """float32's time over bfloat16's for a linear layer over 512 tokens of width 768, the best of ten each."""
    best = {torch.float32: float("inf"), torch.bfloat16: float("inf")}
    with torch.inference_mode():
        for _ in range(10):
            for dtype in best:
                tokens, weight = torch.zeros(512, 768, dtype=dtype), torch.zeros(768, 768, dtype=dtype)
                start = time.perf_counter()
                torch.nn.functional.linear(tokens, weight)
                best[dtype] = min(best[dtype], time.perf_counter() - start)
    return best[torch.float32] / best[torch.bfloat16]
