"""Devices: the first accelerator, else the CPU; names that are not there are refused with those that are."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import psutil
import pytest
import torch

from pipeline_core import devices
from pipeline_core.cpu_dtype import bfloat16_gain, fastest_cpu_dtype
from pipeline_core.devices import (
    available_devices,
    check_wanted,
    device_name,
    fastest_dtype,
    helper_threads,
    memory_bytes,
    resolve_device,
    run_beside,
    run_on,
    stop_work,
    thread_count_kept,
)
from pipeline_core.errors import DeviceNotFoundError, WorkStoppedError


@pytest.fixture
def no_accelerators(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.setattr(torch.xpu, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)


@pytest.fixture
def two_gpus(no_accelerators, monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)


@pytest.fixture
def a_mac(no_accelerators, monkeypatch):
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)


def test_without_an_accelerator_there_is_the_cpu(no_accelerators):
    assert available_devices() == ["cpu"]
    assert resolve_device("auto") == resolve_device("cpu") == torch.device("cpu")


@pytest.mark.parametrize(
    ("device", "found"), [("auto", "cuda:0"), ("cuda", "cuda:0"), ("cuda:1", "cuda:1"), (0, "cuda:0"), (1, "cuda:1")]
)
def test_with_gpus_the_first_is_taken_unless_another_is_named(two_gpus, device, found):
    assert resolve_device(device) == torch.device(found)
    assert resolve_device("cpu") == torch.device("cpu")


def test_a_mac_has_mps(a_mac):
    assert available_devices() == ["mps", "cpu"]
    assert resolve_device("auto") == resolve_device("mps") == resolve_device(0) == torch.device("mps")


def test_xpus_are_numbered_like_gpus(no_accelerators, monkeypatch):
    monkeypatch.setattr(torch.xpu, "is_available", lambda: True)
    monkeypatch.setattr(torch.xpu, "device_count", lambda: 2)
    assert available_devices() == ["xpu:0", "xpu:1", "cpu"]
    assert resolve_device("xpu") == torch.device("xpu:0")
    assert resolve_device(1) == torch.device("xpu:1")


@pytest.mark.parametrize("device", ["cuda:2", "cuda:7", 2, "mps", "xpu", "xpu:0"])
def test_a_device_that_is_not_there_is_refused_with_those_that_are(two_gpus, device):
    with pytest.raises(DeviceNotFoundError, match="it has cuda:0, cuda:1, cpu") as refused:
        resolve_device(device)
    assert refused.value.device == str(device)


@pytest.mark.parametrize("device", ["cuda", "cuda:7", 0, 3])
def test_no_accelerator_is_made_up(no_accelerators, device):
    with pytest.raises(DeviceNotFoundError, match="it has cpu"):
        resolve_device(device)


@pytest.mark.parametrize(
    ("capability", "dtype"),
    [((9, 0), torch.bfloat16), ((8, 0), torch.bfloat16), ((7, 5), torch.float16), ((6, 1), torch.float16)],
)
def test_the_fastest_dtype_of_a_gpu_follows_its_capability(monkeypatch, capability, dtype):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    assert fastest_dtype.__wrapped__(torch.device("cuda:0")) == dtype


def test_the_fastest_dtype_of_a_mac_is_float16():
    assert fastest_dtype(torch.device("mps")) == torch.float16


def test_a_cpu_with_amx_is_fastest_in_bfloat16(monkeypatch):
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: True)
    assert fastest_dtype.__wrapped__(torch.device("cpu")) == torch.bfloat16


@pytest.mark.parametrize(("gain", "dtype"), [(0.2, torch.float32), (1.1, torch.float32), (1.9, torch.bfloat16)])
def test_another_cpu_uses_bfloat16_only_where_it_is_clearly_faster(monkeypatch, fresh_cache, gain, dtype):
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    monkeypatch.setattr("pipeline_core.cpu_dtype.bfloat16_gain", lambda: gain)
    assert fastest_cpu_dtype("a CPU") == dtype

    # The next run measures nothing, and agrees; another CPU is measured by itself, and so is damage.
    monkeypatch.setattr("pipeline_core.cpu_dtype.bfloat16_gain", lambda: 3 - gain)
    assert fastest_cpu_dtype("a CPU") == dtype
    assert fastest_cpu_dtype("another CPU") != dtype
    for file in (fresh_cache / "dtypes").iterdir():
        file.write_bytes(b"\xff")
    assert fastest_cpu_dtype("a CPU") != dtype


def test_the_dtypes_of_this_cpu_can_be_measured(monkeypatch, fresh_cache):
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    assert fastest_cpu_dtype("this CPU") in (torch.float32, torch.bfloat16)
    assert bfloat16_gain() > 0


def test_the_cpu_is_named_with_its_threads():
    assert device_name(torch.device("cpu")).endswith(f"CPU with {torch.get_num_threads()} threads")


def test_memory_of_the_cpu_is_what_the_machine_has_or_the_process_may_take():
    free, total = memory_bytes(torch.device("cpu"))
    assert 0 < free <= total <= psutil.virtual_memory().total


def test_a_limit_of_the_process_is_a_limit_of_the_cpus_memory(monkeypatch):
    monkeypatch.setattr("pipeline_core.devices._address_space_limit", lambda: 2**20)
    assert memory_bytes(torch.device("cpu")) == (0, 2**20)


def test_memory_of_a_gpu_is_what_its_driver_says(monkeypatch):
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (3, 80))
    assert memory_bytes(torch.device("cuda:1")) == (3, 80)


def test_work_on_a_device_takes_turns_in_one_thread_and_another_device_is_free():
    busy, other_done, names = threading.Event(), threading.Event(), []

    def first() -> None:
        busy.set()
        assert other_done.wait(5)  # on the other device, while this one is taken
        names.append(threading.current_thread().name)

    def second() -> None:
        names.append(threading.current_thread().name)

    callers = [threading.Thread(target=run_on, args=(torch.device("cuda:0"), work)) for work in (first, second)]
    callers[0].start()
    assert busy.wait(5)
    callers[1].start()
    run_on(torch.device("cuda:1"), other_done.set)
    for caller in callers:
        caller.join(5)
    assert names == [names[0]] * 2


def test_an_error_reaches_the_caller_and_leaves_the_device_free():
    def fail() -> None:
        raise RuntimeError("as the work said")

    with pytest.raises(RuntimeError, match="as the work said"):
        run_on(torch.device("cuda:3"), fail)
    assert run_on(torch.device("cuda:3"), lambda: 5) == 5


def test_work_may_ask_for_more_work_on_its_device():
    device = torch.device("cuda:4")
    assert run_on(device, run_on, device, lambda: 7) == 7


def test_work_on_a_device_has_the_threads_that_torch_is_set_to_now():
    before, device = torch.get_num_threads(), torch.device("cpu")
    try:
        for threads in (1, 2, 1):
            torch.set_num_threads(threads)
            assert run_on(device, torch.get_num_threads) == threads
    finally:
        torch.set_num_threads(before)
        run_on(device, torch.get_num_threads)


@pytest.fixture
def three_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)
    run_on(torch.device("cpu"), torch.get_num_threads)


def threads_of_a_new_thread() -> int:
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(torch.get_num_threads).result()


@pytest.mark.parametrize(("device", "wanted"), [("cpu", 1), ("cuda:0", 3)])
def test_those_who_help_a_cpu_compute_alone_and_nobody_else_does(three_threads, device, wanted):
    with helper_threads(torch.device(device), 2, "help") as some:
        together = threading.Barrier(2)
        assert list(some.map(lambda _: (together.wait(5), torch.get_num_threads())[1], range(2))) == [wanted] * 2
        assert threads_of_a_new_thread() == 3
    assert torch.get_num_threads() == run_on(torch.device("cpu"), torch.get_num_threads) == 3


def test_without_memory_for_one_more_thread_nobody_computes_alone(three_threads, monkeypatch):
    start = threading.Thread.start

    def no_more(thread: threading.Thread) -> None:
        if thread._target is torch.set_num_threads:
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", no_more)
    with helper_threads(torch.device("cpu"), 1, "help") as one:
        assert one.submit(torch.get_num_threads).result() == 3
    assert threads_of_a_new_thread() == 3


def test_work_that_could_not_begin_is_not_done_later(monkeypatch):
    def no_memory(thread: threading.Thread) -> None:
        raise RuntimeError("no memory")

    done: list[str] = []
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", no_memory)
        with pytest.raises(RuntimeError, match="no memory"):
            run_on(torch.device("cuda:6"), done.append, "early")
    run_on(torch.device("cuda:6"), done.append, "later")
    assert done == ["later"]


def test_work_that_nobody_wants_any_more_ends_and_what_is_asked_for_later_does_not():
    device, begun, stopping, done = torch.device("cuda:7"), threading.Event(), threading.Event(), []

    def work() -> None:
        begun.set()
        assert stopping.wait(5)
        check_wanted()
        done.append("to the end")

    with ThreadPoolExecutor(2) as callers:
        running = callers.submit(run_on, device, work)
        assert begun.wait(5)
        queued = callers.submit(run_on, device, done.append, "queued")
        deadline = time.monotonic() + 5
        while len(devices._wanted) < 2:
            assert time.monotonic() < deadline
        stop_work()
        stopping.set()
        for unwanted in (running, queued):
            with pytest.raises(WorkStoppedError):
                unwanted.result()
    run_on(device, check_wanted)
    run_on(device, done.append, "later")
    assert done == ["later"]
    assert not devices._wanted


def test_on_a_cpu_work_beside_others_is_done_in_its_thread_and_elsewhere_here():
    def thread() -> str:
        return threading.current_thread().name

    assert run_beside(torch.device("cpu"), thread) == run_on(torch.device("cpu"), thread)
    assert run_beside(torch.device("cuda:0"), thread) == threading.current_thread().name


def test_the_number_of_threads_is_kept_whatever_is_made_of_it(three_threads):
    def fail() -> None:
        with thread_count_kept():
            torch.set_num_threads(1)
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert torch.get_num_threads() == threads_of_a_new_thread() == 3
