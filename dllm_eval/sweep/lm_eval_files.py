"""Result and sample files that lm-eval itself wrote, as its 0.4.13 writes them.

Knows their names and keys; imports no lm-eval and knows nothing of sweeps. `lm_eval_import.py`
makes cells of them.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from dllm_eval.errors import UsageError
from dllm_eval.files import read_json, read_lines

DIFFUSION = ("dllm", "DiffusionLM")
"""How lm-eval names our diffusion model: by its registry name, or by its class in a sweep."""
_VERSION = re.compile(r"^PyTorch version: (\S+)", re.MULTILINE)
_GPU = re.compile(r"^\s*GPU 0: (.+?)(?: \(UUID.*)?$", re.MULTILINE)
_GPU_LINE = re.compile(r"^GPU models and configuration: (?:GPU 0: )(.+)$", re.MULTILINE)
_CPU = re.compile(r"^Model name:\s*(.+)$", re.MULTILINE)

Sample = dict[str, Any]


@dataclass(frozen=True)
class LmEvalRun:
    """One run of lm-eval: a results file and the sample files beside it."""

    file: Path
    data: dict[str, Any]

    @property
    def config(self) -> dict[str, Any]:
        """What lm-eval was asked for."""
        return self.data.get("config") or {}

    @cached_property
    def arguments(self) -> dict[str, Any]:
        """What the model was given; older files hold it as one string."""
        found = self.config.get("model_args")
        if isinstance(found, str):
            pairs = (part.partition("=") for part in found.split(",") if "=" in part)
            return {key.strip(): _literal(value) for key, _, value in pairs}
        return dict(found) if isinstance(found, dict) else {}

    @property
    def is_diffusion(self) -> bool:
        """Whether the model is ours of the diffusion kind."""
        return self.config.get("model") in DIFFUSION

    @property
    def model_name(self) -> str:
        """The checkpoint, or the kind of model where none is named."""
        named = self.arguments.get("pretrained") or self.data.get("model_name")
        return Path(str(named)).name if named else str(self.config.get("model") or "unknown model")

    @property
    def chat_template(self) -> bool:
        """Whether prompts went through one."""
        return bool(self.data.get("chat_template"))

    def task_facts(self, tasks: Sequence[str]) -> dict[str, dict[str, Any]]:
        """What the file says of each task, as `provenance.json` of a cell has it.

        The prompts' hash is lm-eval's `task_hashes`, there where samples were logged.
        """
        told = {
            name: self.data.get(name) or {}
            for name in ("versions", "n-shot", "n-samples", "configs", "task_hashes")
        }
        return {
            task: {
                "version": told["versions"].get(task),
                "num_fewshot": told["n-shot"].get(task),
                "documents": (told["n-samples"].get(task) or {}).get("effective"),
                "metadata": _metadata(told["configs"].get(task)),
                "prompts_hash": told["task_hashes"].get(task),
            }
            for task in tasks
        }

    @property
    def machine(self) -> str:
        """The GPU's name, else the CPU's; "" where the file does not say."""
        told = str(self.data.get("pretty_env_info") or "")
        on_cpu = str(self.config.get("device") or "").startswith("cpu")
        gpu = None if on_cpu else (_GPU_LINE.search(told) or _GPU.search(told))
        found = gpu or _CPU.search(told)
        return found[1].strip() if found else ""

    @property
    def versions(self) -> dict[str, str]:
        """Of the software that ran it, as far as the file says."""
        torch = _VERSION.search(str(self.data.get("pretty_env_info") or ""))
        named = {
            "lm-eval": self.data.get("lm_eval_version"),
            "transformers": self.data.get("transformers_version"),
            "torch": torch[1] if torch else None,
        }
        return {name: str(version) for name, version in named.items() if version}

    @property
    def suites(self) -> dict[str, list[str]]:
        """What was asked for, a task or the outermost group -> the tasks that have documents."""
        groups: dict[str, list[str]] = {
            name: list(parts) for name, parts in (self.data.get("group_subtasks") or {}).items()
        }
        inner = {part for name, parts in groups.items() for part in parts if part != name}
        return {
            name: sorted(_leaves(name, groups))
            for name in self.data["results"]
            if name not in inner
        }

    def samples(self, task: str) -> list[Sample] | None:
        """What was logged of each document of a task; None where nothing was."""
        path = self.file.with_name(
            f"samples_{task}_{self.file.stem.removeprefix('results_')}.jsonl"
        )
        return [row for _, row in read_lines(path)] if path.exists() else None

    def aggregates(self, name: str) -> Iterator[tuple[str, str, float, float]]:
        """(metric, filter, value, standard error or NaN) of a task or group."""
        found = self.data["results"].get(name, {})
        for key, value in found.items():
            metric, _, kind = key.partition(",")
            if kind and not metric.endswith("_stderr") and type(value) in (int, float):
                stderr = found.get(f"{metric}_stderr,{kind}")
                known = type(stderr) in (int, float)
                yield metric, kind, float(value), float(stderr) if known else float("nan")

    def lower_is_better(self, task: str, metric: str) -> bool:
        """Whether lm-eval says so."""
        return (self.data.get("higher_is_better") or {}).get(task, {}).get(metric) is False

    def num_documents(self, tasks: Sequence[str]) -> int:
        """How many documents were asked."""
        counts = self.data.get("n-samples") or {}
        return sum(int(counts[task]["effective"]) for task in tasks if task in counts)


def read_runs_of_lm_eval(folder: Path) -> list[LmEvalRun]:
    """Every run below a folder, oldest first; none where there is no result file.

    Raises:
        UsageError: A result file is damaged.
    """
    runs = [LmEvalRun(path, _read(path)) for path in sorted(folder.rglob("results_*.json"))]
    return sorted(runs, key=lambda run: (float(run.data.get("date") or 0.0), str(run.file)))


def _read(path: Path) -> dict[str, Any]:
    data = read_json(path)
    if not isinstance(data, dict) or not isinstance(data.get("results"), dict):
        raise UsageError(f"{path} is not a result file of lm-eval: it has no results")
    return data


def _leaves(name: str, groups: dict[str, list[str]]) -> set[str]:
    parts = [part for part in groups.get(name, ()) if part != name]
    return {leaf for part in parts for leaf in _leaves(part, groups)} or {name}


def _metadata(config: object) -> dict[str, Any]:
    """A task's own metadata; where its YAML lay on the machine that ran it is no fact about it."""
    found = config.get("metadata") if isinstance(config, dict) else None
    own = found if isinstance(found, dict) else {}
    return {name: value for name, value in own.items() if name != "config_source"}


def _literal(text: str) -> object:
    """A value of an argument string: a number or a truth value where it reads as one."""
    if text in ("True", "False"):
        return text == "True"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
