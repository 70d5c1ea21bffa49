"""`transformers serve` with one model on a free port of the loopback: a real server, none of ours.

Knows the command and its /health; knows no client. Tests use it as a context manager.
"""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from urllib.error import URLError

import dllm_eval

REFERENCE_AR = Path(dllm_eval.__file__).parent / "reference" / "ar"
START_S = 120.0
"""Longest wait for a server that has a busy machine to itself for a moment only."""

MISSING = [name for name in ("fastapi", "uvicorn", "openai") if find_spec(name) is None]
"""What `transformers serve` needs and this environment lacks."""


@dataclass(frozen=True, kw_only=True)
class TransformersServer:
    """A server that answers."""

    base_url: str
    model: str
    log: Path
    pid: int

    def asked(self) -> int:
        """How many requests for completions it has answered, by its own log."""
        lines = self.log.read_text(errors="replace").splitlines()
        return sum('"POST /v1/completions' in line and " 200" in line for line in lines)


@contextmanager
def transformers_server(
    folder: Path, model: Path = REFERENCE_AR, *more: str
) -> Iterator[TransformersServer]:
    """Starts the server, waits until it is healthy, and ends it with its whole process group.

    Args:
        folder: Where its log goes.
        model: A checkpoint folder; the server answers to its path as the model's name.
        more: Further arguments of `transformers serve`.
    """
    port, log = _free_port(), folder / "transformers-serve.log"
    program = "from transformers.cli.transformers import main; main()"
    where = ("--host", "127.0.0.1", "--port", str(port), "--device", "cpu")
    with log.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-c", program, "serve", str(model), *where, *more],
            stdout=file,
            stderr=subprocess.STDOUT,
            env={**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"},
            start_new_session=True,
        )
    try:
        _wait_until_healthy(f"http://127.0.0.1:{port}/health", process, log)
        base_url = f"http://127.0.0.1:{port}/v1"
        yield TransformersServer(base_url=base_url, model=str(model), log=log, pid=process.pid)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def _wait_until_healthy(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + START_S
    while time.monotonic() < until:
        if process.poll() is not None:
            raise RuntimeError(
                f"transformers serve ended: {log.read_text(errors='replace')[-2000:]}"
            )
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                if answer.status == 200:
                    return
        except (URLError, OSError):
            time.sleep(0.1)
    raise TimeoutError(f"transformers serve was not healthy after {START_S:.0f} s")
