"""The table of servers: where a setting was answered, how long that took, and what it cost.

Texts only; the numbers are of `stats/servers.py`. In `suite_tables.TABLES`.
"""

import math
from pathlib import PurePosixPath, PureWindowsPath

import pandas as pd

from dllm_eval.report import flag_text, text
from dllm_eval.report.suite_table import Frames, SuiteTable
from dllm_eval.stats.servers import Server, servers
from dllm_eval.stats.tables import TaskTable

NAME = "servers"
HEADER = (
    *("model", "setting", "suite", "answer p50", "answer p90", "first text p50", "first text p90"),
    *("in flight", "dollars per 1000 answers", "dollars 95 %", "visible tokens"),
    *("reasoning tokens", "answers", "tries per answer", "flagged", "not reported"),
    *("where", "served model"),
)
ABOUT = (
    "What answered over HTTP. Seconds are those of the client: they hold the network and whatever "
    "else the server had to do, and are never ranked with seconds of models that ran in process. "
    "Of an answer that was tried several times they are those of the last try."
)
PRICED = (
    "Dollars: prompt and completion tokens of the quality answers as the server counted them, "
    "times the prices noted with the run; reasoning is billed as completion, a try that failed as "
    "nothing. Interval: Student's t over documents. Prices are of {sources}."
)
FLAGGED = (
    "Flagged answers are scored like any other, so as wrong where nothing was answered: {reasons}."
)
COLUMNS = {
    "prompt_tokens": "prompt tokens",
    "visible_tokens": "visible tokens",
    "reasoning_tokens": "reasoning tokens",
    "nfe": "forward passes",
    "first_text_s": "time to first text",
}
"""Columns of records -> how the table calls them."""


def server_tables(frames: Frames) -> list[SuiteTable]:
    """One table of all suites; [] where no server answered."""
    found = [(table, one) for table in frames.tables for one in servers(table)]
    if not found:
        return []
    prices = {one.origin.prices for _, one in found if one.origin.prices}
    flags = sorted({flag for _, one in found for flag in one.flags})
    reasons = "; ".join(f"{flag}: {flag_text.WORDS.get(flag, flag)}" for flag in flags)
    sources = "; ".join(sorted({x.source for x in prices}))
    return [
        SuiteTable(
            name=NAME,
            title="Servers",
            about=ABOUT,
            header=HEADER,
            rows=tuple(_row(table, one) for table, one in found),
            notes=(
                *((PRICED.format(sources=sources),) if prices else ()),
                *((FLAGGED.format(reasons=reasons),) if flags else ()),
            ),
            suites=tuple(dict.fromkeys(table.suite for table, _ in found)),
            data=pd.DataFrame([_data(table, one) for table, one in found]),
        )
    ]


def _row(table: TaskTable, one: Server) -> tuple[str, ...]:
    x = table.configurations[one.row]
    return (
        x.model,
        text.setting(x) or text.UNKNOWN_TEXT,
        table.suite,
        text.seconds(one.answer_p50_s),
        text.seconds(one.answer_p90_s),
        text.seconds(one.first_text_p50_s),
        text.seconds(one.first_text_p90_s),
        str(one.in_flight),
        dollars(one.usd),
        _dollars_interval(one),
        text.count(one.visible_tokens),
        text.count(one.reasoning_tokens),
        str(one.answers),
        text.UNKNOWN_TEXT if math.isnan(one.tries) else f"{one.tries:.2f}",
        flag_text.flags(one.flags, one.answers),
        ", ".join(COLUMNS[name] for name in one.not_reported) or text.UNKNOWN_TEXT,
        _where(one),
        _served(one),
    )


def dollars(value: float) -> str:
    """Dollars with three significant figures: "$0.0831"."""
    return text.UNKNOWN_TEXT if math.isnan(value) else f"${text.significant(value)}"


def _dollars_interval(one: Server) -> str:
    interval = one.usd_interval
    if math.isnan(interval.low):
        return text.UNKNOWN_TEXT
    return f"{dollars(max(0.0, interval.low))} to {dollars(interval.high)}"


def _where(one: Server) -> str:
    origin = one.origin
    engine = "" if origin.engine and origin.engine in origin.stack else origin.engine
    return "; ".join(part for part in (origin.host, engine, origin.stack) if part)


def _served(one: Server) -> str:
    """The served model; of a folder on the machine that served it the last part alone."""
    origin = one.origin
    mark = f" ({origin.fingerprint})" if origin.fingerprint else ""
    return (named_model(origin.served_model) or text.UNKNOWN_TEXT) + mark


def named_model(model: str) -> str:
    """A folder of some machine by its last part; a route such as "vendor/model" as it is."""
    local = PurePosixPath(model).is_absolute() or PureWindowsPath(model).is_absolute()
    local = local or model.startswith(("./", "../", "~"))
    return model.rstrip("/\\").replace("\\", "/").rpartition("/")[2] if local else model


def _data(table: TaskTable, one: Server) -> dict[str, object]:
    x, origin = table.configurations[one.row], one.origin
    prices = origin.prices
    return {
        "task": table.task,
        "suite": table.suite,
        "config_id": x.config_id,
        "series": x.series,
        "kind": x.kind,
        "dial": x.dial,
        "setting": text.setting(x),
        "placement": x.placement.kind,
        "started_here": x.placement.started_here,
        "host": origin.host,
        "engine": origin.engine,
        "stack": origin.stack,
        "served_model": origin.served_model,
        "fingerprint": origin.fingerprint,
        "answers": one.answers,
        "tries_per_answer": one.tries,
        "timed": one.timed,
        "in_flight": one.in_flight,
        "first_text_p50_s": one.first_text_p50_s,
        "first_text_p90_s": one.first_text_p90_s,
        "answer_p50_s": one.answer_p50_s,
        "answer_p90_s": one.answer_p90_s,
        "visible_tokens": one.visible_tokens,
        "reasoning_tokens": one.reasoning_tokens,
        "usd_per_1000_answers": one.usd,
        "usd_low": one.usd_interval.low,
        "usd_high": one.usd_interval.high,
        "input_usd_per_million": prices.input_usd_per_million if prices else math.nan,
        "output_usd_per_million": prices.output_usd_per_million if prices else math.nan,
        "flagged": flag_text.flags(one.flags, one.answers) if one.flags else "",
        "not_reported": ", ".join(one.not_reported),
    }
