"""Which of the planned load cells can be run: those whose task asks its model for text.

Knows lm-eval's tasks and which model classes can be offered a load; starts nothing. A run and
`--dry-run` ask it right after planning.
"""

import contextlib
import io
from collections.abc import Sequence
from functools import lru_cache

from dllm_eval.errors import UsageError
from dllm_eval.registry import LM_EVAL_MODELS, register_with_lm_eval
from dllm_eval.sweep.models import model_class
from dllm_eval.sweep.plan import Cell
from dllm_eval.sweep.tasks import task_manager


def offerable(cells: Sequence[Cell], include: tuple[str, ...]) -> list[Cell]:
    """The cells without the load cells of tasks that only ask for likelihoods.

    A task that cannot be looked at here keeps its cells; one of them that asks for no text ends
    with a line that says so.

    Args:
        cells: As planned.
        include: More folders of task YAML.

    Raises:
        UsageError: A model class knows nothing of loads, or no load cell would be left.
    """
    offered = [cell for cell in cells if cell.load is not None]
    for cell in offered:
        if cell.model not in LM_EVAL_MODELS and not hasattr(model_class(cell.model), "load"):
            raise UsageError(
                f"{cell.label}: model {cell.model!r} cannot be offered a load; leave it out by "
                f"exclude: [{{model: {cell.name}, purpose: load}}]"
            )
    if offered and not any(asks_for_text(cell.task, include) for cell in offered):
        raise UsageError(
            f"no suite of the load cells asks for text, and likelihoods are not offered as a load "
            f"({offered[0].suite} and others); remove the key load"
        )
    return [cell for cell in cells if cell.load is None or asks_for_text(cell.task, include)]


def left_out(planned: Sequence[Cell], kept: Sequence[Cell]) -> list[str]:
    """One line for each suite whose load cells `offerable` took away."""
    gone = {cell.cell_id for cell in planned} - {cell.cell_id for cell in kept}
    suites = dict.fromkeys(cell.suite for cell in planned if cell.cell_id in gone)
    return [f"no load cells for {suite}: it asks for likelihoods, not for text" for suite in suites]


@lru_cache(maxsize=64)
def asks_for_text(task: str, include: tuple[str, ...]) -> bool:
    """Whether a task, or a task of a group, makes requests for text; True where it does not tell.

    Raises:
        UsageError: There is no such task.
    """
    register_with_lm_eval()
    manager = task_manager(task, include)
    silence = io.StringIO()
    try:
        with contextlib.redirect_stderr(silence), contextlib.redirect_stdout(silence):
            leaves = manager.load(task)["tasks"].values()
            kinds = {getattr(leaf, "OUTPUT_TYPE", None) for leaf in leaves}
    except Exception:  # what loading a task may raise has no common base
        return True
    return None in kinds or "generate_until" in kinds
