"""Memory: what counts as running out of it, and batches that are split until they fit."""

import gc
import weakref

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline_core.errors import DeviceFailedError
from pipeline_core.memory import Failure, forward_splitting, is_device_failure, is_out_of_memory, release_memory

OUT_OF_MEMORY = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 79.10 GiB"),
    RuntimeError("CUDA out of memory. Tried to allocate 20.00 MiB"),
    RuntimeError("CUDA error: out of memory"),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
    RuntimeError(
        "cuDNN error: CUDNN_STATUS_NOT_SUPPORTED. This error may appear if you passed a non-contiguous input."
    ),
    RuntimeError("MPS backend out of memory (MPS allocated: 5.05 GB, other allocations: 2.29 GB)"),
    RuntimeError("Invalid buffer size: 24.00 GiB"),
    RuntimeError("HIP out of memory. Tried to allocate 1.00 GiB"),
    RuntimeError("HIP error: hipErrorOutOfMemory"),
    RuntimeError("XPU out of memory. Tried to allocate 1.00 GiB"),
    RuntimeError(
        "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: "
        "you tried to allocate 314572800 bytes. Error code 12 (Cannot allocate memory)"
    ),
    RuntimeError("[enforce fail at alloc_cpu.cpp:80] data. DefaultCPUAllocator: not enough memory: you tried ..."),
    RuntimeError("could not create a primitive"),
    RuntimeError("could not create a primitive descriptor for a matmul primitive: could not create a memory object"),
    RuntimeError("std::bad_alloc"),
    MemoryError(),
]
ORDINARY = [
    ValueError("CUDA out of memory is what this text is about"),
    TypeError("memory"),
    RuntimeError("The size of tensor a (7) must match the size of tensor b (5) at non-singleton dimension 1"),
    RuntimeError("Input type (float) and bias type (c10::Half) should be the same memory format"),
    IndexError("index out of range in self"),
    OSError("out of memory"),
]
LOST = [
    RuntimeError("CUDA error: device-side assert triggered"),
    RuntimeError("CUDA error: an illegal memory access was encountered"),
    RuntimeError("CUDA error: unspecified launch failure"),
    RuntimeError("HIP error: the operation cannot be performed in the present state"),
]


@pytest.mark.parametrize("error", OUT_OF_MEMORY, ids=str)
def test_these_say_that_memory_ran_out(error):
    assert is_out_of_memory(error)
    assert not is_device_failure(error)


@pytest.mark.parametrize("error", ORDINARY, ids=str)
def test_these_say_nothing_about_memory_or_the_device(error):
    assert not is_out_of_memory(error)
    assert not is_device_failure(error)


@pytest.mark.parametrize("error", LOST, ids=str)
def test_these_say_that_the_device_is_lost(error):
    assert is_device_failure(error)
    assert not is_out_of_memory(error)


def test_an_array_and_a_tensor_too_large_for_this_machine_are_recognised():
    with pytest.raises(MemoryError) as array:
        np.empty(2**60, dtype=np.uint8)
    with pytest.raises(RuntimeError) as tensor:
        torch.empty(2**60, dtype=torch.uint8)
    assert is_out_of_memory(array.value)
    assert is_out_of_memory(tensor.value)


@pytest.fixture(autouse=True)
def quick_collections():
    """Keep the garbage collector from looking through all that the imports made, each time memory is released."""
    gc.freeze()
    yield
    gc.unfreeze()


class Device:
    """Squares numbers, as many at once as it has room for, and fails on the bad ones."""

    def __init__(self, capacity: int, bad: set[int] = frozenset(), huge: set[int] = frozenset()) -> None:
        self.capacity = capacity
        self.bad = bad
        self.huge = huge
        self.calls: list[list[int]] = []
        self.told: list[list[int]] = []

    def forward(self, part):
        self.calls.append(list(part))
        if len(part) > self.capacity or self.huge & set(part):
            raise torch.OutOfMemoryError("CUDA out of memory")
        if self.bad & set(part):
            raise ValueError(f"{sorted(self.bad & set(part))} can't be squared")
        return [item**2 for item in part]

    def run(self, batch):
        return forward_splitting(self.forward, batch, lambda part, message: self.told.append(list(part)))


numbers = st.sets(st.integers(0, 39), max_size=6)


@settings(deadline=None)
@given(size=st.integers(1, 40), capacity=st.integers(1, 40), bad=numbers, huge=numbers)
def test_each_item_has_its_output_or_its_failure_in_its_place(size, capacity, bad, huge):
    device = Device(capacity, bad - huge, huge)
    results = device.run(list(range(size)))
    assert len(results) == size
    for item, result in enumerate(results):
        if item in huge:
            assert result == Failure("OutOfMemoryError", "CUDA out of memory", out_of_memory=True)
        elif item in bad:
            assert result == Failure("ValueError", f"[{item}] can't be squared")
        else:
            assert result == item**2
    assert device.told == [part for part in device.calls if len(part) > capacity or huge & set(part)]


def test_what_is_finished_is_not_run_again():
    device = Device(capacity=4, bad={5})
    device.run(list(range(16)))
    answered = [part for part in device.calls if len(part) <= 4 and 5 not in part]
    assert sorted(item for part in answered for item in part) == [item for item in range(16) if item != 5]


def test_an_item_that_exhausts_the_memory_alone_is_tried_once_more():
    device = Device(capacity=9, huge={2})
    assert [isinstance(result, Failure) for result in device.run([1, 2, 3])] == [False, True, False]
    assert device.calls.count([2]) == 2


def test_an_item_that_fits_the_second_time_has_an_output():
    room = iter([False, True])

    def forward(part):
        if not next(room):
            raise MemoryError
        return list(part)

    assert forward_splitting(forward, [7], lambda part, message: None) == [7]


def test_an_item_that_fails_otherwise_is_not_tried_again():
    device = Device(capacity=9, bad={2})
    device.run([2])
    assert device.calls == [[2]]


def test_an_error_without_a_text_is_named_by_its_class():
    def forward(part):
        raise KeyError

    assert forward_splitting(forward, [1], lambda part, message: None) == [Failure("KeyError", "KeyError()")]


def test_a_lost_device_ends_it():
    def forward(part):
        raise RuntimeError("CUDA error: device-side assert triggered")

    with pytest.raises(DeviceFailedError, match="device-side assert") as lost:
        forward_splitting(forward, [1, 2], lambda part, message: None)
    assert lost.value.retryable


def test_an_interrupt_is_not_taken_for_a_bad_item():
    def forward(part):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        forward_splitting(forward, [1, 2], lambda part, message: None)


class Activations:
    """Stands for what a forward pass allocates: it lives as long as the frame that holds it."""


def test_nothing_of_a_failed_pass_is_alive_when_its_parts_run():
    held: list[weakref.ref] = []
    gc.disable()  # references alone must free it: a collection may come too late
    try:

        def forward(part):
            assert [alive() for alive in held] == [None] * len(held)
            activations = Activations()
            held.append(weakref.ref(activations))
            if len(part) > 1:
                raise torch.OutOfMemoryError("CUDA out of memory")
            return list(part)

        def told(part, message):
            assert held[-1]() is None

        assert forward_splitting(forward, [1, 2, 3, 4], told) == [1, 2, 3, 4]
    finally:
        gc.enable()
    assert len(held) == 7


def test_memory_is_released_without_an_accelerator_too():
    loop = Activations()
    loop.itself = loop
    alive = weakref.ref(loop)
    del loop
    release_memory()
    assert alive() is None
