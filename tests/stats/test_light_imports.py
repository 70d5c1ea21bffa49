"""A leaderboard is rebuilt without torch or lm-eval: neither may be pulled in."""

import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    "module", ["dllm_eval.stats.analysis", "dllm_eval.report", "dllm_eval.sweep.store"]
)
def test_neither_torch_nor_lm_eval_is_imported(module: str) -> None:
    script = (
        f"import sys, {module}\n"
        "heavy = [m for m in ('torch', 'lm_eval', 'transformers') if m in sys.modules]\n"
        "sys.exit(', '.join(heavy) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
