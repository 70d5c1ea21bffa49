"""Hands a command line to lm-eval's own `run`, with our models registered and our tasks findable.

Knows lm-eval's command line; adds nothing to its flags. `dllm-eval run` calls it.
"""

import sys
from collections.abc import Sequence
from difflib import get_close_matches
from importlib import import_module
from pathlib import Path

import yaml

from dllm_eval.errors import UsageError, unknown
from dllm_eval.registry import register_with_lm_eval, tasks_folder
from dllm_eval.sweep.quiet import ask_git_quietly
from dllm_eval.sweep.run_check import check_run
from dllm_eval.sweep.run_protocol import looking_on, protocol_lines


def run_lm_eval(arguments: Sequence[str]) -> list[str]:
    """Runs `lm_eval run` with these arguments, in this process.

    Args:
        arguments: What stands behind `dllm-eval run`, unchanged.

    Returns:
        What decided each task's score, a line each.

    Raises:
        UsageError: A model of ours was given a wrong argument, or a task is unknown or unconfirmed.
        SystemExit: lm-eval's own way out.
    """
    lm_eval_main = import_module("lm_eval.__main__")
    register_with_lm_eval()
    check_run(arguments)
    # lm-eval's parser reads the process's command line and nothing else.
    sys.argv = ["dllm-eval", "run", *with_our_tasks(arguments)]
    ask_git_quietly()
    try:
        with looking_on() as seen:
            lm_eval_main.cli_evaluate()
    except (ValueError, AssertionError) as error:
        raise _mended(error) from error
    return protocol_lines(seen)


def _mended(error: Exception) -> Exception:
    """The mistakes that lm-eval meets with a traceback, as one line; any other as it is."""
    text = str(error)
    if text.startswith("No tasks specified"):
        return UsageError("--tasks names no task; list them with: lm_eval ls tasks")
    if text.startswith("Tasks not found"):
        listed = f"list them with: lm_eval ls tasks, or see {tasks_folder()}"
        return UsageError(f"{text}{_near_tasks(text)}; {listed}")
    if "marked as unsafe" in text:
        return UsageError(
            "the task runs code that the model wrote; allow it with --confirm_run_unsafe_code"
        )
    if "did not find any docs" in text or text.startswith("Indices for islice()"):
        return UsageError("--limit leaves no document; accepted: a number above 0")
    if text.startswith("Attempted to load model"):
        named = text.partition("'")[2].partition("'")[0]
        return UsageError(f"{unknown('model', named, _models())}; or see: lm_eval run --help")
    if text.startswith(("Invalid JSON", "Elements of --samples")):
        return UsageError(text)
    return error


def _near_tasks(text: str) -> str:
    """Of the missing names, which of our tasks may be meant."""
    ours = sorted(path.stem for path in tasks_folder().glob("*.yaml"))
    missing = text.partition(":")[2].split(",")
    found = [near[0] for name in missing if (near := get_close_matches(name.strip(), ours, n=1))]
    return f" (did you mean {', '.join(map(repr, found))}?)" if found else ""


def _models() -> list[str]:
    """Every model name that lm-eval knows, ours among them."""
    return sorted(import_module("lm_eval.api.registry").model_registry)


def with_our_tasks(arguments: Sequence[str]) -> list[str]:
    """The arguments with our tasks folder on the include path, unless they name one."""
    if not arguments or any(_is_option(argument, "--include_path") for argument in arguments):
        return list(arguments)
    if _config_names_a_folder(arguments):
        return list(arguments)
    return [*arguments, "--include_path", str(tasks_folder())]


def _is_option(argument: str, name: str) -> bool:
    return argument == name or argument.startswith(f"{name}=")


def _config_names_a_folder(arguments: Sequence[str]) -> bool:
    path = _config_file(arguments)
    if path is None:
        return False
    try:
        config = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"--config {str(path)!r} cannot be read: {error}") from error
    except yaml.YAMLError as error:
        line = " ".join(str(error).split())
        raise UsageError(f"--config {str(path)!r} is not valid YAML: {line}") from error
    if not isinstance(config, dict):
        raise UsageError(
            f"--config {str(path)!r} holds no mapping; accepted: keys such as model, model_args, "
            "tasks"
        )
    return bool(config.get("include_path"))


def _config_file(arguments: Sequence[str]) -> Path | None:
    for number, argument in enumerate(arguments):
        if argument in ("--config", "-C") and number + 1 < len(arguments):
            return Path(arguments[number + 1])
        if argument.startswith("--config="):
            return Path(argument.removeprefix("--config="))
    return None
