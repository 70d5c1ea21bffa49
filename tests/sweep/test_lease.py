"""One owner per cell, and a dead one loses it."""

import json
import os
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path

import pytest

from dllm_eval.sweep.lease import (
    DEAD_AFTER_S,
    LEASE_LOST,
    Heartbeat,
    acquire,
    holder,
    leased,
    live_holder,
    release,
    this_process,
)

HOLD = (
    "import sys, pathlib; from dllm_eval.sweep.lease import acquire;"
    "print(acquire(pathlib.Path(sys.argv[1])), flush=True); sys.stdin.read()"
)

BEAT = (
    "import sys, pathlib; from dllm_eval.sweep.lease import Heartbeat, acquire;"
    "path = pathlib.Path(sys.argv[1]); print(acquire(path), flush=True);"
    "Heartbeat(path, every_s=0.05).__enter__(); sys.stdin.read()"
)


def test_a_live_process_keeps_its_lease_and_a_killed_one_loses_it(tmp_path: Path) -> None:
    lease = tmp_path / "lease.json"
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(lease)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "True\n"
        assert not acquire(lease)
        release(lease)
        owner = holder(lease)
        assert owner is not None
        assert owner.pid == other.pid
        other.kill()
        other.wait()
        assert acquire(lease)
    assert holder(lease) == this_process()
    release(lease)
    assert not lease.exists()


def test_a_reused_process_id_is_another_owner(tmp_path: Path) -> None:
    lease = tmp_path / "lease.json"
    assert acquire(lease)
    earlier = {**json.loads(lease.read_text()), "started": "1"}
    lease.write_text(json.dumps(earlier))
    assert acquire(lease)
    assert holder(lease) == this_process()


def write_foreign(lease: Path, age_s: float, **changes: str) -> None:
    """A lease of a process elsewhere, last touched so many seconds before now."""
    lease.write_text(json.dumps({**asdict(this_process()), "pid": 1, **changes}))
    touched = lease.stat().st_mtime - age_s
    os.utime(lease, (touched, touched))


@pytest.mark.parametrize("changes", [{"host": "elsewhere"}, {"space": "another container"}])
def test_another_machine_loses_its_lease_when_it_is_not_touched_any_more(
    changes: dict[str, str], tmp_path: Path
) -> None:
    lease = tmp_path / "lease.json"
    write_foreign(lease, DEAD_AFTER_S - 20, **changes)
    assert not acquire(lease)
    write_foreign(lease, DEAD_AFTER_S + 20, **changes)
    assert live_holder(lease) is None
    assert acquire(lease)
    assert holder(lease) == this_process()


def test_a_lease_from_before_a_container_was_written_is_read(tmp_path: Path) -> None:
    lease = tmp_path / "lease.json"
    lease.write_text(json.dumps({"host": "elsewhere", "pid": 1, "started": "1"}))
    assert not acquire(lease)


def test_a_lease_that_cannot_be_read_is_somebodys_for_a_while(tmp_path: Path) -> None:
    lease = tmp_path / "lease.json"
    lease.write_text("{")
    assert not acquire(lease)
    touched = lease.stat().st_mtime - DEAD_AFTER_S - 20
    os.utime(lease, (touched, touched))
    assert acquire(lease)


def test_a_heartbeat_touches_the_lease(tmp_path: Path) -> None:
    lease = tmp_path / "lease.json"
    assert acquire(lease)
    os.utime(lease, (1, 1))
    with Heartbeat(lease, every_s=0.01):
        for _ in range(500):
            if lease.stat().st_mtime > 1:
                break
            time.sleep(0.01)
    assert lease.stat().st_mtime > 1


def test_a_process_whose_lease_was_taken_over_ends(tmp_path: Path) -> None:
    lease = tmp_path / "lease.json"
    with subprocess.Popen(
        [sys.executable, "-c", BEAT, str(lease)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "True\n"
        write_foreign(lease, 0, host="elsewhere")
        assert other.wait(60) == LEASE_LOST


def test_a_lease_may_keep_others_from_theirs(tmp_path: Path) -> None:
    whole, share = tmp_path / "lease.json", tmp_path / "lease.0of2.json"
    write_foreign(share, 0, host="elsewhere")
    with leased(whole, unless=[share]) as held:
        assert not held
    share.unlink()
    with leased(whole, unless=[share]) as held:
        assert held
        assert whole.exists()
    assert not whole.exists()
