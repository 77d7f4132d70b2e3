"""The token budget: measured to be the fastest, kept under what fits, remembered for the next run."""

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline_core import tuning
from pipeline_core.tuning import LARGEST, SMALLEST, Budget, BudgetMemory, Remembered, cache_folder

MODEL = ("text-classification", "someone/model", "NVIDIA H100", "bfloat16")


@pytest.fixture
def memory(tmp_path) -> BudgetMemory:
    return BudgetMemory(MODEL, tmp_path)


class Device:
    """Takes ``cost(tokens)`` seconds for a full batch, and has room for ``room`` tokens."""

    def __init__(self, cost, room=float("inf")):
        self.cost = cost
        self.room = room
        self.batches = 0

    def run(self, budget: Budget, batches: int) -> None:
        for _ in range(batches):
            self.batches += 1
            tokens = budget.limit
            if tokens > self.room:
                budget.too_large(tokens)
            else:
                budget.measured(tokens, tokens, self.cost(tokens))

    def settle(self, memory: BudgetMemory, start: int, most_batches: int = 150) -> int:
        """Run until the budget is settled, and return it."""
        settled = []
        budget = Budget(
            "auto", memory, start, lambda value, reason: settled.append(value) if reason == "settled" else 0
        )
        while not settled:
            assert self.batches < most_batches
            self.run(budget, 1)
        assert budget.limit == min(settled[-1], budget.limit)
        return budget.limit


def ladder(start: int) -> list[int]:
    budgets = [start]
    while budgets[0] // 2 >= SMALLEST:
        budgets.insert(0, budgets[0] // 2)
    while budgets[-1] * 2 <= LARGEST:
        budgets.append(budgets[-1] * 2)
    return budgets


COSTS = {
    "a small CPU, slower beyond its cache": lambda tokens: 2e-3 + tokens * (1e-5 if tokens <= 1024 else 1.4e-5),
    "a CPU with long attention": lambda tokens: (200 + tokens + tokens**2 / 4000) / 1e5,
    "a large CPU": lambda tokens: (200 + tokens + tokens**2 / 16_000) / 1e5,
    "a small GPU": lambda tokens: (1000 + tokens) / 1e6,
    "a GPU": lambda tokens: (5000 + tokens) / 1e6,
    "a large GPU": lambda tokens: (50_000 + tokens) / 1e6,
    "a GPU, slower when nearly full": lambda tokens: (2000 + tokens + max(0, tokens - 65_536) * 2) / 1e6,
}


# From above, the rate of a CPU with a cache has two tops, and a search among neighbours finds the nearer one.
@pytest.mark.parametrize(
    ("device", "start"),
    [(device, start) for device in COSTS for start in (2048, 16_384) if "cache" not in device or start == 2048],
)
def test_the_budget_settles_within_five_percent_of_the_fastest(memory, device, start):
    cost = COSTS[device]
    settled = Device(cost).settle(memory, start)
    fastest = max(budget / cost(budget) for budget in ladder(start))
    assert settled in ladder(start)
    assert settled / cost(settled) >= 0.95 * fastest


@given(overhead=st.floats(0, 1e6), squares=st.floats(0, 1e-3), start=st.sampled_from([256, 2048, 16_384, LARGEST // 2]))
def test_any_device_is_settled_within_the_ladder_in_a_bounded_number_of_batches(
    tmp_path_factory, overhead, squares, start
):
    memory = BudgetMemory(MODEL, tmp_path_factory.mktemp("budgets"))
    settled = Device(lambda tokens: (overhead + tokens + squares * tokens**2) / 1e6).settle(memory, start, 400)
    assert SMALLEST <= settled <= LARGEST


def test_batches_far_from_full_say_nothing(memory):
    budget = Budget("auto", memory, 2048)
    for _ in range(200):
        budget.measured(10, 10, 1.0)
    assert memory.load() == Remembered()
    assert Device(COSTS["a large CPU"]).settle(memory, 2048) == 2048


@pytest.mark.parametrize("wanted", [1, 300, 10**7, None])
def test_a_fixed_budget_is_kept(memory, wanted):
    memory.save(Remembered(fastest=4096))
    budget = Budget(wanted, memory, 2048)
    for _ in range(100):
        assert budget.limit == wanted
        budget.measured(2000, 2000, 0.01)
    assert memory.load().fastest == 4096


@pytest.mark.parametrize("wanted", ["auto", None, 100_000])
def test_a_budget_never_again_allows_what_did_not_fit(memory, wanted):
    budget = Budget(wanted, memory, 8192)
    budget.too_large(6000)
    for size in (5000, 9000, 2000, 4100):
        assert budget.limit <= 3000
        budget.measured(budget.limit, budget.limit, 0.01)
        budget.too_large(size)
    assert budget.limit <= 1000
    assert Budget(wanted, memory, 8192).limit <= 1000


@pytest.mark.parametrize("room", [300, 5000, 40_000])
def test_the_search_stays_below_what_does_not_fit(memory, room):
    device = Device(COSTS["a large GPU"], room)
    assert device.settle(memory, 16_384) <= room
    again = Budget("auto", memory, 16_384)
    assert again.limit <= room


@given(sizes=st.lists(st.integers(1, 2**21), max_size=8), wanted=st.sampled_from(["auto", None, 3000]))
def test_the_limit_is_at_least_one_and_falls_with_every_failure(tmp_path_factory, sizes, wanted):
    budget = Budget(wanted, BudgetMemory(MODEL, tmp_path_factory.mktemp("budgets")), 2048)
    limit = budget.limit or 2**30
    for size in sizes:
        budget.too_large(size)
        assert 1 <= budget.limit <= max(1, min(limit, size // 2))
        limit = budget.limit


def test_what_was_settled_is_where_the_next_run_begins(memory):
    settled = Device(COSTS["a GPU"]).settle(memory, 2048)
    told = []
    assert Budget("auto", memory, 2048, lambda *change: told.append(change)).limit == settled
    assert told == [(settled, "remembered")]


def test_a_ceiling_is_forgotten_after_a_week(memory, monkeypatch):
    met = time.time()
    Budget(None, memory, 2048).too_large(6000)
    for days, limit in ((6.9, 3000), (7.1, None)):
        monkeypatch.setattr(tuning.time, "time", lambda days=days: met + days * 24 * 3600)
        assert Budget(None, memory, 2048).limit == limit


def test_a_ceiling_leaves_the_fastest_budget_known(memory):
    settled = Device(COSTS["a large GPU"]).settle(memory, 2048)
    Budget("auto", memory, 2048).too_large(4096)
    known = memory.load()
    assert (known.fastest, known.ceiling) == (settled, 2048)


def test_every_change_is_told_once(memory):
    told = []
    budget = Budget("auto", memory, 2048, lambda *change: told.append(change))
    budget.too_large(6000)
    budget.too_large(6000)
    budget.too_large(8000)
    assert told == [(2048, "start"), (3000, "out of memory")]


def test_another_key_knows_nothing(memory, tmp_path):
    memory.save(Remembered(fastest=4096, ceiling=8192, ceiling_at=time.time()))
    for other in ((*MODEL[:-1], "float32"), MODEL[:-1], (*MODEL, "")):
        assert BudgetMemory(other, tmp_path).load() == Remembered()
    assert BudgetMemory(MODEL, tmp_path).load().fastest == 4096


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"\xff\xfe", b"[]", b'{"fastest": -5}', b'{"fastest": 0}', b'{"ceiling": "much"}', b"null"],
)
def test_a_damaged_file_is_as_good_as_none_and_is_replaced(memory, tmp_path, content):
    memory.save(Remembered(fastest=4096))
    [path] = tmp_path.iterdir()
    path.write_bytes(content)
    assert memory.load() == Remembered()
    assert Device(COSTS["a large CPU"]).settle(memory, 2048) == 2048
    assert memory.load().fastest == 2048


def test_a_folder_that_can_not_be_written_costs_nothing(tmp_path):
    (tmp_path / "file").touch()
    memory = BudgetMemory(MODEL, tmp_path / "file" / "budgets")
    assert Device(COSTS["a large CPU"]).settle(memory, 2048) == 2048
    assert memory.load() == Remembered()


def test_a_file_says_what_it_is_about_and_lies_alone(memory, tmp_path):
    for budget in (1024, 2048):
        memory.save(Remembered(fastest=budget))
    [path] = tmp_path.iterdir()
    assert json.loads(path.read_text())["key"] == list(MODEL)


def test_the_cache_folder_is_the_one_named(fresh_cache):
    assert cache_folder() == fresh_cache
    BudgetMemory(MODEL).save(Remembered(fastest=4096))
    assert list((fresh_cache / "budgets").iterdir())


def test_the_cache_folder_is_the_users_unless_named(monkeypatch, tmp_path):
    monkeypatch.delenv("PIPELINE_FLOWS_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "pipeline-flows"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / ".cache" / "pipeline-flows"


def test_a_user_without_a_home_has_a_cache_folder_too(monkeypatch):
    monkeypatch.delenv("PIPELINE_FLOWS_CACHE")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.delenv("HOME")
    monkeypatch.setattr("os.getuid", lambda: 2**31 - 7)
    assert cache_folder().is_absolute()
