"""NBDiff's decoding against its published rule, written down again slowly, one request at a time.

The rule is `diffusion_generate` (YuchuanTian/NBDiff e0c10f3, generation_utils.py) at temperature 0:
plain lists, no cache, the whole text again at every step, through the architecture written out. One
departure: the mask token is never revealed.
"""

import math
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from checkpoints import nbdiff
from nbdiff_oracle import NBDiffOracle
from small_blocks import SmallBlocks

from dllm_eval.api import Prompt
from dllm_eval.loading import load_model
from dllm_eval.samplers import SamplerConfig, generate_batch

MASK, END = 3, 5
PROMPTS = [[1, 280, 17], [1, 30, 42, 77, 7, 8, 9, 10], [1, 200, 8, 150, 31, 64, 90, 11, 12, 13, 14]]
BLOCK, SUB_BLOCK = 8, 4


class Published:
    """The rule, and how many forward passes it took."""

    def __init__(self, oracle: NBDiffOracle, likelier_end: float) -> None:
        self.oracle, self.likelier_end, self.forwards = oracle, likelier_end, 0

    def chances(self, ids: list[int], start: int) -> list[list[float]]:
        """Of position i + 1 at place i; positions from `start` on see each other."""
        self.forwards += 1
        rows = self.oracle.rows(ids, start)
        rows[:, END] += self.likelier_end
        rows[:, MASK] = -torch.inf
        out: list[list[float]] = rows.softmax(dim=1).tolist()
        return out

    def run(
        self, prompt: list[int], *, gen_length: int, order: str, threshold: float | None, stop: bool
    ) -> tuple[list[int], list[int]]:
        """The canvas before the first end id, and the step at which each position was set."""
        x = prompt + [MASK] * gen_length
        written, clock = [-1] * len(x), 0
        for start in range(len(prompt), len(x), BLOCK):
            row = self.chances(x[:start], start)[start - 1]
            x[start], written[start] = row.index(max(row)), clock
            clock += 1
            for first in range(start, start + BLOCK, SUB_BLOCK):
                places = range(first, first + SUB_BLOCK)
                while masked := [i for i in places if x[i] == MASK]:
                    chances = self.chances(x[: start + BLOCK], start)
                    rows = {i: chances[i - 1] for i in masked}
                    top = {i: max(row) for i, row in rows.items()}
                    score = top
                    if order == "entropy":
                        score = {
                            i: sum(p * math.log(p) for p in row if p) for i, row in rows.items()
                        }
                    best = max(masked, key=score.__getitem__)
                    for i in masked:
                        if i == best or (threshold is not None and top[i] > threshold):
                            x[i], written[i] = rows[i].index(top[i]), clock
                    clock += 1
            if stop and END in x[len(prompt) : start + BLOCK]:
                break
        canvas = x[len(prompt) :]
        last = canvas.index(END) if END in canvas else gen_length
        return canvas[:last], written[len(prompt) : len(prompt) + last]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return nbdiff.write(tmp_path_factory.mktemp("nbdiff") / "model")


def decode(model: Any, prompts: list[list[int]], **settings: Any) -> list[Any]:
    given = {
        "block_length": BLOCK,
        "sub_block_length": SUB_BLOCK,
        "temperature": 0.0,
        "top_p": None,
        "stop": "none",
        **settings,
    }
    config = SamplerConfig.from_mapping(given, model.family)
    return generate_batch(model, [Prompt(prefix=tuple(p), seed=7) for p in prompts], config)


@pytest.mark.parametrize(("cache", "likelier_end"), [("auto", 7.0), ("none", 0.0)])
@pytest.mark.parametrize(
    ("order", "threshold"),
    [("entropy", None), ("low_confidence", None), ("low_confidence", 0.9), ("low_confidence", 0.1)],
)
def test_decoding_is_the_published_rule(
    order: Any, threshold: float | None, cache: str, likelier_end: float, folder: Path
) -> None:
    model = SmallBlocks(load_model(str(folder)), {END: likelier_end})
    stop = likelier_end > 0
    found = decode(
        model,
        PROMPTS,
        gen_length=16,
        sampler=order,
        threshold=threshold,
        strict_threshold=threshold is not None,
        cache=cache,
        stop="eos" if stop else "none",
    )
    for prompt, out in zip(PROMPTS, found, strict=True):
        rule = Published(NBDiffOracle(folder), likelier_end)
        tokens, written = rule.run(
            prompt, gen_length=16, order=order, threshold=threshold, stop=stop
        )
        assert list(out.visible) == tokens
        assert list(out.reveal_step[: len(tokens)]) == written
        assert out.nfe == rule.forwards


def test_without_a_threshold_every_forward_gives_one_token(folder: Path) -> None:
    model = load_model(str(folder))
    [out] = decode(model, PROMPTS[:1], gen_length=24)
    assert out.nfe == 24
    assert sorted(out.reveal_step) == list(range(24))
    assert [out.reveal_step[at] for at in (0, 8, 16)] == [0, 8, 16]
    halves = [out.reveal_step[at : at + SUB_BLOCK] for at in range(0, 24, SUB_BLOCK)]
    assert all(max(a) < min(b) for a, b in pairwise(halves))
    [sure] = decode(model, PROMPTS[:1], gen_length=24, sampler="low_confidence", threshold=0.05)
    assert sure.nfe < 24


@pytest.mark.parametrize(
    "extra", [{}, {"temperature": 1.0, "top_p": 0.8}, {"threshold": 0.1}], ids=str
)
def test_a_batch_gives_its_requests_answers_one_by_one(extra: dict[str, Any], folder: Path) -> None:
    model = SmallBlocks(load_model(str(folder)), {END: 4.0})
    settings: dict[str, Any] = {"gen_length": 24, "stop": "eos", **extra}
    for prompt, out in zip(PROMPTS, decode(model, PROMPTS, **settings), strict=True):
        [alone] = decode(model, [prompt], **settings)
        assert (out.tokens, out.reveal_step) == (alone.tokens, alone.reveal_step)
        assert (out.nfe, out.positions, out.visible) == (alone.nfe, alone.positions, alone.visible)


def test_the_cache_saves_positions_and_changes_nothing(folder: Path) -> None:
    model = load_model(str(folder))
    [kept] = decode(model, PROMPTS[2:], gen_length=24, cache="auto")
    [redone] = decode(model, PROMPTS[2:], gen_length=24, cache="none")
    assert (kept.tokens, kept.reveal_step, kept.nfe) == (
        redone.tokens,
        redone.reveal_step,
        redone.nfe,
    )
    assert kept.positions < redone.positions


def test_what_the_user_leaves_unset_is_the_published_demo(folder: Path) -> None:
    config = SamplerConfig.from_mapping({"gen_length": 128}, load_model(str(folder)).family)
    assert (config.block, config.sub_block_length, config.first_token) == (32, 4, "autoregressive")
    assert (config.sampler, config.confidence) == ("entropy", "filtered")
    assert (config.temperature, config.top_p, config.top_p_cut) == (1.0, 0.8, "reach")
    assert (config.threshold, config.steps_per_block) == (None, 32)
