"""LLaDA2.1's decoding against its published rule, written down again slowly, one request at a time.

The rule is `LLaDA2MoeModelLM.generate` (inclusionAI, as kept in ZHZisZZ/dllm ca176752,
modeling_llada21_moe.py; arXiv 2602.08676 Eq. 1 to 3) at temperature 0: plain lists, no cache, the
whole text again at every step. Two departures: the mask token is never revealed, and the
end-of-turn id ends a text as well.
"""

from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch
from checkpoints import llada21
from small_blocks import SmallBlocks

from dllm_eval.api import Prompt
from dllm_eval.errors import UsageError
from dllm_eval.loading import load_model
from dllm_eval.samplers import SamplerConfig, generate_batch
from dllm_eval.samplers.revision import edits

END, MASK, END_OF_TURN = 0, 1, 2
BLOCK = 8
PROMPTS = [[5, 280, 17], [99, 30, 42, 77, 7, 8, 9, 10], [200, 5, 8, 150, 31, 64, 90, 11, 12, 13]]


def published_rule(
    model: Any,
    prompt: list[int],
    *,
    gen_length: int,
    threshold: float,
    edit_threshold: float,
    max_edit_steps: int,
    stop: bool,
) -> tuple[list[int], list[int], int, int]:
    """Returns the canvas before the first end id, each one's last step, forwards, and edits."""
    num_blocks = -(-(len(prompt) + gen_length) // BLOCK)
    x = prompt + [MASK] * (num_blocks * BLOCK - len(prompt))
    written, clock, num_edits = [-1] * len(x), 0, 0
    for number in range(len(prompt) // BLOCK, num_blocks):
        places = range(number * BLOCK, (number + 1) * BLOCK)
        idle = 0
        while True:
            masked = [i for i in places if x[i] == MASK]
            idle += not masked
            if idle > max_edit_steps:
                break
            rows = model.logits(torch.tensor([x[: places.stop]]))[0].float()
            rows[:, MASK] = -torch.inf
            chances = rows.softmax(dim=1).tolist()
            best = {i: max(range(len(chances[i])), key=chances[i].__getitem__) for i in places}
            sure = [i for i in masked if chances[i][best[i]] > threshold]
            ranked = sorted(masked, key=lambda i: -chances[i][best[i]])
            revealed = sure or ranked[:1]
            edited = [
                i
                for i in places
                if i >= len(prompt)
                and i not in masked
                and best[i] != x[i]
                and chances[i][best[i]] > edit_threshold
            ]
            for i in revealed + edited:
                x[i], written[i] = best[i], clock
            clock += 1
            num_edits += len(edited)
            if not masked and not edited:
                break
        if stop and any(x[i] in (END, END_OF_TURN) for i in places if i >= len(prompt)):
            break
    end = len(prompt) + gen_length
    ends = [i for i in range(len(prompt), end) if x[i] in (END, END_OF_TURN)]
    last = ends[0] if ends else end
    return x[len(prompt) : last], written[len(prompt) : last], clock, num_edits


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return llada21.write(tmp_path_factory.mktemp("llada21") / "model")


def blocks_of(folder: Path, added: dict[int, float] | None = None) -> SmallBlocks:
    return SmallBlocks(load_model(str(folder), family="llada21"), added, block_length=BLOCK)


def decode(model: Any, prompts: list[list[int]], **settings: Any) -> list[Any]:
    given = {"block_length": BLOCK, "stop": "none", **settings}
    config = SamplerConfig.from_mapping(given, model.family)
    return generate_batch(model, [Prompt(prefix=tuple(p), seed=7) for p in prompts], config)


@pytest.mark.parametrize(
    ("cache", "likelier_end", "max_edit_steps"),
    [("auto", 0.0, 16), ("none", 0.0, 3), ("auto", 5.0, 1)],
)
@pytest.mark.parametrize(
    ("threshold", "edit_threshold"), [(0.95, 0.9), (0.7, 0.5), (0.3, 0.2), (0.12, 0.1), (0.5, 0.0)]
)
def test_decoding_is_the_published_rule(
    threshold: float,
    edit_threshold: float,
    max_edit_steps: int,
    cache: str,
    likelier_end: float,
    folder: Path,
) -> None:
    model = blocks_of(folder, {END: likelier_end})
    rule = {
        "gen_length": 16,
        "threshold": threshold,
        "edit_threshold": edit_threshold,
        "max_edit_steps": max_edit_steps,
    }
    stop = likelier_end > 0
    found = decode(model, PROMPTS, cache=cache, stop="eos" if stop else "none", **rule)
    for prompt, out in zip(PROMPTS, found, strict=True):
        tokens, written, forwards, _ = published_rule(model, prompt, stop=stop, **rule)  # type: ignore[arg-type]
        assert list(out.visible) == tokens
        assert list(out.reveal_step[: len(tokens)]) == written
        assert out.nfe == forwards


def test_the_settings_above_do_edit(folder: Path) -> None:
    model = blocks_of(folder)
    counts = [
        published_rule(
            model,
            prompt,
            gen_length=16,
            threshold=0.12,
            edit_threshold=threshold,
            max_edit_steps=16,
            stop=False,
        )[3]
        for prompt in PROMPTS
        for threshold in (0.9, 0.1, 0.0)
    ]
    assert min(counts) == 0
    assert max(counts) > 5


def test_a_threshold_of_zero_edits_whatever_changed_and_none_edits_nothing(folder: Path) -> None:
    """Published as the speed mode; diffusers reads its 0.0 as off (BlockRefinementScheduler)."""
    model = blocks_of(folder)
    rule: dict[str, Any] = {"gen_length": 16, "threshold": 0.12}
    off = decode(model, PROMPTS, edit_threshold=None, **rule)
    zero = decode(model, PROMPTS, edit_threshold=0.0, **rule)
    assert [out.tokens for out in off] != [out.tokens for out in zero]
    assert all(a.nfe < b.nfe for a, b in zip(off, zero, strict=True))


def test_edits_need_another_token_more_probable_than_the_threshold() -> None:
    proposed = torch.tensor([[4, 4, 4, 4, 4]])
    tokens = torch.tensor([[5, 4, 5, 5, 5]])
    confidence = torch.tensor([[0.9, 0.9, 0.5, 0.6, 0.9]])
    may_edit = torch.tensor([[True, True, True, True, False]])
    found = edits(proposed, confidence, tokens, may_edit, 0.5)
    assert found.tolist() == [[True, False, False, True, False]]


def test_prompt_and_finished_blocks_are_never_edited(folder: Path) -> None:
    model = blocks_of(folder)
    settings: dict[str, Any] = {"threshold": 0.12, "edit_threshold": 0.0, "max_edit_steps": 3}
    [short] = decode(model, PROMPTS[2:], gen_length=8, **settings)
    [long] = decode(model, PROMPTS[2:], gen_length=24, **settings)
    # The prompt's tail of 2 lies in the first block, which ends 6 places into the canvas.
    assert long.tokens[:6] == short.tokens[:6]
    assert long.reveal_step[:6] == short.reveal_step[:6]


@pytest.mark.parametrize(
    "extra", [{}, {"temperature": 0.8, "top_k": 20, "confidence": "filtered"}], ids=str
)
def test_a_batch_gives_its_requests_answers_one_by_one(extra: dict[str, Any], folder: Path) -> None:
    model = blocks_of(folder, {END: 3.0})
    settings: dict[str, Any] = {
        "gen_length": 24,
        "threshold": 0.2,
        "edit_threshold": 0.1,
        "max_edit_steps": 4,
        "stop": "eos",
        **extra,
    }
    for prompt, out in zip(PROMPTS, decode(model, PROMPTS, **settings), strict=True):
        [alone] = decode(model, [prompt], **settings)
        assert (out.tokens, out.reveal_step) == (alone.tokens, alone.reveal_step)
        assert (out.nfe, out.positions, out.visible) == (alone.nfe, alone.positions, alone.visible)


def test_what_the_user_leaves_unset_is_the_published_quality_mode(folder: Path) -> None:
    family = load_model(str(folder), family="llada21").family
    config = SamplerConfig.from_mapping({"gen_length": 64}, family)
    assert (config.block, config.threshold, config.edit_threshold) == (32, 0.7, 0.5)
    assert (config.max_edit_steps, config.strict_threshold, config.stop) == (16, True, "eos")


def test_an_edit_threshold_out_of_range_is_refused() -> None:
    with pytest.raises(UsageError, match="edit_threshold must be a number of at least 0 and at mo"):
        SamplerConfig(edit_threshold=1.5)


@pytest.mark.parametrize("edit_threshold", [0.9, 0.2, 0.1])
def test_a_block_is_refined_as_diffusers_refines_it(edit_threshold: float, folder: Path) -> None:
    scheduler = import_module("diffusers").BlockRefinementScheduler(block_length=BLOCK)
    scheduler.set_timesteps(BLOCK, block_length=BLOCK)
    model = blocks_of(folder)
    prompt = PROMPTS[2]
    x = torch.tensor([prompt + [MASK] * (3 * BLOCK - len(prompt))])
    for start in (BLOCK, 2 * BLOCK):
        block, idle = slice(start, start + BLOCK), 0
        given = torch.arange(start, start + BLOCK) < len(prompt)
        while True:
            masked = bool((x[:, block] == MASK).any())
            idle += not masked
            if idle > 16:
                break
            logits = model.logits(x[:, : block.stop])[:, block]
            logits[..., MASK] = -torch.inf
            out = scheduler.step(
                logits,
                0,
                x[:, block],
                mask_token_id=MASK,
                threshold=0.12,
                editing_threshold=edit_threshold,
                prompt_mask=given,
            )
            x[:, block] = out.prev_sample
            if not masked and not bool(out.editing_transfer_index.any()):
                break
    [found] = decode(model, [prompt], gen_length=8, threshold=0.12, edit_threshold=edit_threshold)
    assert list(found.tokens) == x[0, len(prompt) : len(prompt) + 8].tolist()
