"""One run at a time writes into a folder; a run that lost its folder finds out before it writes.

The holder's name, process and last sign of life are in ``_lease.json``. On a local folder claims, takeovers,
releases and commits exclude one another, so exactly one claimant wins and nobody can write after a takeover.
On an object store, or a network file system without folder locks, the same file is used without that
exclusion: two claimants are told apart by reading it again a moment later, and a run that was taken over is
stopped by the check before its next commit, not in the middle of one.
"""

import os
import socket
import threading
import time
import uuid
from contextlib import suppress
from datetime import UTC, datetime
from functools import cache
from types import TracebackType
from typing import Self

import psutil
from pydantic import BaseModel, ConfigDict, ValidationError

from pipeline_core.errors import LeaseLostError, OutputError, OutputInUseError
from pipeline_core.storage import Storage

LEASE_FILE = "_lease.json"

# psutil derives a process' start from the boot time, which moves when the clock is set.
_START_TOLERANCE_S = 2.0
_POLL_S = 0.1
# Long enough for another claimant's write to land on a store that can't exclude it.
_SETTLE_S = 1.0


class LeaseHolder(BaseModel):
    """Who holds a folder, as ``_lease.json`` says.

    Attributes:
        owner: Names the claim; whoever knows it may write into the folder.
        host: The holder's host name.
        machine: Tells hosts and containers apart that share a name.
        pid: The holder's process.
        process_started: When that process started, in seconds since 1970.
        acquired_at: When the folder was claimed.
        heartbeat_at: The holder's last sign of life.
        ttl_s: Seconds without a sign of life after which anyone may take the folder over.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    owner: str
    host: str
    machine: str
    pid: int
    process_started: float
    acquired_at: datetime
    heartbeat_at: datetime
    ttl_s: float

    def is_dead(self) -> bool:
        """Whether its process is known to be gone, or it has been silent for longer than its ``ttl_s``."""
        if time.time() - self.heartbeat_at.timestamp() > self.ttl_s:
            return True
        return self.machine == _machine() and not self._process_runs()

    def _process_runs(self) -> bool:
        try:
            process = psutil.Process(self.pid)
            if process.status() in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD):
                return False
            started = process.create_time()
        except psutil.NoSuchProcess:
            return False
        except psutil.AccessDenied:
            return True
        same = abs(started - self.process_started) <= _START_TOLERANCE_S
        return bool(same or started <= self.heartbeat_at.timestamp())

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host} since {self.acquired_at.isoformat(timespec='seconds')}"


class Lease:
    """A folder held by this process, kept alive by a thread until ``release``.

    ``owner`` may be handed to other threads, processes and hosts: their commits are then this lease's.
    """

    def __init__(self, storage: Storage, holder: LeaseHolder, heartbeat_s: float) -> None:
        self._storage = storage
        self._holder = holder
        self._pid = os.getpid()
        self._stopped = threading.Event()
        self._thread = threading.Thread(
            target=self._keep_alive, args=(heartbeat_s,), name=f"lease of {storage.url}", daemon=True
        )
        self._thread.start()

    @property
    def owner(self) -> str:
        """The name of this claim."""
        return self._holder.owner

    def check(self) -> None:
        """Make sure that the folder is still this lease's.

        Raises:
            LeaseLostError: It is not.
        """
        check_lease(self._storage, self.owner)

    def release(self) -> None:
        """Give the folder back, unless another run took it over; a second call does nothing."""
        # A forked child has a copy of this object, but the folder is its parent's.
        if self._stopped.is_set() or os.getpid() != self._pid:
            return
        self._stopped.set()
        self._thread.join()
        with suppress(OSError, OutputError), self._storage.exclusive():
            self.check()
            self._storage.remove(LEASE_FILE)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.release()

    def _keep_alive(self, heartbeat_s: float) -> None:
        while not self._stopped.wait(heartbeat_s):
            # A store that fails for a moment must not end the run; one that fails for long lets the
            # lease expire, and then a takeover is found by the next check.
            with suppress(Exception):
                try:
                    self._beat()
                except LeaseLostError:
                    return

    def _beat(self) -> None:
        with self._storage.exclusive():
            self.check()
            alive = self._holder.model_copy(update={"heartbeat_at": datetime.now(UTC)})
            self._storage.write(LEASE_FILE, _content(alive))


def claim_lease(storage: Storage, wait_s: float = 0.0, ttl_s: float = 60.0, heartbeat_s: float = 5.0) -> Lease:
    """Hold a folder for this process, taking it over from a holder that is dead.

    Args:
        storage: The folder; it must be there.
        wait_s: Seconds to wait for another holder to release it or die.
        ttl_s: Seconds of silence after which others may take it over. Hosts' clocks must agree to well
            within it.
        heartbeat_s: Seconds between signs of life.

    Raises:
        OutputInUseError: Another run that is alive holds it, or this process itself does.
    """
    if not 0 < heartbeat_s <= ttl_s / 2:
        raise ValueError(f"heartbeat_s must be above 0 and at most half of ttl_s={ttl_s}, but is {heartbeat_s} instead")
    deadline = time.monotonic() + wait_s
    while True:
        now = datetime.now(UTC)
        mine = LeaseHolder(
            owner=uuid.uuid4().hex,
            host=socket.gethostname(),
            machine=_machine(),
            pid=os.getpid(),
            process_started=psutil.Process().create_time(),
            acquired_at=now,
            heartbeat_at=now,
            ttl_s=ttl_s,
        )
        if _claim(storage, mine):
            return Lease(storage, mine, heartbeat_s)
        if time.monotonic() >= deadline:
            holder = read_lease(storage)
            raise OutputInUseError(
                f"output {storage.url!r} is in use by {holder or 'a run that just claimed it'}; "
                "wait for it to end, stop it, or name another folder"
            )
        time.sleep(_POLL_S)


def read_lease(storage: Storage) -> LeaseHolder | None:
    """Who holds the folder; None for nobody, or if its lease can't be read."""
    return _parse(storage.read(LEASE_FILE))


def check_lease(storage: Storage, owner: str | None) -> None:
    """Make sure that ``owner`` holds the folder; None, that no other run that is alive does.

    Raises:
        LeaseLostError: It doesn't.
        OutputInUseError: No owner was given, and the folder is held.
    """
    holder = read_lease(storage)
    if owner is None:
        if holder is not None and not holder.is_dead():
            raise OutputInUseError(f"output {storage.url!r} is in use by {holder}; only that run may write into it")
    elif holder is None:
        raise LeaseLostError(f"the lease of {storage.url!r} was released; this run must not write there any more")
    elif holder.owner != owner:
        raise LeaseLostError(f"output {storage.url!r} was taken over by {holder}; this run must not write there")


def _claim(storage: Storage, mine: LeaseHolder) -> bool:
    with storage.exclusive():
        found = storage.read(LEASE_FILE)
        if found is not None and not (_is_abandoned(storage, found) and _put_aside(storage, found)):
            return False
        if not storage.create(LEASE_FILE, _content(mine)):
            return False
    if not storage.guarded:
        time.sleep(_SETTLE_S)
    held = read_lease(storage)
    return held is not None and held.owner == mine.owner


def _is_abandoned(storage: Storage, found: bytes) -> bool:
    holder = _parse(found)
    if holder is not None:
        return holder.is_dead()
    # Half a lease says nothing of its writer, who may be about to finish it.
    age_s = storage.age_s(LEASE_FILE)
    return storage.guarded or (age_s is not None and age_s > 60)


def _put_aside(storage: Storage, found: bytes) -> bool:
    aside = storage.temporary(LEASE_FILE)
    try:
        storage.rename(LEASE_FILE, aside)
    except FileNotFoundError:
        return True
    moved = storage.read(aside)
    # Where claims can't exclude one another, a quicker claimant's lease may have come under our hands.
    if moved is not None and moved != found:
        storage.create(LEASE_FILE, moved)
        storage.remove(aside)
        return False
    storage.remove(aside)
    return True


def _parse(content: bytes | None) -> LeaseHolder | None:
    if content is None:
        return None
    try:
        return LeaseHolder.model_validate_json(content)
    except ValidationError:
        return None


def _content(holder: LeaseHolder) -> bytes:
    return holder.model_dump_json(indent=2).encode() + b"\n"


@cache
def _machine() -> str:
    # A host's name alone is not enough: containers share names but not process ids.
    parts = [socket.gethostname()]
    with suppress(OSError), open("/proc/sys/kernel/random/boot_id") as file:
        parts.append(file.read().strip())
    with suppress(OSError):
        parts.append(os.readlink("/proc/self/ns/pid"))
    return " ".join(parts)
