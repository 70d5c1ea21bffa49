"""What a cell will cost in requests, forwards and positions, told before it is run.

Adds up what `registry.FORECASTS` tells of single requests. Loads no weights. `estimate.py` calls
it.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from dllm_eval.measure.work import Request
from dllm_eval.registry import COSTS, FORECASTS, LENGTHS, resolve
from dllm_eval.sweep.models import asks_server
from dllm_eval.sweep.plan import Cell
from dllm_eval.sweep.sizes import local_folder
from dllm_eval.sweep.workload import Document, UnknownDocuments, documents


@dataclass(frozen=True, kw_only=True)
class CellWork:
    """A cell's cost, once through its documents; None is what cannot be told."""

    documents: int | None = None
    requests: int | None = None
    forwards: int | None = None
    positions: int | None = None
    at_most: bool = False
    """Whether forwards and positions are upper bounds."""
    scored: bool = False
    """Whether requests are scored, and share forwards by their positions, not by the batch."""
    dollars: float | None = None
    """What a server bills at most, where a card has its prices."""
    why: str = ""
    """What is missing, where something is."""


def cell_work(cell: Cell, include: tuple[str, ...]) -> CellWork:
    """What a cell asks of its model.

    Raises:
        UsageError: There is no such task or chat template, or the family refuses the settings.
    """
    folder = local_folder(cell) if cell.model in FORECASTS else None
    readable = folder is not None and resolve("lengths", LENGTHS, "readable")(folder)
    chat = folder if cell.apply_chat_template and readable else None
    try:
        found = documents(cell.task, cell.num_fewshot, cell.limit, include, chat)
    except UnknownDocuments as error:
        return CellWork(documents=cell.limit, why=str(error))
    counted = CellWork(
        documents=len(found),
        requests=sum(map(len, found)),
        scored=any(r.request_type != "generate_until" for d in found[:1] for r in d),
    )
    counted = replace(counted, dollars=_dollars(cell, found))
    if cell.model not in FORECASTS:
        return replace(counted, why=f"nothing is known of model {cell.model!r}")
    forecast = resolve("model", FORECASTS, cell.model)(dict(cell.arguments), folder)
    if forecast is None:
        return replace(counted, why="no card or config.json here tells what it publishes")
    requests = Counter(request for document in found for request in document)
    each = [(forecast(request), number) for request, number in requests.items()]
    known = [(work, number) for work, number in each if work is not None]
    if len(known) < len(each):
        return replace(counted, why=_unknown(cell, {r for r in requests if forecast(r) is None}))
    positions = [(work.positions, number) for work, number in known]
    told = [n * number for n, number in positions if n is not None]
    lost = "no local weights" if folder is None else "its tokenizer cannot be read alone"
    return replace(
        counted,
        forwards=sum(work.forwards * number for work, number in known),
        positions=sum(told) if len(told) == len(positions) else None,
        at_most=any(work.at_most for work, _ in known),
        why="" if len(told) == len(positions) else lost,
    )


def _unknown(cell: Cell, requests: set[Request]) -> str:
    """Why the forwards of requests cannot be told."""
    if asks_server(cell):
        return "a server does not say how many forward passes it makes"
    kinds = {request.request_type for request in requests}
    if "generate_until" in kinds:
        return "settings alone do not tell its steps"
    if "loglikelihood_rolling" in kinds:
        return (
            "a text's windows need the checkpoint's tokenizer and context length here, and an "
            "estimator that scores them by masks drawn beforehand"
        )
    return "targets' lengths, or its estimator's own course, decide how many canvases it scores"


def _dollars(cell: Cell, found: Sequence[Document]) -> float | None:
    """With repeats and warm-up; None where nobody knows a price, or one request's cost."""
    if cell.model not in COSTS:
        return None
    tell = resolve("model", COSTS, cell.model)(dict(cell.arguments))
    if tell is None:
        return None
    each: list[float | None] = [tell(request) for document in found for request in document]
    known = [cost for cost in each if cost is not None]
    if len(known) < len(each):
        return None
    warmup = max(known, default=0.0) * _warmed_up(cell, len(known))
    return sum(known) * (cell.timing.repeats if cell.timing else 1) + warmup


def _warmed_up(cell: Cell, requests: int) -> int:
    """How many answers an API gives at most before a cell's first record."""
    if cell.load is not None:
        return cell.load.warmup * min(cell.load.in_flight or 1, requests)
    return min(cell.batch_size, requests) * cell.timing.warmup if cell.timing else 0
