"""What a user may type about scoring: what it does, or the one line that says what is wrong."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import lm_eval.tasks
import pytest
from checkpoints import bd3lm, dream, sdar, sedd, wedlm

from dllm_eval.cli import run_command
from dllm_eval.errors import UsageError
from dllm_eval.likelihood import score
from dllm_eval.likelihood.question import Question
from dllm_eval.registry import LM_EVAL_MODELS, resolve


def build(name: str, folder: Path, text: str) -> Any:
    """As `lm_eval --model NAME --model_args pretrained=FOLDER,TEXT` does it."""
    made = resolve("model", LM_EVAL_MODELS, name)
    return made.create_from_arg_string(f"pretrained={folder},device=cpu,{text}")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("mc_samples=0", "argument mc_samples=0 of dllm: Input should be greater than or equal"),
        ("mc_samples=2.5", "argument mc_samples=2.5 of dllm"),
        ("mc_samples=many", "argument mc_samples='many' of dllm"),
        ("tokens_per_forward=0", "argument tokens_per_forward=0 of dllm"),
        ("max_enumeration=0", "max_enumeration is 0; accepted: a whole number of at least 1"),
        ("max_enumeration=40", "max_enumeration is 40, i.e. 2^40 forwards for one target"),
        (
            "max_enumeration=4,likelihood=monte_carlo",
            "max_enumeration means nothing to likelihood=monte_carlo; auto reads it",
        ),
        ("race=-0.1", "race is -0.1; accepted: 0 (off) to below 0.5"),
        ("race=0.5", "race is 0.5; accepted: 0 (off) to below 0.5"),
        ("race=nan", "race is nan; accepted: 0 (off) to below 0.5"),
        ("race=fast", "argument race='fast' of dllm"),
        ("race_by=sum", "race_by means nothing without race"),
        ("race=0.01,race_by=length", "argument race_by='length' of dllm"),
        (
            "race=0.01,likelihood=left_to_right",
            "race is 0.01, and likelihood=left_to_right makes no draws for family 'llada' that a",
        ),
        ("race=0.01,likelihood=single_token", "likelihood=single_token makes no draws"),
        ("race=0.01,likelihood=enumeration", "likelihood=enumeration makes no draws"),
        ("race=0.01,likelihood=policy", "likelihood=policy makes no draws"),
        ("race=0.01,likelihood=one_step", "likelihood=one_step makes no draws"),
        ("race=0.01,likelihood=upper_bound", "likelihood=upper_bound makes no draws"),
    ],
)
def test_a_bad_value_is_one_clear_line(arguments: str, message: str, tiny_llada: Path) -> None:
    with pytest.raises(UsageError) as error:
        build("dllm", tiny_llada, arguments)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("write", "estimator"),
    [(sedd.write, "score_entropy"), (wedlm.write, "left_to_right")],
)
def test_a_family_that_draws_no_mask_sets_has_no_race(
    write: Callable[[Path], Path], estimator: str, tmp_path: Path
) -> None:
    folder = write(tmp_path / "tiny")
    family = ",family=sedd" if estimator == "score_entropy" else ""
    with pytest.raises(UsageError, match=rf"=auto \(here {estimator}\) makes no draws"):
        build("dllm", folder, f"race=0.01{family}")
    with pytest.raises(UsageError, match=rf"nothing to likelihood=auto \(here {estimator}\); auto"):
        build("dllm", folder, f"max_enumeration=4{family}")


@pytest.mark.parametrize(
    "name",
    [
        *("auto", "monte_carlo", "control_variate", "end_strata", "random_order"),
        *("bernoulli_time", "llada_mc", "dream_mc"),
    ],
)
def test_a_mean_of_draws_can_race(name: str, tiny_llada: Path) -> None:
    assert build("dllm", tiny_llada, f"likelihood={name},race=0.01").likelihood.race == 0.01


def test_blocks_that_are_enumerated_have_no_race(tmp_path: Path) -> None:
    """Blocks have four tokens; in a race auto reads all mask sets of three at most."""
    folder = sdar.write(tmp_path / "tiny")
    with pytest.raises(UsageError, match="makes no draws for family 'sdar'"):
        build("dllm", folder, "race=0.01,likelihood=enumeration")
    assert build("dllm", folder, "race=0.01").likelihood.race == 0.01


def test_an_autoregressive_model_has_no_race(tiny_llama: Path) -> None:
    with pytest.raises(UsageError, match="unknown argument of dllm-ar 'race'"):
        build("dllm-ar", tiny_llama, "race=0.01")


def test_the_command_line_says_it_in_one_line(
    tiny_llada: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Looking through lm-eval's own thousands of tasks takes seconds.
    whole = lm_eval.tasks.TaskManager
    monkeypatch.setattr(lm_eval.tasks, "TaskManager", partial(whole, include_defaults=False))
    arguments = f"pretrained={tiny_llada},race=0.7"
    command = ["run", "--model", "dllm", "--tasks", "ref_mmlu", "--limit", "1"]
    assert run_command([*command, "--device", "cpu", "--model_args", arguments]) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if "dllm-eval:" in line]
    assert lines == ["dllm-eval: race is 0.7; accepted: 0 (off) to below 0.5"]


def test_every_setting_reaches_the_scoring(tiny_llada: Path) -> None:
    model = build(
        "dllm",
        tiny_llada,
        "likelihood=control_variate,mc_samples=9,race=0.25,race_by=sum,tokens_per_forward=77,seed=5",
    )
    found = model.likelihood
    assert (found.estimator, found.samples, found.seed) == ("control_variate", 9, 5)
    assert (found.race, found.race_by, found.tokens_per_forward) == (0.25, "sum", 77)
    assert found.policy is None
    assert build("dllm", tiny_llada, "max_enumeration=3").likelihood.max_enumeration == 3


def test_the_policy_is_the_sampler_of_the_model(tiny_llada: Path) -> None:
    model = build("dllm", tiny_llada, "likelihood=policy,sampler=entropy,gen_length=8,steps=4")
    assert model.likelihood.policy == model.config
    assert (model.config.sampler, model.config.steps) == ("entropy", 4)


CONTEXT = "def add(a, b):\n    return a + b\n" * 3 + "def"
CHOICES = [" add", " return a + b", " x"]


@pytest.mark.parametrize(
    "write", [dream.write, sdar.write, bd3lm.write], ids=["shifted", "blocks", "blocks_of_text"]
)
def test_a_long_prompt_is_cut_from_the_left_and_said_so(
    write: Callable[[Path], Path], tmp_path: Path, tasks: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """Every choice keeps as much of the prompt's end as fits, and is scored whole behind it."""
    model = build("dllm", write(tmp_path / "tiny"), "max_length=24,likelihood=monte_carlo")
    docs = [{"q": CONTEXT, "a": 0, "choices": CHOICES}]
    config = {"doc_to_choice": "choices", "doc_to_target": "a", "target_delimiter": ""}
    task = tasks("multiple_choice", docs, **config)
    task.build_all_requests()
    answers = model.loglikelihood(task.instances, disable_tqdm=True)
    begin = model.tok_encode(CONTEXT)
    rows = {row.index: row for row in model.log.records.values()}
    wholes = [model.tok_encode(CONTEXT + choice) for choice in CHOICES]
    pairs = [(whole[len(whole) - 24 : len(begin)], whole[len(begin) :]) for whole in wholes]
    question = Question(pairs=(0, 1, 2))
    alone = score(model.denoiser, pairs, model.likelihood, questions=[question])
    for index, (kept, target) in enumerate(pairs):
        assert answers[index][0] == pytest.approx(alone[index].value, abs=1e-4)
        assert (rows[index].prompt_tokens, rows[index].visible_tokens) == (len(kept), len(target))
        assert len(kept) + len(target) == 24
    cuts = [line for line in caplog.messages if "is cut from the left to" in line]
    assert len(cuts) == 1
    assert cuts[0].startswith(f"a prompt of {len(begin)} tokens is cut from the left to ")


@pytest.mark.parametrize(("end", "longest"), [("none", 23), ("eos", 22)])
def test_a_continuation_leaves_room_for_its_context(
    end: str, longest: int, tiny_llada: Path
) -> None:
    model = build("dllm", tiny_llada, f"max_length=24,target_end={end}")
    words = " x" * 40
    ids = model.codec.encode(words, add_special_tokens=False)
    fitting = model.codec.decode(ids[:longest])
    before, after = model._pair("", fitting)
    assert (len(before), len(after)) == (1, longest)
    message = f"a continuation of {longest + 1} tokens does not fit into 24"
    with pytest.raises(UsageError, match=message):
        model._pair("", model.codec.decode(ids[: longest + 1]))


@pytest.mark.parametrize("name", ["dllm", "dllm-ar"])
def test_an_empty_continuation_is_refused(name: str, tiny_llada: Path, tiny_llama: Path) -> None:
    model = build(name, tiny_llada if name == "dllm" else tiny_llama, "seed=0")
    for context in ("def add", ""):
        with pytest.raises(UsageError, match="nothing to score: '' has no tokens behind its cont"):
            model._pair(context, "")
