"""A suite that asks for what a model's class does not answer is refused before anything is run."""

from pathlib import Path
from typing import Any

import pytest

from dllm_eval.errors import UsageError
from dllm_eval.sweep.check import check_plan, check_requests
from dllm_eval.sweep.models import accepted_arguments
from dllm_eval.sweep.plan import plan
from dllm_eval.sweep.spec import Sweep
from dllm_eval.sweep.spec_file import load_spec

FAKES = Path(__file__).parent / "fakes"


def check(*tasks: str) -> None:
    suites: list[dict[str, Any]] = [{"task": task, "metric": "acc"} for task in tasks]
    sweep = Sweep.model_validate(
        {
            "name": "n",
            "models": [{"name": "Writes", "model": "fake_model:FakeLM"}],
            "suites": suites,
            "latency": {"enabled": False},
            "include": [str(FAKES)],
        }
    )
    check_requests(sweep, plan(sweep, accepted_arguments))


@pytest.fixture
def writes_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """The fake model, as one that answers by texts alone."""
    own = frozenset({"generate_until"})
    monkeypatch.setattr("fake_model.FakeLM.request_types", own, raising=False)


@pytest.mark.usefixtures("writes_only")
def test_a_likelihood_task_is_refused_where_only_texts_are_answered() -> None:
    with pytest.raises(UsageError) as caught:
        check("fake_echo", "ref_mmlu_continuation")
    message = str(caught.value)
    assert "'ref_mmlu_continuation' asks for loglikelihood" in message
    assert "answers generate_until alone" in message
    assert "exclude: [{model: Writes, suite: ref_mmlu_continuation}]" in message
    assert "\n" not in message


@pytest.mark.usefixtures("writes_only")
def test_texts_are_not_refused() -> None:
    check("fake_echo", "ref_reversal")


def test_a_class_that_says_nothing_answers_everything() -> None:
    check("fake_echo", "ref_mmlu_continuation")


EFFORTS = """\
name: n
models:
  - name: M
    kind: diffusion
    model: dllm-api
    args: {model: m, base_url: "http://127.0.0.1:9/v1"}
    sweep: {reasoning_effort: [low, high]}
suites:
  - {task: ref_humaneval, title: Chat, metric: pass@1, apply_chat_template: true}
  - {task: ref_humaneval, title: Text, metric: pass@1, apply_chat_template: false}
latency: {enabled: false}
confirm_run_unsafe_code: true
"""


def test_an_effort_on_a_suite_without_chat_template_is_refused_with_its_line(
    tmp_path: Path,
) -> None:
    file = tmp_path / "efforts.yaml"
    file.write_text(EFFORTS)
    sweep = load_spec(file)
    with pytest.raises(UsageError) as caught:
        check_plan(sweep, plan(sweep, accepted_arguments))
    message = str(caught.value)
    assert message.startswith(f"{file}:7: M, Text reasoning_effort=low (quality): ")
    assert "reasoning_effort means nothing to the completions route" in message
    assert "exclude: [{model: M, suite: Text, reasoning_effort: low}]" in message
    assert "\n" not in message
    file.write_text(EFFORTS.replace("model: m,", "model: m, route: chat,"))
    sweep = load_spec(file)
    check_plan(sweep, plan(sweep, accepted_arguments))
