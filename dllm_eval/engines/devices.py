"""Which devices a server that starts now would take, as locks that keep two from starting on one.

Knows environment variables and device files; holds nothing: `guardian.py` takes the locks.
"""

import hashlib
import tempfile
from collections.abc import Mapping
from pathlib import Path

from dllm_eval.files import make_folder

_VISIBLE = ("CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES")
_FILES = ("/dev/nvidia[0-9]*", "/dev/kfd")


def locks(environment: Mapping[str, str], scope: Path, user: int) -> list[tuple[str, bool]]:
    """The files to lock, in order, and whether others may hold the lock as well.

    Where the environment names devices, each has a lock of its own. Where it names none, a server
    may take any, so it excludes all others. On a machine without an accelerator, only servers of
    one results folder exclude each other.

    Args:
        environment: What the server would see.
        scope: The results folder.
        user: Whose locks they are; users of one machine have each their own.
    """
    folder = Path(environment.get("TMPDIR") or tempfile.gettempdir()) / f"dllm-eval-devices-{user}"
    make_folder(folder)
    named = next((environment[name] for name in _VISIBLE if environment.get(name)), None)
    if named is not None:
        devices = sorted({_safe(word) for word in named.split(",") if word.strip()})
        return [(str(folder / "all"), True), *((str(folder / d), False) for d in devices)]
    hidden = any(name in environment for name in _VISIBLE)
    if not hidden and any(found for p in _FILES for found in Path("/").glob(p.lstrip("/"))):
        return [(str(folder / "all"), False)]
    digest = hashlib.sha256(str(scope.resolve()).encode()).hexdigest()[:16]
    return [(str(folder / f"cpu-{digest}"), False)]


def _safe(name: str) -> str:
    return "device-" + "".join(c if c.isalnum() or c in "-_" else "_" for c in name.strip())
