"""LLaDA2.0's decoding against its published rule, written down again slowly, one request at a time.

The rule is `LLaDA2MoeModelLM.generate` (inclusionAI, as kept in ZHZisZZ/dllm ca176752,
modeling_llada2_moe.py) at temperature 0: plain lists, no cache, the whole text again at every step.
Two departures: the mask token is never revealed, and the end-of-turn id ends a text as well.
"""

from pathlib import Path
from typing import Any

import pytest
import torch
from bailing_oracle import BailingOracle
from checkpoints import llada2
from small_blocks import SmallBlocks

from dllm_eval.api import Prompt
from dllm_eval.loading import load_model
from dllm_eval.samplers import SamplerConfig, generate_batch

END, MASK, END_OF_TURN = 0, 1, 2
BLOCK = 8
PROMPTS = [[5, 280, 17], [99, 30, 42, 77, 7, 8, 9, 10], [200, 5, 8, 150, 31, 64, 90, 11, 12, 13]]
STRICT = {"strict_threshold": True, "block_length": BLOCK}


def published_rule(
    chances_of: Any, prompt: list[int], *, gen_length: int, block: int, steps: int, threshold: float
) -> tuple[list[int], list[int], int]:
    """Returns the canvas' tokens before the first end id, each one's step, and the forwards."""
    num_blocks = -(-(len(prompt) + gen_length) // block)
    x = prompt + [MASK] * (num_blocks * block - len(prompt))
    written, clock = [-1] * len(x), 0
    shares = [block // steps + (1 if step < block % steps else 0) for step in range(steps)]
    for number in range(len(prompt) // block, num_blocks):
        places = range(number * block, (number + 1) * block)
        for share in shares:
            masked = [i for i in places if x[i] == MASK]
            if not masked:
                break
            chances = chances_of(x[: places.stop])
            best = {i: max(range(len(chances[i])), key=chances[i].__getitem__) for i in masked}
            sure = [i for i in masked if chances[i][best[i]] > threshold]
            ranked = sorted(masked, key=lambda i: -chances[i][best[i]])
            for i in sure if len(sure) >= share else ranked[:share]:
                x[i], written[i] = best[i], clock
            clock += 1
        if any(x[i] in (END, END_OF_TURN) for i in places if i >= len(prompt)):
            break
    stop = len(prompt) + gen_length
    ends = [i for i in range(len(prompt), stop) if x[i] in (END, END_OF_TURN)]
    last = ends[0] if ends else stop
    return x[len(prompt) : last], written[len(prompt) : last], clock


def chances_under(model: Any) -> Any:
    """Probabilities by a pass over the whole text, the mask token left out."""

    def chances_of(ids: list[int]) -> list[list[float]]:
        rows = model.logits(torch.tensor([ids]))[0].float()
        rows[:, MASK] = -torch.inf
        out: list[list[float]] = rows.softmax(dim=1).tolist()
        return out

    return chances_of


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return llada2.write(tmp_path_factory.mktemp("llada2") / "model")


def decode(model: Any, prompts: list[list[int]], **settings: Any) -> list[Any]:
    config = SamplerConfig(**{**STRICT, **settings})
    return generate_batch(model, [Prompt(prefix=tuple(p), seed=7) for p in prompts], config)


@pytest.mark.parametrize(("cache", "likelier_end"), [("auto", 6.0), ("none", 0.0)])
@pytest.mark.parametrize("threshold", [0.95, 0.3, 0.12])
@pytest.mark.parametrize("steps", [8, 3, 1])
def test_decoding_is_the_published_rule(
    steps: int, threshold: float, likelier_end: float, cache: str, folder: Path
) -> None:
    model = SmallBlocks(
        load_model(str(folder), family="llada2"), {END: likelier_end}, block_length=BLOCK
    )
    found = decode(
        model,
        PROMPTS,
        gen_length=24,
        steps=3 * steps,
        threshold=threshold,
        at_least="quota",
        stop="eos",
        cache=cache,
    )
    for prompt, out in zip(PROMPTS, found, strict=True):
        tokens, written, forwards = published_rule(
            chances_under(model),
            prompt,
            gen_length=24,
            block=BLOCK,
            steps=steps,
            threshold=threshold,
        )
        assert list(out.visible) == tokens
        assert list(out.reveal_step[: len(tokens)]) == written
        assert out.nfe == forwards


def test_the_settings_above_stop_early_and_reveal_several_tokens_a_step(folder: Path) -> None:
    model = SmallBlocks(load_model(str(folder), family="llada2"), {END: 6.0}, block_length=BLOCK)
    stopped = decode(model, PROMPTS, gen_length=24, threshold=0.95, stop="eos")
    going_on = decode(model, PROMPTS, gen_length=24, threshold=0.95)
    assert any(a.nfe < b.nfe for a, b in zip(stopped, going_on, strict=True))
    assert [out.visible for out in stopped] == [out.visible for out in going_on]
    free = SmallBlocks(load_model(str(folder), family="llada2"), block_length=BLOCK)
    [sure] = decode(free, PROMPTS[:1], gen_length=24, threshold=0.12)
    [unsure] = decode(free, PROMPTS[:1], gen_length=24, threshold=1.0)
    assert sure.nfe < unsure.nfe == 29  # the prompt's tail of 3 leaves 5 + 8 + 8 + 8 masks


def test_the_default_settings_are_the_published_ones_on_the_published_blocks(folder: Path) -> None:
    model = load_model(str(folder), family="llada2")
    config = SamplerConfig.from_mapping({"gen_length": 32}, model.family)
    assert (config.block, config.threshold, config.strict_threshold) == (32, 0.95, True)
    assert (config.temperature, config.edit_threshold, config.stop) == (0.0, None, "eos")
    oracle = BailingOracle(folder)

    def chances_of(ids: list[int]) -> list[list[float]]:
        rows = oracle.rows(ids, 32)
        rows[:, MASK] = -torch.inf
        out: list[list[float]] = rows.softmax(dim=1).tolist()
        return out

    prompt = [(29 * i) % 280 + 3 for i in range(24)]
    expected = published_rule(chances_of, prompt, gen_length=8, block=32, steps=32, threshold=0.95)
    short = SamplerConfig.from_mapping({"gen_length": 8}, model.family)
    [out] = generate_batch(model, [Prompt(prefix=tuple(prompt))], short)
    assert (list(out.visible), list(out.reveal_step[: len(out.visible)])) == expected[:2]
    assert out.nfe == expected[2] == 8


@pytest.mark.parametrize(
    "extra",
    [{}, {"at_least": "quota", "steps": 9}, {"temperature": 0.8, "top_k": 20, "top_p": 0.9}],
    ids=str,
)
def test_a_batch_gives_its_requests_answers_one_by_one(extra: dict[str, Any], folder: Path) -> None:
    model = SmallBlocks(load_model(str(folder), family="llada2"), {END: 4.0}, block_length=BLOCK)
    settings: dict[str, Any] = {"gen_length": 24, "threshold": 0.2, "stop": "eos", **extra}
    for prompt, out in zip(PROMPTS, decode(model, PROMPTS, **settings), strict=True):
        [alone] = decode(model, [prompt], **settings)
        assert (out.tokens, out.reveal_step) == (alone.tokens, alone.reveal_step)
        assert (out.nfe, out.positions, out.visible) == (alone.nfe, alone.positions, alone.visible)


def test_the_cache_saves_positions_and_changes_nothing(folder: Path) -> None:
    model = SmallBlocks(load_model(str(folder), family="llada2"), block_length=BLOCK)
    [kept] = decode(model, PROMPTS[2:], gen_length=24, threshold=0.3, cache="auto")
    [redone] = decode(model, PROMPTS[2:], gen_length=24, threshold=0.3, cache="none")
    assert (kept.tokens, kept.reveal_step, kept.nfe) == (
        redone.tokens,
        redone.reveal_step,
        redone.nfe,
    )
    assert kept.positions < redone.positions
