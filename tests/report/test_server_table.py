"""The table of servers: texts of one row, dashes, notes, and flags that are said."""

import math
from dataclasses import replace
from pathlib import Path

from served_frames import (
    EAGER,
    Placed,
    ServedFrames,
    api_rows,
    engine_autoregressive,
    local_autoregressive,
    local_diffusion,
)

from dllm_eval.report import write_frames
from dllm_eval.report.server_table import dollars, server_tables
from dllm_eval.report.suite_table import Frames, SuiteTable
from dllm_eval.stats.tables import task_tables

LOCAL = (*local_diffusion((4,)), *local_autoregressive((EAGER,)))
API = tuple(replace(row, reported=True) for row in api_rows(("low", "high")))


def built(*rows: Placed) -> ServedFrames:
    build = ServedFrames()
    for row in rows:
        build.add(row)
    return build


def table_of(build: ServedFrames) -> SuiteTable:
    cells, requests, scores = build.frames
    known = tuple(task_tables(cells, requests, scores))
    (found,) = server_tables(Frames(cells=cells, requests=requests, scores=scores, tables=known))
    return found


def row_of(table: SuiteTable, setting: str) -> dict[str, str]:
    at = table.header.index("setting")
    (row,) = (x for x in table.rows if setting in x[at])
    return dict(zip(table.header, row, strict=True))


def test_a_row_says_where_how_long_and_how_dear() -> None:
    told = row_of(table_of(built(*LOCAL, *API)), "low")
    assert told["model"] == "Mercury 2"
    assert told["where"] == "api.example.ai; api, chat route"
    assert told["served model"] == "mercury-2 (fp_made_up)"
    assert told["answers"] == "60"
    assert told["tries per answer"] == "1.10"
    assert told["in flight"] == "1"
    assert told["first text p50"] == "800 µs"
    assert told["answer p50"].endswith(" ms")
    assert told["reasoning tokens"] == "40"
    # 9 prompt tokens and 40 + 32 others, a thousand times, at 0.25 and 0.75 dollars a million.
    assert told["dollars per 1000 answers"] == "$0.0563"
    assert told["dollars 95 %"] == "$0.0563 to $0.0563"
    assert told["flagged"] == "reasoning_limit 3 of 60"
    assert told["not reported"] == "–"


def test_what_is_not_reported_is_a_dash_and_named() -> None:
    table = table_of(built(*LOCAL, *engine_autoregressive()))
    (row,) = table.rows
    told = dict(zip(table.header, row, strict=True))
    assert told["where"].startswith("127.0.0.1:30000; vllm 0.33.0")
    assert told["visible tokens"] == "–"
    assert told["dollars per 1000 answers"] == "–"
    assert told["served model"] == "–"
    assert told["not reported"] == (
        "prompt tokens, visible tokens, reasoning tokens, forward passes"
    )
    assert table.notes == ()


def test_notes_name_the_prices_source_and_what_flags_mean() -> None:
    priced, flagged = table_of(built(*LOCAL, *API)).notes
    assert "reasoning is billed as completion" in priced
    assert priced.endswith("Prices are of made up.")
    assert flagged == (
        "Flagged answers are scored like any other, so as wrong where nothing was answered: "
        "reasoning_limit: reasoning used up the token limit, nothing was left for an answer."
    )


def test_local_rows_make_no_table() -> None:
    cells, requests, scores = built(*LOCAL).frames
    known = tuple(task_tables(cells, requests, scores))
    assert not server_tables(Frames(cells=cells, requests=requests, scores=scores, tables=known))


def test_dollars_have_three_figures() -> None:
    assert dollars(0.039612) == "$0.0396"
    assert dollars(12.3456) == "$12.3"
    assert dollars(0.0) == "$0"
    assert dollars(math.nan) == "–"


def test_flags_stand_below_the_leaderboard_and_the_table_in_every_file(tmp_path: Path) -> None:
    paths = write_frames(*built(*LOCAL, *API).frames, tmp_path)
    said = (
        "3 of 60 answers are flagged (reasoning_limit): reasoning used up the token limit, nothing "
        "was left for an answer. They are scored like any other, so as wrong where nothing was "
        "answered."
    )
    for path in (paths.leaderboard_md, paths.leaderboard_html, paths.page):
        text = path.read_text(encoding="utf-8")
        assert said in text, path.name
        assert "dollars per 1000 answers" in text
    written = (tmp_path / "servers.csv").read_text(encoding="utf-8")
    assert "usd_per_1000_answers" in written.splitlines()[0]
    assert len(written.splitlines()) == 3
