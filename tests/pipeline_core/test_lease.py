import json
import os
import subprocess
import sys
import time
import uuid
from datetime import UTC, datetime, timedelta

import psutil
import pytest

from pipeline_core.errors import LeaseLostError, OutputInUseError
from pipeline_core.lease import LEASE_FILE, check_lease, claim_lease, read_lease
from pipeline_core.storage import Storage


@pytest.fixture(params=["local", "memory"])
def storage(request, tmp_path):
    url = str(tmp_path) if request.param == "local" else f"memory://{uuid.uuid4().hex}"
    storage = Storage(url)
    storage.make()
    return storage


def dead_pid():
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    return child.pid


def rewrite(storage, **changes):
    content = json.loads(storage.read(LEASE_FILE))
    storage.write(LEASE_FILE, json.dumps(content | changes).encode())


def ago(seconds):
    return (datetime.now(UTC) - timedelta(seconds=seconds)).isoformat()


def test_a_claimed_folder_is_refused_to_a_second_claim_even_of_the_same_process(storage):
    with claim_lease(storage), pytest.raises(OutputInUseError, match=rf"process {os.getpid()} on .* since 20"):
        claim_lease(storage)
    claim_lease(storage).release()
    assert storage.names() == []


def test_a_claim_that_waits_gets_the_folder_once_it_is_released(storage):
    first = claim_lease(storage)
    with pytest.raises(OutputInUseError):
        claim_lease(storage, wait_s=0.3)
    first.release()
    with claim_lease(storage, wait_s=0.3) as second:
        second.check()
        with pytest.raises(LeaseLostError):
            first.check()


def test_the_lease_of_a_process_that_is_gone_is_taken_over_at_once(storage):
    claim_lease(storage)
    rewrite(storage, pid=dead_pid())
    with claim_lease(storage) as lease:
        assert read_lease(storage).owner == lease.owner


def test_the_lease_of_a_process_whose_number_another_has_now_is_taken_over(storage):
    claim_lease(storage)
    started = psutil.Process().create_time()
    rewrite(storage, process_started=started - 1000, heartbeat_at=ago(time.time() - started + 50), ttl_s=1e9)
    claim_lease(storage).release()


def test_a_process_on_another_host_is_alive_until_its_heartbeat_is_too_old(storage):
    claim_lease(storage)
    rewrite(storage, machine="elsewhere", pid=dead_pid(), heartbeat_at=ago(50))
    with pytest.raises(OutputInUseError):
        claim_lease(storage)
    rewrite(storage, heartbeat_at=ago(70))
    claim_lease(storage).release()


def test_the_holder_decides_how_long_it_may_be_silent(storage):
    claim_lease(storage, ttl_s=600)
    rewrite(storage, heartbeat_at=ago(300))
    with pytest.raises(OutputInUseError):
        claim_lease(storage, ttl_s=1, heartbeat_s=0.1)


def test_half_a_lease_keeps_nobody_out(storage):
    storage.write(LEASE_FILE, b'{"owner": "ab')
    claim_lease(storage).release()


def test_heartbeats_keep_a_lease_beyond_its_time_to_live(storage):
    with claim_lease(storage, ttl_s=0.4, heartbeat_s=0.05) as lease:
        before = read_lease(storage).heartbeat_at
        for _ in range(10):
            time.sleep(0.1)
            with pytest.raises(OutputInUseError):
                claim_lease(storage)
        lease.check()
        assert read_lease(storage).heartbeat_at > before


def test_heartbeats_go_on_after_the_storage_failed_for_a_moment(storage, monkeypatch):
    failures = []

    def failing(name, content):
        failures.append(name)
        raise OSError("connection reset")

    with claim_lease(storage, ttl_s=5, heartbeat_s=0.02) as lease:
        with monkeypatch.context() as patch:
            patch.setattr(storage, "write", failing)
            while len(failures) < 3:
                time.sleep(0.01)
        before = read_lease(storage).heartbeat_at
        deadline = time.monotonic() + 5
        while read_lease(storage).heartbeat_at == before and time.monotonic() < deadline:
            time.sleep(0.01)
        assert read_lease(storage).heartbeat_at > before
        lease.check()


def test_a_lease_that_was_taken_over_neither_writes_nor_deletes_the_new_one(storage):
    old = claim_lease(storage, heartbeat_s=0.02, ttl_s=5)
    new = read_lease(storage).model_copy(update={"owner": "another", "heartbeat_at": datetime.now(UTC)})
    content = new.model_dump_json().encode()
    with storage.exclusive():
        storage.write(LEASE_FILE, content)
    time.sleep(0.2)
    assert storage.read(LEASE_FILE) == content
    with pytest.raises(LeaseLostError, match="taken over"):
        old.check()
    old.release()
    assert storage.read(LEASE_FILE) == content


def test_an_owner_is_checked_by_name_alone_so_that_other_processes_can(storage):
    with claim_lease(storage) as lease:
        check_lease(Storage(storage.url), lease.owner)
        with pytest.raises(LeaseLostError):
            check_lease(storage, "another")
        with pytest.raises(OutputInUseError):
            check_lease(storage, None)
    check_lease(storage, None)
    with pytest.raises(LeaseLostError, match="released"):
        check_lease(storage, lease.owner)


def test_a_heartbeat_too_slow_for_the_time_to_live_is_refused(storage):
    with pytest.raises(ValueError, match="heartbeat_s"):
        claim_lease(storage, ttl_s=10, heartbeat_s=6)


RACE = """
import os, signal, sys, time
from pipeline_core.errors import OutputInUseError
from pipeline_core.lease import claim_lease
from pipeline_core.storage import Storage

root, rounds, claimants, unguarded = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4] == "unguarded"
if unguarded:
    import pipeline_core.storage
    pipeline_core.storage._lock = lambda *_: False
    import pipeline_core.lease
    pipeline_core.lease._SETTLE_S = 0.2
for number in range(rounds):
    folder = Storage(f"{root}/{number}")
    folder.make()
    if number % 2:
        if (holder := os.fork()) == 0:
            claim_lease(folder)
            os.kill(os.getpid(), signal.SIGKILL)
        os.waitpid(holder, 0)
        assert folder.names() == ["_lease.json"]
    start = time.time() + 0.05
    reading, writing = os.pipe()
    pids = []
    for _ in range(claimants):
        pids.append(os.fork())
        if pids[-1] == 0:
            while time.time() < start:
                pass
            try:
                claim_lease(folder)
                os.write(writing, b"W")
            except OutputInUseError:
                os.write(writing, b"L")
            time.sleep(0.4 if unguarded else 0.15)
            os._exit(0)
    for pid in pids:
        os.waitpid(pid, 0)
    os.close(writing)
    print(os.read(reading, 100).decode().count("W"))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="forks")
@pytest.mark.parametrize("locks", ["guarded", "unguarded"])
def test_of_processes_racing_for_a_new_or_a_dead_lease_exactly_one_wins(tmp_path, locks):
    rounds = 8 if locks == "guarded" else 4
    race = subprocess.run(
        [sys.executable, "-c", RACE, str(tmp_path), str(rounds), "4", locks], capture_output=True, text=True, timeout=60
    )
    assert race.returncode == 0, race.stderr
    assert race.stdout.split() == ["1"] * rounds
