"""One owner per cell, and a dead one loses it."""

import json
import subprocess
import sys
from pathlib import Path

from dllm_eval.sweep.lease import acquire, holder, release, this_process

HOLD = (
    "import sys, pathlib; from dllm_eval.sweep.lease import acquire;"
    "print(acquire(pathlib.Path(sys.argv[1])), flush=True); sys.stdin.read()"
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


def test_another_machine_is_taken_to_be_alive(tmp_path: Path) -> None:
    lease = tmp_path / "lease.json"
    lease.write_text(json.dumps({"host": "elsewhere", "pid": 1, "started": "1"}))
    assert not acquire(lease)
