"""The `dllm-eval` command: parses, calls, prints; nothing else in the package prints.

Every heavy import is inside a function, so that `--help` is quick. Importing a module here
registers its commands, in the order in which `--help` lists them.
"""

from dllm_eval.cli.app import main, run_command

from dllm_eval.cli import sweeps  # isort: skip
from dllm_eval.cli import reports  # isort: skip
from dllm_eval.cli import decisions  # isort: skip
from dllm_eval.cli import exports  # isort: skip
from dllm_eval.cli import catalogue  # isort: skip
from dllm_eval.cli import arguments  # isort: skip
from dllm_eval.cli import checks  # isort: skip
from dllm_eval.cli import finetune  # isort: skip
from dllm_eval.cli import sandbox  # isort: skip
from dllm_eval.cli import demonstration  # isort: skip

__all__ = [
    "arguments",
    "catalogue",
    "checks",
    "decisions",
    "demonstration",
    "exports",
    "finetune",
    "main",
    "reports",
    "run_command",
    "sandbox",
    "sweeps",
]
