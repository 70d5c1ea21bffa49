"""`dllm-eval` commands that start in milliseconds, each in a process group of its own.

`python forked_commands.py` is a process that has imported everything once: for each order it reads
it forks one that runs the command as `dllm-eval` does, and says its process id. lm-eval looks
through our tasks only, which spares it seconds.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Self

END_S = 120.0
"""Longest wait for a command's end."""


class Commands:
    """The process that forks commands; a context manager."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"},
        )

    def start(self, arguments: Sequence[str], log: Path, **environment: str) -> int:
        """Starts a command; gives its process id, which is its group's too.

        Args:
            arguments: What stands behind `dllm-eval`.
            log: The file that its stdout and stderr go to.
            environment: Variables on top of this process' own.
        """
        return int(self._answer([list(arguments), str(log), environment]))

    def code(self, pid: int) -> int | None:
        """How a command ended; None while it runs."""
        answer = self._answer(pid)
        return None if answer == "runs" else int(answer)

    def end(self, pid: int) -> int:
        """How a command ends."""
        until = time.monotonic() + END_S
        while time.monotonic() < until:
            code = self.code(pid)
            if code is not None:
                return code
            time.sleep(0.01)
        os.killpg(pid, signal.SIGKILL)
        raise TimeoutError("the command did not end")

    def run(self, arguments: Sequence[str], log: Path, **environment: str) -> tuple[int, str]:
        """Runs a command to its end; gives its exit code and what it said."""
        code = self.end(self.start(arguments, log, **environment))
        return code, log.read_text()

    def _answer(self, order: object) -> str:
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        stdin.write(f"{json.dumps(order)}\n")
        stdin.flush()
        return stdout.readline().strip()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        self._process.wait()


def complaints(text: str) -> list[str]:
    """The lines with which a command says what is wrong."""
    return [line for line in text.splitlines() if line.startswith("dllm-eval: ")]


def _main() -> None:
    import lm_eval.tasks
    from lm_eval.__main__ import cli_evaluate  # noqa: F401 - imported for every fork
    from torch.utils import collect_env

    from dllm_eval.registry import LM_EVAL_MODELS, register_with_lm_eval, resolve
    from dllm_eval.sweep.models import accepted_arguments

    # Asking pip and the shell for versions takes seconds, and nothing here reads the answer.
    collect_env.get_pretty_env_info = lambda: ""
    register_with_lm_eval()
    for name in ("dllm", "dllm-ar", "dllm-api"):
        resolve("model", LM_EVAL_MODELS, name)
        accepted_arguments(name)
    lm_eval.tasks.TaskManager = partial(  # type: ignore[misc, assignment]
        lm_eval.tasks.TaskManager, include_defaults=False
    )
    codes: dict[int, int] = {}
    for line in sys.stdin:
        order = json.loads(line)
        if isinstance(order, int):
            _reap(codes)
            sys.stdout.write(f"{codes.get(order, 'runs')}\n")
        else:
            sys.stdout.write(f"{_forked(order)}\n")
        sys.stdout.flush()


def _forked(order: list[Any]) -> int:
    pid = os.fork()
    if pid:
        return pid
    arguments, log, environment = order
    code = 70
    try:
        os.setsid()
        signal.signal(signal.SIGINT, signal.default_int_handler)
        os.environ |= environment
        descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        for number in (1, 2):
            os.dup2(descriptor, number)
        from dllm_eval.cli import run_command

        code = run_command(arguments)
    finally:
        with suppress(ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
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
