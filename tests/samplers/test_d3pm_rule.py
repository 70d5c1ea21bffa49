"""D3PM's sampler against dense transition matrices, draw for draw and in distribution."""

from collections import Counter
from collections.abc import Callable
from functools import cache
from itertools import pairwise, product
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from dllm_eval.api import Denoiser, Generation, Prompt
from dllm_eval.errors import UsageError
from dllm_eval.families import NO_MASK, Family
from dllm_eval.processes.token_chain import Kind, TokenChain
from dllm_eval.samplers.config import SamplerConfig
from dllm_eval.samplers.loop import generate_batch

VOCAB, STEPS = 5, 8
KINDS: list[Kind] = ["absorbing", "uniform"]


class TimedDenoiser:
    """A random model that is told the time and knows its chain."""

    def __init__(self, inner: Denoiser, kind: Kind) -> None:
        mask_id = VOCAB - 1 if kind == "absorbing" else NO_MASK
        self.chain = TokenChain.build(
            kind=kind,
            schedule="standard",
            num_steps=STEPS,
            vocab_size=VOCAB,
            mask_id=mask_id,
            device=torch.device("cpu"),
        )
        self.family = Family(
            name="timed",
            noise="mask" if kind == "absorbing" else "uniform",
            mask_id=mask_id,
            eos_id=0,
            pad_id=0,
            context_length=64,
            time_conditioned=True,
            likelihood="discrete_time",
        )
        self.inner, self.device, self.vocab_size = inner, inner.device, VOCAB
        self.passes: list[int] = []

    def logits(
        self,
        token_ids: Tensor,
        *,
        valid: Tensor | None = None,
        rows: slice | None = None,
        time: Tensor | None = None,
        **_: object,
    ) -> Tensor:
        assert time is not None
        self.passes.append(len(token_ids))
        whole = self.inner.logits(token_ids, valid=valid)
        out = 3 * whole + torch.sin(5 * time)[:, None, None] * torch.arange(VOCAB)
        return out if rows is None else out[:, rows].clone()


@pytest.fixture
def timed(random_denoiser: Callable[..., Any]) -> Callable[[Kind], TimedDenoiser]:
    return lambda kind: TimedDenoiser(random_denoiser(VOCAB, seed=1), kind)


@cache
def matrix(kind: Kind, step: int) -> Tensor:
    """Rows to columns: step - 1 to step."""
    out = torch.zeros(VOCAB, VOCAB, dtype=torch.float64)
    for before in range(VOCAB):
        out[before, before] += 1 - 1 / (STEPS - step + 1)
        if kind == "absorbing":
            out[before, VOCAB - 1] += 1 / (STEPS - step + 1)
        else:
            out[before] += 1 / (STEPS - step + 1) / VOCAB
    return out


@cache
def between(kind: Kind, start: int, stop: int) -> Tensor:
    out = torch.eye(VOCAB, dtype=torch.float64)
    for step in range(start + 1, stop + 1):
        out = out @ matrix(kind, step)
    return out


def reverse(kind: Kind, belief: Tensor, noisy: int, step: int, to_step: int) -> Tensor:
    """Eq. 4 of arXiv 2107.03006, summed over both tokens."""
    joint = torch.zeros(VOCAB, dtype=torch.float64)
    for to in range(VOCAB):
        for clean in range(VOCAB):
            back = between(kind, to_step, step)[to, noisy]
            joint[to] += back * between(kind, 0, to_step)[clean, to] * belief[clean]
    if joint.sum() == 0:  # the belief excludes a token that is there: it stays, as in the limit
        joint[noisy] = 1.0
    return joint / joint.sum()


def slow_sample(model: TimedDenoiser, prompt: Prompt, config: SamplerConfig) -> list[int]:
    """One request, place by place; random numbers in the order in which the rule draws them."""
    kind, length = model.chain.kind, config.gen_length
    generator = torch.Generator().manual_seed(prompt.seed)
    first = torch.empty(length, dtype=torch.float64).uniform_(generator=generator)
    tokens = [VOCAB - 1 if kind == "absorbing" else int(u * VOCAB) for u in first.tolist()]
    strides = [round(STEPS * (config.steps - i) / config.steps) for i in range(config.steps + 1)]
    for step, to_step in pairwise(strides):
        ids = torch.tensor([[*prompt.prefix, *tokens, *prompt.suffix]])
        logits = model.logits(ids, time=torch.tensor([step / STEPS]))[0, len(prompt.prefix) :]
        chances = []
        for place, noisy in enumerate(tokens):
            if config.temperature == 0:
                belief = torch.eye(VOCAB, dtype=torch.float64)[logits[place].argmax()]
            else:
                belief = (logits[place].double() / config.temperature).softmax(0)
            chances.append(reverse(kind, belief, noisy, step, to_step))
        if to_step == 0:
            return [int(chance.argmax()) for chance in chances]
        uniform = torch.empty(length, VOCAB).uniform_(generator=generator).double()
        tokens = [
            int((chance.log() - torch.log(-torch.log(u))).argmax())
            for chance, u in zip(chances, uniform, strict=True)
        ]
    raise AssertionError


def run(model: TimedDenoiser, prompts: list[Prompt], config: SamplerConfig) -> list[Generation]:
    return generate_batch(model, prompts, config)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("steps", "temperature"), [(8, 1.0), (8, 0.0), (4, 0.7), (3, 1.0), (1, 1.0)]
)
def test_it_draws_what_the_matrices_say(
    timed: Callable[[Kind], TimedDenoiser], kind: Kind, steps: int, temperature: float
) -> None:
    model = timed(kind)
    config = SamplerConfig(
        transition="ancestral", steps=steps, gen_length=6, temperature=temperature
    )
    for seed in range(4):
        prompt = Prompt(prefix=(1, 2, 3), suffix=(2,) * (seed % 2), seed=seed)
        [found] = run(model, [prompt], config)
        assert list(found.tokens) == slow_sample(model, prompt, config)
        assert found.nfe == steps
        assert found.positions == steps * (9 + seed % 2)


@pytest.mark.parametrize("kind", KINDS)
def test_answers_have_the_distribution_of_the_chain(
    timed: Callable[[Kind], TimedDenoiser], kind: Kind
) -> None:
    """Two tokens, two strides: every path is summed, the last one taking its best tokens."""
    model, count = timed(kind), 4000
    canvases = list(product(range(VOCAB), repeat=2))
    chance = dict.fromkeys(canvases, 0.0)
    starts = [(VOCAB - 1, VOCAB - 1)] if kind == "absorbing" else canvases
    for start, middle in product(starts, canvases):
        weight = 1 / len(starts)
        for places, step, to_step in ((start, 8, 4), (middle, 4, 0)):
            logits = model.logits(torch.tensor([[1, *places]]), time=torch.tensor([step / 8]))[0]
            rows = [
                reverse(kind, logits[1 + at].double().softmax(0), noisy, step, to_step)
                for at, noisy in enumerate(places)
            ]
            if to_step:
                weight *= float(rows[0][middle[0]] * rows[1][middle[1]])
            else:
                chance[int(rows[0].argmax()), int(rows[1].argmax())] += weight
    assert sum(chance.values()) == pytest.approx(1.0)
    config = SamplerConfig(transition="ancestral", steps=2, gen_length=2, temperature=1.0)
    prompts = [Prompt(prefix=(1,), seed=seed) for seed in range(count)]
    seen = Counter(one.tokens for one in run(model, prompts, config))
    assert len(seen) > 1
    for canvas, expected in chance.items():
        error = np.sqrt(expected * (1 - expected) / count)
        assert abs(seen[canvas] / count - expected) <= 5 * error + 1e-12


@pytest.mark.parametrize("kind", KINDS)
def test_a_batch_answers_as_its_requests_do(
    timed: Callable[[Kind], TimedDenoiser], kind: Kind
) -> None:
    model = timed(kind)
    config = SamplerConfig(transition="ancestral", steps=4, gen_length=6, temperature=1.0)
    prompts = [
        Prompt(prefix=(1,) * length, suffix=(2,) * (length % 2), seed=length) for length in range(5)
    ]
    alone = [run(model, [prompt], config)[0].tokens for prompt in prompts]
    model.passes.clear()
    assert [one.tokens for one in run(model, prompts, config)] == alone
    assert model.passes == [5] * 4
    assert len(set(alone)) > 1


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"steps": 9}, "steps 9 is 9 a block, more than the 8 steps"),
        ({"eos_policy": "forbid"}, "eos_policy is 'forbid', which means nothing to family 'timed'"),
    ],
)
def test_settings_without_meaning_are_refused(
    changes: dict[str, Any], line: str, timed: Callable[[Kind], TimedDenoiser]
) -> None:
    given = {"transition": "ancestral", "steps": 8, "gen_length": 6, "temperature": 1.0}
    with pytest.raises(UsageError, match=line):
        run(timed("uniform"), [Prompt(prefix=(1,))], SamplerConfig(**{**given, **changes}))


def test_logits_that_are_no_numbers_are_an_error(
    timed: Callable[[Kind], TimedDenoiser],
) -> None:
    model = timed("uniform")
    model.inner.head[:] = torch.nan  # type: ignore[attr-defined]
    config = SamplerConfig(transition="ancestral", steps=2, gen_length=6, temperature=1.0)
    with pytest.raises(UsageError, match="logits are NaN or infinite"):
        run(model, [Prompt(prefix=(1,))], config)


def test_an_unknown_schedule_is_refused() -> None:
    with pytest.raises(UsageError, match="schedule 'straight'"):
        TokenChain.build(
            kind="uniform",
            schedule="straight",  # type: ignore[arg-type]
            num_steps=4,
            vocab_size=3,
            mask_id=NO_MASK,
            device=torch.device("cpu"),
        )


def test_the_cosine_schedule_keeps_what_its_formula_says() -> None:
    chain = TokenChain.build(
        kind="absorbing",
        schedule="cosine",
        num_steps=10,
        vocab_size=3,
        mask_id=2,
        device=torch.device("cpu"),
    )
    level = [np.cos((step / 10 + 0.008) / 1.008 * np.pi / 2) for step in range(11)]
    for step in range(10):
        assert float(chain.keep[step]) == pytest.approx(level[step] / level[0])
    assert float(chain.keep[10]) == 0.0
