"""A suite that asks for what a model's class does not answer is refused before anything is run."""

from pathlib import Path
from typing import Any

import pytest

from dllm_eval.errors import UsageError
from dllm_eval.sweep.check import check_requests
from dllm_eval.sweep.models import accepted_arguments
from dllm_eval.sweep.plan import plan
from dllm_eval.sweep.spec import Sweep

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
