"""Finds the program of an engine, without importing it.

Knows interpreters and the PATH; starts nothing but an interpreter that is asked what it has.
`launch.py` makes a command line of what is found.
"""

import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from importlib.util import find_spec

from dllm_eval.engines.engine import Engine
from dllm_eval.errors import UsageError

_ANSWER_S = 60.0
_QUESTION = """
import importlib.metadata, importlib.util, json, sys
package, also = sys.argv[1], sys.argv[2:]
specs = {name: importlib.util.find_spec(name) for name in (package, *also)}
missing = [name for name, spec in specs.items() if spec is None or spec.origin is None]
try:
    version = importlib.metadata.version(package)
except importlib.metadata.PackageNotFoundError:
    version = None
print(json.dumps([missing, version]))
"""


@dataclass(frozen=True, kw_only=True)
class Program:
    """How an engine is started here."""

    start: tuple[str, ...]
    """The beginning of its command line."""
    version: str | None
    """Of its package; None where only the running server could tell."""


def find(engine: Engine, python: str | None) -> Program:
    """Looks for an engine: in the interpreter named, else in this one, else on the PATH.

    Args:
        engine: Which.
        python: Another environment's interpreter, which alone is then looked at.

    Raises:
        UsageError: It is not installed; the line has the command that installs it.
    """
    interpreter = python or sys.executable
    modules = (engine.package, *engine.also)
    missing, version = _asked(python, modules) if python else _own(modules)
    if not missing:
        return Program(start=(interpreter, "-m", *engine.module), version=version)
    path = None if python else shutil.which(engine.program[0])
    # A script beside this interpreter belongs to it, and lacks what it lacks.
    if path is not None and engine.package in missing:
        return Program(start=(path, *engine.program[1:]), version=None)
    raise UsageError(
        f"engine {engine.name} is not installed: {interpreter} has no {', '.join(missing)}; "
        f"install it there ({engine.install}), or name another environment's interpreter by "
        "engine_python=PATH"
    )


def _own(modules: tuple[str, ...]) -> tuple[Sequence[str], str | None]:
    missing = [name for name in modules if not _here(name)]
    try:
        return missing, metadata.version(modules[0])
    except metadata.PackageNotFoundError:
        return missing, None


def _here(name: str) -> bool:
    """A folder that only has the name, such as a checkout's, is no package."""
    spec = find_spec(name)
    return spec is not None and spec.origin is not None


@cache
def _asked(python: str, modules: tuple[str, ...]) -> tuple[Sequence[str], str | None]:
    """Asked once by a process, because starting an interpreter takes a moment."""
    try:
        asked = subprocess.run(
            [python, "-c", _QUESTION, *modules],
            capture_output=True,
            text=True,
            timeout=_ANSWER_S,
            check=True,
        )
        missing, version = json.loads(asked.stdout)
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        raise UsageError(
            f"engine_python={python!r} is no Python interpreter that runs: {error}; accepted: the "
            "path of one, for example /opt/sglang/bin/python"
        ) from error
    return missing, version
