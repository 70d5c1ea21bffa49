"""What the leaderboard, the csv file and the page say of Monte-Carlo noise and of loose bounds."""

import csv
import json
import re
from typing import Any, Protocol

import numpy as np
import pandas as pd
import pytest

from dllm_eval.report import ReportPaths, text, write_frames
from dllm_eval.report.columns import LOOSENESS, NOISE
from dllm_eval.report.leaderboard import Section, sections
from dllm_eval.stats.analysis import TaskAnalysis, analyse
from dllm_eval.stats.changes import expected_changes
from dllm_eval.stats.tables import task_tables

CHANGED = float(expected_changes(np.full(100, 0.3)).mean())
"""What 100 questions of flip probability 0.3 come to; tests/stats has the rule itself."""


class FramesLike(Protocol):
    """What the fixtures of conftest.py hand out."""

    cells: pd.DataFrame
    requests: pd.DataFrame
    scores: pd.DataFrame


def likelihoods(frames: FramesLike) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    own = frames.cells["task"] == "ref_mmlu"
    cells = frames.cells[own]
    kept = (frame[frame["task"] == "ref_mmlu"] for frame in (frames.requests, frames.scores))
    requests, scores = kept
    return cells, requests, scores


def with_chances(frames: FramesLike) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Choice 1 is right; a diffusion model's choices win by 0.1, 0.7, 0.1 and 0.1."""
    cells, requests, scores = likelihoods(frames)
    drawn = requests["model"] == "diffusion"
    won = (requests["index"] == 1).map({True: 0.7, False: 0.1})
    requests = requests.assign(
        win_probability=won.where(drawn),
        flip_probability=drawn.map({True: 0.3, False: np.nan}),
        importance_bound=(requests["value"] + 0.2).where(drawn),
        upper_bound=(requests["value"] + 0.75).where(drawn),
    )
    return cells, requests, scores.assign(gold=1)


def section_of(parts: tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]) -> Section:
    (table,) = task_tables(*parts)
    (section,) = sections(analyse(table, replicates=200))
    return section


def shown(section: Section, column: str, model: str) -> set[str]:
    at = section.header.index(column)
    return {row[at].shown for row in section.rows if row[0].shown == model}


@pytest.fixture(scope="module")
def report(frames: FramesLike, tmp_path_factory: pytest.TempPathFactory) -> ReportPaths:
    return write_frames(*with_chances(frames), tmp_path_factory.mktemp("noise"))


def test_the_leaderboard_shows_both_noises_and_the_bounds(frames: FramesLike) -> None:
    section = section_of(with_chances(frames))
    # By hand: a chance of 0.7 is a margin of sqrt 2 * 0.5244 standard errors. Margins that are all
    # alike do not spread beyond their noise, so w = Phi(0.7416) = 0.7708 at each of 100 documents.
    assert shown(section, NOISE[0], "reference-diffusion") == {"4.2"}
    assert shown(section, NOISE[2], "reference-diffusion") == {f"{100 * CHANGED:.1f} %"}
    assert shown(section, LOOSENESS[0], "reference-diffusion") == {"0.200"}
    assert shown(section, LOOSENESS[1], "reference-diffusion") == {"0.750"}
    remarks = " ".join(section.remarks)
    assert "standard error of the score under other seeds" in remarks
    assert "estimate of an upper bound" in remarks


def test_what_draws_nothing_shows_an_exact_zero(frames: FramesLike) -> None:
    section = section_of(with_chances(frames))
    assert shown(section, NOISE[0], "reference-ar") == {"0"}
    assert shown(section, NOISE[2], "reference-ar") == {"0 %"}
    assert shown(section, LOOSENESS[0], "reference-ar") == {"–"}


def test_a_small_share_is_not_shown_as_none(frames: FramesLike) -> None:
    cells, requests, scores = with_chances(frames)
    requests.loc[requests["flip_probability"].notna(), "flip_probability"] = 0.0001
    section = section_of((cells, requests, scores))
    assert shown(section, NOISE[2], "reference-diffusion") == {"< 0.1 %"}


def test_old_results_have_blanks_and_no_zero(frames: FramesLike) -> None:
    section = section_of(likelihoods(frames))
    for column in NOISE:
        assert shown(section, column, "reference-diffusion") == {"–"}
    assert not set(LOOSENESS) & set(section.header)


def test_generation_has_none_of_these_columns(one_suite: FramesLike) -> None:
    section = section_of((one_suite.cells, one_suite.requests, one_suite.scores))
    assert not {*NOISE, *LOOSENESS} & set(section.header)
    assert len(section.header) == len(section.rows[0])


def test_the_csv_file_has_every_number(report: ReportPaths) -> None:
    with report.leaderboard_csv.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        assert row["unit"] == "question"
        score, drawn, documents = (
            float(row[name]) for name in ("score_stderr", "monte_carlo_stderr", "document_stderr")
        )
        assert score**2 == pytest.approx(drawn**2 + documents**2, abs=1e-4)
        if row["kind"] == "autoregressive":
            assert drawn == 0.0
            assert float(row["changed_answers"]) == 0.0
            assert row["elbo_loose_at_least"] == ""
        else:
            assert float(row["nfe"]) == 4 * float(row["dial_value"])
            assert float(row["changed_answers"]) == pytest.approx(CHANGED)
            assert float(row["elbo_loose_at_most"]) == pytest.approx(0.75)
            assert float(row["elbo_loose_at_most_stderr"]) == pytest.approx(0.0, abs=1e-12)


def test_the_page_says_it_at_every_point(report: ReportPaths) -> None:
    page = report.page.read_text(encoding="utf-8")
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    assert found is not None
    (entry,) = json.loads(found[1])
    assert (entry["unit"], entry["alone"]) == ("question", "one question at a time")
    rows: list[dict[str, Any]] = entry["places"][0]["rows"]
    assert {row["noise_text"] for row in rows if row["kind"] == "diffusion"} == {
        f"Monte-Carlo ± 4.2 points; another seed would change {100 * CHANGED:.1f} % of answers"
    }
    for name in (*NOISE, *LOOSENESS):
        assert f">{name}<" in page


def analysis_with(frames: FramesLike, quantity: str) -> TaskAnalysis:
    cells, requests, scores = likelihoods(frames)
    drawn = requests["model"] == "diffusion"
    named = requests.assign(quantity=requests["quantity"].mask(drawn, quantity))
    (table,) = task_tables(cells, named, scores)
    return analyse(table, replicates=200)


@pytest.mark.parametrize(
    ("quantity", "words"),
    [
        ("importance_bound", "importance bound (a tighter lower bound)"),
        ("upper_bound", "upper bound (estimated)"),
        ("pseudo_log_likelihood", "pseudo-log-likelihood (not a likelihood)"),
        ("one_step", "one-step score (not a likelihood)"),
        ("elbo+log_likelihood", "ELBO (a lower bound) + log-likelihood"),
    ],
)
def test_each_quantity_is_named_for_what_it_is(
    frames: FramesLike, quantity: str, words: str
) -> None:
    (section,) = sections(analysis_with(frames, quantity))
    assert shown(section, "quantity", "reference-diffusion") == {words}
    assert shown(section, "quantity", "reference-ar") == {"log-likelihood"}


def test_every_quantity_of_the_records_has_a_name() -> None:
    from typing import get_args

    from dllm_eval.api import Quantity

    assert set(text.QUANTITIES) == set(get_args(Quantity))


def test_every_estimator_that_ran_is_named(frames: FramesLike) -> None:
    cells, requests, scores = likelihoods(frames)
    few = requests["index"] == 0
    drawn = requests["model"] == "diffusion"
    requests = requests.assign(
        estimator=requests["estimator"].mask(drawn & few, "enumeration+single_token")
    )
    section = section_of((cells, requests, scores))
    assert shown(section, "estimator", "reference-diffusion") == {
        "enumeration + monte_carlo + single_token"
    }


@pytest.mark.parametrize(
    ("share", "words"), [(0.0, "0"), (0.0042, "0.42"), (0.0213, "2.1"), (3e-7, "< 0.01")]
)
def test_points_have_two_figures_and_no_long_tail(share: float, words: str) -> None:
    assert text.points(share) == words
    assert text.points(float("nan")) == "–"
