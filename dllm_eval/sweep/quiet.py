"""Keeps other libraries' chatter off the terminal, so that one progress bar can be read.

Knows which libraries talk; knows nothing of what they do. Workers call it before anything heavy.
"""

import logging
import os
import warnings
from functools import cache
from importlib import import_module


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
    module = import_module("torch.utils.collect_env")
    if not hasattr(module.get_pretty_env_info, "cache_info"):
        module.get_pretty_env_info = cache(module.get_pretty_env_info)  # type: ignore[attr-defined]
