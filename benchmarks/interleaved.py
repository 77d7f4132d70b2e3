"""Time systems in turn, round by round, so that a machine whose speed drifts slows all of them alike."""

import time
from collections.abc import Callable, Mapping, Sequence
from statistics import median
from typing import Any, NamedTuple


class Timed(NamedTuple):
    """One system's seconds, a round each, and its last answers."""

    seconds: list[float]
    answers: Any

    @property
    def median_s(self) -> float:
        return median(self.seconds)


def interleave(systems: Mapping[str, Callable[[], Any]], rounds: int) -> dict[str, Timed]:
    """Run every system once without counting, then ``rounds`` times in turn."""
    timed: dict[str, Timed] = {}
    for name, run in systems.items():
        timed[name] = Timed([], run())
    for _ in range(rounds):
        for name, run in systems.items():
            start = time.perf_counter()
            answers = run()
            timed[name] = Timed([*timed[name].seconds, time.perf_counter() - start], answers)
    return timed


def ratio(timed: Mapping[str, Timed], slow: str, fast: str) -> float:
    """How many times as long ``slow`` takes as ``fast``: the median of the rounds' ratios."""
    return median(a / b for a, b in zip(timed[slow].seconds, timed[fast].seconds, strict=True))


def print_table(timed: Mapping[str, Timed], rows: int, base: str) -> None:
    """Medians, spread and the ratio to ``base``, a system a line."""
    print(f"{'system':<34}{'median s':>10}{'min':>9}{'max':>9}{'rows/s':>10}{'x ' + base:>24}")
    for name, result in timed.items():
        print(
            f"{name:<34}{result.median_s:>10.2f}{min(result.seconds):>9.2f}{max(result.seconds):>9.2f}"
            f"{rows / result.median_s:>10.1f}{ratio(timed, base, name):>24.2f}"
        )


def agreement(found: Sequence[str], wanted: Sequence[str]) -> float:
    """Share of equal labels."""
    return sum(a == b for a, b in zip(found, wanted, strict=True)) / len(wanted)
