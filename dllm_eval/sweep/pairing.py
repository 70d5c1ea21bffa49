"""Whether an imported task may be compared, document by document, with what is there already.

Knows versions, shots and lm-eval's hashes of documents and prompts; nothing of files. Called by
`lm_eval_import.py`; `store.py` tells what the cells of a sweep are like.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

Prompts = dict[tuple[str, int], str]
"""(task, doc_id) -> a hash of the document and of its prompt."""


@dataclass(frozen=True, kw_only=True)
class Suite:
    """What a metric of a task is called, and what guessing scores."""

    title: str
    chance: float


@dataclass(frozen=True, kw_only=True)
class Known:
    """What the cells of a task look like that others are compared with."""

    suites: Mapping[str, Suite]
    """Of each metric that they have."""
    asked_fewshot: int | None
    """As the sweep asked, None for the task's own."""
    num_fewshot: int | None
    """As it was run."""
    version: str
    prompts: Prompts

    def difference(self, other: "Known") -> str:
        """Why another task of the name must not be compared with this one; "" where it may."""
        if other.version != self.version:
            return f"task version {other.version} instead of {self.version}"
        if other.num_fewshot != self.num_fewshot:
            return f"{other.num_fewshot} shots instead of {self.num_fewshot}"
        common = other.prompts.keys() & self.prompts.keys()
        changed = sum(other.prompts[key] != self.prompts[key] for key in common)
        if changed:
            return f"other documents or prompts ({changed} of {len(common)} differ)"
        return ""


def version_text(versions: Iterable[object]) -> str:
    """The tasks' versions in one line; equal where all of them are."""
    return ", ".join(sorted({str(version) for version in versions}))


def prompts_of(logged: Mapping[str, list[dict[str, Any]]]) -> Prompts:
    """The hashes in lm-eval's samples by task; samples of older versions have none."""
    return {
        (task, int(row["doc_id"])): str(row["doc_hash"]) + str(row["prompt_hash"])
        for task, rows in logged.items()
        for row in rows
        if "doc_hash" in row and "prompt_hash" in row
    }
