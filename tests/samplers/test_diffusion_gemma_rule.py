"""Accept-and-renoise against the rule written down again, slowly, one request at a time.

The oracle draws the same random numbers in the same order as the rule says it does: per canvas its
random tokens; per step the Gumbel noise of the drawn tokens, then fresh random tokens. It decides
everything else with plain lists.
"""

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from dllm_eval.api import Prompt
from dllm_eval.attention import KeyValues
from dllm_eval.errors import UsageError
from dllm_eval.families import NO_MASK, Family
from dllm_eval.samplers import SamplerConfig, generate_batch
from dllm_eval.samplers.renoise import within_bound

VOCAB, EOS, TURN_END, PAD = 29, 1, 2, 0


class UniformModel:
    """Logits depend on the text before, on the canvas and on the prediction one step before.

    With `sure` they are far apart and the canvas, which is half random, moves them little.
    """

    def __init__(self, seed: int, *, sure: bool = True) -> None:
        generator = torch.Generator().manual_seed(seed)

        def weights(*shape: int) -> Tensor:
            return torch.randn(*shape, generator=generator, dtype=torch.float64)

        self.embed, self.place = weights(VOCAB, 8), weights(64, 8)
        self.mix, self.head = weights(8, 8), (12 if sure else 1) * weights(8, VOCAB)
        self.sway = 0.1 if sure else 1.0
        self.family = Family(
            name="uniform",
            noise="uniform",
            mask_id=NO_MASK,
            eos_id=EOS,
            eot_id=TURN_END,
            pad_id=PAD,
            attention="causal_context",
            context_length=64,
            self_conditioned=True,
            likelihood=None,
        )
        self.device = torch.device("cpu")
        self.vocab_size = VOCAB

    def logits(
        self,
        token_ids: Tensor,
        *,
        valid: Tensor | None = None,
        rows: slice | None = None,
        time: Tensor | None = None,
        cache: KeyValues | None = None,
        self_conditioning: Tensor | None = None,
    ) -> Tensor:
        del time, cache
        rows = rows or slice(0, token_ids.shape[1])
        seen = torch.ones_like(token_ids, dtype=torch.bool) if valid is None else valid
        token_ids, seen = token_ids[:, : rows.stop], seen[:, : rows.stop]
        place = self.place[(seen.cumsum(1) - 1).clamp(min=0)]
        hidden = (self.embed[token_ids] + place) * seen[..., None]
        text = torch.tanh(hidden[:, : rows.start] @ self.mix).sum(1, keepdim=True)
        moving = hidden[:, rows] + hidden[:, rows].mean(1, keepdim=True)
        if self_conditioning is not None:
            moving = moving + self_conditioning.double().softmax(-1) @ self.embed
        canvas = torch.tanh(text) + place[:, rows] + self.sway * moving
        return (torch.tanh(canvas) @ self.head).float()


class Draws:
    """One request's random numbers."""

    def __init__(self, seed: int) -> None:
        self.generator = torch.Generator().manual_seed(seed)

    def tokens(self, count: int) -> list[int]:
        uniform = torch.empty(count, dtype=torch.float64).uniform_(generator=self.generator)
        return [int(u * VOCAB) for u in uniform.tolist()]

    def gumbel(self, count: int) -> list[list[float]]:
        uniform = torch.empty(count, VOCAB).uniform_(generator=self.generator)
        return [[-math.log(-math.log(u)) for u in row] for row in uniform.tolist()]


def log_softmax(row: list[float]) -> list[float]:
    top = max(row)
    total = top + math.log(sum(math.exp(value - top) for value in row))
    return [value - total for value in row]


def entropy_of(log_p: list[float]) -> float:
    return -sum(math.exp(value) * value for value in log_p)


def accepted_positions(entropy: list[float], bound: float) -> set[int]:
    """From the surest on, while what came before adds up to no more than the bound."""
    chosen, total = set(), 0.0
    for i in sorted(range(len(entropy)), key=lambda i: entropy[i]):
        if total > bound:
            break
        chosen.add(i)
        total += entropy[i]
    return chosen


def published_rule(
    model: UniformModel, prompt: list[int], config: SamplerConfig, seed: int
) -> tuple[list[int], int]:
    """Returns (canvas tokens up to the last canvas decoded, steps spent)."""
    draws, text, spent = Draws(seed), list(prompt), 0
    steps = config.steps_per_block
    first, final = config.temperature, config.final_temperature
    assert final is not None
    assert config.entropy_bound is not None
    for _ in range(config.num_blocks):
        canvas = draws.tokens(config.block)
        before: Tensor | None = None
        history: list[list[int]] = []
        for remaining in range(steps, 0, -1):
            rows = slice(len(text), len(text) + config.block)
            raw = model.logits(torch.tensor([text + canvas]), rows=rows, self_conditioning=before)
            before = raw / (final + (first - final) * remaining / steps)
            log_p = [log_softmax(row) for row in before[0].tolist()]
            gumbel = draws.gumbel(config.block)
            drawn = [
                max(range(VOCAB), key=lambda v, i=i: log_p[i][v] + gumbel[i][v])  # type: ignore[misc]
                for i in range(config.block)
            ]
            fresh = draws.tokens(config.block)
            entropy = [entropy_of(row) for row in log_p]
            keep = accepted_positions(entropy, config.entropy_bound)
            canvas = [drawn[i] if i in keep else fresh[i] for i in range(config.block)]
            history.append([row.index(max(row)) for row in log_p])
            spent += 1
            if config.stop_entropy is None or len(history) <= config.stable_steps:
                continue
            stable = all(one == history[-1] for one in history[-1 - config.stable_steps :])
            if stable and sum(entropy) / len(entropy) < config.stop_entropy:
                break
        text += history[-1]
        if config.stop == "eos" and {EOS, TURN_END} & set(history[-1]):
            break
    return text[len(prompt) :], spent


SETTINGS: list[dict[str, Any]] = [
    {"steps": 12, "stop_entropy": 0.8},
    {"steps": 12, "stop_entropy": 0.05},
    {"steps": 7, "stop_entropy": None},
    {"steps": 10, "stop_entropy": 0.8, "block_length": 6, "gen_length": 12},
    {"steps": 9, "stop_entropy": None, "block_length": 4, "gen_length": 12, "stop": "eos"},
    {"steps": 12, "stop_entropy": 0.8, "stable_steps": 3},
    {"steps": 1, "stop_entropy": 0.8},
]


def config_of(settings: dict[str, Any]) -> SamplerConfig:
    published = {"entropy_bound": 0.3, "temperature": 0.8, "final_temperature": 0.4}
    return SamplerConfig(**({"gen_length": 8} | published | settings))


@pytest.mark.parametrize("sure", [False, True], ids=["unsure", "sure"])
@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_decoding_is_the_published_rule(settings: dict[str, Any], sure: bool) -> None:
    config = config_of(settings)
    for seed in range(6):
        model, prompt = UniformModel(seed, sure=sure), [5, 7, 4, 9, 11][: 1 + seed % 5]
        tokens, spent = published_rule(model, prompt, config, seed)
        [out] = generate_batch(model, [Prompt(prefix=tuple(prompt), seed=seed)], config)
        assert list(out.tokens[: len(tokens)]) == tokens
        assert out.nfe == spent
        assert len(out.tokens) == config.gen_length


def test_the_settings_stop_some_canvases_early_and_others_not() -> None:
    """Without this, the comparison above could be about one kind of canvas only."""
    for sure in (False, True):
        config = config_of({"steps": 12, "stop_entropy": 0.8})
        spent = [
            published_rule(UniformModel(seed, sure=sure), [5, 7], config, seed)[1]
            for seed in range(6)
        ]
        assert (min(spent) < 12) == sure


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_answers_do_not_depend_on_the_batch(settings: dict[str, Any]) -> None:
    model, config = UniformModel(3), config_of(settings)
    prompts = [Prompt(prefix=tuple(range(3, 3 + n)), seed=n) for n in (4, 1, 7, 2)]
    together = generate_batch(model, prompts, config)
    for prompt, out in zip(prompts, together, strict=True):
        [alone] = generate_batch(model, [prompt], config)
        assert out.tokens == alone.tokens
        assert (out.nfe, out.reveal_step) == (alone.nfe, alone.reveal_step)


def test_acceptance_is_the_entropy_bound() -> None:
    generator = torch.Generator().manual_seed(0)
    for bound in (1e-6, 0.1, 0.7, 3.0, 1e3):
        entropy = 2 * torch.rand(5, 16, generator=generator) ** 3
        found = within_bound(entropy, bound)
        for row, mask in zip(entropy.tolist(), found.tolist(), strict=True):
            assert {i for i, chosen in enumerate(mask) if chosen} == accepted_positions(row, bound)
    assert within_bound(torch.tensor([[5.0, 4.0, 6.0]]), 0.1).tolist() == [[False, True, False]]
    assert within_bound(torch.zeros(1, 4), 0.1).all()


def test_random_tokens_come_from_the_whole_vocabulary() -> None:
    class Untouched(UniformModel):
        def logits(self, token_ids: Tensor, **options: Any) -> Tensor:
            self.seen = token_ids.clone()
            return super().logits(token_ids, **options)

    model, counts = Untouched(0), torch.zeros(VOCAB)
    config = config_of({"steps": 1, "stop_entropy": None, "gen_length": 48, "temperature": 1})
    for seed in range(60):
        generate_batch(model, [Prompt(prefix=(5,), seed=seed)], config)
        counts += torch.bincount(model.seen[0, 1:], minlength=VOCAB)
    expected = 60 * 48 / VOCAB
    # Chi-squared with 28 degrees of freedom: 56.9 is its 0.1 % point.
    assert float(((counts - expected) ** 2 / expected).sum()) < 56.9


def test_a_fixed_number_of_steps_reads_nothing_from_the_device() -> None:
    settings = {"steps": 5, "stop_entropy": None}
    [out] = generate_batch(UniformModel(1), [Prompt(prefix=(5, 6))], config_of(settings))
    assert (out.nfe, out.host_syncs) == (5, 0)
    [out] = generate_batch(
        UniformModel(1), [Prompt(prefix=(5, 6))], config_of(settings | {"stop_entropy": 1e-9})
    )
    assert (out.nfe, out.host_syncs) == (5, 5)


def test_end_of_text_can_be_forbidden() -> None:
    config = config_of({"steps": 4, "gen_length": 40, "eos_policy": "forbid"})
    for seed in range(8):
        prompt = Prompt(prefix=(5, 6), seed=seed)
        [out] = generate_batch(UniformModel(seed, sure=False), [prompt], config)
        assert not {EOS, TURN_END} & set(out.tokens)


def test_what_has_no_meaning_is_refused() -> None:
    with pytest.raises(UsageError, match="temperature above 0, not 0"):
        generate_batch(UniformModel(0), [Prompt(prefix=(5,))], config_of({"temperature": 0.0}))
    unbound = config_of({"entropy_bound": None, "steps": 4})
    with pytest.raises(UsageError, match="needs entropy_bound"):
        generate_batch(UniformModel(0), [Prompt(prefix=(5,))], unbound)
    with pytest.raises(UsageError, match="cannot see a suffix"):
        generate_batch(UniformModel(0), [Prompt(prefix=(5,), suffix=(6,))], config_of({}))


def test_logits_that_are_no_numbers_are_an_error() -> None:
    class Broken(UniformModel):
        def logits(self, token_ids: Tensor, **options: Any) -> Tensor:
            return super().logits(token_ids, **options) * math.nan

    with pytest.raises(UsageError, match="NaN"):
        generate_batch(Broken(0), [Prompt(prefix=(5,))], config_of({"steps": 2}))
