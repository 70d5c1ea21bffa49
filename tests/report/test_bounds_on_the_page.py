"""A bound beside an exact value is never called worse, and is labelled wherever it stands."""

from pathlib import Path
from typing import Any

import pytest
from perplexity_frames import perplexities
from report_cards import card

from dllm_eval.report import text
from dllm_eval.report.details import details
from dllm_eval.report.figures import write_figures
from dllm_eval.report.first_look import BOUND, OTHER_QUANTITIES, cards
from dllm_eval.report.first_sentence import BOUNDS_ALONE, summary
from dllm_eval.report.panels import dials, frontiers
from dllm_eval.report.payload import payload
from dllm_eval.report.remarks import LEGEND
from dllm_eval.report.style import looks
from dllm_eval.stats.analysis import TaskAnalysis

MARK = "†"


@pytest.fixture(scope="module")
def worse() -> TaskAnalysis:
    return perplexities(timed=True, lead=-1.0)


@pytest.mark.parametrize("timed", [True, False])
def test_a_worse_bound_shows_no_winner_with_and_without_seconds(timed: bool) -> None:
    (one,) = cards(perplexities(timed=timed, lead=-1.0))
    assert (one.winner, one.level, one.headline) == ("neither", "open", BOUND)
    assert one.bounded
    assert "Autoregressive is better" not in one.headline + one.sure
    assert "Diffusion's bound is" in one.sure
    assert "at least as good as its bound" in one.sure
    assert summary([one]) == BOUNDS_ALONE


def test_on_a_busy_machine_it_shows_none_either() -> None:
    (one,) = cards(perplexities(timed=True, lead=-1.0, busy=("ar", "4", "16")))
    assert one.headline == BOUND


def test_a_slower_bound_of_the_same_score_shows_no_winner() -> None:
    (one,) = cards(perplexities(timed=True, lead=0.0))
    assert one.winner == "neither"


def test_a_bound_that_beats_an_exact_value_does() -> None:
    (one,) = cards(perplexities(timed=False, lead=1.0))
    assert (one.winner, one.headline) == (
        "diffusion",
        "Diffusion scores better; speed was not compared",
    )
    assert not one.bounded


def test_what_is_no_likelihood_is_beaten_by_nobody() -> None:
    for lead in (1.0, -1.0):
        (one,) = cards(perplexities(timed=False, lead=lead, quantity="pseudo_log_likelihood"))
        assert one.headline == OTHER_QUANTITIES


def test_exact_perplexities_are_better_not_higher() -> None:
    analysis = perplexities(timed=False, lead=-1.0, quantity="log_likelihood")
    (one,) = cards(analysis)
    assert one.headline == "Autoregressive scores better; speed was not compared"
    assert "(a bound)" not in "".join(x.quality for x in one.contestants)


def test_the_headline_counts_no_bound() -> None:
    shown = [
        card("Code", "diffusion", "sure"),
        card("Facts", "autoregressive", "sure"),
        card("Perplexity", "neither", "open", bounded=True),
    ]
    assert summary(shown) == (
        "Of 2 comparisons (1 more not counted: a bound beside an exact value), autoregressive is "
        "surely better in 1 and diffusion is surely better in 1."
    )


def test_the_card_the_hover_and_the_drawer_name_the_bound(worse: TaskAnalysis) -> None:
    (one,) = cards(worse)
    told = {x.kind: x.quality for x in one.contestants}
    assert told["diffusion"].endswith(" (a bound)")
    assert "bound" not in told["autoregressive"]
    entry: Any = payload([worse])[0]
    assert entry["bounds"] == "diffusion: a bound (ELBO); autoregressive: exact"
    rows = [row for place in entry["places"] for row in place["rows"]]
    assert {row["kind"]: "(a bound)" in row["quality_text"] for row in rows} == {
        "diffusion": True,
        "autoregressive": False,
    }
    facts = dict(drawer(worse, "diffusion"))
    assert "(a bound)" in facts["quality"]
    assert "points of its bound above AR" in facts


def drawer(analysis: TaskAnalysis, kind: str) -> list[tuple[str, str]]:
    found: Any = details([analysis], {})
    at = next(i for i, row in enumerate(analysis.rows) if row.configuration.kind == kind)
    entry = found["suites"][0][at]
    return [tuple(found["facts"][i]) for i in (*entry["result"], *entry["costs"])]


def test_a_scored_text_has_no_visible_tokens(worse: TaskAnalysis) -> None:
    names = {name for name, _ in drawer(worse, "diffusion")}
    assert "canvases scored" in names
    assert not {name for name in names if "visible" in name or "canvas tokens" in name}
    assert "Wilson's of a share" in LEGEND


def test_the_figures_name_the_bound(worse: TaskAnalysis, tmp_path: Path) -> None:
    look = looks([(x.series, x.kind) for x in worse.table.configurations])
    for panel in (*frontiers([worse], look), *dials([worse], look)):
        assert panel.note == "diffusion: a bound (ELBO); autoregressive: exact"
    assert any(path.name == "frontier_texts.svg" for path in write_figures([worse], tmp_path))


def test_no_bound_is_drawn_as_beaten_by_an_exact_value(worse: TaskAnalysis) -> None:
    entry: Any = payload([worse])[0]
    points = [p for place in entry["places"] for c in place["curves"] for p in c["points"]]
    assert {p["standing"] for p in points if p["kind"] == "diffusion" and not p["faded"]} <= {
        "open",
        "frontier",
    }
    assert "open" in {p["standing"] for p in points}


def test_a_busy_point_carries_its_mark_and_is_beaten_by_nobody() -> None:
    analysis = perplexities(timed=True, lead=-1.0, quantity="log_likelihood", busy=("16",))
    entry: Any = payload([analysis])[0]
    points = [p for place in entry["places"] for c in place["curves"] for p in c["points"]]
    (busy,) = [p for p in points if p["busy_mark"]]
    assert (busy["dial"], busy["busy_mark"], busy["standing"], busy["faded"]) == (
        16,
        MARK,
        "open",
        False,
    )
    assert busy["latency_text"].endswith(MARK)
    row = next(row for row in analysis.rows if row.busy)
    assert text.dial_mark(row) == f"16 {MARK}"
    idle = next(row for row in analysis.rows if row.configuration.kind == "autoregressive")
    assert text.dial_mark(idle) == ""
