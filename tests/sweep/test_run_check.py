"""`dllm-eval run` refuses what a server cannot answer before it asks the server anything."""

import pytest

from dllm_eval.errors import UsageError
from dllm_eval.sweep.run_check import check_run

SERVER = ["--model", "dllm-api", "--model_args", "model=mercury-2"]
REFUSED = "task 'ref_reversal_choice' asks for loglikelihood, and dllm-api answers generate_until"


@pytest.mark.parametrize(
    "tasks",
    [
        ["--tasks", "ref_reversal,ref_reversal_choice"],
        ["--tasks", "ref_reversal", "ref_reversal_choice", "--limit", "2"],
        ["--tasks=ref_reversal,ref_reversal_choice"],
        ["-t", "ref_reversal_choice"],
    ],
    ids=["commas", "words", "equals", "short"],
)
def test_a_likelihood_task_is_refused_however_it_is_written(tasks: list[str]) -> None:
    with pytest.raises(UsageError, match=REFUSED):
        check_run([*SERVER, *tasks])


@pytest.mark.parametrize("model", ["--model=dllm-api", "-M", "--model"], ids=str)
def test_the_model_is_found_however_it_is_written(model: str) -> None:
    name = [] if "=" in model else ["dllm-api"]
    with pytest.raises(UsageError, match=REFUSED):
        check_run([model, *name, *SERVER[2:], "--tasks", "ref_reversal_choice"])


def test_what_the_model_answers_is_let_through() -> None:
    check_run([*SERVER, "--tasks", "ref_reversal"])
    check_run(["--model", "dllm-ar", "--tasks", "ref_reversal_choice"])


def test_a_task_that_there_is_not_is_left_to_lm_eval() -> None:
    check_run([*SERVER, "--tasks", "no_such_task"])


EFFORT = [
    "--model",
    "dllm-api",
    "--model_args",
    "model=m,base_url=http://h/v1,reasoning_effort=low",
]


def test_an_effort_without_a_chat_template_is_refused_before_anything_is_sent() -> None:
    with pytest.raises(UsageError, match="reasoning_effort means nothing to the completions route"):
        check_run([*EFFORT, "--tasks", "ref_reversal", "--confirm_run_unsafe_code"])


@pytest.mark.parametrize(
    "more",
    [
        ["--apply_chat_template"],
        ["--apply_chat_template", "NAME"],
        ["--apply_chat_template=NAME"],
        ["--apply"],
        ["--config", "which_may_say_so.yaml"],
    ],
    ids=lambda more: " ".join(more),
)
def test_an_effort_with_a_chat_template_is_let_through(more: list[str]) -> None:
    check_run([*EFFORT, "--tasks", "ref_reversal", *more])


def test_nothing_at_all_is_left_to_lm_eval_which_prints_its_help() -> None:
    check_run([])
    check_run(["--num_fewshot"])


def test_shots_below_zero_are_refused_however_they_are_written() -> None:
    for written in (["--num_fewshot", "-1"], ["--num_fewshot=-1"], ["--limit", "2", "-f", "-3"]):
        with pytest.raises(UsageError, match=r"--num_fewshot is -[13]; accepted: a whole number"):
            check_run(written)


def test_a_value_of_another_option_is_no_task() -> None:
    check_run([*SERVER, "--tasks", "ref_reversal", "--output_path", "ref_reversal_choice"])
