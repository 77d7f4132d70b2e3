"""Who talks when, asked at any moment: turns of several speakers laid over one another."""

from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

from pipeline_core.meeting.transcript import Turn

_NOBODY: frozenset[str] = frozenset()


class TurnIndex:
    """Turns, looked up by time in logarithmic time."""

    def __init__(self, turns: Iterable[Turn]) -> None:
        changes: dict[float, Counter[str]] = defaultdict(Counter)
        for turn in turns:
            if turn.duration_s > 0:
                changes[turn.start_s][turn.speaker] += 1
                changes[turn.end_s][turn.speaker] -= 1
        self._starts = sorted(changes)
        self._active: list[frozenset[str]] = []
        talking: Counter[str] = Counter()
        for start in self._starts:
            talking.update(changes[start])
            self._active.append(frozenset(speaker for speaker, count in talking.items() if count > 0))

    def talking(self, start_s: float, end_s: float) -> dict[str, float]:
        """Seconds that each speaker talks between two moments; speakers who don't are left out."""
        seconds: dict[str, float] = defaultdict(float)
        for left, right, speakers in self._stretches(start_s, end_s):
            for speaker in speakers:
                seconds[speaker] += right - left
        return dict(seconds)

    def overlap_s(self, start_s: float, end_s: float) -> float:
        """Seconds between two moments in which more than one speaker talks."""
        return sum(right - left for left, right, speakers in self._stretches(start_s, end_s) if len(speakers) > 1)

    def nearest(self, moment_s: float) -> str | None:
        """Who talks at a moment, or else who stopped or starts closest to it; None where nobody ever talks."""
        here = bisect_right(self._starts, moment_s) - 1
        after = next((i for i in range(max(here, 0), len(self._active)) if self._active[i]), None)
        before = next((i for i in range(here, -1, -1) if self._active[i]), None)
        if before is None or after is None or before == after:
            found = before if after is None else after
            return None if found is None else min(self._active[found])
        before_s = moment_s - self._starts[before + 1]
        return min(self._active[before if before_s <= self._starts[after] - moment_s else after])

    def _stretches(self, start_s: float, end_s: float) -> Iterable[tuple[float, float, frozenset[str]]]:
        index = bisect_right(self._starts, start_s) - 1
        left = start_s
        while left < end_s:
            right = self._starts[index + 1] if index + 1 < len(self._starts) else end_s
            right = min(right, end_s)
            yield left, right, self._active[index] if index >= 0 else _NOBODY
            left, index = right, index + 1


def talk_time(turns: Iterable[Turn]) -> dict[str, float]:
    """Seconds that each speaker talks; turns of one speaker that overlap count once. Longest first."""
    turns = list(turns)
    end = max((turn.end_s for turn in turns), default=0.0)
    seconds = TurnIndex(turns).talking(0.0, end)
    return dict(sorted(seconds.items(), key=lambda item: (-item[1], item[0])))


def in_order(turns: Iterable[Turn]) -> list[Turn]:
    """Turns sorted, and speakers called S1, S2, ... in the order in which they first talk."""
    ordered = sorted(turns, key=lambda turn: (turn.start_s, turn.end_s, turn.speaker))
    labels: dict[str, str] = {}
    for turn in ordered:
        labels.setdefault(turn.speaker, f"S{len(labels) + 1}")
    return [turn.model_copy(update={"speaker": labels[turn.speaker]}) for turn in ordered]


def at_most(turns: Sequence[Turn], speakers: int) -> list[Turn]:
    """Turns of no more than ``speakers`` speakers: what the others say goes to whoever talks nearest to it."""
    kept = set(list(talk_time(turns))[:speakers])
    if len(kept) == len({turn.speaker for turn in turns}):
        return list(turns)
    index = TurnIndex(turn for turn in turns if turn.speaker in kept)
    moved = []
    for turn in turns:
        near = turn.speaker if turn.speaker in kept else index.nearest((turn.start_s + turn.end_s) / 2)
        moved.append(turn.model_copy(update={"speaker": near}))
    return moved
