"""`dllm-eval run` ends with what decided each task's score, and without git's complaints."""

import os
from functools import partial
from pathlib import Path

import lm_eval.evaluator
import lm_eval.tasks
import pytest

from dllm_eval.cli import run_command
from dllm_eval.sweep.run_protocol import Seen, looking_on, protocol_lines

MODEL = "pretrained=reference-diffusion,gen_length=16,block_length=16,steps=2"


@pytest.fixture(autouse=True)
def _outside_a_checkout(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    whole = lm_eval.tasks.TaskManager
    monkeypatch.setattr(lm_eval.tasks, "TaskManager", partial(whole, include_defaults=False))
    monkeypatch.setattr("torch.utils.collect_env.get_pretty_env_info", lambda: "")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", os.fspath(tmp_path.parent))


def test_one_line_for_each_task(capfd: pytest.CaptureFixture[str]) -> None:
    tasks = "ref_infilling,ref_reversal_choice"
    arguments = ["--tasks", tasks, "--limit", "1", "--device", "cpu", "--confirm_run_unsafe_code"]
    model = ["--model", "dllm", "--model_args", f"{MODEL},target_end=eos,likelihood=monte_carlo"]
    assert run_command(["run", *model, *arguments]) == 0
    said = capfd.readouterr()
    assert "fatal" not in said.err
    assert "protocol of" not in said.out
    first, second = said.err.splitlines()[-2:]
    assert first.startswith(
        "protocol of ref_infilling: benchmark HumanEval-Infilling; variant single-line; direction "
        "infill; template published; shots 0; chat template no; extraction raw + first_line; "
        "scored by execution; pass@k 1; given around the gap prefix and suffix, masks between; "
        "length of the gap oracle; task version 2.0; isolation "
    )
    assert second == (
        "protocol of ref_reversal_choice: benchmark Reversal curse; variant true or random; "
        "direction reverse; shots 0; chat template no; scored by log-probability; behind the "
        "answer end of text, seen and not scored; estimator monte_carlo; task version 1.0; "
        "likelihood a bound (ELBO)"
    )


def test_a_process_without_scores_says_nothing() -> None:
    assert protocol_lines(Seen()) == []


def test_the_evaluator_is_left_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    def evaluate(lm: object, **_: object) -> dict[str, str]:
        return {"told": str(lm)}

    monkeypatch.setattr(lm_eval.evaluator, "evaluate", evaluate)
    with pytest.raises(RuntimeError, match="on the way"), looking_on() as seen:  # noqa: PT012
        lm_eval.evaluator.evaluate(lm="model", limit=1)
        raise RuntimeError("on the way")
    assert (seen.lm, seen.results, seen.given["limit"]) == ("model", {"told": "model"}, 1)
    assert lm_eval.evaluator.evaluate is evaluate
