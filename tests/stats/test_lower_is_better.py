"""A sweep whose frontier is upside down: perplexities, from data frames to what is recommended."""

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest

from dllm_eval.errors import UsageError
from dllm_eval.stats.analysis import TaskAnalysis, analyse
from dllm_eval.stats.bounds import may_be_said
from dllm_eval.stats.budget import Budget, Floor
from dllm_eval.stats.candidates import candidates_of
from dllm_eval.stats.chooser import Chooser
from dllm_eval.stats.row import as_frame
from dllm_eval.stats.sureness import Sureness
from dllm_eval.stats.tables import task_tables

WORDS = np.array([10.0, 40.0, 20.0, 30.0, 25.0, 15.0] * 10)
NATS = {"fast": 3.0, "slow": 2.0, "between": 2.5, "ar": 2.2}
"""Per word."""
SECONDS = {"fast": 0.1, "slow": 0.4, "between": 0.5, "ar": 0.2}


def cell(name: str, purpose: str, **changes: Any) -> dict[str, Any]:
    return {
        "cell_id": f"{name}-{purpose}",
        "config_id": name,
        "model": "AR" if name == "ar" else "Diffusion",
        "kind": "autoregressive" if name == "ar" else "diffusion",
        "task": "texts",
        "suite": "texts",
        "metric": "word_perplexity",
        "filter": "none",
        "chance": 0.0,
        "purpose": purpose,
        "dial": "" if name == "ar" else "mc_samples",
        "dial_value": math.nan if name == "ar" else float(list(NATS).index(name) + 1),
        "settings": {},
        "batch_size": 1,
        "seed": 0,
        "machine": "m",
        "stack": "s",
        "provenance": {},
        "done": {},
        "finished": True,
        "lower_is_better": True,
        **changes,
    }


def logs(name: str) -> np.ndarray[Any, np.dtype[np.float64]]:
    """(documents,) log-likelihoods; their errors are shared by all settings but for a little."""
    shared = np.random.default_rng(1).normal(size=len(WORDS))
    own = np.random.default_rng(len(name)).normal(size=len(WORDS))
    return -WORDS * (NATS[name] + 0.2 * shared + 0.02 * own)


def analysed(quantity: str = "log_likelihood", *, documents: int = len(WORDS)) -> TaskAnalysis:
    cells, requests, scores = [], [], []
    for name in NATS:
        for purpose in ("quality", "latency"):
            own = cell(name, purpose)
            cells.append(own)
            for number in range(documents):
                said = "log_likelihood" if name == "ar" else quantity
                requests.append(
                    {
                        "cell_id": own["cell_id"],
                        "key": f"{number}",
                        "task": "texts",
                        "doc_id": number,
                        "index": 0,
                        "request_type": "loglikelihood_rolling",
                        "visible_tokens": 20,
                        "canvas_tokens": 20,
                        "nfe": 8,
                        "positions": 100,
                        "seconds": SECONDS[name] * (1 + 0.01 * (number % 7)),
                        "estimator": "exact",
                        "quantity": said,
                        "infill": None,
                        "infill_length": None,
                        "value": logs(name)[number],
                        "stderr": 0.0,
                        "exact": True,
                    }
                )
        scores += [
            {
                "cell_id": f"{name}-quality",
                "task": "texts",
                "doc_id": number,
                "metric": "word_perplexity",
                "filter": "none",
                "value": math.exp(-nats / words),
                "weight": words,
            }
            for number, (nats, words) in enumerate(
                list(zip(logs(name), WORDS, strict=True))[:documents]
            )
        ]
    (table,) = task_tables(pd.DataFrame(cells), pd.DataFrame(requests), pd.DataFrame(scores))
    return analyse(table, replicates=400)


@pytest.fixture(scope="module")
def exact() -> TaskAnalysis:
    return analysed()


def rows_of(analysis: TaskAnalysis) -> dict[str, Any]:
    return {row.configuration.config_id: row for row in analysis.rows}


def test_a_row_is_the_perplexity_of_all_texts_together(exact: TaskAnalysis) -> None:
    told: Any = as_frame(exact.rows).set_index("config_id")
    for name in NATS:
        whole = math.exp(-sum(logs(name)) / sum(WORDS))
        assert told.loc[name, "quality"] == pytest.approx(whole)
        assert told.loc[name, "quality_low"] < whole < told.loc[name, "quality_high"]


def test_the_interval_is_that_of_resampled_texts(exact: TaskAnalysis) -> None:
    generator = np.random.default_rng(5)
    found = []
    for _ in range(4000):
        drawn = generator.integers(len(WORDS), size=len(WORDS))
        found.append(math.exp(-logs("slow")[drawn].sum() / WORDS[drawn].sum()))
    low, high = np.quantile(found, [0.025, 0.975])
    row: Any = as_frame(exact.rows).set_index("config_id").loc["slow"]
    assert row["quality_low"] == pytest.approx(low, rel=0.01)
    assert row["quality_high"] == pytest.approx(high, rel=0.01)


def test_the_frontier_is_upside_down(exact: TaskAnalysis) -> None:
    rows = rows_of(exact)
    # Fewest seconds, then ever lower perplexities; "between" is slower and worse than "slow".
    assert {name for name, row in rows.items() if row.on_frontier} == {"fast", "ar", "slow"}
    assert rows["slow"].p_frontier == 1.0
    assert rows["between"].p_frontier == 0.0


def test_verdicts_go_by_the_lower_number(exact: TaskAnalysis) -> None:
    rows = rows_of(exact)
    assert rows["slow"].comparison.verdict == "slower, better"
    assert rows["between"].comparison.verdict == "dominated by AR"
    assert rows["fast"].comparison.verdict == "faster, worse"
    assert rows["slow"].comparison.difference > 0


def test_the_best_of_a_series_and_what_is_near_it(exact: TaskAnalysis) -> None:
    ((group,), table) = exact.groups, exact.table
    (curve,) = [x for x in group.curves if x.kind == "diffusion"]
    assert curve.acceptable is not None
    assert table.configurations[curve.acceptable.best].config_id == "slow"
    assert math.isnan(curve.hypervolume)
    # AR's perplexity and a hundredth more, which "slow" alone is below.
    speedup = group.speedups["Diffusion"]
    ar = math.exp(-sum(logs("ar")) / sum(WORDS))
    assert table.scale.value(speedup.quality_floor) == pytest.approx(ar * math.exp(0.01))
    assert speedup.ratio == pytest.approx(0.5)


def test_a_bound_that_is_worse_shows_nothing_and_one_that_is_better_does() -> None:
    bounded = analysed("elbo")
    rows = rows_of(bounded)
    assert {row.likelihood for row in rows.values()} == {"bound", "exact"}
    assert rows["slow"].comparison.verdict == "slower, better"
    assert rows["between"].comparison.verdict == "slower, quality open"
    assert rows["fast"].comparison.verdict == "faster, quality open"


def test_what_two_kinds_of_likelihood_can_say() -> None:
    bounded, neither = analysed("elbo").table, analysed("pseudo_log_likelihood").table
    names = [x.config_id for x in bounded.configurations]
    own, ar = names.index("fast"), names.index("ar")
    assert may_be_said(bounded, own, ar) == {"no worse", "better"}
    assert may_be_said(bounded, ar, own) == {"worse", "no better"}
    assert may_be_said(neither, own, ar) == frozenset()
    assert may_be_said(analysed().table, own, ar) >= {"worse", "better"}


def test_what_is_recommended_is_the_lowest_in_time(exact: TaskAnalysis) -> None:
    names = [x.config_id for x in exact.table.configurations]
    every = np.arange(len(WORDS))
    rows = range(len(names))
    candidates = candidates_of(exact, rows, names.index("ar"))

    def chosen(budget: Budget) -> str:
        chooser = Chooser(candidates=candidates, budget=budget)
        return names[candidates.rows[chooser.ranked(every)[0]]]

    assert chosen(Budget(latency_s=0.45)) == "slow"
    assert chosen(Budget(latency_s=0.3)) == "ar"
    below = Floor(share=0.02, below_autoregressive=True)
    assert chosen(Budget(floor=below)) == "ar"
    assert chosen(Budget(floor=Floor(share=0.9, below_autoregressive=True))) == "fast"
    values = {names[i]: exact.table.scale.value(exact.rows[i].quality) for i in rows}
    middle = (values["ar"] + values["slow"]) / 2
    reaching = {name for name, value in values.items() if value <= middle}
    assert reaching < set(names)
    most = Budget(floor=Floor(share=middle, plain=True)).on(exact.table.scale)
    assert chosen(most) in reaching
    absolute = Chooser(candidates=candidates, budget=most)
    assert {names[i] for i in absolute.meeting(every)} == reaching
    sure = Sureness(absolute, generator=np.random.default_rng(0), replicates=200)
    assert all((sure.p_meets(i) > 0.5) == (names[i] in reaching) for i in rows)
    chooser = Chooser(candidates=candidates, budget=Budget(floor=below))
    sure = Sureness(chooser, generator=np.random.default_rng(0), replicates=200)
    assert sure.p_meets(names.index("slow")) > 0.99
    assert sure.p_meets(names.index("fast")) < 0.01
    with pytest.raises(UsageError, match="say how far below the autoregressive model"):
        Chooser(candidates=candidates, budget=Budget(floor=Floor(share=0.9)))


def test_one_document_is_above_chance_where_nobody_guesses_and_has_no_interval() -> None:
    found = analysed(documents=1)
    assert all(row.above_chance for row in found.rows)
    assert all(math.isnan(row.quality_interval.low) for row in found.rows)
