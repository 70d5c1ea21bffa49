"""The page of samplers, made from the catalogue: rule, settings, passes per step, source.

Knows names and declarations; knows no tensor. `screen.py` lays it
out for a terminal; docs/samplers.md is `markdown()`, and a test keeps it so.
"""

import inspect
from collections.abc import Iterator
from dataclasses import fields
from typing import Any

from dllm_eval.samplers.catalogue import CATALOGUE, OWN_RULES, Preset, compose
from dllm_eval.samplers.checks import LARGEST, LARGEST_NUMBER
from dllm_eval.samplers.parts.part import Kind, Part
from dllm_eval.samplers.parts.settings import Setting, declared

KINDS: dict[Kind | str, str] = {
    "order": "Orders: which masked position comes first",
    "select": "Which positions a step reveals, and which it masks again",
    "adjust": "What is done to the logits first",
    "commit": "When the rest is filled in at once",
    "blocks": "Where a block ends",
    "length": "How long the canvas is",
    "preset": "Names for settings of the parts above",
}

TOKENS_DECIDE = "the tokens decide (`steps` is an error)"

CACHES = """\
## Caches

Where attention only looks back (SDAR, LLaDA2.x, Fast-dLLM v2, NBDiff, BD3-LM, WeDLM), `cache=auto`
keeps the keys of finished blocks, and no answer changes. Where it looks everywhere (LLaDA, Dream),
these caches use keys again that are out of date: answers may change, and every record and every
row of a report says "approximate".

| `cache` | processed by a block's first pass | by later ones | filled anew |
| --- | --- | --- | --- |
| `prefix` | everything | from the block's start on | at each block |
| `dual` | everything | the block alone | at each block |
| `delayed` | everything; by its second, too | masks, and what was just revealed | every 8 steps |

`cache_refresh` is the number of steps after which they are filled anew within a block, too.

They refuse guidance, `mode=reference`, `wino`, `daedal` and canvases that move; `dual` also what
looks behind the block (`prophet`, `sched`, `adablock`), `delayed` all but an order with `steps`.
Sources: arXiv 2505.22618 (prefix, dual), 2505.15781 (delayed). dLLM-Cache and d2Cache are not here:
they renew tokens by each layer's outputs or attention weights.

"""

CHECKED = """\
## How they are checked

Each rule is compared, token for token, with a slow statement of it and, where there is one, with a
closed form. `dllm-eval selftest` decodes on your machine from models whose distribution is known
exactly. With one token a step the answers follow it for the orders random, left_to_right,
confidence, margin and entropy. They do not for `low_confidence`, which looks at the token that was
drawn and so prefers likely draws; it follows an exact law of its own. With k tokens a step accuracy
is the closed form's. Revising samplers with their revision switched off are the plain ones. What
each is worth on the shipped model: [reference-pair.md](reference-pair.md#samplers).

"""

INTRODUCTION = """\
# Samplers

Made by `dllm-eval samplers --out docs/samplers.md` from `dllm_eval/samplers/catalogue.py` and the
parts it names.

`sampler=NAME` picks one; names are joined by "+", one of a kind: `sampler=margin+factor`,
`sampler=threshold+credit+prophet`. What is left out is as the model's family published it, else
`low_confidence` order and an even quota over `steps`. Every setting below is an argument of `dllm`
and an axis of a sweep. With each of them go the flat settings, such as `temperature`, `top_p`,
`block_length`, `eos_policy`, `cfg_scale`, `edit_threshold` and `cache`
([arguments.md](arguments.md#decoding) says what each means). A step is one forward
pass where nothing else is said.
"""


def rule_of(name: str) -> str:
    """The rule, its paragraphs apart: what the part's docstring says before its errors."""
    entry = CATALOGUE[name]
    if isinstance(entry, Preset):
        return entry.rule
    told = inspect.cleandoc(entry.__doc__ or "").partition("\n\nRaises:")[0]
    return "\n\n".join(" ".join(part.split()) for part in told.split("\n\n"))


def kind_of(name: str) -> str:
    """The kind of part that a name stands for; "preset" where it stands for settings."""
    entry = CATALOGUE[name]
    return "preset" if isinstance(entry, Preset) else entry.kind


def steps_of(name: str) -> str:
    """How many steps it takes, in words."""
    entry = CATALOGUE[name]
    if isinstance(entry, Preset):
        return TOKENS_DECIDE if "threshold" in entry.settings else "`steps`"
    if entry.kind in ("order", "adjust"):
        return "`steps`, or as what it is joined to"
    if not entry.reads_steps:
        return TOKENS_DECIDE if entry.adaptive else "its own number (`steps` is an error)"
    return "`steps` at most" if entry.adaptive else "`steps`"


def settings_of(name: str) -> list[tuple[str, str, str, str, str]]:
    """(setting, default, accepted, unit, meaning) of everything that is its own."""
    entry = CATALOGUE[name]
    if isinstance(entry, Preset):
        return [(key, str(value), "", "", "") for key, value in entry.settings.items()]
    defaults = {each.name: each.default for each in fields(entry)}
    return [
        (key, _value(defaults[key]), _accepted(setting), setting.unit, setting.says)
        for key, setting in declared(entry).items()
    ]


def data_of(name: str | None) -> Any:  # noqa: ANN401 - plain JSON data
    """What the catalogue knows, as plain data: of one name, or of all.

    Raises:
        UsageError: There is no such name.
    """
    if name is None:
        return [data_of(each) for each in CATALOGUE]
    compose(name)  # its errors name what is wrong
    if name not in CATALOGUE:
        return [data_of(each) for each in name.split("+")]
    entry = CATALOGUE[name]
    keys = ("setting", "default", "accepted", "unit", "meaning")
    return {
        "name": name,
        "kind": kind_of(name),
        "rule": rule_of(name),
        "steps": steps_of(name).replace("`", ""),
        "forwards_per_step": entry.forwards,
        "source": entry.source,
        "settings": [dict(zip(keys, row, strict=True)) for row in settings_of(name)],
    }


def markdown() -> str:
    """The page docs/samplers.md."""
    lines = [INTRODUCTION]
    for kind, title in KINDS.items():
        names = [name for name in CATALOGUE if kind_of(name) == kind]
        if names:
            lines += [f"## {title}\n", *(part for name in names for part in _entry(name))]
    lines += [CACHES, CHECKED]
    lines.append("## Rules that come with a family's noise\n")
    lines.append("No names of `sampler`: a family brings its own along; these settings turn it.\n")
    lines.append("| rule | families | settings | source |\n| --- | --- | --- | --- |")
    lines += [
        f"| {own.rule} | {own.families} | {own.settings} | {own.source} |" for own in OWN_RULES
    ]
    return "\n".join(lines) + "\n"


def _entry(name: str) -> Iterator[str]:
    entry: type[Part] | Preset = CATALOGUE[name]
    yield f"### `{name}`\n\n{rule_of(name)}\n"
    rows = settings_of(name)
    if rows and isinstance(entry, Preset):
        yield "Stands for " + ", ".join(f"`{row[0]}={row[1]}`" for row in rows) + ".\n"
    elif rows:
        yield "| setting | default | accepted | unit | meaning |\n| --- | --- | --- | --- | --- |"
        yield "\n".join(f"| `{row[0]}` | " + " | ".join(row[1:]) + " |" for row in rows) + "\n"
    order = ""
    if kind_of(name) == "select" and not isinstance(entry, Preset):
        order = "; goes by an order" if entry.reads_order else "; takes no order"
    passes = "" if entry.forwards == "1" else f"; forward passes per step: {entry.forwards}"
    yield f"Steps: {steps_of(name)}{order}{passes}. Source: {entry.source}.\n"


def _value(value: object) -> str:
    return "unset" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def _accepted(setting: Setting) -> str:
    if setting.accepted:
        return ", ".join(setting.accepted)
    if setting.span is None:
        return "text"
    low, high = setting.span.low, setting.span.high
    bounded = high < (LARGEST - 1 if setting.whole else LARGEST_NUMBER)
    kind = "whole, " if setting.whole else ""
    return f"{kind}{low:g} to {high:g}" if bounded else f"{kind}at least {low:g}"
