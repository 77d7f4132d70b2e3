"""Devices: the first accelerator, else the CPU; names that are not there are refused with those that are."""

import psutil
import pytest
import torch

from pipeline_core.cpu_dtype import bfloat16_gain, fastest_cpu_dtype
from pipeline_core.devices import available_devices, device_name, fastest_dtype, memory_bytes, resolve_device
from pipeline_core.errors import DeviceNotFoundError


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
