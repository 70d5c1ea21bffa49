"""Which answers the page shows, token by token, and how long each took.

Reads records only. Called by `payload.py`. At most three documents a suite, one request each per
dial value and model shown, so the page stays small.
"""

from collections.abc import Mapping, Sequence
from statistics import median

import pandas as pd

from dllm_eval.report import text
from dllm_eval.report.answer_texts import shown_response
from dllm_eval.stats.analysis import TaskAnalysis
from dllm_eval.stats.row import Row
from dllm_eval.stats.tables import Document

NUM_DOCUMENTS = 3
NUM_DIALS = 12
"""Of a longer ladder so many values are shown, the first, the last and the best among them."""
MAX_TOKENS = 256
"""Longer answers are cut here on the page, which says so."""

Record = Mapping[str, object]


def samples(analysis: TaskAnalysis, *, max_tokens: int = MAX_TOKENS) -> list[dict[str, object]]:
    """For each shown document, the answers by dial value and that of the best AR row.

    Shown are the best diffusion series and, of its documents, those that many steps get right
    and few get wrong, plus one that it gets wrong even at its best; timed ones before others.
    """
    ladder = best_series(analysis)
    if not ladder:
        return []
    best = max(ladder, key=lambda r: r.quality)
    shown = _thinned(ladder, best)
    rival = next((analysis.rows[r.comparison.rival] for r in ladder if r.comparison), None)
    rows = shown if rival is None else [*shown, rival]
    documents = _documents(analysis, ladder[0], best)
    answers = {id(row): _answers(analysis, row, documents) for row in rows}
    out: list[dict[str, object]] = []
    for doc in documents:
        sample: dict[str, object] = {
            "document": document_name(analysis, doc),
            "series": best.configuration.series,
            "model": best.configuration.model,
            "place": best.configuration.group,
            "ladder": [
                _answer(analysis, row, answers[id(row)][doc], doc, max_tokens)
                for row in shown
                if doc in answers[id(row)]
            ],
        }
        if rival is not None and doc in answers[id(rival)]:
            sample["autoregressive"] = _answer(
                analysis, rival, answers[id(rival)][doc], doc, max_tokens
            )
        out.append(sample)
    return out


def best_series(analysis: TaskAnalysis) -> list[Row]:
    """The rows of the diffusion series with the best quality, by rising dial; none of scores.

    A series that a server ran comes last: its answers have no tokens to show.
    """
    if analysis.likelihood:
        return []
    own = [r for r in analysis.rows if r.configuration.kind == "diffusion"]
    rows = [r for r in own if not r.configuration.placement.served] or own
    if not rows:
        return []
    best = max(rows, key=lambda r: r.quality).configuration
    own = [r for r in rows if _same_series(r, best.series, best.group)]
    return sorted(own, key=lambda r: r.configuration.dial_value)


def _same_series(row: Row, series: str, group: str) -> bool:
    return (row.configuration.series, row.configuration.group) == (series, group)


def _thinned(ladder: list[Row], best: Row) -> list[Row]:
    if len(ladder) <= NUM_DIALS:
        return ladder
    last = len(ladder) - 1
    kept = {round(i * last / (NUM_DIALS - 2)) for i in range(NUM_DIALS - 1)}
    return [row for i, row in enumerate(ladder) if i in kept or row is best]


def document_name(analysis: TaskAnalysis, doc: Document) -> str:
    """A document's number, with its task where the suite has several."""
    task, number = doc
    several = len({name for name, _ in analysis.table.documents}) > 1
    return f"{number} of {task}" if several else str(number)


def first_requests(analysis: TaskAnalysis, cells: Sequence[str]) -> pd.DataFrame:
    """What is known, texts apart, of the answers in some cells: one per document and cell."""
    requests = analysis.table.requests_of(cells)
    return requests[(requests["request_type"] == "generate_until") & (requests["index"] == 0)]


def records_of(
    analysis: TaskAnalysis, cells: Sequence[str], documents: Sequence[Document]
) -> dict[Document, list[Record]]:
    """Document -> its whole records in these cells, cell by cell."""
    wanted = set(documents)
    out: dict[Document, list[Record]] = {}
    for cell in cells:
        own = first_requests(analysis, [cell])
        own = own[own["doc_id"].isin([number for _, number in wanted])]
        named = zip(own["task"], own["doc_id"], own["key"], strict=True)
        keys = {str(key): (str(task), int(number)) for task, number, key in named}
        kept = {key: doc for key, doc in keys.items() if doc in wanted}
        for key, record in analysis.table.texts.records(cell, kept).items():
            out.setdefault(kept[key], []).append(record)
    return out


def _found(frame: pd.DataFrame) -> set[Document]:
    return {(str(a), int(b)) for a, b in zip(frame["task"], frame["doc_id"], strict=True)}


def _answers(
    analysis: TaskAnalysis, row: Row, documents: Sequence[Document]
) -> dict[Document, tuple[Record, float | None]]:
    """Document -> its first record in the row's quality cells, and its own median seconds.

    The seconds are those of the latency cells' requests that gave the same tokens, or the same text
    where a server tells no tokens; None where the document was not timed.
    """
    x = row.configuration
    own = records_of(analysis, sorted(x.quality_cells), documents)
    timed = records_of(analysis, x.latency_cells, documents)
    out: dict[Document, tuple[Record, float | None]] = {}
    for doc, (record, *_) in own.items():
        same = [
            float(str(other["seconds"]))
            for other in timed.get(doc, [])
            if _same_answer(other, record)
        ]
        out[doc] = record, median(same) if same else None
    return out


def _same_answer(one: Record, other: Record) -> bool:
    field = "tokens" if _items(one["tokens"]) or _items(other["tokens"]) else "response"
    return one[field] == other[field]


def _documents(analysis: TaskAnalysis, least: Row, best: Row) -> list[Document]:
    """Those to show: telling ones first, then one that even the best row gets wrong."""
    answered = _found(first_requests(analysis, best.configuration.quality_cells))
    timed = _found(first_requests(analysis, best.configuration.latency_cells))
    scores = zip(
        analysis.table.documents, scores_of(analysis, least), scores_of(analysis, best), strict=True
    )
    shown = sorted((x for x in scores if x[0] in answered), key=lambda x: x[0] not in timed)
    telling = [doc for doc, low, high in shown if high >= 1 and low < 1]
    failing = [doc for doc, _, high in shown if high < 1]
    order = [*telling[: NUM_DOCUMENTS - 1], *failing[:1], *telling[NUM_DOCUMENTS - 1 :]]
    rest = [doc for doc, *_ in shown]
    return list(dict.fromkeys([*order, *rest]))[:NUM_DOCUMENTS]


def scores_of(analysis: TaskAnalysis, row: Row) -> list[float]:
    """A row's score at each of the suite's documents; NaN where it has none."""
    at = next(i for i, other in enumerate(analysis.rows) if other is row)
    return [float(value) for value in analysis.table.quality[at]]


def _answer(
    analysis: TaskAnalysis,
    row: Row,
    found: tuple[Record, float | None],
    doc: Document,
    max_tokens: int,
) -> dict[str, object]:
    record, seconds = found
    score = scores_of(analysis, row)[analysis.table.documents.index(doc)]
    pieces, reveal = _items(record["pieces"]), _items(record["reveal_step"])
    usual = None if row.latency_s != row.latency_s else float(f"{row.latency_s:.7g}")
    return {
        "model": row.configuration.model,
        "name": _name(row),
        "place": row.configuration.group,
        "dial": None if not row.configuration.dial else row.configuration.dial_value,
        "label": text.dial(row.configuration),
        "score": None if score != score else score,
        "before": str(record.get("prompt_end", "")),
        "after": str(record.get("suffix_start", "")),
        "response": shown_response(analysis, record)[: 8 * max_tokens],
        "pieces": [str(piece) for piece in pieces[:max_tokens]],
        "reveal_step": [int(str(step)) for step in reveal[:max_tokens]],
        "last_step": max(1, 1 + max((int(str(step)) for step in reveal), default=0)),
        "visible": _tokens(record, "visible_tokens"),
        "canvas": _tokens(record, "canvas_tokens"),
        "hidden": max(0, len(pieces) - max_tokens),
        "seconds": usual if seconds is None else float(f"{seconds:.7g}"),
        "timed": seconds is not None,
        "busy": row.busy,
    }


def _name(row: Row) -> str:
    """The model; of AR with its tier, which a race is about."""
    x = row.configuration
    return f"{x.model} ({x.tier})" if x.kind == "autoregressive" and x.tier else x.model


def _items(value: object) -> list[object]:
    return list(value) if isinstance(value, (list, tuple)) else []


def _tokens(record: Record, name: str) -> int:
    """How many tokens to draw; none of an answer whose tokens a server does not report."""
    told = record.get(name)
    return 0 if told is None or told != told else int(float(str(told)))
