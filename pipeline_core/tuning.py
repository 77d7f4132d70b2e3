"""Find the token budget that is fastest while a run goes on, and remember it for the next.

More tokens a batch are not always faster: a CPU is fastest at one or two thousand, a GPU at many
more. Three budgets are tried in turn; where the best is the largest or the smallest of them, it
meets the next one in that direction; then the fastest is kept.
"""

import hashlib
import json
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

from pydantic import BaseModel, ConfigDict, PositiveInt, ValidationError

SMALLEST, LARGEST = 256, 2**20
_CEILING_LASTS_S = 7 * 24 * 3600
_CLEARLY_MORE = 1.25


class Remembered(BaseModel):
    """What earlier runs found out about one model on one device.

    Attributes:
        fastest: The fastest budget measured, in padded tokens a batch.
        ceiling: A budget that fitted after a larger one had not; believed for a week, and on no more memory.
        ceiling_at: When the ceiling was met, in seconds since 1970.
        memory_bytes: The memory that there was then.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    fastest: PositiveInt | None = None
    ceiling: PositiveInt | None = None
    ceiling_at: float = 0.0
    memory_bytes: int | None = None


class BudgetMemory:
    """One small file for each model, device and dtype.

    A folder that can't be written costs the memory, never the run.

    Args:
        key: Everything that decides which budget is right: model, device, dtype, ...
        folder: Where the files lie; None for ``PIPELINE_FLOWS_CACHE`` or the user's cache folder.
        memory_bytes: The memory that there is in all; a ceiling that was met with less of it is forgotten.
    """

    def __init__(self, key: tuple[str, ...], folder: Path | None = None, memory_bytes: int | None = None) -> None:
        digest = hashlib.sha256("\0".join(key).encode()).hexdigest()[:24]
        self._path = (folder or cache_folder() / "budgets") / f"{digest}.json"
        self._key = key
        self._memory_bytes = memory_bytes

    def load(self) -> Remembered:
        """What is known; nothing where nothing can be read."""
        try:
            found = Remembered.model_validate_json(self._path.read_bytes())
        except (OSError, ValidationError):
            return Remembered()
        grown = (self._memory_bytes or 0) > _CLEARLY_MORE * (found.memory_bytes or self._memory_bytes or 0)
        if grown or time.time() - found.ceiling_at > _CEILING_LASTS_S:
            return found.model_copy(update={"ceiling": None})
        return found

    def save(self, known: Remembered) -> None:
        """Replace the file at once, whole."""
        content = {"key": self._key, **known.model_dump(), "memory_bytes": self._memory_bytes}
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile("w", dir=self._path.parent, suffix=".tmp", delete=False) as file:
                json.dump(content, file, indent=1)
            os.replace(file.name, self._path)
        except OSError:
            return


class Budget:
    """The token budget of the next batch: fixed, remembered or being measured, and never above what fits.

    Args:
        wanted: Padded tokens a batch; "auto" to measure; None for no limit but memory's.
        memory: Where to look it up and write it down.
        start: The middle one of the first three budgets tried.
        on_change: Told the new budget and why, whenever it changes for good.
    """

    def __init__(
        self,
        wanted: int | str | None,
        memory: BudgetMemory,
        start: int,
        on_change: Callable[[int, str], None] = lambda _budget, _reason: None,
    ) -> None:
        self._memory = memory
        self._on_change = on_change
        known = memory.load()
        self._fastest = known.fastest
        self._ceiling = known.ceiling
        self._ceiling_at = known.ceiling_at
        self._probe: _Probe | None = None
        self._limit: int | None
        if wanted != "auto":
            self._limit = wanted if wanted is None else int(wanted)
        elif known.fastest is not None:
            self._limit = known.fastest
            on_change(self._limit, "remembered")
        else:
            self._limit = start
            self._probe = _Probe(start)
            on_change(start, "start")

    @property
    def limit(self) -> int | None:
        """Padded tokens that the next batch may have; None for any number."""
        limit = self._probe.candidate if self._probe is not None else self._limit
        if self._ceiling is None:
            return limit
        return self._ceiling if limit is None else min(limit, self._ceiling)

    def measured(self, tokens: int, padded: int, seconds: float) -> None:
        """Take in how long a batch took that ``limit`` allowed; one that was far from full says nothing."""
        if self._probe is None or (self.limit is not None and padded < self.limit // 2):
            return
        self._probe.add(tokens / max(seconds, 1e-9), seconds, self._ceiling)
        if self._probe.fastest is not None:
            self._limit = self._fastest = self._probe.fastest
            self._probe = None
            self._save()
            self._on_change(self._limit, "settled")

    def too_large(self, padded: int) -> None:
        """Never again allow as many tokens as these, which ran out of memory."""
        ceiling = max(1, padded // 2)
        if self._ceiling is not None and self._ceiling <= ceiling:
            return
        self._ceiling, self._ceiling_at = ceiling, time.time()
        self._save()
        self._on_change(ceiling, "out of memory")

    def _save(self) -> None:
        self._memory.save(Remembered(fastest=self._fastest, ceiling=self._ceiling, ceiling_at=self._ceiling_at))


class _Probe:
    """Rounds in which every budget of a field gets one batch, so that all see the same lengths.

    The first field is three neighbours. A winner at its edge meets the next budget further out, in
    a field of two, until the newcomer is no longer clearly faster.
    """

    _ROUNDS = 3
    _ENOUGH_S = 0.3  # small models get more rounds: one batch of theirs is mostly noise
    _MOST_ROUNDS = 12
    _CLEARLY = 1.02  # where rates level off, stopping here leaves less than 5% behind

    def __init__(self, start: int) -> None:
        self._enter([max(SMALLEST, start // 2), start, start * 2])
        self._warm = False
        self.fastest: int | None = None

    @property
    def candidate(self) -> int:
        """The budget to try next: the one with the fewest batches so far."""
        return min(self._field, key=lambda budget: len(self._rates[budget]))

    def add(self, tokens_per_second: float, seconds: float, ceiling: int | None) -> None:
        if not self._warm:  # the first batch pays for what torch sets up once
            self._warm = True
            return
        tried = self.candidate
        self._rates[tried].append(tokens_per_second)
        self._seconds += seconds
        rounds = min(map(len, self._rates.values()))
        enough = self._seconds >= self._ENOUGH_S * len(self._field)
        if rounds == max(map(len, self._rates.values())) and (
            rounds >= self._MOST_ROUNDS or (rounds >= self._ROUNDS and enough)
        ):
            self._judge(ceiling or LARGEST)

    def _enter(self, field: list[int]) -> None:
        self._field = field
        self._rates: dict[int, list[float]] = {budget: [] for budget in field}
        self._seconds = 0.0

    def _judge(self, ceiling: int) -> None:
        rates = {budget: median(rates) for budget, rates in self._rates.items()}
        if len(self._field) == 2:
            known, newcomer = self._field
            if rates[newcomer] < self._CLEARLY * rates[known]:
                self.fastest = known
                return
            best, following = newcomer, newcomer * 2 if newcomer > known else newcomer // 2
        else:
            best = max(self._field, key=lambda budget: rates[budget])
            if best == self._field[1]:
                self.fastest = best
                return
            following = best * 2 if best == self._field[2] else best // 2
        if SMALLEST <= following <= min(LARGEST, ceiling):
            self._enter([best, following])
        else:
            self.fastest = best


def cache_folder() -> Path:
    """``PIPELINE_FLOWS_CACHE``, else pipeline-flows in the user's cache folder."""
    named = os.environ.get("PIPELINE_FLOWS_CACHE")
    if named:
        return Path(named).expanduser()
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pipeline-flows"
    except RuntimeError:  # a container's user may have no home
        return Path(tempfile.gettempdir()) / "pipeline-flows"
