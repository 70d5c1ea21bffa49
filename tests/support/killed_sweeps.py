"""Sweeps that are started in milliseconds and killed at any moment, and their folders compared.

`python killed_sweeps.py` is a process that has imported everything once: for each order it reads it
forks a sweep, whose workers are forks again, and says the sweep's process id. Everything else in
them is as in `dllm-eval sweep`.
"""

import json
import os
import resource
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from importlib import import_module
from pathlib import Path
from random import Random
from typing import Any, Literal

FAKES = Path(__file__).parents[1] / "sweep" / "fakes"
TIMES = ("seconds", "repeat_seconds", "cpu_seconds")
RUN_FACTS = ("date", "start_time", "end_time", "total_evaluation_time_seconds", "git_hash")
Target = Literal["all", "parent", "worker"]


class Zygote:
    """The process that forks sweeps."""

    def __init__(self) -> None:
        path = os.pathsep.join(filter(None, [str(FAKES), os.environ.get("PYTHONPATH")]))
        self._process = subprocess.Popen(
            [sys.executable, __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "PYTHONPATH": path},
        )

    def sweep(
        self,
        spec: Path,
        out: Path,
        workers: int,
        *,
        wait: bool = True,
        file_bytes: int | None = None,
    ) -> int:
        """Starts a sweep in a process group of its own; gives its process id.

        Args:
            spec: What to run.
            out: Where to; what the sweep says stands beside it, in a file that ends in .log.
            workers: As in `dllm-eval sweep`.
            wait: Whether to wait for cells that another sweep runs.
            file_bytes: How large a file may become, as on a full disk.
        """
        order = [str(spec), str(out), workers, wait, file_bytes]
        return int(self._answer(order))

    def code(self, pid: int) -> int | None:
        """How a sweep ended; None while it runs."""
        answer = self._answer(pid)
        return None if answer == "runs" else int(answer)

    def end(self, pid: int) -> int:
        """How a sweep ends."""
        for _ in range(15000):
            code = self.code(pid)
            if code is not None:
                return code
            time.sleep(0.02)
        raise TimeoutError("the sweep did not end")

    def _answer(self, order: object) -> str:
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        stdin.write(f"{json.dumps(order)}\n")
        stdin.flush()
        return stdout.readline().strip()

    def close(self) -> None:
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()


def kill(pid: int, target: Target, draw: Random) -> bool:
    """SIGKILL for a sweep's whole process group, for itself alone, or for one of its workers.

    Returns:
        Whether there was something to kill.
    """
    if target == "all":
        return _sent(os.killpg, pid)
    if target == "parent":
        return _sent(os.kill, pid)
    workers = children_of(pid)
    return bool(workers) and _sent(os.kill, draw.choice(workers))


def _sent(send: Callable[[int, int], None], pid: int) -> bool:
    try:
        send(pid, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True


def children_of(pid: int) -> list[int]:
    """Process ids of the children, as the system has them now."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            fields = stat.read_text(errors="replace").rpartition(")")[2].split()
            if int(fields[1]) == pid and fields[0] != "Z":
                found.append(int(stat.parent.name))
    return found


def check_whole(out: Path) -> None:
    """Every JSON file under a name of its own is whole, whatever was killed."""
    for path in out.rglob("*.json"):
        if not path.name.startswith("."):
            with suppress(FileNotFoundError):  # a lease that has just been given back
                json.loads(path.read_text())


def content(out: Path) -> dict[str, list[str]]:
    """What must not depend on how a sweep came to its end, by file.

    Requests sorted by key without the fields of `TIMES`, scores as they are, lm-eval's own files
    without dates and times.
    """
    found: dict[str, list[str]] = {}
    for cell in sorted((out / "cells").iterdir()):
        lines = (cell / "requests.jsonl").read_text().splitlines()
        rows = sorted((json.loads(line) for line in lines), key=lambda row: str(row["key"]))
        found[f"{cell.name} requests"] = [json.dumps(_without(row, TIMES)) for row in rows]
        found[f"{cell.name} scores"] = (cell / "scores.jsonl").read_text().splitlines()
        for path in sorted((cell / "lm_eval").iterdir()):
            kind = path.name.rpartition("_")[0]
            if path.suffix == ".json":
                text = [json.dumps(_without(json.loads(path.read_text()), RUN_FACTS))]
            else:
                text = path.read_text().splitlines()
            found[f"{cell.name} {kind}"] = text
    return found


def _without(row: dict[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name not in names}


class ForkedWorker:
    """A worker that is a fork of the sweep's own process."""

    def __init__(self, job: Path, threads: int) -> None:
        del threads  # one, by the environment
        self._log = job.with_suffix(".log")
        self._code: int | None = None
        self.pid = os.fork()
        if self.pid == 0:
            _become(self._log)
            from dllm_eval.sweep.worker import main

            os._exit(main(str(job)))

    @property
    def code(self) -> int | None:
        if self._code is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self._code = os.waitstatus_to_exitcode(status) if pid else None
        return self._code

    @property
    def last_line(self) -> str:
        from dllm_eval.sweep.executors.process import last_line

        return last_line(self._log)

    def stop(self) -> None:
        if self.code is None:
            os.kill(self.pid, signal.SIGTERM)
        while self.code is None:
            time.sleep(0.01)


def _become(log: Path) -> None:
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for number in (1, 2):
        os.dup2(descriptor, number)


def _sweep(spec: str, out: str, workers: int, wait: bool, file_bytes: int | None) -> int:
    """What `dllm-eval sweep` does, with forks for workers; its exit codes."""
    from dllm_eval.errors import UsageError
    from dllm_eval.sweep.executors.local import LocalExecutor
    from dllm_eval.sweep.run import run_sweep
    from dllm_eval.sweep.spec_file import load_spec
    from dllm_eval.sweep.stage import SweepIncomplete

    if file_bytes is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (file_bytes, resource.RLIM_INFINITY))
    executor = LocalExecutor(workers, wait=wait, start=ForkedWorker)
    try:
        run_sweep(load_spec(Path(spec)), Path(out), executor=executor, watch=_say)
    except (UsageError, SweepIncomplete) as error:
        sys.stderr.write(f"{error}\n")
        return 2 if isinstance(error, UsageError) else 1
    return 0


def _say(snapshot: Any) -> None:
    if snapshot.waiting:
        sys.stderr.write("waiting\n")
        sys.stderr.flush()


def _main() -> None:
    import torch
    import tqdm  # type: ignore[import-untyped]
    from torch.utils import collect_env

    for name in ("cell", "run", "executors.local"):
        import_module(f"dllm_eval.sweep.{name}")
    from dllm_eval.loading import load_autoregressive, load_model
    from dllm_eval.measure.provenance import collect
    from dllm_eval.sweep.models import accepted_arguments, forget
    from dllm_eval.sweep.quiet import quiet
    from dllm_eval.sweep.tasks import task_manager

    quiet()
    # tqdm's own lock is shared by all forks: one that is killed while it holds it stops the others.
    tqdm.tqdm.set_lock(threading.RLock())
    # Asking pip and the shell for versions takes seconds, and nothing here reads the answer.
    collect_env.get_pretty_env_info = cache(lambda: "")
    collect(torch.device("cpu"))
    for name in ("dllm", "dllm-ar"):
        accepted_arguments(name)
    load_model("reference-diffusion", device="cpu")
    load_autoregressive("reference-ar", device="cpu")
    task_manager("ref_reversal", ())
    forget()
    codes: dict[int, int] = {}
    for line in sys.stdin:
        order = json.loads(line)
        if isinstance(order, int):
            _reap(codes)
            sys.stdout.write(f"{codes.get(order, 'runs')}\n")
        else:
            pid = os.fork()
            if pid == 0:
                _end_as_sweep(order)
            sys.stdout.write(f"{pid}\n")
        sys.stdout.flush()


def _end_as_sweep(order: list[Any]) -> None:
    code = 70
    try:
        os.setsid()
        _become(Path(order[1]).with_suffix(".log"))
        code = _sweep(*order)
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
    finally:
        os._exit(code)


def _reap(codes: dict[int, int]) -> None:
    with suppress(ChildProcessError):
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if not pid:
                return
            codes[pid] = os.waitstatus_to_exitcode(status)


if __name__ == "__main__":
    _main()
