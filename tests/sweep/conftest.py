"""A fake model and a fake task that worker processes can import, and a sweep over them."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from killed_sweeps import Zygote

FAKES = Path(__file__).parent / "fakes"


@pytest.fixture(autouse=True)
def _fakes_importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(FAKES))
    path = os.pathsep.join(filter(None, [str(FAKES), os.environ.get("PYTHONPATH")]))
    monkeypatch.setenv("PYTHONPATH", path)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


@pytest.fixture(scope="session")
def forks() -> Iterator[Zygote]:
    """Starts sweeps in milliseconds, in processes of their own."""
    zygote = Zygote()
    yield zygote
    zygote.close()


@pytest.fixture
def fake_sweep(tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """Builds the mapping of a sweep over the fakes; keywords change the model's arguments."""

    def build(steps: tuple[int, ...] = (1, 2), **arguments: Any) -> dict[str, Any]:
        side_file = str(tmp_path / "calls.txt")
        return {
            "name": "fake",
            "models": [
                {
                    "name": "Fake",
                    "model": "fake_model:FakeLM",
                    "kind": "diffusion",
                    "args": {"side_file": side_file, **arguments},
                }
            ],
            "suites": [
                {"task": "fake_echo", "metric": "exact_match", "sweep": {"steps": list(steps)}}
            ],
            "latency": {"requests": 3, "rounds": 1, "repeats": 2, "warmup": 0, "min_seconds": 0},
            "include": [str(FAKES)],
        }

    return build


@pytest.fixture
def spec_file(tmp_path: Path) -> Callable[[object], Path]:
    """Writes a value as a sweep file."""

    def write(value: object) -> Path:
        path = tmp_path / "sweep.yaml"
        path.write_text(value if isinstance(value, str) else yaml.safe_dump(value))
        return path

    return write
