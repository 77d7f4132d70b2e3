"""Each worker sees one device: its GPU and no other, or its share of the CPU's cores."""

import pytest

from flows import device_binding
from flows.device_binding import bindings, cpu_bindings, gpu_binding
from pipeline_core.errors import SpecError


@pytest.fixture
def four_gpus(monkeypatch):
    """A machine on which torch sees four GPUs, of which CUDA_VISIBLE_DEVICES may name some."""
    import torch

    def count():
        import os

        named = os.environ.get("CUDA_VISIBLE_DEVICES")
        return 4 if named is None else len([name for name in named.split(",") if name])

    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(torch.cuda, "device_count", count)
    return monkeypatch


def seen(made):
    return [binding.environment["CUDA_VISIBLE_DEVICES"] for binding in made]


def test_there_is_a_worker_for_each_gpu_and_each_sees_its_own(four_gpus):
    assert seen(bindings(None)) == ["0", "1", "2", "3"]
    assert seen(bindings(2)) == ["0", "1"]
    assert len({binding.name for binding in bindings(None)}) == 4


@pytest.mark.parametrize("named", ["2,3", "GPU-8932f937, GPU-46f2a1c4"])
def test_gpus_that_the_environment_names_are_the_only_ones_and_keep_their_names(four_gpus, named):
    four_gpus.setenv("CUDA_VISIBLE_DEVICES", named)
    assert seen(bindings(None)) == [name.strip() for name in named.split(",")]


def test_more_workers_than_gpus_are_refused(four_gpus):
    with pytest.raises(SpecError, match="at most 4"):
        bindings(5)


def test_workers_of_the_cpu_see_no_gpu_and_share_its_cores(four_gpus):
    four_gpus.delenv("OMP_NUM_THREADS", raising=False)
    made = bindings(3, cpu=True)
    assert seen(made) == ["", "", ""]
    assert [b.environment["OMP_NUM_THREADS"] for b in cpu_bindings(2, cores=8)] == ["4", "4"]
    assert [b.environment["OMP_NUM_THREADS"] for b in cpu_bindings(4, cores=2)] == ["1"] * 4
    four_gpus.setenv("OMP_NUM_THREADS", "3")
    assert [b.environment["OMP_NUM_THREADS"] for b in cpu_bindings(2, cores=8)] == ["3", "3"]


def test_without_a_gpu_there_is_one_worker_for_the_cpu(monkeypatch):
    monkeypatch.setattr(device_binding, "visible_gpus", list)
    assert [binding.name for binding in bindings(None)] == ["cpu 0"]


def test_a_gpu_is_bound_by_its_name():
    assert gpu_binding("GPU-8932f937").environment == {"CUDA_VISIBLE_DEVICES": "GPU-8932f937"}
