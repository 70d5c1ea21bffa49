"""What a cell's task was read from: a mark of its YAML, and one of each source of its documents.

Knows tasks' configurations and files; knows no model. `cell.py` keeps the marks with a cell,
`identity.py` compares them, so that a finished cell is never taken for one of other questions.

A change of Python beside our own tasks' or lm-eval's YAML is no change here: their versions and
the commit stand in a cell's provenance. Of other folders the modules that a YAML names count too,
not what these import. The questions of a source that is nowhere named, for example of a function
of the user's own that reads a file, are not seen.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import yaml

from dllm_eval.registry import TASK_DATA, resolve, tasks_folder
from dllm_eval.sweep.task_configs import TaskConfig, task_configs

Marks = dict[str, Any]
"""`yaml`, a hash; and `data`, by source a hash, or the hub's commit, or None."""
_SHOWN = 16
_SKIPPED = ("__pycache__",)


def task_marks(task: str, include: tuple[str, ...]) -> Marks:
    """The marks of a task, or of all tasks of a group.

    Args:
        task: Its name.
        include: More folders of task YAML.

    Raises:
        UsageError: There is no such task.
    """
    tasks = task_configs(task, include)
    texts = sorted((file.name, _digest(file)) for file in _read_for(tasks))
    places_of = resolve("task data", TASK_DATA, "places")
    places = {name: place for one in tasks for name, place in places_of(one.config).items()}
    data = {name: _of_place(x) if isinstance(x, Path) else x for name, x in places.items()}
    return {"yaml": _hash(repr(texts).encode()), "data": dict(sorted(data.items()))}


def completed(before: Mapping[str, Any] | None, now: Marks) -> Marks:
    """Marks with the commits that only fetching the data could tell."""
    if not before:
        return now
    known = {name: mark or now["data"].get(name) for name, mark in before["data"].items()}
    return {**before, "data": known}


def change(before: object, now: Marks) -> str:
    """What differs between the marks of a cell and those of its task now, "" if nothing does.

    A commit that is not known on one side, and cells of versions without marks, differ in nothing.
    """
    if not isinstance(before, Mapping):
        return ""
    if before.get("yaml") != now["yaml"]:
        return "another YAML of the task"
    then = before.get("data") or {}
    if set(then) != set(now["data"]):
        return f"data from {_names(then)}, now from {_names(now['data'])}"
    for name, mark in now["data"].items():
        if mark and then[name] and mark != then[name]:
            return f"other data in {name} ({then[name][:8]}, now {mark[:8]})"
    return ""


def _names(data: Mapping[str, object]) -> str:
    return ", ".join(data) or "nowhere that is known"


def _of_place(path: Path) -> str:
    if not path.is_dir():
        return _digest(path)
    inside = (file for file in sorted(path.rglob("*")) if file.is_file())
    found = [(str(x.relative_to(path)), _digest(x)) for x in inside if not _skipped(x)]
    return _hash(repr(found).encode())


def _skipped(path: Path) -> bool:
    return any(part in _SKIPPED or part.startswith(".") for part in path.parts[-2:])


def _digest(path: Path) -> str:
    facts = path.stat()
    return _digest_of(path, facts.st_size, facts.st_mtime_ns)


@lru_cache(maxsize=4096)
def _digest_of(path: Path, size: int, changed_ns: int) -> str:
    del size, changed_ns  # a file of another size or time is read anew
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:_SHOWN]


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:_SHOWN]


def _read_for(tasks: Iterable[TaskConfig]) -> set[Path]:
    """The files that the YAML of tasks is made of."""
    found: set[Path] = set()
    waiting = list({file for task in tasks for file in task.files})
    while waiting:
        path = waiting.pop().resolve()
        if path in found or not path.is_file():
            continue
        found.add(path)
        waiting += _named(path)
    return found


class _Names(yaml.SafeLoader):
    """Reads a task's YAML without its functions: these become their names."""


class _Function(str):
    """What `!function` names."""


def _function(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> _Function:
    return _Function(loader.construct_scalar(node))


_Names.add_constructor("!function", _function)


def _named(path: Path) -> Iterator[Path]:
    """The files that a YAML includes, and the modules beside it, where they are the user's."""
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=_Names)
    except (OSError, ValueError, yaml.YAMLError):
        return
    if not isinstance(content, dict):
        return
    included = content.get("include") or []
    for one in included if isinstance(included, list) else [included]:
        yield path.parent / str(one)
    if _is_shipped(path):
        return
    for name in _functions(content):
        yield path.parent / f"{name.rpartition('.')[0].replace('.', '/')}.py"


def _functions(value: object) -> Iterator[str]:
    if isinstance(value, _Function):
        yield str(value)
    elif isinstance(value, Mapping | list):
        for one in value.values() if isinstance(value, Mapping) else value:
            yield from _functions(one)


def _is_shipped(path: Path) -> bool:
    """Whether it came with this package or with lm-eval."""
    return any(path.is_relative_to(folder) for folder in _shipped())


@lru_cache(maxsize=1)
def _shipped() -> tuple[Path, ...]:
    found = find_spec("lm_eval")
    theirs = [] if found is None or found.origin is None else [Path(found.origin).parent]
    return tuple(folder.resolve() for folder in (tasks_folder(), *theirs))
