"""The command line's frame: the application, its exit codes and its one line for an error.

A `UsageError` becomes one line on stderr and exit code 2; work that is left over becomes one line
and exit code 1. The other modules here register their commands on `app`.
"""

import sys
from pathlib import Path
from typing import Annotated

import typer

from dllm_eval.errors import UsageError

app = typer.Typer(
    help="What is a diffusion language model worth? Quality against latency, through lm-eval.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

STOPPED, INTERRUPTED = "stopped; run the same command again to go on", 130

OutOption = Annotated[Path | None, typer.Option("--out", help="The folder to write into.")]
"""Of commands that write a folder."""


def main(arguments: list[str] | None = None) -> None:
    """Runs the command line and ends the process with its exit code."""
    sys.exit(run_command(sys.argv[1:] if arguments is None else arguments))


def run_command(arguments: list[str]) -> int:
    """Runs the command line; 0 done, 1 unfinished, 2 bad input, 130 interrupted."""
    try:
        code = app(args=arguments, prog_name="dllm-eval", standalone_mode=False)
    except UsageError as error:
        return fail(error, 2)
    except KeyboardInterrupt:
        return fail(STOPPED, INTERRUPTED)
    except Exception as error:
        # typer carries its own copy of click, whose exceptions cannot be imported by name.
        if hasattr(error, "format_message"):
            return fail(error.format_message(), 2)
        if type(error).__name__ == "Abort":
            return fail(STOPPED, INTERRUPTED)
        if type(error).__name__ == "SweepIncomplete":
            return fail(error, 1)
        raise
    if code == INTERRUPTED:  # typer's own answer to Ctrl-C
        return fail(STOPPED, INTERRUPTED)
    return code if isinstance(code, int) else 0


def fail(message: object, code: int) -> int:
    """One line on stderr; gives the exit code back."""
    line = " ".join(str(message).split())
    if line:
        print(f"dllm-eval: {line}", file=sys.stderr)
    return code
