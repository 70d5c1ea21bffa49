"""Little packages with the names of serving engines, for tests of how engines are run.

Knows how a package is found and started; knows no HTTP client. Each is real in what matters to the
harness: found by name, started by `python -m`, flags read from its command line, a health route, a
process group, children of its own. What it answers is `protocol_server.py`'s.
"""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

SUPPORT = Path(__file__).parent
MODULES = {
    "sglang": ("sglang", "launch_server"),
    "vllm": ("vllm", "entrypoints", "cli", "main"),
    "lmdeploy": ("lmdeploy", "__main__"),
}
VERSIONS = {"sglang": "0.5.23", "vllm": "0.33.0", "lmdeploy": "0.18.0"}

_PROGRAM = """
import json, os, pathlib, signal, socket, subprocess, sys, time
here = pathlib.Path({folder!r})
mode = (here / "mode").read_text()
def runs(pid):
    try:
        return pathlib.Path(f"/proc/{{pid}}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
with (here / "starts").open("a+") as starts:
    starts.seek(0)
    before = [json.loads(line)["pid"] for line in starts]
    starts.write(json.dumps({{
        "pid": os.getpid(), "argv": sys.argv[1:], "device": os.environ.get("CUDA_VISIBLE_DEVICES"),
        "others": [pid for pid in before if runs(pid)],
    }}) + "\\n")
print("loading weights", flush=True)
if mode == "dies":
    print("ValueError: unknown diffusion LLM", file=sys.stderr)
    sys.exit(3)
if mode == "taken" and len((here / "starts").read_text().splitlines()) == 1:
    print("OSError: [Errno 98] Address already in use", file=sys.stderr)
    sys.exit(1)
if mode == "stubborn":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    child = subprocess.Popen(
        [sys.executable, "-c", "import signal, time; signal.signal(15, 1); time.sleep(600)"],
        start_new_session=True,
    )
    (here / "child").write_text(str(child.pid))
if mode == "silent":
    time.sleep(600)
flag = "--server-port" if {name!r} == "lmdeploy" else "--port"
port = sys.argv[sys.argv.index(flag) + 1]
names = [sys.argv[n + 1] for n, word in enumerate(sys.argv)
         if word in ("--served-model-name", "--model-name")]
sys.path.insert(0, {support!r})
sys.argv = ["server", "--port", port, "--as", {name!r}, "--log", str(here / "requests"),
            *(word for name in names for word in ("--model", name)), *json.loads(
                (here / "arguments").read_text())]
import protocol_program
protocol_program.main()
"""


@dataclass(frozen=True, kw_only=True)
class FakeEngine:
    """A package that was laid where Python finds it.

    Attributes:
        folder: Where it notes its starts and reads how to behave.
    """

    name: str
    folder: Path

    def behaves(self, mode: str, *arguments: str) -> None:
        """How its next start goes: serves, dies, taken, stubborn, silent."""
        (self.folder / "mode").write_text(mode)
        (self.folder / "arguments").write_text(json.dumps(arguments))

    @property
    def starts(self) -> list[dict[str, object]]:
        """Process id, arguments and visible devices of each start, and others that ran then."""
        path = self.folder / "starts"
        lines = path.read_text().splitlines() if path.exists() else []
        return [json.loads(line) for line in lines]

    @property
    def pids(self) -> list[int]:
        """Of every start."""
        return [int(str(start["pid"])) for start in self.starts]

    @property
    def requests(self) -> list[str]:
        """Lines of its log of requests."""
        path = self.folder / "requests"
        return path.read_text().splitlines() if path.exists() else []


def lay(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> FakeEngine:
    """Lays a package into a folder and puts that on this process's path and its children's."""
    packages = folder / "packages"
    *outer, last = MODULES[name]
    place = packages
    for part in outer:
        place = place / part
        place.mkdir(parents=True, exist_ok=True)
        (place / "__init__.py").touch()
    (place / f"{last}.py").write_text(
        _PROGRAM.format(folder=str(folder), name=name, support=str(SUPPORT))
    )
    information = packages / f"{name}-{VERSIONS[name]}.dist-info"
    information.mkdir()
    (information / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {name}\nVersion: {VERSIONS[name]}\n"
    )
    monkeypatch.syspath_prepend(str(packages))
    inherited: Sequence[str] = [p for p in os.environ.get("PYTHONPATH", "").split(":") if p]
    monkeypatch.setenv("PYTHONPATH", ":".join([str(packages), *inherited]))
    engine = FakeEngine(name=name, folder=folder)
    engine.behaves("serves")
    return engine


def alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and waits for its parent does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"
