"""SDAR's decoding against its published rule, written down again slowly, one request at a time.

The rule is JetAstra/SDAR c2041a83, evaluation/opencompass huggingface_bd3.py,
`block_diffusion_generate`, greedy: plain lists, no cache, the whole text again at every step.
"""

from pathlib import Path
from typing import Any

import pytest
from checkpoints import sdar, sdar_moe
from qwen_oracle import QwenOracle, block_causal

from dllm_eval.api import Prompt
from dllm_eval.loading import load_model
from dllm_eval.samplers import SamplerConfig, generate_batch

END, END_OF_TURN, MASK = 0, 2, 3
BLOCK = 4
PROMPTS = [[5, 280, 17], [99, 1, 42, 77], [200, 5, 8, 150, 31, 64, 90], [11] * 9, [12, 260]]


def shares(steps: int) -> list[int]:
    """How many positions each step of a block reveals."""
    return [BLOCK // steps + (1 if step < BLOCK % steps else 0) for step in range(steps)]


def published_rule(
    oracle: QwenOracle,
    prompt: list[int],
    *,
    gen_length: int,
    steps: int,
    threshold: float | None,
    sequential: bool = False,
    stop: bool = False,
) -> tuple[list[int], int]:
    """Returns the canvas' tokens, and how many steps were taken."""
    num_blocks = -(-(len(prompt) + gen_length) // BLOCK)
    x = prompt + [MASK] * (num_blocks * BLOCK - len(prompt))
    taken = 0
    for block in range(len(prompt) // BLOCK, num_blocks):
        places = range(block * BLOCK, (block + 1) * BLOCK)
        step = 0
        while any(x[i] == MASK for i in places):
            rows = oracle.rows(x[: places.stop], block_causal(BLOCK))
            rows[:, MASK] = -1e30
            chances = rows.softmax(dim=1).tolist()
            best = {i: max(range(len(chances[i])), key=chances[i].__getitem__) for i in places}
            masked = [i for i in places if x[i] == MASK]
            ranked = sorted(masked, key=lambda i: -chances[i][best[i]])
            quota = shares(steps)[min(step, steps - 1)]
            chosen = masked[:quota] if sequential else ranked[:quota]
            if threshold is not None:
                sure = [i for i in masked if chances[i][best[i]] > threshold]
                chosen = sure if len(sure) >= quota else chosen
            for i in chosen:
                x[i] = best[i]
            step += 1
        taken += step
        if stop and any(x[i] in (END, END_OF_TURN) for i in places if i >= len(prompt)):
            break
    return x[len(prompt) : len(prompt) + gen_length], taken


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return sdar.write(tmp_path_factory.mktemp("sdar") / "model")


def decode(folder: Path, prompts: list[list[int]], **settings: Any) -> list[Any]:
    model = load_model(str(folder), device="cpu")
    config = SamplerConfig.from_mapping({"stop": "none"} | settings, model.family)
    return generate_batch(model, [Prompt(prefix=tuple(p), seed=7) for p in prompts], config)


@pytest.mark.parametrize("threshold", [None, 0.15, 0.3, 0.85])
@pytest.mark.parametrize("steps", [4, 2, 3, 1])
def test_decoding_is_the_published_rule(steps: int, threshold: float | None, folder: Path) -> None:
    oracle = QwenOracle(folder)
    expected = [
        published_rule(oracle, prompt, gen_length=12, steps=steps, threshold=threshold)
        for prompt in PROMPTS
    ]
    for cache in ("auto", "none"):
        settings: dict[str, Any] = {"steps": 3 * steps, "threshold": threshold, "cache": cache}
        found = decode(folder, PROMPTS, gen_length=12, **settings)
        assert [(list(out.tokens), out.nfe) for out in found] == expected


def test_a_threshold_reveals_several_tokens_a_step(folder: Path) -> None:
    [sure] = decode(folder, PROMPTS[:1], gen_length=12, threshold=0.1)
    [unsure] = decode(folder, PROMPTS[:1], gen_length=12, threshold=1.0)
    assert sure.nfe < unsure.nfe == 13  # the prompt's tail of 3 makes one block more, 13 masks


@pytest.mark.parametrize("cache", ["auto", "none"])
def test_sequential_decoding_is_left_to_right(cache: str, folder: Path) -> None:
    oracle = QwenOracle(folder)
    settings = {"sampler": "left_to_right", "threshold": None, "cache": cache}
    for steps in (4, 2):
        found = decode(folder, PROMPTS, gen_length=8, steps=2 * steps, **settings)
        for prompt, out in zip(PROMPTS, found, strict=True):
            tokens, _ = published_rule(
                oracle, prompt, gen_length=8, steps=steps, threshold=None, sequential=True
            )
            assert list(out.tokens) == tokens


@pytest.mark.parametrize("threshold", [None, 0.2])
def test_a_batch_gives_its_requests_answers_one_by_one(
    threshold: float | None, folder: Path
) -> None:
    for extra in ({}, {"temperature": 0.8, "top_k": 20, "top_p": 0.95}):
        settings: dict[str, Any] = {"gen_length": 12, "threshold": threshold, **extra}
        together = decode(folder, PROMPTS, **settings)
        for prompt, out in zip(PROMPTS, together, strict=True):
            [alone] = decode(folder, [prompt], **settings)
            assert (out.tokens, out.reveal_step) == (alone.tokens, alone.reveal_step)
            assert (out.nfe, out.positions) == (alone.nfe, alone.positions)


@pytest.mark.parametrize("threshold", [None, 0.2])
def test_stopping_leaves_out_the_blocks_behind_end_of_text(
    threshold: float | None, tmp_path: Path, folder: Path
) -> None:
    settings: dict[str, Any] = {"gen_length": 16, "threshold": threshold}
    [free] = decode(folder, PROMPTS[2:3], **settings)
    ended = sdar.write(tmp_path / "ended", eos_token_id=free.tokens[4])
    first = free.tokens.index(free.tokens[4])
    [out] = decode(ended, PROMPTS[2:3], stop="eos", **settings)
    assert out.visible == free.tokens[:first]
    assert out.stop_reason == "eos"
    assert out.nfe < free.nfe
    together = decode(ended, PROMPTS, stop="eos", **settings)
    assert (together[2].tokens, together[2].nfe) == (out.tokens, out.nfe)


@pytest.mark.parametrize("cache", ["auto", "none"])
def test_the_mixture_of_experts_decodes_by_the_same_rule(cache: str, tmp_path: Path) -> None:
    folder = sdar_moe.write(tmp_path / "model")
    oracle = QwenOracle(folder)
    found = decode(folder, PROMPTS[:3], gen_length=8, threshold=0.2, cache=cache)
    for prompt, out in zip(PROMPTS, found, strict=False):
        tokens, taken = published_rule(oracle, prompt, gen_length=8, steps=4, threshold=0.2)
        assert list(out.tokens) == tokens
        assert out.nfe == taken


def test_what_the_user_leaves_unset_is_what_was_published(folder: Path) -> None:
    config = SamplerConfig.from_mapping({"gen_length": 32}, load_model(str(folder)).family)
    assert (config.block, config.steps_per_block, config.threshold) == (4, 4, None)
    assert (config.strict_threshold, config.at_least, config.temperature) == (True, "quota", 0.0)
    assert config.stop == "eos"
