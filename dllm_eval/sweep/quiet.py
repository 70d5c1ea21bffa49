"""Keeps other libraries' chatter off the terminal, so that one progress bar can be read.

Knows which libraries talk; knows nothing of what they do. Workers call it before anything heavy,
`dllm-eval run` for its one line of git's.
"""

import logging
import os
import subprocess
import warnings
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any


def quiet() -> None:
    """Silences progress bars and warnings of the libraries below us; errors still show."""
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
    os.environ["HF_DATASETS_DISABLE_PROGRESS_BARS"] = "1"
    os.environ["TRANSFORMERS_VERBOSITY"] = "error"
    os.environ["LMEVAL_LOG_LEVEL"] = "ERROR"
    os.environ["TQDM_DISABLE"] = "1"
    for name in ("lm_eval", "transformers", "datasets", "huggingface_hub"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings(
        "ignore", module=r"(lm_eval|transformers|datasets|huggingface_hub)(\.|$)"
    )


def collect_environment_once() -> None:
    """Lets torch's environment report, seconds long and written by lm-eval, run once a process."""
    ask_git_quietly()
    module = import_module("torch.utils.collect_env")
    if not hasattr(module.get_pretty_env_info, "cache_info"):
        module.get_pretty_env_info = cache(module.get_pretty_env_info)  # type: ignore[attr-defined]


def ask_git_quietly() -> None:
    """Keeps git's `fatal: not a git repository` off stderr where lm-eval asks it for a commit.

    The answer is that of lm-eval's own `get_git_commit_hash` (0.4.13, `loggers/utils.py`).
    """
    evaluator: Any = import_module("lm_eval.evaluator")
    evaluator.get_git_commit_hash = _commit_here


def _commit_here() -> str | None:
    try:
        asked = subprocess.run(
            ["git", "describe", "--always"], capture_output=True, text=True, check=True
        )
        return asked.stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        commit_from_path = import_module("lm_eval.loggers.utils").get_commit_from_path
        found: str | None = commit_from_path(str(Path.cwd()))
        return found
