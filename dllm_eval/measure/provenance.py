"""What a number was measured on: versions, commit, machine, device, threads.

Knows nothing of cells and files; the sweep adds the model's and the task's part and writes it.
"""

import os
import platform
import subprocess
import sys
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

_PACKAGES = ("dllm-eval", "lm-eval", "torch", "transformers", "tokenizers", "datasets", "numpy")


def collect(device: torch.device) -> dict[str, Any]:
    """Everything about the software and the machine, as plain data.

    Args:
        device: Where the model's weights are.
    """
    return {
        "versions": versions(),
        "git_commit": git_commit(Path(__file__).parent),
        "machine": {
            "name": machine_name(device),
            "platform": platform.platform(),
            "cpu": cpu_name(),
            "cores": usable_cores(),
            "threads": torch.get_num_threads(),
            **_device(device),
        },
    }


def versions() -> dict[str, str]:
    """Version by package; a package that is not installed is left out."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


@cache
def git_commit(folder: Path) -> str | None:
    """The commit a checkout is at, with "-dirty" behind it; None outside one or without git."""
    try:
        out = subprocess.run(
            ["git", "-C", str(folder), "describe", "--always", "--dirty", "--abbrev=40"],
            capture_output=True,
            text=True,
            timeout=10,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return out.stdout.strip() or None


@cache
def cpu_name() -> str:
    """The processor's model name."""
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text(encoding="utf-8", errors="replace").splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "model name":
                return value.strip()
    return platform.processor() or platform.machine()


def usable_cores() -> int:
    """Cores this process may use: its affinity and its container's quota."""
    affinity = getattr(os, "sched_getaffinity", None)
    cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    quota = _quota()
    return max(1, min(cores, quota or cores))


def thread_budget() -> int:
    """Threads to use in all: the usable cores, or fewer where OMP_NUM_THREADS says so."""
    asked = os.environ.get("OMP_NUM_THREADS", "")
    return min(usable_cores(), int(asked)) if asked.isdigit() and int(asked) else usable_cores()


def machine_name(device: torch.device) -> str:
    """One short line: rows of different machines are never ranked by seconds."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    cores = _counted(usable_cores(), "core")
    return f"{cpu_name()}, {cores}, {_counted(torch.get_num_threads(), 'thread')}"


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _quota() -> int | None:
    """Cores that the container's CPU bandwidth amounts to (cgroup version 2), rounded up."""
    try:
        text = Path("/sys/fs/cgroup/cpu.max").read_text(encoding="utf-8")
    except OSError:
        return None
    quota, period = text.split()
    return None if quota == "max" else -(-int(quota) // int(period))


def _device(device: torch.device) -> dict[str, Any]:
    if device.type != "cuda":
        return {"device": device.type}
    properties = torch.cuda.get_device_properties(device)
    return {
        "device": "cuda",
        "device_name": properties.name,
        "device_memory_bytes": properties.total_memory,
        "cuda": torch.version.cuda,
        "driver": _driver(),
    }


@cache
def _driver() -> str | None:
    """The NVIDIA driver's version, from the kernel module where the system shows it."""
    module = Path("/sys/module/nvidia/version")
    if sys.platform == "linux" and module.exists():
        return module.read_text(encoding="utf-8").strip()
    return None
