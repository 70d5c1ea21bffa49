"""From a published score to the command that would reproduce it here.

Knows cards and the names of tasks, ours and lm-eval's; runs nothing. `report/reproduced.py` prints
the commands and compares their results, `dllm-eval models NAME` shows one.
"""

from dataclasses import dataclass
from typing import Any

from dllm_eval.catalogue.cards import PROTOCOL, Card, PublishedScore
from dllm_eval.registry import MODEL_TYPES


@dataclass(frozen=True, kw_only=True)
class Task:
    """A task that can be run here, and which of its numbers is the published one's counterpart."""

    name: str
    metric: str
    filter: str = "none"
    runs_code: bool = False


def _tasks(*rows: tuple[str, str, str, bool]) -> dict[str, Task]:
    return {
        name: Task(name=name, metric=metric, filter=kind, runs_code=code)
        for name, metric, kind, code in rows
    }


TASKS = _tasks(
    ("dllm_humaneval", "pass@1", "raw", True),
    ("dllm_infilling_single_line", "pass@1", "raw", True),
    ("dllm_mmlu", "acc", "none", False),
    ("humaneval_instruct", "pass@1", "create_test", True),
    ("humaneval_plus", "pass@1", "create_test", True),
    ("mbpp", "pass_at_1", "none", True),
    ("mbpp_instruct", "pass_at_1", "extract_code", True),
    ("mbpp_plus", "pass_at_1", "none", True),
    ("gsm8k", "exact_match", "strict-match", False),
    ("gsm8k_cot", "exact_match", "strict-match", False),
    ("gsm_plus", "exact_match", "strict-match", False),
    ("minerva_math", "math_verify", "none", False),
    ("minerva_math500", "math_verify", "none", False),
    ("aime25", "exact_match", "none", False),
    ("mmlu_generative", "exact_match", "get_response", False),
    ("mmlu_pro", "exact_match", "custom-extract", False),
    ("cmmlu", "acc", "none", False),
    ("ceval-valid", "acc", "none", False),
    ("gpqa_main_n_shot", "acc", "none", False),
    ("gpqa_diamond_cot_zeroshot", "exact_match", "flexible-extract", False),
    ("bbh", "exact_match", "get-answer", False),
    ("arc_challenge", "acc_norm", "none", False),
    ("arc_challenge_chat", "exact_match", "remove_whitespace", False),
    ("arc_easy", "acc_norm", "none", False),
    ("hellaswag", "acc_norm", "none", False),
    ("piqa", "acc_norm", "none", False),
    ("winogrande", "acc", "none", False),
    ("race", "acc", "none", False),
    ("truthfulqa_mc2", "acc", "none", False),
    ("ifeval", "prompt_level_strict_acc", "none", False),
)
"""Everything that a published score here is compared with."""

OURS = {"humaneval": "dllm_humaneval", "mmlu": "dllm_mmlu"}
"""lm-eval task -> ours, which asks the same questions in the same words."""

NEAREST = {
    ("humaneval", "generation"): "dllm_humaneval",
    ("humaneval_plus", "generation"): "humaneval_plus",
    ("humaneval_infilling", "generation"): "dllm_infilling_single_line",
    ("mbpp", "generation"): "mbpp",
    ("mbpp_plus", "generation"): "mbpp_plus",
    ("gsm8k", "generation"): "gsm8k",
    ("gsm_plus", "generation"): "gsm_plus",
    ("math", "generation"): "minerva_math",
    ("math500", "generation"): "minerva_math500",
    ("aime2025", "generation"): "aime25",
    ("mmlu", "generation"): "mmlu_generative",
    ("mmlu", "likelihood"): "dllm_mmlu",
    ("mmlu_pro", "generation"): "mmlu_pro",
    ("gpqa", "generation"): "gpqa_diamond_cot_zeroshot",
    ("gpqa_diamond", "generation"): "gpqa_diamond_cot_zeroshot",
    ("gpqa", "likelihood"): "gpqa_main_n_shot",
    ("bbh", "generation"): "bbh",
    ("arc_challenge", "generation"): "arc_challenge_chat",
    ("ifeval", "generation"): "ifeval",
} | {
    (name, "likelihood"): name
    for name in (
        *("cmmlu", "ceval-valid", "arc_challenge", "arc_easy", "hellaswag", "piqa"),
        *("winogrande", "race", "truthfulqa_mc2"),
    )
}
"""(benchmark, how it was asked) -> the task that comes closest to another harness's."""

CHAT_TASKS = {"mbpp": "mbpp_instruct"}
"""Benchmark -> lm-eval's task for models that are asked through a chat template."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How a published score would be reproduced."""

    task: Task | None
    same_task: bool
    """Whether it is the task its source ran, and not the nearest one."""
    settings: dict[str, Any]
    """The sampler's: what the source states over the checkpoint's published defaults."""
    unstated: tuple[str, ...]
    """Settings without which nothing runs and which no source states."""
    protocol: dict[str, Any]
    """Shots, chat template and the like, stated or the checkpoint's default."""
    command: str | None
    refusal: str
    """Why there is no command; "" where there is one."""


def recipe(card: Card, score: PublishedScore) -> Recipe:
    """The command that would reproduce a score, or why there is none."""
    task, same = _task_of(card, score)
    settings = expected_settings(card, score)
    needed = () if score.asked_by == "likelihood" else ("gen_length",)
    unstated = tuple(name for name in needed if settings.get(name) is None)
    refusal = _refusal(card, score, task, unstated)
    protocol = expected_protocol(card, score)
    return Recipe(
        task=task,
        same_task=same,
        settings=settings,
        unstated=unstated,
        protocol=protocol,
        command=None if refusal or task is None else _command(card, task, settings, protocol),
        refusal=refusal,
    )


def expected_settings(card: Card, score: PublishedScore) -> dict[str, Any]:
    """The sampler settings of a score: what its source states over the published defaults.

    A likelihood is scored without a sampler, so that nothing but guidance is left of them.
    """
    stated = score.settings.sampler_settings()
    if score.asked_by == "likelihood":
        return {name: value for name, value in stated.items() if name == "cfg_scale" and value}
    return fitted(card, stated)


def fitted(card: Card, given: dict[str, Any]) -> dict[str, Any]:
    """Settings over a checkpoint's published defaults, as the loader fills them in.

    `steps_per_block` becomes `steps`; a checkpoint with published defaults takes as many steps as
    there are tokens where nothing is said.
    """
    published = card.decoding.sampler_settings()
    settings = {**published, **given}
    per_block = settings.pop("steps_per_block", None)
    length, block = settings.get("gen_length"), settings.get("block_length")
    if published and "steps" not in settings and isinstance(length, int):
        blocks = max(1, length // int(block or length))
        settings["steps"] = length if per_block is None else per_block * blocks
    return settings


def expected_protocol(card: Card, score: PublishedScore) -> dict[str, Any]:
    """Shots, chat template and the like: what a source states over the checkpoint's default."""
    stated = {**card.decoding.stated(), **score.settings.stated()}
    return {name: value for name, value in stated.items() if name in PROTOCOL}


def _task_of(card: Card, score: PublishedScore) -> tuple[Task | None, bool]:
    if score.lm_eval_task is not None:
        name = OURS.get(score.lm_eval_task, score.lm_eval_task)
        return TASKS.get(name), name in TASKS
    chat = expected_protocol(card, score).get("chat_template") and score.asked_by == "generation"
    near = CHAT_TASKS.get(score.task) if chat else None
    return TASKS.get(near or NEAREST.get((score.task, score.asked_by), "")), False


def _refusal(
    card: Card, score: PublishedScore, task: Task | None, unstated: tuple[str, ...]
) -> str:
    if card.kind == "report_only":
        return "no weights to run"
    if card.api is not None:
        dial = card.api.dial
        return f"its source does not state {dial.argument}" if dial else "its source states no task"
    if card.hub_id is None:
        return "no checkpoint on the hub"
    if task is None:
        return f"no task for {score.task} here or in lm-eval 0.4.13"
    if score.asked_by == "likelihood" and score.settings.cfg_scale:
        return "guidance of likelihoods is not built in"
    if unstated:
        return f"its source does not state {', '.join(unstated)}"
    return ""


def _command(card: Card, task: Task, settings: dict[str, Any], protocol: dict[str, Any]) -> str:
    arguments: dict[str, Any] = {"pretrained": card.hub_id}
    if card.revision is not None:
        arguments["revision"] = card.revision
    if not _found_by_itself(card):
        arguments["family"] = card.family
    arguments |= settings
    arguments |= {"mc_samples": protocol["samples"]} if "samples" in protocol else {}
    for name in ("infill_length", "target_end"):
        if name in protocol:
            arguments[name] = protocol[name]
    parts = [
        "dllm-eval run --model dllm",
        f"--model_args {','.join(f'{k}={_text(v)}' for k, v in arguments.items())}",
        f"--tasks {task.name}",
        *([f"--num_fewshot {protocol['num_fewshot']}"] if "num_fewshot" in protocol else []),
        *(["--apply_chat_template"] if protocol.get("chat_template") else []),
        *(["--confirm_run_unsafe_code"] if task.runs_code else []),
        "--output_path results/reproduced",
    ]
    return " ".join(parts)


def _found_by_itself(card: Card) -> bool:
    """Whether the checkpoint's own config.json leads to the card's family."""
    if card.model_type is None:
        return card.family in MODEL_TYPES.values()
    return MODEL_TYPES.get(card.model_type) == card.family


def _text(value: object) -> str:
    return "none" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


NEUTRAL: dict[str, Any] = {
    "sampler": "low_confidence",
    "schedule": "linear",
    "block_length": None,
    "sub_block_length": None,
    "initial_length": None,
    "temperature": 0.0,
    "final_temperature": None,
    "top_k": None,
    "top_p": None,
    "top_p_cut": "reach",
    "confidence": "model",
    "threshold": None,
    "strict_threshold": False,
    "at_least": "one",
    "position_temperature": 0.0,
    "first_token": "in_block",
    "edit_threshold": None,
    "max_edit_steps": 16,
    "window": None,
    "entropy_threshold": None,
    "position_penalty": 0.0,
    "entropy_bound": None,
    "stop_entropy": None,
    "stable_steps": 1,
    "transition": "none",
    "cfg_scale": 0.0,
    "eos_policy": "none",
}
"""What a setting is where neither a source nor a user says it; `SamplerConfig` has the same."""
