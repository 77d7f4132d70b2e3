"""The threads that compute: one a device, and none for what nobody waits for any more."""

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from contextvars import copy_context

import pytest
import torch

from pipeline_core.device_threads import (
    check_wanted,
    helper_threads,
    run_beside,
    run_on,
    stopping_when_interrupted,
    thread_count_kept,
)
from pipeline_core.errors import WorkStoppedError


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


def test_work_that_nobody_wants_any_more_ends_and_what_others_want_does_not():
    device, begun, stopping, done = torch.device("cuda:7"), threading.Event(), threading.Event(), []

    def work() -> None:
        begun.set()
        assert stopping.wait(5)
        check_wanted()
        done.append("to the end")

    with ThreadPoolExecutor(3) as callers:
        with suppress(KeyboardInterrupt), stopping_when_interrupted():
            context = copy_context()
            running = callers.submit(context.copy().run, run_on, device, work)
            assert begun.wait(5)
            queued = callers.submit(context.copy().run, run_on, device, done.append, "queued")
            others = callers.submit(run_on, device, done.append, "another run's")
            raise KeyboardInterrupt
        stopping.set()
        later = callers.submit(context.copy().run, run_on, device, done.append, "of the same run")
        for unwanted in (running, queued, later):
            with pytest.raises(WorkStoppedError):
                unwanted.result()
        others.result()
    run_on(device, done.append, "later")
    assert done == ["another run's", "later"]


def test_an_error_stops_no_work():
    def fail() -> None:
        with stopping_when_interrupted():
            contexts.append(copy_context())
            raise ValueError

    contexts = []
    with pytest.raises(ValueError):  # noqa: PT011
        fail()
    contexts[0].run(check_wanted)


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
