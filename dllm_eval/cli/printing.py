"""What commands print: pages, JSON, and files written on the way."""

from pathlib import Path
from typing import TYPE_CHECKING

from dllm_eval.errors import UsageError

if TYPE_CHECKING:
    from dllm_eval.catalogue.pages import Page


def print_page(page: "Page") -> None:
    """Prints the parts of a page; commands in it stay whole lines."""
    from rich.console import Console

    console = Console()
    for part in page:
        # A line that is a command must stay whole, so that it can be copied.
        console.print(part, markup=False, highlight=False, soft_wrap=isinstance(part, str))


def print_json(value: object) -> None:
    """Prints a value as indented JSON."""
    import json

    print(json.dumps(value, indent=2, ensure_ascii=False))


def write_all(path: Path, content: str, *, alone: bool) -> None:
    """Writes a whole page of documentation.

    Raises:
        UsageError: Something was asked for beside the page.
    """
    if not alone:
        raise UsageError("--out writes the whole page as markdown: leave out the name, and --json")
    write(path, content)


def write(path: Path, content: str) -> None:
    """Writes a file and prints its path."""
    from dllm_eval.files import write_text

    write_text(path, content)
    print(path)
