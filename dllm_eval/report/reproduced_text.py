"""The table of reported and reproduced scores, as markdown and as plain data.

Computes nothing; `reproduced.py` made the rows. Called by `cli.py`.
"""

from collections.abc import Sequence
from typing import Any

from dllm_eval.catalogue.cards import Card, PublishedScore
from dllm_eval.report.reproduced import NearMiss, Row
from dllm_eval.report.text import points

EMPTY = "–"

LEGEND = (
    "Reported values are as their sources print them, in percent unless the metric says otherwise. "
    "*Reproduced* stays empty until somebody with the weights has run the command beside it and "
    "named the folder: `dllm-eval models --reported --results results/reproduced`. A run counts "
    "for a row only if the checkpoint (hub id or a folder of its name, and the revision where the "
    "card pins one), the task, its metric, shots, chat template and every sampler setting agree "
    "and all documents were asked; `cache`, `mode`, `stop`, dtype, device and batch size are not "
    "compared. Where a source does not state a setting, the checkpoint's published default is "
    "taken. The interval is 95 %, from the standard error over documents. A task marked ≈ is the "
    "nearest one here or in lm-eval 0.4.13 to what another harness ran: prompts and answer "
    "extraction differ, so that a difference in score is no evidence against either. Some of "
    "lm-eval's own tasks want `pip install lm-eval[math,ifeval]`, and those that run code "
    "HF_ALLOW_CODE_EVAL=1. Behind each "
    "source stands how it was read: in the authors' repository, on their page or model card, or "
    "quoted by a third party."
)


def settings_text(score: PublishedScore) -> str:
    """What the source states, for example "gen_length=256, block_length=8"."""
    stated = score.settings.stated().items()
    return ", ".join(f"{name}={_value(value)}" for name, value in stated)


def reproduced_text(row: Row) -> str:
    """For example "35.9 (28.6 to 43.3), n = 164"; a dash where nobody has run it.

    Of a likelihood whose records say so, with the part of its error that another seed changes.
    """
    if row.run is None or row.measured is None:
        return EMPTY
    low, high = 100 * row.measured.interval.low, 100 * row.measured.interval.high
    interval = f" ({low:.1f} to {high:.1f})" if low == low else ""
    noise = row.measured.monte_carlo
    drawn = f", Monte-Carlo ± {points(noise)}" if noise > 0 else ""
    return f"{100 * row.measured.value:.1f}{interval}{drawn}, n = {row.run.num_documents}"


def task_text(row: Row) -> str:
    """The task that would be run, ≈ where it is only the nearest one."""
    if row.recipe.task is None:
        return EMPTY
    return row.recipe.task.name if row.recipe.same_task else f"≈ {row.recipe.task.name}"


def title(score: PublishedScore) -> str:
    """The benchmark and what tells two of its scores apart."""
    return score.task if score.variant is None else f"{score.task} ({score.variant})"


def markdown(rows: Sequence[Row], misses: Sequence[NearMiss]) -> str:
    """The table, one section per card: rows, sources, commands."""
    done = sum(row.run is not None for row in rows)
    lines = ["# Reported versus reproduced", "", LEGEND, ""]
    lines += [f"{len(rows)} published scores, {done} reproduced.", ""]
    for card in dict.fromkeys(row.card.name for row in rows):
        own = [row for row in rows if row.card.name == card]
        lines += _section(own[0].card, own)
    lines += _left_over(misses)
    return "\n".join(lines)


def _section(card: Card, rows: Sequence[Row]) -> list[str]:
    sources = numbered(row.score.source for row in rows)
    commands = numbered(row.recipe.command for row in rows if row.recipe.command)
    lines = [f"## {card.name}", "", card.where, ""]
    header = "task|metric|reported|settings|harness|source|reproduced|run here as|command"
    lines += [_line(header.split("|")), _line(["---"] * 9)]
    for row in rows:
        score, command = row.score, row.recipe.command
        lines.append(
            _line(
                [
                    title(score),
                    score.metric,
                    f"{score.value:g}",
                    settings_text(score) or "not stated",
                    score.harness,
                    f"{sources[score.source]}, {score.evidence}",
                    reproduced_text(row),
                    task_text(row),
                    str(commands[command]) if command else row.recipe.refusal,
                ]
            )
        )
    lines += ["", "Sources:", "", *(f"{number}. {text}" for text, number in sources.items()), ""]
    remarks = dict.fromkeys(f"{title(r.score)}: {r.score.remark}" for r in rows if r.score.remark)
    if remarks:
        lines += ["Remarks:", "", *(f"- {remark}" for remark in remarks), ""]
    if commands:
        lines += ["```sh", *(f"{text}  # {number}" for text, number in commands.items()), "```", ""]
    return lines


def numbered(texts: Any) -> dict[str, int]:  # noqa: ANN401 - any iterable of texts
    """Each distinct text with its number, from 1, in the order they first occur."""
    return {text: number for number, text in enumerate(dict.fromkeys(texts), start=1)}


def _left_over(misses: Sequence[NearMiss]) -> list[str]:
    if not misses:
        return []
    lines = ["## Runs that count for no row", ""]
    return lines + [f"- {miss_text(miss)}" for miss in misses] + [""]


def miss_text(miss: NearMiss) -> str:
    """One line: which run it is, and what keeps it from counting."""
    return f"{miss.run.file}: {miss.card.name}, {miss.run.task}: {'; '.join(miss.differences)}"


def page(rows: Sequence[Row], misses: Sequence[NearMiss]) -> list[str]:
    """The rows for a terminal: a few lines each, commands whole so that they can be copied."""
    lines: list[str] = []
    for card in dict.fromkeys(row.card.name for row in rows):
        own = [row for row in rows if row.card.name == card]
        lines += ["", card]
        for source, number in numbered(row.score.source for row in own).items():
            lines.append(f"  [{number}] {source}")
            same = [row for row in own if row.score.source == source]
            lines += [line for row in same for line in _row_lines(row)]
    done = sum(row.run is not None for row in rows)
    lines += ["", f"{len(rows)} published scores, {done} reproduced."]
    if misses:
        lines += ["Runs that count for no row:", *(f"  {miss_text(miss)}" for miss in misses)]
    return lines


def _row_lines(row: Row) -> list[str]:
    score = row.score
    settings = settings_text(score) or "settings not stated"
    return [
        f"    {title(score)}, {score.metric} ({score.harness}): reported {score.value:g}, "
        f"reproduced {reproduced_text(row)}{_nearest(row)}",
        f"      {settings}",
        f"      $ {row.recipe.command}" if row.recipe.command else f"      ({row.recipe.refusal})",
    ]


def _nearest(row: Row) -> str:
    task = row.recipe.task
    return "" if task is None or row.recipe.same_task else f" (nearest task: {task.name})"


def as_data(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """The rows as plain data, ready for JSON."""
    return [
        {
            "card": row.card.name,
            "hub_id": row.card.hub_id,
            **row.score.model_dump(exclude={"settings"}),
            "settings": row.score.settings.stated(),
            "run_as": None if row.recipe.task is None else row.recipe.task.name,
            "same_task": row.recipe.same_task,
            "command": row.recipe.command,
            "refusal": row.recipe.refusal,
            "reproduced": None if row.measured is None else 100 * row.measured.value,
            "interval": _bounds(row),
            "monte_carlo_stderr": _monte_carlo(row),
            "num_documents": None if row.run is None else row.run.num_documents,
            "file": None if row.run is None else str(row.run.file),
        }
        for row in rows
    ]


def _bounds(row: Row) -> list[float] | None:
    if row.measured is None or row.measured.interval.low != row.measured.interval.low:
        return None
    return [100 * row.measured.interval.low, 100 * row.measured.interval.high]


def _monte_carlo(row: Row) -> float | None:
    if row.measured is None or row.measured.monte_carlo != row.measured.monte_carlo:
        return None
    return 100 * row.measured.monte_carlo


def _value(value: object) -> str:
    if value is None or isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
