"""What the files of single figures are called. Strings only; called by `figures.py` and tables."""

import re

from dllm_eval.stats.analysis import TaskAnalysis
from dllm_eval.stats.tables import OWN_PROTOCOL


def frontier_name(analysis: TaskAnalysis, number: int) -> str:
    """The file name, without its ending, of a suite's figure for its n-th machine and stack."""
    return f"frontier_{_of(analysis, number)}"


def best_stack_name(analysis: TaskAnalysis, number: int) -> str:
    """The same of its figure for the n-th machine with several stacks."""
    return f"best_stack_{_of(analysis, number)}"


def _of(analysis: TaskAnalysis, number: int) -> str:
    asked = "" if analysis.table.protocol == OWN_PROTOCOL else f"_{analysis.table.protocol}"
    policy = f"_{analysis.table.apart}" if analysis.table.apart else ""
    safe = re.sub(r"[^A-Za-z0-9_.-]+", "_", analysis.table.task + asked + policy)
    return safe if number == 0 else f"{safe}_{number + 1}"
