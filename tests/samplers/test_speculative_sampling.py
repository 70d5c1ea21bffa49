"""Speculative decoding with a temperature follows the model's own distribution, exactly.

The law of three tokens is enumerated from the model without a cache; what was decoded is held
against it by a chi-square test, and so is a rule that is wrong, which the test has to find.
"""

from collections import Counter
from itertools import product
from math import log
from typing import Any

import pytest
import torch
from scipy.stats import chi2
from small_causal import next_logits, small_causal
from torch import Tensor

from dllm_eval.api import Prompt
from dllm_eval.samplers.speculative import fill_gaps_by_drafts
from dllm_eval.samplers.speculative_choice import accepted
from dllm_eval.samplers.speculative_drafts import Assistant, Draft, Drafter, PromptLookup

VOCAB, NEW, DRAWS = 4, 3, 3000
TEMPERATURE = 1.5
PROMPT = (1, 2, 3, 1, 2)
"""Its end stood before, so that a lookup always guesses."""


@pytest.fixture(scope="module")
def model() -> Any:
    return small_causal(vocab_size=VOCAB, seed=5)


@pytest.fixture(scope="module")
def law(model: Any) -> dict[tuple[int, ...], float]:
    """Every answer of three tokens -> its probability."""
    steps = {
        text: (next_logits(model, [*PROMPT, *text]).double() / TEMPERATURE).softmax(dim=0)
        for size in range(NEW)
        for text in product(range(VOCAB), repeat=size)
    }
    found = {}
    for answer in product(range(VOCAB), repeat=NEW):
        chance = 1.0
        for at, token in enumerate(answer):
            chance *= float(steps[answer[:at]][token])
        found[answer] = chance
    assert abs(sum(found.values()) - 1) < 1e-9
    return found


def p_value(found: list[tuple[int, ...]], law: dict[tuple[int, ...], float]) -> float:
    """Of Pearson's test; answers that are expected less than five times are one cell."""
    counts = Counter(found)
    cells = [(counts[a], p * len(found)) for a, p in law.items() if p * len(found) >= 5]
    rare = len(found) - sum(count for count, _ in cells)
    expected = len(found) - sum(mean for _, mean in cells)
    if expected >= 5:
        cells.append((rare, expected))
    statistic = sum((count - mean) ** 2 / mean for count, mean in cells)
    return float(chi2.sf(statistic, len(cells) - 1))


def answers(model: Any, drafter: Drafter) -> list[tuple[int, ...]]:
    found = fill_gaps_by_drafts(
        model,
        [(Prompt(prefix=PROMPT, seed=seed), ()) for seed in range(DRAWS)],
        drafter=drafter,
        max_new_tokens=NEW,
        eos_ids=[],
        temperature=TEMPERATURE,
    )
    passes = sum(own[0].nfe for own in found)
    assert passes < NEW * DRAWS  # some guesses were accepted
    return [own[0].tokens for own in found]


def lookup() -> PromptLookup:
    return PromptLookup(draft_tokens=2, ngram=2, ends=frozenset())


def other_model() -> Assistant:
    return Assistant(
        small_causal(vocab_size=VOCAB, seed=8),
        DRAWS,
        draft_tokens=2,
        vocab_size=VOCAB,
        temperature=TEMPERATURE,
    )


class Believed(Assistant):
    """What it guesses is always accepted: it says that it never guessed it."""

    def draft(self, texts: Any, most: Any) -> list[Draft]:
        drafts = super().draft(texts, most)
        return [
            Draft(
                tokens=draft.tokens,
                probabilities=None if draft.probabilities is None else draft.probabilities * 1e-12,
            )
            for draft in drafts
        ]


def test_prompt_lookup_follows_the_models_law(model: Any, law: Any) -> None:
    assert p_value(answers(model, lookup()), law) > 1e-3


def test_an_assistant_follows_the_models_law(model: Any, law: Any) -> None:
    assert p_value(answers(model, other_model()), law) > 1e-3


def test_the_test_would_find_a_wrong_rule(model: Any, law: Any) -> None:
    believed = Believed(
        small_causal(vocab_size=VOCAB, seed=8),
        DRAWS,
        draft_tokens=2,
        vocab_size=VOCAB,
        temperature=TEMPERATURE,
    )
    assert p_value(answers(model, believed), law) < 1e-9


def test_the_law_is_far_from_uniform(law: Any) -> None:
    entropy = -sum(p * log(p) for p in law.values() if p)
    assert entropy < 0.9 * NEW * log(VOCAB)


@pytest.mark.parametrize("drawn", [False, True])
def test_one_pass_accepts_with_the_published_probability(drawn: bool) -> None:
    """Of arXiv 2211.17192: accepted with min(1, p / q), else drawn from max(0, p - q)."""
    likely = torch.tensor([0.5, 0.3, 0.2, 0.0])
    guess = torch.tensor([0.1, 0.6, 0.1, 0.2]) if drawn else torch.tensor([0.0, 1.0, 0.0, 0.0])
    trials = 4000
    logits = likely.log()[None, None].expand(trials, 2, 4)
    probabilities: Tensor | None = guess[None] if drawn else None
    found = accepted(
        logits,
        [Draft(tokens=[1], probabilities=probabilities)] * trials,
        temperature=1.0,
        noise=[torch.Generator().manual_seed(seed) for seed in range(trials)],
    )
    kept = [own for own in found if len(own) == 2]
    share = 0.3 / float(guess[1])
    assert abs(len(kept) / trials - share) < 4.5 * (share * (1 - share) / trials) ** 0.5
    assert all(own[0] == 1 for own in kept)
    refused = Counter(own[0] for own in found if len(own) == 1)
    residual = [max(0.0, float(p - q)) for p, q in zip(likely, guess, strict=True)]
    for token, weight in enumerate(residual):
        expected = weight / sum(residual)
        error = abs(refused[token] / refused.total() - expected)
        assert error <= 4.5 * (expected * (1 - expected) / refused.total()) ** 0.5


def test_equal_models_accept_everything() -> None:
    logits = torch.randn(1, 3, 6, generator=torch.Generator().manual_seed(0))
    same = logits[0, :2].softmax(dim=-1)
    for seed in range(50):
        noise = [torch.Generator().manual_seed(seed)]
        draft = Draft(tokens=[3, 4], probabilities=same)
        [found] = accepted(logits, [draft], temperature=1.0, noise=noise)
        assert found[:2] == [3, 4]


def test_a_wider_model_never_guesses_beyond_the_vocabulary(model: Any) -> None:
    wide = small_causal(vocab_size=9, seed=8)
    for seed in range(20):
        [[found]] = fill_gaps_by_drafts(
            model,
            [(Prompt(prefix=PROMPT, seed=seed), ())],
            drafter=Assistant(wide, 1, draft_tokens=2, vocab_size=VOCAB, temperature=TEMPERATURE),
            max_new_tokens=6,
            eos_ids=[],
            temperature=TEMPERATURE,
        )
        assert max(found.tokens) < VOCAB


def test_unusable_logits_name_no_token() -> None:
    logits = torch.full((1, 1, 4), float("nan"))
    noise = [torch.Generator().manual_seed(0)]
    assert accepted(logits, [Draft(tokens=[])], temperature=1.0, noise=noise) == [[-1]]
    assert accepted(logits, [Draft(tokens=[])], temperature=0.0, noise=[]) == [[-1]]
