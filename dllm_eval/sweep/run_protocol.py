"""What decided the scores of a `dllm-eval run`, in one line a task, in the words of a report.

Knows lm-eval's evaluator, through which it looks on, and how reports name protocols; changes
nothing of the run. `lm_eval_run.py` calls it.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

import pandas as pd

from dllm_eval.records import RequestRecord
from dllm_eval.stats.bounds import LOWER_BOUNDS
from dllm_eval.stats.configuration import Configuration
from dllm_eval.stats.protocols import FIELDS, protocols_of
from dllm_eval.sweep.tasks import metadata_of

_TEXTS = ("request_type", "infill", "infill_length", "estimator")


@dataclass
class Seen:
    """What the evaluator was given, and what it gave."""

    lm: Any = None
    results: Mapping[str, Any] | None = None
    given: Mapping[str, Any] = field(default_factory=dict)


@contextmanager
def looking_on() -> Iterator[Seen]:
    """While the block runs, what passes through lm-eval's `evaluate` is kept."""
    evaluator: Any = import_module("lm_eval.evaluator")
    evaluate, seen = evaluator.evaluate, Seen()

    def looked_at(*given: Any, **named: Any) -> Any:  # noqa: ANN401 - lm-eval's own
        seen.lm, seen.given = named.get("lm", given[0] if given else None), named
        seen.results = evaluate(*given, **named)
        return seen.results

    evaluator.evaluate = looked_at
    try:
        yield seen
    finally:
        evaluator.evaluate = evaluate


def protocol_lines(seen: Seen) -> list[str]:
    """One line for each task: its name, and what decided its score besides the model.

    Of a model that keeps no records of its requests, lengths and estimators are not known.
    """
    results = seen.results
    if results is None:  # not the process that has the scores
        return []
    told = _records(seen.lm)
    return [_line(name, results, seen, told) for name in sorted(results.get("n-samples", {}))]


def _line(name: str, results: Mapping[str, Any], seen: Seen, told: Sequence[RequestRecord]) -> str:
    scored = results["results"].get(name, {})
    keys = [key.split(",") for key in scored if "," in key and "_stderr" not in key]
    filters = list(dict.fromkeys(key[1] for key in keys))
    kind = getattr(seen.lm, "kind", "autoregressive")
    target_end = getattr(getattr(seen.lm, "likelihood", None), "target_end", None)
    cell = {
        "cell_id": name,
        "kind": kind,
        "metric": next((key[0] for key in keys), ""),
        "filter": " + ".join(filters) or "none",
        "settings": {"target_end": target_end},
        "num_fewshot": results["n-shot"].get(name),
        "apply_chat_template": bool(seen.given.get("apply_chat_template")),
        "provenance": {"tasks": {name: _facts(name, results)}},
    }
    isolation = next((v for k, v in scored.items() if k.startswith("isolation,")), None)
    scores = pd.DataFrame([{"cell_id": name, "isolation": isolation}])
    own = pd.DataFrame(
        [{text: getattr(one, text) for text in _TEXTS} for one in told if one.task == name],
        columns=list(_TEXTS),
    )
    (found,) = protocols_of(pd.DataFrame([cell]), [_row(name, kind)], {name: own}, scores)
    parts = [f"{FIELDS[key]} {value}" for key, value in found.values.items()]
    parts += _bound([one for one in told if one.task == name])
    return f"protocol of {name}: {'; '.join(parts)}"


def _bound(told: Sequence[RequestRecord]) -> list[str]:
    """That likelihoods are lower bounds, wherever some of them are."""
    parts = {part for one in told for part in (one.quantity or "").split("+")}
    words = {"elbo": "ELBO", "importance_bound": "importance bound"}
    names = " and ".join(words[part] for part in sorted(parts & LOWER_BOUNDS))
    return [f"likelihood a bound ({names})"] if names else []


def _facts(name: str, results: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "version": results["versions"].get(name),
        "num_fewshot": results["n-shot"].get(name),
        "metadata": metadata_of(results["configs"].get(name, {})),
    }


def _row(name: str, kind: str) -> Configuration:
    """A row of a report that is this task's one cell."""
    return Configuration(
        config_id=name,
        model="",
        series="",
        kind=kind,
        dial="",
        dial_value=0.0,
        settings={},
        machine="",
        stack="",
        quality_cells=(name,),
        latency_cells=(),
        provenance={},
    )


def _records(lm: Any) -> Sequence[RequestRecord]:  # noqa: ANN401 - any lm-eval LM
    found = getattr(getattr(lm, "log", None), "records", None)
    kept = found() if callable(found) else list((found or {}).values())
    return [one for one in kept if isinstance(one, RequestRecord)]
