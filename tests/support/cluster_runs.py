"""One sweep for every executor: two real cells, two that wait a little, and one that cannot run."""

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml
from killed_sweeps import FAKES, Zygote, content

from dllm_eval.sweep.stage import Snapshot

QUIET = {
    "PYTHONPATH": os.pathsep.join(filter(None, [str(FAKES), os.environ.get("PYTHONPATH")])),
    "OMP_NUM_THREADS": "1",
    "HF_HUB_OFFLINE": "1",
}
BROKEN = "Placed, Broken (quality): steps is 91; accepted: up to 90"


def mapping(folder: Path) -> dict[str, Any]:
    """The sweep; its fake model leaves its traces in the folder."""
    args = {"side_file": str(folder / "calls.txt"), "pause_s": 0.4}
    return {
        "name": "cluster",
        "models": [
            {
                "name": "Placed",
                "model": "fake_placed:PlacedLM",
                "kind": "diffusion",
                "args": args,
                "suites": ["Echo", "Broken"],
            },
            {
                "name": "D",
                "model": "dllm",
                "args": {"pretrained": "reference-diffusion"},
                "suites": ["Reversal"],
            },
        ],
        "suites": [
            {
                "task": "fake_echo",
                "title": "Broken",
                "metric": "exact_match",
                "limit": 1,
                "settings": {"steps": 91},
            },
            {
                "task": "fake_echo",
                "title": "Echo",
                "metric": "exact_match",
                "limit": 12,
                "sweep": {"steps": [40, 50]},
            },
            {
                "task": "ref_reversal",
                "title": "Reversal",
                "metric": "exact_match",
                "limit": 4,
                "settings": {"gen_length": 8},
                "sweep": {"steps": [2]},
            },
        ],
        "quality": {"batch_size": 2},
        "latency": {"requests": 2, "rounds": 1, "warmup": 1, "min_seconds": 0, "threads": 1},
        "include": [str(FAKES)],
    }


def local_content(forks: Zygote, folder: Path) -> dict[str, list[str]]:
    """What the local executor leaves of the sweep."""
    folder.mkdir()
    spec, out = folder / "sweep.yaml", folder / "out"
    spec.write_text(yaml.safe_dump(mapping(folder)))
    assert forks.end(forks.sweep(spec, out, 1)) == 2, out.with_suffix(".log").read_text()
    return finished_content(out)


def finished_content(out: Path) -> dict[str, list[str]]:
    """`content` of the cells that were finished, by what they are.

    Of lm-eval's results the scores alone: the rest says where the fake model leaves its traces.
    """
    view = out.with_name(f"{out.name}-finished")
    (view / "cells").mkdir(parents=True)
    for done in out.glob("cells/*/done.json"):
        cell = json.loads((done.parent / "cell.json").read_text())
        name = f"{cell['suite']} {cell['arguments'].get('steps')} {cell['purpose']}"
        (view / "cells" / name).symlink_to(done.parent, target_is_directory=True)
    return {key: _scores(key, lines) for key, lines in content(view).items()}


def _scores(key: str, lines: list[str]) -> list[str]:
    return [json.dumps(json.loads(lines[0])["results"])] if key.endswith(" results") else lines


def requests_of(out: Path) -> list[Path]:
    """Logs of quality cells of the waiting fake model that are run now and hold something."""
    found = []
    for file in out.glob("cells/*/cell.json"):
        cell = json.loads(file.read_text())
        log = file.with_name("requests.jsonl")
        waits = cell["arguments"].get("steps") in (40, 50) and cell["purpose"] == "quality"
        if waits and file.with_name("lease.json").exists() and log.exists() and log.stat().st_size:
            found.append(log)
    return found


class Killer:
    """A `Watch` that kills the worker of one cell as soon as it has written some requests."""

    def __init__(self, out: Path, steps: int, sent: signal.Signals = signal.SIGKILL) -> None:
        self.out = out
        self.steps = steps
        self.sent = sent
        self.killed: int | None = None

    def __call__(self, _: Snapshot) -> None:
        if self.killed is None:
            self.killed = self._kill()

    def _kill(self) -> int | None:
        for file in self.out.glob("cells/*/cell.json"):
            cell = json.loads(file.read_text())
            requests, lease = file.with_name("requests.jsonl"), file.with_name("lease.json")
            wanted = cell["arguments"].get("steps") == self.steps and cell["purpose"] == "quality"
            if wanted and lease.exists() and requests.exists() and requests.stat().st_size:
                pid = int(json.loads(lease.read_text())["pid"])
                os.kill(pid, self.sent)
                return pid
        return None


def places(folder: Path) -> list[dict[str, Any]]:
    """The lines that the fake model left."""
    return [json.loads(line) for line in (folder / "places.jsonl").read_text().splitlines()]


def spans(lines: list[dict[str, Any]]) -> list[tuple[dict[str, Any], float, float]]:
    """(line, start, stop) of every run that came to its end."""
    found = []
    for line in lines:
        if line["event"] == "start":
            same = [x for x in lines if (x["pid"], x["steps"]) == (line["pid"], line["steps"])]
            stops = [x["seconds"] for x in same if x["event"] == "stop"]
            later = [stop for stop in stops if stop >= line["seconds"]]
            if later:
                found.append((line, float(line["seconds"]), float(min(later))))
    return found


def check_alone(found: list[tuple[dict[str, Any], float, float]]) -> None:
    """While something is timed, nothing else runs on its device."""
    for number, (line, start, stop) in enumerate(found):
        for other, its_start, its_stop in found[:number] + found[number + 1 :]:
            together = start < its_stop and its_start < stop
            assert not (line["timed"] and together and line["device"] == other["device"])


Wait = Callable[[], bool]
