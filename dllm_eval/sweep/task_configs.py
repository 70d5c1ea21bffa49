"""What the YAML of lm-eval's tasks says, read without loading a document or importing a helper.

Knows lm-eval's index of tasks, and how groups and tags name their tasks; knows no model and no
cell. `task_check.py` and `task_marks.py` ask it.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from dllm_eval.sweep.tasks import task_manager

_OF_GROUPS = frozenset({"group", "group_alias", "task", "aggregate_metric_list", "metadata", "tag"})
"""Keys of a group; lm-eval hands its others down to every task of it."""
_OF_INDEX = frozenset({"group", "task_list", "tag"})


@dataclass(frozen=True, kw_only=True)
class TaskConfig:
    """One task, which may be one of a group's."""

    name: str
    config: Mapping[str, Any]
    """Its entries, included files merged in; functions are texts, "FOLDER/module.function"."""
    files: tuple[Path, ...]
    """The YAML files that said so, of the groups around it too."""

    @property
    def is_class(self) -> bool:
        """Whether Python decides what its YAML leaves open."""
        return "class" in self.config


@lru_cache(maxsize=256)
def task_configs(task: str, include: tuple[str, ...]) -> tuple[TaskConfig, ...]:
    """The tasks behind a name: a task, or all of a group or a tag.

    Args:
        task: The name.
        include: More folders of task YAML.

    Raises:
        UsageError: No task, group or tag has the name.
    """
    return tuple(_configs(task, {}, (), task_manager(task, include).task_index, frozenset()))


def _configs(
    name: str,
    more: Mapping[str, Any],
    above: tuple[Path, ...],
    index: Mapping[str, Any],
    inside: frozenset[str],
) -> Iterator[TaskConfig]:
    """As lm-eval's `TaskFactory` builds them (0.4.13, `tasks/_factory.py`)."""
    entry = index.get(name)
    if entry is None or name in inside:
        return
    own = dict(entry.cfg or {})
    files = above if entry.yaml_path is None else (*above, Path(entry.yaml_path))
    kind, within = entry.kind.name, inside | {name}
    if kind == "TAG":
        for one in sorted(entry.tags):
            yield from _configs(one, more, files, index, within)
    elif kind == "GROUP":
        yield from _members(own, more, files, index, within)
    else:
        found = {k: v for k, v in {**own, **more}.items() if k not in _OF_INDEX}
        yield TaskConfig(name=str(found.get("task", name)), config=found, files=files)


def _members(
    group: Mapping[str, Any],
    more: Mapping[str, Any],
    files: tuple[Path, ...],
    index: Mapping[str, Any],
    inside: frozenset[str],
) -> Iterator[TaskConfig]:
    handed = {**{k: v for k, v in group.items() if k not in _OF_GROUPS}, **more}
    listed = group.get("task")
    for member in listed if isinstance(listed, list) else ():
        if isinstance(member, str):
            yield from _configs(member, handed, files, index, inside)
            continue
        told = {**handed, **member} if isinstance(member, Mapping) else handed
        if "group" in told and "task" in told and told.get("group") not in index:
            yield from _members(told, {}, files, index, inside)
            continue
        name = str(told.get("group") or told.get("task"))
        if name in index:
            given = {k: v for k, v in told.items() if k not in ("group", "task")}
            yield from _configs(name, given, files, index, inside)
        else:
            yield TaskConfig(name=name, config=told, files=files)
