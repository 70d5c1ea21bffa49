"""One pass of a model over a cell's task, by lm-eval's evaluator.

Knows lm-eval's evaluator and the few things a sweep tells it; keeps nothing. `cell.py` and
`load_cell.py` call it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from lm_eval.evaluator import simple_evaluate

from dllm_eval.errors import UsageError
from dllm_eval.sweep.loggers import Loggers
from dllm_eval.sweep.plan import Cell
from dllm_eval.sweep.tasks import task_manager


@dataclass(frozen=True, kw_only=True)
class Options:
    """What a cell needs to know of its sweep."""

    include: tuple[str, ...] = ()
    """More folders of task YAML."""
    confirm_run_unsafe_code: bool = False
    loggers: Loggers = field(default_factory=dict)
    """Trackers that finished quality cells are handed to."""
    sweep: str = ""
    """The sweep's name."""


def evaluate(
    cell: Cell,
    lm: Any,  # noqa: ANN401 - any lm-eval LM
    options: Options,
    limit: int | None,
    *,
    predict_only: bool = False,
) -> dict[str, Any]:
    """Asks a model the requests of a cell's task.

    Args:
        cell: Says the task and how it is put.
        lm: Answers.
        options: Of the sweep.
        limit: The first so many documents of each task; None takes all.
        predict_only: Whether answers are left unscored.

    Returns:
        What `simple_evaluate` gives, samples included.

    Raises:
        UsageError: The task runs code and may not, or takes no such number of examples.
    """
    manager = task_manager(cell.task, options.include)
    try:
        results = simple_evaluate(
            model=lm,
            model_args=dict(cell.arguments),
            tasks=[cell.task],
            num_fewshot=cell.num_fewshot,
            apply_chat_template=cell.apply_chat_template,
            batch_size=cell.batch_size,
            limit=limit,
            bootstrap_iters=0,
            log_samples=True,
            predict_only=predict_only,
            task_manager=manager,
            confirm_run_unsafe_code=options.confirm_run_unsafe_code,
        )
    except ValueError as error:
        if "marked as unsafe" in str(error):
            raise UsageError(
                f"task {cell.task!r} runs code that the model wrote; allow it with "
                f"confirm_run_unsafe_code: true in the sweep file"
            ) from error
        raise
    _check_shots(cell, results["n-shot"])
    return dict(results)


def _check_shots(cell: Cell, run: Mapping[str, int]) -> None:
    """lm-eval leaves a task at no examples that says 0 itself, whatever it is told."""
    wrong = {task: shots for task, shots in run.items() if shots != cell.num_fewshot}
    if cell.num_fewshot is not None and wrong:
        task, shots = next(iter(wrong.items()))
        raise UsageError(
            f"num_fewshot {cell.num_fewshot}: task {task!r} takes {shots} whatever is asked; "
            "leave num_fewshot out"
        )
