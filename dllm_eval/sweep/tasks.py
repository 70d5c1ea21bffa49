"""Finds the lm-eval tasks of a sweep, the quick way where they are ours.

Knows lm-eval's task manager; knows no model. `cell.py` calls it.
"""

from functools import cache
from pathlib import Path
from typing import Any

from lm_eval.tasks import TaskManager

from dllm_eval.errors import UsageError, unknown
from dllm_eval.registry import tasks_folder


@cache
def _manager(include: tuple[str, ...], defaults: bool) -> TaskManager:
    # Reading lm-eval's own thousands of YAML files takes seconds.
    return TaskManager(include_path=[str(tasks_folder()), *include], include_defaults=defaults)


def task_manager(task: str, include: tuple[str, ...]) -> TaskManager:
    """A task manager that knows this task.

    Raises:
        UsageError: No task, group or tag has the name.
    """
    ours = _manager(include, defaults=False)
    if task in ours.task_index:
        return ours
    every = _manager(include, defaults=True)
    if task not in every.task_index:
        error = unknown("task", task, ours.task_index)
        raise UsageError(f"{error}, and every task of `lm_eval ls tasks`")
    return every


def task_facts(results: dict[str, Any], task_names: list[str]) -> dict[str, Any]:
    """What lm-eval ran: each task's version, prompt hash and settings.

    Args:
        results: What `simple_evaluate` gave back.
        task_names: The tasks whose samples it logged.
    """
    return {
        name: {
            "version": results["versions"].get(name),
            "num_fewshot": results["n-shot"].get(name),
            "higher_is_better": results.get("higher_is_better", {}).get(name),
            "documents": results["n-samples"].get(name, {}).get("effective"),
            "metadata": metadata_of(results["configs"].get(name, {})),
            "prompts_hash": _prompts_hash(results["samples"][name]),
        }
        for name in task_names
    }


def metadata_of(config: dict[str, Any]) -> dict[str, Any]:
    """The task's own metadata; where its YAML lies on this machine is no fact about it."""
    found = dict(config.get("metadata") or {})
    if "config_source" in found:
        found["config_source"] = Path(found["config_source"]).name
    return found


def _prompts_hash(samples: list[dict[str, Any]]) -> str:
    from lm_eval.utils import hash_string

    return str(hash_string("".join(sample["prompt_hash"] for sample in samples)))
