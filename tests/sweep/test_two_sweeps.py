"""Two sweeps on one folder at a time share its cells, or the second keeps out; nothing is lost."""

import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from killed_sweeps import Zygote, children_of, content

Build = Callable[..., dict[str, Any]]
Write = Callable[[object], Path]


def calls(tmp_path: Path) -> Counter[str]:
    return Counter((tmp_path / "calls.txt").read_text().splitlines())


def wait_for(condition: Callable[[], bool]) -> None:
    for _ in range(3000):
        if condition():
            return
        time.sleep(0.02)
    raise TimeoutError("it never came to that")


def test_two_begun_at_one_moment_run_every_cell_once(
    forks: Zygote, tmp_path: Path, fake_sweep: Build, spec_file: Write
) -> None:
    spec = spec_file(fake_sweep(steps=(1, 2, 3, 4), pause_s=0.05))
    both = [forks.sweep(spec, tmp_path / "out", 2) for _ in range(2)]
    assert [forks.end(pid) for pid in both] == [0, 0]
    assert set(calls(tmp_path).values()) == {1}
    assert forks.end(forks.sweep(spec, tmp_path / "alone", 1)) == 0
    assert content(tmp_path / "out") == content(tmp_path / "alone")
    assert not list((tmp_path / "out").glob("cells/*/lease*.json"))
    assert not list((tmp_path / "out" / ".runs").glob("*.json"))


def test_the_second_waits_for_a_cell_unless_told_not_to(
    forks: Zygote, tmp_path: Path, fake_sweep: Build, spec_file: Write
) -> None:
    spec, out = spec_file(fake_sweep(steps=(1,), pause_s=1.0)), tmp_path / "out"
    first = forks.sweep(spec, out, 1)
    wait_for(lambda: any(out.glob("cells/*/requests.jsonl")))
    assert forks.end(forks.sweep(spec, out, 1, wait=False)) == 1
    told = out.with_suffix(".log").read_text()
    assert "1 quality cells are being run by another process" in told
    second = forks.sweep(spec, out, 1)
    wait_for(lambda: "waiting" in out.with_suffix(".log").read_text())
    assert [forks.end(first), forks.end(second)] == [0, 0]
    assert set(calls(tmp_path).values()) == {1}


def test_the_second_takes_over_when_the_first_is_killed(
    forks: Zygote, tmp_path: Path, fake_sweep: Build, spec_file: Write
) -> None:
    import os
    import signal

    spec, out = spec_file(fake_sweep(steps=(1,), pause_s=0.5)), tmp_path / "out"
    first = forks.sweep(spec, out, 1)
    wait_for(lambda: any(out.glob("cells/*/requests.jsonl")))
    second = forks.sweep(spec, out, 1)
    assert children_of(first)
    os.killpg(first, signal.SIGKILL)
    assert forks.end(second) == 0
    assert len(list(out.glob("cells/*/done.json"))) == 2


def test_another_spec_keeps_out_while_the_first_runs(
    forks: Zygote, tmp_path: Path, fake_sweep: Build, spec_file: Write
) -> None:
    out, other = tmp_path / "out", tmp_path / "other.yaml"
    spec = spec_file(fake_sweep(steps=(1, 2), pause_s=0.5))
    other.write_text(spec.read_text().replace("name: fake", "name: other"))
    first = forks.sweep(spec, out, 1)
    wait_for(lambda: any(out.glob("cells/*/requests.jsonl")))
    before = (out / "sweep.json").read_text()
    assert forks.end(forks.sweep(other, out, 1)) == 2
    assert "another sweep runs in" in out.with_suffix(".log").read_text()
    assert (out / "sweep.json").read_text() == before
    assert forks.end(first) == 0
    assert forks.end(forks.sweep(other, out, 1)) == 0
