"""A report of what ran in process, in engines and behind an API: separate by itself, and honest."""

import numpy as np
import pytest
from matplotlib.figure import Figure
from served_frames import (
    API,
    EAGER,
    EFFORTS,
    LOOKUP,
    VLLM_TIER,
    Placed,
    engine_autoregressive,
    everything,
    local_autoregressive,
    local_diffusion,
    served_frames,
)

from dllm_eval.report import panels, tier_text
from dllm_eval.report.best_stack_table import best_stack_tables
from dllm_eval.report.curve_figures import draw_dial
from dllm_eval.report.first_look import cards
from dllm_eval.report.first_sentence import summary
from dllm_eval.report.leaderboard import markdown, sections, table
from dllm_eval.report.style import looks
from dllm_eval.report.text import NOT_REPORTED
from dllm_eval.report.verdict import refusal, verdict
from dllm_eval.stats.analysis import TaskAnalysis, analyse
from dllm_eval.stats.tables import task_tables

ONLY_EAGER = tier_text.ONLY_EAGER


def analysed(rows: list[Placed]) -> TaskAnalysis:
    (found,) = task_tables(*served_frames(rows))
    return analyse(found, replicates=400)


@pytest.fixture(scope="module")
def whole() -> TaskAnalysis:
    return analysed(everything())


@pytest.fixture(scope="module")
def plain() -> TaskAnalysis:
    return analysed([*local_diffusion(), *local_autoregressive()])


@pytest.fixture(scope="module")
def old() -> TaskAnalysis:
    return analysed([*local_diffusion(), *local_autoregressive(told=False)])


def test_each_place_has_a_section_of_its_own(whole: TaskAnalysis) -> None:
    found = [(section.ran, {row[0].key for row in section.rows}) for section in sections(whole)]
    assert found == [
        ("in process", {"Made-up diffusion", "Made-up AR"}),
        ("engine started here", {"Made-up diffusion"}),
        ("engine started here", {"Made-up AR"}),
        ("API", {"Mercury 2"}),
    ]


def test_a_report_of_one_process_says_nothing_of_places(old: TaskAnalysis) -> None:
    (section,) = sections(old)
    assert section.ran == ""
    written = markdown([old], [])
    for word in (" tier ", "in process", NOT_REPORTED, "Best stack", "AR row:", ONLY_EAGER):
        assert word not in written
    columns = table([old]).columns
    assert not {"tier", "placement"} & set(columns)
    assert not [name for name in columns if name.startswith("best_stack")]


def test_what_is_not_reported_is_neither_zero_nor_a_dash(whole: TaskAnalysis) -> None:
    for section in sections(whole):
        at = [section.header.index(n) for n in ("NFE", "visible tokens", "canvas tokens")]
        at.append(section.header.index("tokens/s"))
        shown = {row[i].shown for row in section.rows for i in at}
        silent = section.ran != "in process"
        assert (shown == {NOT_REPORTED}) if silent else NOT_REPORTED not in shown
        assert any(NOT_REPORTED.capitalize() in remark for remark in section.remarks) is silent
    frame = table([whole])
    assert frame["nfe"].isna().tolist() == (frame["placement"] != "local").tolist()


def test_the_tier_has_a_column_once_there_is_more_than_the_plain_one(
    whole: TaskAnalysis, plain: TaskAnalysis
) -> None:
    assert "tier" not in sections(plain)[0].header
    first = sections(whole)[0]
    at, sampler = first.header.index("tier"), first.header.index("sampler")
    told = {row[at].shown for row in first.rows if row[0].key == "Made-up AR"}
    assert told == {EAGER, LOOKUP, "eager, static cache", "compiled, static cache"}
    # What the tier says is not said again.
    assert {row[sampler].shown for row in first.rows if row[0].key == "Made-up AR"} == {"–"}


def test_the_verdict_names_the_tier_it_was_won_against(whole: TaskAnalysis) -> None:
    said = verdict(whole)
    best, matched = said.split("the same stack for both: ")
    assert best.startswith("On laptop, each model on its best stack: ")
    assert "by the fastest AR row: vllm, default flags (vllm 0.33.0)." in best
    assert f"against the fastest AR row: {LOOKUP}." in matched
    assert ONLY_EAGER not in said


def test_the_verdict_says_when_only_the_plain_tier_was_run(plain: TaskAnalysis) -> None:
    said = verdict(plain)
    assert f"against the fastest AR row: {EAGER}. {ONLY_EAGER}" in said
    assert said.count(ONLY_EAGER) == 1


def test_a_faster_tier_on_another_machine_does_not_count_as_run() -> None:
    rows = [*local_diffusion(), *local_autoregressive()]
    said = verdict(analysed([*rows, *engine_autoregressive(started_here=False)]))
    assert ONLY_EAGER in said
    assert "best stack" not in said


def test_an_old_record_is_told_as_before(old: TaskAnalysis, plain: TaskAnalysis) -> None:
    def bare(text: str) -> str:
        text = text.replace(f" ({EAGER})", "").replace(f" {ONLY_EAGER}", "")
        return text.replace(f" (AR row: {EAGER})", "").replace(
            f", against the fastest AR row: {EAGER}", ""
        )

    assert verdict(old) == bare(verdict(plain))
    assert EAGER not in verdict(old)


def test_no_sentence_sets_seconds_of_the_api_beside_others(whole: TaskAnalysis) -> None:
    far = verdict(whole).split(f"On {API}")[1].split("Answer length")[0]
    assert "Mercury 2 reaches 90.0 % at reasoning effort high" in far
    assert "speed was not compared" in far
    assert "faster" not in far
    assert tier_text.OVER_A_NETWORK in refusal(whole)


def test_cards_lead_with_the_best_stack(whole: TaskAnalysis) -> None:
    found = cards(whole)
    assert [card.place.split(" / ")[0] for card in found] == ["laptop", "laptop", API]
    best, matched, api = found
    assert best.headline.startswith("Autoregressive is better: ")
    assert best.headline.endswith("by the fastest AR row: vllm, default flags (vllm 0.33.0)")
    assert matched.headline.endswith(f"against the fastest AR row: {LOOKUP}")
    assert (best.behind, matched.behind) == ("", "the same stack for both")
    # The headline counts, what stands behind it does not.
    assert summary(found).startswith(
        "Of 2 comparisons (1 of score and time, 1 of scores alone, 1 more card with the same stack "
        "for both), "
    )
    assert "speed was not compared" in api.headline
    latencies = {line.name: line.latency for line in api.contestants}
    assert latencies["Mercury 2"].endswith(" ms")
    assert {x for name, x in latencies.items() if name != "Mercury 2"} == {"not compared"}
    assert any("network" in caveat for caveat in api.caveats)


def test_a_card_says_when_only_the_plain_tier_was_run(
    plain: TaskAnalysis, old: TaskAnalysis
) -> None:
    (card,) = cards(plain)
    assert ONLY_EAGER in card.caveats
    assert card.headline.endswith(f"against the fastest AR row: {EAGER}")
    (before,) = cards(old)
    assert before.caveats == ()
    assert "AR row" not in before.headline


def test_the_best_stack_table_stands_for_each_model_once(whole: TaskAnalysis) -> None:
    (found,) = best_stack_tables(whole)
    rows = [dict(zip(found.header, row, strict=True)) for row in found.rows]
    assert [row["model"] for row in rows] == ["Made-up diffusion", "Made-up AR"]
    own, rival = rows
    assert own["setting"] == "threshold 0.9"
    assert own["stack"].startswith("sglang")
    assert rival["tier"] == VLLM_TIER
    (speedup,) = whole.best_stacks[0].group.speedups.values()
    assert own["speed-up at matched quality"].startswith(f"{speedup.ratio:.3f}x (")
    (same,) = (g for g in whole.groups if g.speedups)
    (beside,) = same.speedups.values()
    told = own["the same stack on both sides"]
    assert told.startswith(f"{beside.ratio:.2f}x (")
    assert told.endswith("on transformers 5.23, torch 2.13, sdpa, float32")
    assert "Mercury" not in str(found.rows)


def test_the_csv_says_where_and_how(whole: TaskAnalysis) -> None:
    frame = table([whole])
    assert set(frame["placement"]) == {"local", "engine", "api"}
    assert set(frame[frame["kind"] == "autoregressive"]["tier"]) == {
        *(EAGER, "eager, static cache", "compiled, static cache", LOOKUP, VLLM_TIER)
    }
    local = frame[(frame["placement"] == "local") & (frame["kind"] == "diffusion")]
    fastest = frame[frame["tier"] == VLLM_TIER]["latency_s"].item()
    expected = (fastest / local["latency_s"]).tolist()
    assert local["best_stack_latency_ratio"].tolist() == pytest.approx(expected)
    rival = f"Made-up AR ({VLLM_TIER}): vllm 0.33.0"
    assert set(local["best_stack_rival"]) == {rival}
    assert frame[frame["placement"] == "api"]["best_stack_latency_ratio"].isna().all()


def test_series_without_forwards_are_named_and_not_drawn(whole: TaskAnalysis) -> None:
    look = looks([(x.series, x.kind) for x in whole.table.configurations])
    (panel,) = panels.times([whole], look)
    assert {whole.rows[i].configuration.placement.kind for i in panel.members} == {"local"}
    assert panels.silent_series([whole]) == (
        "Not drawn, as their servers report no forward passes: Made-up AR (vllm, default flags) "
        "(engine started here), Made-up diffusion (sglang, LowConfidence) (engine started here), "
        "Mercury 2 (API)."
    )


def test_nothing_is_said_of_forwards_where_all_are_known(plain: TaskAnalysis) -> None:
    assert panels.silent_series([plain]) == ""


def test_efforts_are_categories_in_their_order(whole: TaskAnalysis) -> None:
    look = looks([(x.series, x.kind) for x in whole.table.configurations])
    group = next(g for g in whole.groups if g.machine == API)
    axes = Figure().add_subplot()
    draw_dial(axes, analysis=whole, group=group, looks=look, dial="reasoning_effort")
    ticks = list(axes.get_xticks())
    shown = [axes.xaxis.get_major_formatter()(tick) for tick in ticks]
    assert shown == list(EFFORTS)
    assert axes.get_xscale() == "linear"
    line = axes.get_lines()[0]
    drawn = np.asarray(line.get_xydata(), dtype=np.float64)
    assert drawn[:, 0].tolist() == ticks
    assert drawn[:, 1].tolist() == pytest.approx([60, 70, 80, 90])
