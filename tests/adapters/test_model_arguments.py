"""What a user may type behind --model_args, and what lm-eval does with our models."""

from pathlib import Path
from typing import Any

import pytest
from lm_eval import simple_evaluate
from lm_eval.tasks import TaskManager

from dllm_eval.errors import UsageError
from dllm_eval.registry import LM_EVAL_MODELS, register_with_lm_eval, resolve


def build(name: str, text: str) -> Any:
    """As `lm_eval --model NAME --model_args TEXT` does it."""
    made = resolve("model", LM_EVAL_MODELS, name)
    return made.create_from_arg_string(text, {"batch_size": 1, "max_batch_size": None})


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        (
            "dllm",
            "step=4",
            r"unknown argument of dllm 'step' \(did you mean 'steps'\?\); nearest: steps, .*: dllm",
        ),
        (
            "dllm-ar",
            "steps=4",
            "unknown argument of dllm-ar 'steps'.*: dllm-eval arguments dllm-ar",
        ),
        ("dllm", "infill_length=some", "infill_length='some' of dllm: accepted: oracle, fixed:N"),
        ("dllm", "batch_size=auto", "argument batch_size='auto' of dllm"),
        ("dllm", "gen_length=8,block_length=16,steps=8", "block_length 16 is longer than the"),
        ("dllm", "gen_length=8,block_length=4,steps=3", "steps 3 does not divide into 2 blocks"),
        ("dllm", "sampler=best", "unknown sampler 'best'"),
        ("dllm", "likelihood=best", "unknown likelihood estimator 'best'"),
        ("dllm-ar", "cache=none", "argument cache=None of dllm-ar"),
        ("dllm-ar", "timing_repeats=0", "argument timing_repeats=0 of dllm-ar"),
    ],
)
def test_a_bad_argument_is_one_clear_line(
    name: str, arguments: str, message: str, tiny_llada: Path
) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        build(name, f"pretrained={tiny_llada},{arguments}")
    assert "\n" not in str(caught.value)


def test_pretrained_is_needed() -> None:
    with pytest.raises(UsageError, match="dllm needs the argument pretrained"):
        build("dllm", "steps=4")


def test_an_argument_string_reaches_every_setting(tiny_llada: Path) -> None:
    model = build(
        "dllm",
        f"pretrained={tiny_llada},steps=4,gen_length=8,block_length=none,threshold=None,"
        "eos_policy=none,stop=none,temperature=0,mc_samples=7,seed=3,family=auto,dtype=float32",
    )
    assert (model.config.steps, model.config.block_length, model.config.threshold) == (
        4,
        None,
        None,
    )
    assert (model.config.eos_policy, model.likelihood.samples, model.likelihood.seed) == (
        "none",
        7,
        3,
    )
    assert str(model.device) in ("cpu", "cuda")


def test_simple_evaluate_takes_the_model_by_name(
    tiny_llama: Path, tasks: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    register_with_lm_eval()
    # A report about this machine takes lm-eval longer than all of these tests.
    monkeypatch.setattr("lm_eval.evaluator.add_env_info", lambda _: None)
    task = tasks("generate_until", generation_kwargs={"until": ["\n"], "max_gen_toks": 4})
    out = simple_evaluate(
        model="dllm-ar",
        model_args={"pretrained": str(tiny_llama), "gen_length": 3},
        tasks=[task],
        task_manager=TaskManager(include_defaults=False),
        batch_size=2,
        device="cpu",
        bootstrap_iters=0,
    )
    assert "tiny_generate_until" in out["results"]


def test_a_chat_template_is_the_checkpoints_own(tiny_llada: Path, make_model: Any) -> None:
    model = make_model("dllm", pretrained=tiny_llada)
    history = [{"role": "user", "content": "hi"}]
    with pytest.raises(UsageError, match="has no chat template"):
        model.apply_chat_template(history)
    model.tokenizer.chat_template = (
        "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}"
        "{% if add_generation_prompt %}<assistant>{% endif %}"
    )
    try:
        assert model.apply_chat_template(history) == "<user>hi<assistant>"
    finally:
        model.tokenizer.chat_template = None
