"""The pages of `dllm-eval arguments` for a terminal: the models, or one model's arguments.

Lays out what `arguments.py` tells; prints nothing itself. `cli/arguments.py` calls it.
"""

import re
from collections.abc import Sequence

from rich.box import SIMPLE_HEAD
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from dllm_eval.catalogue.arguments import MODELS, groups_of
from dllm_eval.registry import ARGUMENTS

HINT = (
    "dllm-eval arguments MODEL   accepted values, defaults, meaning",
    "dllm-eval run --model MODEL --model_args name=value,name=value --tasks ...",
)
WIDTH_OF_NAMES, WIDTH_OF_VALUES = 16, 22
"""Columns; longer values wrap, so that what an argument does has room."""


def overview() -> Sequence[RenderableType]:
    """Every model with the names of its arguments."""
    page: list[RenderableType] = []
    for model in ARGUMENTS:
        table = Table(box=None, pad_edge=False, show_header=False, padding=(0, 2, 0, 2))
        table.add_column(no_wrap=True)
        table.add_column()
        for group in groups_of(model):
            table.add_row(group.title, ", ".join(each.name for each in group.arguments))
        page += [f"{model}: {MODELS[model]}", table, ""]
    return [*page, *HINT]


def page_of(model: str) -> Sequence[RenderableType]:
    """One model's arguments, a table for each subject.

    Raises:
        UsageError: There is no such model.
    """
    groups = groups_of(model)
    page: list[RenderableType] = [f"{model}: {MODELS[model]}"]
    for group in groups:
        table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
        table.add_column("argument", no_wrap=True, min_width=WIDTH_OF_NAMES)
        table.add_column("accepted", width=WIDTH_OF_VALUES)
        table.add_column("default", max_width=WIDTH_OF_VALUES)
        table.add_column("what it does")
        for each in group.arguments:
            table.add_row(each.name, each.accepted, each.default, _plain(each.says))
        page += ["", group.title, *([Text(_plain(group.about))] if group.about else []), table]
    return page


def _plain(text: str) -> str:
    """Markdown without its marks; of a link, the page that it leads to."""
    return re.sub(r"\[[^]]*\]\(([^)]*)\)", r"docs/\1", text).replace("`", "")
