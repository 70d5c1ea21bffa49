"""Slurm's commands as far as submitit uses them; jobs are processes of this machine.

`install` puts them on a path. Each is this file, called with its own name first: it keeps what was
asked for in `ID.json`, and the state and process of an entry in `ENTRY.json`, of $FAKE_SLURM.
"""

import json
import os
import re
import signal
import subprocess
import sys
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

COMMANDS = ("sbatch", "srun", "sacct", "scancel", "scontrol")
ROOT = Path(os.environ.get("FAKE_SLURM", "."))


def install(folder: Path) -> dict[str, str]:
    """Makes the commands; gives the environment in which they are found."""
    for name in COMMANDS:
        command = folder / name
        command.write_text(f'#!/bin/sh\nexec {sys.executable} {__file__} {name} "$@"\n')
        command.chmod(0o755)
    return {"FAKE_SLURM": str(folder), "PATH": f"{folder}:{os.environ['PATH']}"}


def asked(folder: Path) -> list[dict[str, str]]:
    """The #SBATCH lines of every submission, in order."""
    files = sorted(folder.glob("[0-9]*.json"), key=lambda path: path.stem)
    return [json.loads(path.read_text()) for path in files if path.stem.isdigit()]


def entries(folder: Path) -> dict[str, dict[str, Any]]:
    """State and process by entry, for example 1001_0."""
    files = folder.glob("entry-*.json")
    return {path.stem.removeprefix("entry-"): json.loads(path.read_text()) for path in files}


def _note(entry: str, **values: object) -> None:
    path = ROOT / f"entry-{entry}.json"
    known = json.loads(path.read_text()) if path.exists() else {}
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps({**known, **values}))
    temporary.replace(path)


def _sbatch(script: str) -> None:
    job = str(1001 + len(asked(ROOT)))
    pairs = re.findall(r"^#SBATCH --([\w-]+)(?:=(.*))?$", Path(script).read_text(), re.MULTILINE)
    (ROOT / f"{job}.json").write_text(json.dumps(dict(pairs)))
    array = dict(pairs).get("array")
    count = int(array.partition("%")[0].partition("-")[2]) + 1 if array else 0
    copy = ROOT / f"{job}.sh"
    copy.write_text(Path(script).read_text())
    for entry in [f"{job}_{task}" for task in range(count)] or [job]:
        _start(entry, copy)
    sys.stdout.write(f"Submitted batch job {job}\n")


def _start(entry: str, script: Path) -> None:
    _note(entry, state="PENDING", script=str(script))
    job, _, task = entry.partition("_")
    names = {"SLURM_JOB_ID": job, "SLURM_NTASKS": "1", "SLURM_PROCID": "0"}
    if task:
        names |= {"SLURM_ARRAY_JOB_ID": job, "SLURM_ARRAY_TASK_ID": task}
    subprocess.Popen(
        [sys.executable, __file__, "entry", entry, str(script)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        env={**os.environ, **names},
    )


def _entry(entry: str, script: str) -> None:
    while True:
        process = subprocess.Popen(["bash", script], start_new_session=True)
        _note(entry, state="RUNNING", pid=process.pid)
        code = process.wait()
        if not entries(ROOT)[entry].pop("requeued", False):
            break
        _note(entry, requeued=False, state="PENDING")
    _note(entry, state="FAILED" if code else "COMPLETED")


def _srun(*words: str) -> None:
    log = dict(pairwise(words))
    command = list(words[words.index("--error") + 2 :])
    names = {"%A": "SLURM_ARRAY_JOB_ID", "%a": "SLURM_ARRAY_TASK_ID", "%j": "SLURM_JOB_ID"}
    paths = {}
    for option in ("--output", "--error"):
        paths[option] = log[option].replace("%t", "0")
        for sign, name in names.items():
            paths[option] = paths[option].replace(sign, os.environ.get(name, ""))
    descriptors = [os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND) for path in paths.values()]
    os.dup2(descriptors[0], 1)
    os.dup2(descriptors[1], 2)
    os.execvp(command[0], command)


def _sacct(*words: str) -> None:
    sys.stdout.write("JobID|State|NodeList\n")
    wanted = {word for word in words if word[0].isdigit()}
    for entry, found in entries(ROOT).items():
        if entry in wanted or entry.partition("_")[0] in wanted:
            sys.stdout.write(f"{entry}|{found['state']}|here\n")


def _scancel(job: str) -> None:
    for entry, found in entries(ROOT).items():
        if job in (entry, entry.partition("_")[0]) and "pid" in found:
            with suppress(ProcessLookupError):
                os.killpg(found["pid"], signal.SIGKILL)


def _scontrol(verb: str, entry: str) -> None:
    assert verb == "requeue"
    _note(entry, requeued=True)


if __name__ == "__main__":
    role, *rest = sys.argv[1:]
    if role == "sbatch":
        _sbatch(*rest)
    elif role == "srun":
        _srun(*rest)
    elif role == "sacct":
        _sacct(*rest)
    elif role == "scancel":
        _scancel(*rest)
    elif role == "scontrol":
        _scontrol(*rest)
    else:
        _entry(*rest)
