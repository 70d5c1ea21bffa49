"""Which is better, at what latency, how sure: the cards, from results whose story is known."""

from dataclasses import replace

import pandas as pd
import pytest
from page_frames import AUTOREGRESSIVE, CODE, DIFFUSION, FACTS, PageFrames, page_frames

from dllm_eval.report import text
from dllm_eval.report.first_look import Card, cards
from dllm_eval.report.first_sentence import summary
from dllm_eval.stats.analysis import analyse
from dllm_eval.stats.tables import task_tables


@pytest.fixture(scope="module")
def code() -> PageFrames:
    return page_frames(suites=(CODE,), batches=(1,))


def drawn(
    frames: PageFrames,
    *,
    cells: pd.DataFrame | None = None,
    requests: pd.DataFrame | None = None,
    scores: pd.DataFrame | None = None,
) -> list[Card]:
    tables = task_tables(
        frames.cells if cells is None else cells,
        frames.requests if requests is None else requests,
        frames.scores if scores is None else scores,
    )
    return [card for table in tables for card in cards(analyse(table))]


def scored(frames: PageFrames, *, diffusion: float | None, autoregressive: float) -> pd.DataFrame:
    """Scores with every answer of a side set to one value; None leaves diffusion's."""
    is_diffusion = frames.scores["cell_id"].str.contains("diffusion")
    values = frames.scores["value"].where(is_diffusion, autoregressive)
    if diffusion is not None:
        values = values.where(~is_diffusion, diffusion)
    return frames.scores.assign(value=values)


def test_autoregressive_is_better_where_nothing_scores_as_high(code: PageFrames) -> None:
    (card,) = drawn(code)
    assert (card.suite, card.winner, card.level) == (CODE, "autoregressive", "sure")
    assert card.headline == "Autoregressive is better: no diffusion setting scores as high"
    first, second = card.contestants
    # 63 of 64 documents against 55: eight kinds of document, the last and number 5 not known.
    assert (first.name, first.setting, first.quality) == (AUTOREGRESSIVE, "", "98.4 %")
    assert (second.name, second.setting, second.quality) == (DIFFUSION, "8 steps", "85.9 %")
    assert "12.5 points fewer on 64 documents" in card.sure
    assert card.models == (DIFFUSION, AUTOREGRESSIVE)


def test_diffusion_is_faster_at_the_same_score_but_the_score_is_not_proven() -> None:
    frames = page_frames(suites=(FACTS,), batches=(1,))
    shown = drawn(frames)
    assert [card.place.split(" /")[0] for card in shown] == ["laptop", "server"]
    for card in shown:
        assert (card.winner, card.level) == ("diffusion", "likely")
        assert card.contestants[0].setting == "2 steps"
        assert "64 documents are too few" in card.sure
    assert summary(shown) == (
        "Of 2 comparisons, nothing is sure; likely, not proven: diffusion is better in 2."
    )
    assert summary(shown[:1]) == "One comparison: diffusion is better, likely but not proven."


def test_enough_documents_prove_it() -> None:
    frames = page_frames(suites=(FACTS,), batches=(1,), documents=1000)
    assert [card.level for card in drawn(frames)] == ["sure", "sure"]


def slowed(frames: PageFrames) -> pd.DataFrame:
    slow = frames.requests["cell_id"].str.contains("diffusion")
    return frames.requests.assign(seconds=frames.requests["seconds"] * (1 + 99 * slow))


@pytest.mark.parametrize(("documents", "level"), [(64, "likely"), (1000, "sure")])
def test_autoregressive_is_as_hard_to_prove_faster(documents: int, level: str) -> None:
    frames = page_frames(suites=(CODE,), batches=(1,), steps=(8,), documents=documents)
    scores = scored(frames, diffusion=1.0, autoregressive=1.0)
    (card,) = drawn(frames, requests=slowed(frames), scores=scores)
    assert (card.winner, card.level) == ("autoregressive", level)
    assert "faster at matched quality (within one point)" in card.headline
    assert (f"{documents} documents are too few" in card.sure) == (level == "likely")


def test_zero_has_no_sign() -> None:
    assert [text.fixed(x) for x in (-0.04, 0.0, 0.04, -0.06)] == ["0.0", "0.0", "0.0", "-0.1"]
    assert [text.signed(x) for x in (-0.04, 0.06, -1.0)] == ["0.0", "+0.1", "-1.0"]
    assert text.percent(-1e-9) == "0.0 %"


def test_a_model_at_chance_gives_nothing_to_match(code: PageFrames) -> None:
    (card,) = drawn(code, scores=scored(code, diffusion=None, autoregressive=0.0))
    assert (card.winner, card.level) == ("diffusion", "sure")
    reason = f"{AUTOREGRESSIVE} is not clearly better than chance"
    assert card.headline == f"Diffusion is better: {reason}"
    (card,) = drawn(code, scores=scored(code, diffusion=0.0, autoregressive=0.0))
    assert (card.winner, card.level) == ("neither", "open")
    assert card.sure == "No score is clearly above chance (0 %)."


def test_faster_and_worse_is_a_trade(code: PageFrames) -> None:
    own = code.requests["cell_id"].str.contains("diffusion")
    requests = code.requests.assign(seconds=code.requests["seconds"].where(~own, 0.001))
    (card,) = drawn(code, requests=requests)
    assert card.winner == "trade"
    assert card.headline == "A trade: diffusion is faster, autoregressive scores higher"


def test_higher_and_slower_is_a_trade(code: PageFrames) -> None:
    # AR right on 15 of 64: diffusion at 4 steps (24 of 64) is enough for it, and all are slower.
    keep = code.scores["doc_id"] % 4 == 0
    is_ar = code.scores["cell_id"].str.contains("AR")
    values = code.scores["value"].where(~is_ar | keep, 0.0)
    slow = code.requests["cell_id"].str.contains("diffusion")
    requests = code.requests.assign(seconds=code.requests["seconds"] * (1 + 99 * slow))
    (card,) = drawn(code, requests=requests, scores=code.scores.assign(value=values))
    assert (card.winner, card.level) == ("trade", "sure")
    assert card.headline == "A trade: diffusion scores higher, autoregressive is faster"


def test_the_same_score_and_time_has_no_winner(code: PageFrames) -> None:
    requests = code.requests.assign(seconds=0.02 + 0.001 * (code.requests["doc_id"] % 5))
    (card,) = drawn(code, requests=requests, scores=scored(code, diffusion=1.0, autoregressive=1.0))
    assert (card.winner, card.level) == ("neither", "open")


def test_without_seconds_the_score_alone_decides_and_that_is_said(code: PageFrames) -> None:
    (card,) = drawn(code, cells=code.cells[code.cells["purpose"] == "quality"])
    assert card.headline == "Autoregressive scores higher; speed was not compared"
    assert [x.latency for x in card.contestants] == ["–", "–"]


def test_one_timed_request_is_no_speed(code: PageFrames) -> None:
    timed = code.requests["cell_id"].str.contains("latency")
    (card,) = drawn(code, requests=code.requests[~timed | (code.requests["doc_id"] == 0)])
    assert card.headline == "Autoregressive scores higher; speed was not compared"


def test_a_side_alone_is_not_compared(code: PageFrames) -> None:
    (card,) = drawn(code, cells=code.cells[code.cells["kind"] == "diffusion"])
    assert (card.winner, card.headline) == ("unknown", "Nothing to compare with")
    assert "An autoregressive model was not run beside it" in card.sure
    assert summary([card]) == "One comparison: there is nothing to compare."


def test_a_told_length_and_a_busy_machine_are_said(code: PageFrames) -> None:
    diffusion = code.requests["model"] == "diffusion"
    requests = code.requests.assign(
        infill=["native" if x else "prefix_only" for x in diffusion],
        infill_length=["oracle" if x else "until_end" for x in diffusion],
        cpu_seconds=code.requests["seconds"] / 10,
    )
    (card,) = drawn(code, requests=requests)
    assert any("is told the length of the right answer" in x for x in card.caveats)
    assert any(x.startswith(f"{text.BUSY_MARK} Timed on a busy") for x in card.caveats)
    assert all(x.busy and text.BUSY_MARK in x.latency for x in card.contestants)
    assert "speed was not compared" in card.headline


def test_cards_that_are_not_like_the_others_are_told_apart(code: PageFrames) -> None:
    (card,) = drawn(code)
    scores, beside = replace(card, scores_alone=True), replace(card, behind="the same stack")
    assert summary([card, card]).startswith("Of 2 comparisons, ")
    assert summary([scores]).startswith("One comparison (of scores alone): ")
    assert summary([scores, scores]).startswith("Of 2 comparisons (2 of scores alone), ")
    assert summary([card, scores, beside, beside]).startswith(
        "Of 2 comparisons (1 of score and time, 1 of scores alone, 2 more cards with the same "
    )
