"""Everything that can be found wrong with a sweep before a cell is run, each with its remedy.

Knows the spec, the planned cells and the results folder; loads no weights. A run calls
`check_sweep`; `--dry-run` also what else is here.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence

from dllm_eval.errors import UsageError
from dllm_eval.sweep.folder import ResultsFolder
from dllm_eval.sweep.forecast import CellWork, cell_work
from dllm_eval.sweep.identity import check_task_files, check_weights
from dllm_eval.sweep.loggers import check_loggers
from dllm_eval.sweep.models import check_cells, checked_as, model_class
from dllm_eval.sweep.plan import Cell
from dllm_eval.sweep.points import axes_of
from dllm_eval.sweep.select import written
from dllm_eval.sweep.sizes import local_folder
from dllm_eval.sweep.spec import ModelSpec, Setting, SuiteSpec, Sweep
from dllm_eval.sweep.task_check import check_suite
from dllm_eval.sweep.tasks import task_manager
from dllm_eval.sweep.workload import Document, UnknownDocuments, documents


def check_sweep(sweep: Sweep, cells: Sequence[Cell]) -> None:
    """What `--dry-run` and a run look at before anything else.

    Raises:
        UsageError: An argument, a metric, a task or a tracker that would be refused later.
    """
    check_plan(sweep, cells)
    check_trackers(sweep)
    check_tasks(sweep)
    check_requests(sweep, cells)


def check_plan(sweep: Sweep, cells: Sequence[Cell]) -> None:
    """Asks every model's class about its arguments.

    Raises:
        UsageError: One line: where the cell was asked for, what is wrong with it, and the entry of
            `exclude` that would leave it out.
    """
    for cell in _distinct(cells, checked_as):
        try:
            check_cells([cell])
        except UsageError as error:
            raise refused(sweep, cell, error) from error


def check_tasks(sweep: Sweep) -> None:
    """Looks for every suite's task among ours, those included and lm-eval's own.

    Raises:
        UsageError: There is none of the name, or it cannot be asked what the suite asks of it.
    """
    for number, suite in enumerate(sweep.suites):
        try:
            task_manager(suite.task, tuple(sweep.include))
        except UsageError as error:
            raise UsageError(f"{sweep.place('suites', number, 'task')}{error}") from error
        check_suite(sweep, number)


def check_requests(sweep: Sweep, cells: Sequence[Cell]) -> None:
    """Compares what tasks ask with what models answer, where a model's class says so.

    A class without `request_types` answers all. A task whose documents are not here is passed over:
    the model itself refuses what it cannot answer.

    Raises:
        UsageError: A task asks for likelihoods, and the model has none.
    """
    include = tuple(sweep.include)
    for cell in _distinct(cells, lambda cell: (cell.model, cell.task, cell.num_fewshot)):
        answered = getattr(model_class(cell.model), "request_types", None)
        if answered is None:
            continue
        try:
            asked = {r.request_type for d in documents_of(cell, include) for r in d}
        except UnknownDocuments:
            continue
        if not asked <= answered:
            place = sweep.place("suites", _suite(sweep, cell), "task")
            raise UsageError(
                f"{place}{cell.label}: task {cell.task!r} asks for {', '.join(asked - answered)}, "
                f"and {cell.model} answers {', '.join(sorted(answered))} alone; accepted: a suite "
                "answered by text, or weights of your own in process (dllm, dllm-ar); "
                f"{_remedy({'model': cell.name, 'suite': cell.suite})}"
            )


def check_trackers(sweep: Sweep) -> None:
    """Looks for the packages of the loggers asked for.

    Raises:
        UsageError: One is not installed.
    """
    for name in sweep.loggers:
        try:
            check_loggers([name])
        except UsageError as error:
            raise UsageError(f"{sweep.place('loggers', name)}{error}") from error


def check_folder(sweep: Sweep, folder: ResultsFolder, cells: Sequence[Cell]) -> None:
    """What a run would refuse of its results folder; weights that are not here are not fetched.

    Raises:
        UsageError: It is no results folder, or holds cells of other weights, tasks or documents.
    """
    folder.check()
    begun = [c for c in cells if folder.cell(c.cell_id).provenance.exists()]
    check_weights(folder, [cell for cell in begun if local_folder(cell) is not None])
    check_task_files(folder, begun, tuple(sweep.include))


def work_of(sweep: Sweep, cells: Sequence[Cell]) -> list[CellWork]:
    """What each cell will cost; telling so also finds what the model's family would refuse.

    Raises:
        UsageError: As `check_plan`; also a checkpoint folder that there is not.
    """
    include = tuple(sweep.include)
    found: dict[tuple[object, ...], CellWork] = {}
    for cell in cells:
        key = _work_key(cell)
        if key in found:
            continue
        try:
            found[key] = cell_work(cell, include)
        except UsageError as error:
            raise refused(sweep, cell, error) from error
    return [found[_work_key(cell)] for cell in cells]


def _work_key(cell: Cell) -> tuple[object, ...]:
    return (cell.config_id, cell.limit)


def refused(sweep: Sweep, cell: Cell, error: UsageError) -> UsageError:
    """A model's refusal with the line that asked for it, and the entry that would leave it out."""
    message = str(error).removeprefix(f"{cell.label}: ").rstrip(".")
    name, location = _asked_for(sweep, cell, message)
    entry: dict[str, Setting] = {"model": cell.name}
    if location[-2:] != ("args", name):
        entry["suite"] = cell.suite
    if name is None or name in cell.swept:
        entry |= {dial: cell.arguments[dial] for dial in cell.swept}
    return UsageError(f"{sweep.place(*location)}{cell.label}: {message}; {_remedy(entry)}")


def _remedy(entry: Mapping[str, Setting]) -> str:
    return f"or leave it out by exclude: [{written(entry)}]"


def documents_of(cell: Cell, include: tuple[str, ...]) -> list[Document]:
    """The first documents of a cell's task with their requests."""
    return documents(cell.task, cell.num_fewshot, 1, include)


def _suite(sweep: Sweep, cell: Cell) -> int:
    return [(suite.name, suite.task) for suite in sweep.suites].index((cell.suite, cell.task))


def _asked_for(sweep: Sweep, cell: Cell, message: str) -> tuple[str | None, tuple[int | str, ...]]:
    """The argument that a message is about and where it was written; else none, and the suite."""
    number = _suite(sweep, cell)
    index = [model.name for model in sweep.models].index(cell.name)
    where = (sweep.models[index], index, sweep.suites[number], number)
    for name in sorted(cell.arguments, key=lambda name: (name not in cell.swept, -len(name))):
        value = cell.arguments[name]
        told = isinstance(value, str) and repr(value) in message
        if told or re.search(rf"\b{re.escape(name)}\b", message):
            found = next(_written(name, *where), None)
            if found is not None:
                return name, found
    return None, ("suites", number)


def _written(
    name: str, model: ModelSpec, index: int, suite: SuiteSpec, number: int
) -> Iterator[tuple[int | str, ...]]:
    """Where an argument is set, the place that wins first."""
    if suite.search is not None and suite.search.dial == name:
        yield ("suites", number, "search", "dial")
    own = model.sweep is not None
    section: tuple[int | str, ...] = ("models", index) if own else ("suites", number)
    several = isinstance(model.sweep if own else suite.sweep, list)
    for place, axes in enumerate(axes_of(model, suite)):
        if name in axes:
            yield (*section, "sweep", *((place,) if several else ()), name)
    holders: list[tuple[tuple[int | str, ...], dict[str, Setting]]] = [
        (("models", index, "settings"), model.settings),
        (("suites", number, "settings"), suite.settings),
        (("models", index, "args"), model.args),
    ]
    yield from ((*place, name) for place, given in holders if name in given)


def _distinct(cells: Sequence[Cell], key: Callable[[Cell], object]) -> list[Cell]:
    """The first cell of each kind."""
    first: dict[object, Cell] = {}
    for cell in cells:
        first.setdefault(key(cell), cell)
    return list(first.values())
