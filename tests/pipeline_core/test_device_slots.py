"""A device is held by one process at a time, and free as soon as that is gone."""

import signal
import subprocess
import sys
from itertools import pairwise

import pytest
import torch

from pipeline_core.device_slots import device_slot
from pipeline_core.errors import LeaseLostError, SpecError

CPU = torch.device("cpu")
HOLD = """
import sys, time, torch
from pipeline_core.device_slots import device_slot
print("ready", flush=True)
sys.stdin.readline()
for _ in range(10):
    with device_slot(torch.device("cpu")):
        begun = time.monotonic()
        time.sleep(0.02)
        print(begun, time.monotonic(), flush=True)
if "stay" in sys.argv:
    with device_slot(torch.device("cpu")):
        print("held", flush=True)
        time.sleep(600)
"""


@pytest.fixture
def one_slot(tmp_path, monkeypatch):
    monkeypatch.setenv("PIPELINE_FLOWS_CPU_SLOTS", "1")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    return monkeypatch


@pytest.fixture
def start(one_slot):
    started = []

    def run(*words):
        process = subprocess.Popen(
            [sys.executable, "-c", HOLD, *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )
        started.append(process)
        assert process.stdout.readline() == "ready\n"
        return process

    yield run
    for process in started:
        process.kill()
        process.communicate()


def test_processes_that_want_one_device_take_turns(start):
    processes = [start(), start()]
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    held = sorted(
        tuple(map(float, line.split())) for process in processes for line in process.communicate()[0].splitlines()
    )
    assert len(held) == 20
    assert all(ended <= begun for (_, ended), (begun, _) in pairwise(held))


def test_a_killed_process_leaves_the_device_free(start):
    process = start("stay")
    process.stdin.write("go\n")
    process.stdin.flush()
    while process.stdout.readline() != "held\n":
        pass

    def stop():
        raise LeaseLostError("the run was stopped")

    with pytest.raises(LeaseLostError), device_slot(CPU, stop):
        pass
    process.send_signal(signal.SIGKILL)
    process.wait()
    with device_slot(CPU, stop):
        pass


def test_as_many_shards_are_on_the_cpu_as_are_allowed(one_slot):
    one_slot.setenv("PIPELINE_FLOWS_CPU_SLOTS", "2")

    def stop():
        raise LeaseLostError("the run was stopped")

    with device_slot(CPU), device_slot(CPU), pytest.raises(LeaseLostError), device_slot(CPU, stop):
        pass
    one_slot.delenv("PIPELINE_FLOWS_CPU_SLOTS")
    with device_slot(CPU), device_slot(CPU), device_slot(CPU, stop):
        pass


@pytest.mark.parametrize("wanted", ["0", "many", "-1"])
def test_a_number_of_slots_that_is_none_is_refused(one_slot, wanted):
    one_slot.setenv("PIPELINE_FLOWS_CPU_SLOTS", wanted)
    with pytest.raises(SpecError, match="whole number from 1 up"), device_slot(CPU):
        pass
