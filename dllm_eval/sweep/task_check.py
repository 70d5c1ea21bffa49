"""What a suite asks of its task, compared with what the task's YAML says, before a cell is run.

Knows tasks' configurations; loads no document and no model. `check.py` calls it. Where Python alone
decides (a task that is a class, a metric that is a function) nothing is said here, and the first
cell of the suite says it.
"""

from collections.abc import Collection, Iterable, Sequence

from dllm_eval.errors import UsageError
from dllm_eval.sweep.scores import LABELS
from dllm_eval.sweep.spec import SuiteSpec, Sweep
from dllm_eval.sweep.task_configs import TaskConfig, task_configs


def check_suite(sweep: Sweep, number: int) -> None:
    """Looks at one suite's metric, filter, examples and right to run code.

    Args:
        sweep: All of it.
        number: Which suite.

    Raises:
        UsageError: The task has no such metric or filter, takes no examples from outside, or runs
            code and may not; one line that begins with its place.
    """
    suite = sweep.suites[number]
    tasks = task_configs(suite.task, tuple(sweep.include))
    if any(task.is_class for task in tasks) or not tasks:
        return
    for key, wrong in (
        ("metric", _metric(suite, tasks)),
        ("filter", _filter(suite, tasks)),
        ("num_fewshot", _shots(suite, tasks)),
        ("task", "" if sweep.confirm_run_unsafe_code else _code(suite, tasks)),
    ):
        if wrong:
            raise UsageError(f"{sweep.place('suites', number, key)}{wrong}")


def _metric(suite: SuiteSpec, tasks: Sequence[TaskConfig]) -> str:
    found = [_metrics(task) for task in tasks]
    if any(names is None for names in found):
        return ""
    known = {name for names in found for name in names or ()} - {*LABELS}
    return _missing(suite, "metric", suite.metric, known, " per document")


def _filter(suite: SuiteSpec, tasks: Sequence[TaskConfig]) -> str:
    if suite.filter is None:
        return ""
    known = {name for task in tasks for name in _filters(task)}
    return _missing(suite, "filter", suite.filter, known, "")


def _missing(suite: SuiteSpec, kind: str, name: str, known: Collection[str], more: str) -> str:
    if name in known:
        return ""
    return f"task {suite.task!r} has no {kind} {name!r}{more}; it has: {', '.join(sorted(known))}"


def _metrics(task: TaskConfig) -> list[str] | None:
    """What its YAML says that it scores; None where a function's result may have other names."""
    from lm_eval.api import metrics  # registers lm-eval's own
    from lm_eval.api.registry import DEFAULT_METRIC_REGISTRY, METRIC_REGISTRY

    del metrics
    listed = task.config.get("metric_list")
    if listed is None:
        return list(DEFAULT_METRIC_REGISTRY.get(str(task.config.get("output_type")), ()))
    named = [str(one.get("metric")) for one in _mappings(listed)]
    plain = task.config.get("process_results") or task.config.get("output_type") != "generate_until"
    known = all("/" not in name and (plain or name in METRIC_REGISTRY) for name in named)
    return named if known else None


def _filters(task: TaskConfig) -> list[str]:
    listed = task.config.get("filter_list")
    return [str(one.get("name")) for one in _mappings(listed)] if listed else ["none"]


def _mappings(listed: object) -> Iterable[dict[str, object]]:
    return [one for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []


def _shots(suite: SuiteSpec, tasks: Sequence[TaskConfig]) -> str:
    """lm-eval leaves a task at no examples that says 0 itself (0.4.13, `simple_evaluate`)."""
    if not suite.num_fewshot:
        return ""
    for task in tasks:
        if task.config.get("num_fewshot") == 0:
            return (
                f"num_fewshot {suite.num_fewshot}: task {task.name!r} takes 0 whatever is asked; "
                "leave num_fewshot out"
            )
    return ""


def _code(suite: SuiteSpec, tasks: Sequence[TaskConfig]) -> str:
    if all(task.config.get("unsafe_code", False) is False for task in tasks):
        return ""
    return (
        f"task {suite.task!r} runs code that the model wrote; allow it with "
        "confirm_run_unsafe_code: true in the sweep file"
    )
