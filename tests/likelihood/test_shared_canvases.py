"""Canvases that choices of a question share: evaluated once, read for all, counted at the first."""

from collections.abc import Sequence
from dataclasses import asdict, replace
from itertools import combinations, permutations
from math import comb
from typing import Any, Protocol

import numpy as np
import pytest
import torch
from small_transformer import TOKENS, slow_log_probs, small_model

from dllm_eval.api import Denoiser, Likelihood
from dllm_eval.families import Attention
from dllm_eval.likelihood import LikelihoodConfig, score
from dllm_eval.likelihood.batch import Request
from dllm_eval.likelihood.core import log_prob_tables
from dllm_eval.likelihood.pair import Pair
from dllm_eval.likelihood.question import Question

MASK = 3
CONTEXT = (2, 0, 1, 1, 0)
CHOICES = [(0, 1, 2), (0, 1, 1), (2, 1), (0, 2), (1, 0, 2, 2, 1, 0, 1), (1, 0, 2, 2, 0, 0, 0)]
CONFIG = LikelihoodConfig(samples=9, max_enumeration=4)
EVERY_SET = LikelihoodConfig(estimator="enumeration")


class Recorder(Denoiser, Protocol):
    canvases: list[tuple[int, ...]]


def question_of(*lengths: int) -> list[Question]:
    """Questions of so many consecutive pairs each."""
    stops = np.cumsum(lengths).tolist()
    return [
        Question(pairs=tuple(range(stop - length, stop)))
        for stop, length in zip(stops, lengths, strict=True)
    ]


def test_single_letter_choices_are_one_canvas(tabular: Recorder) -> None:
    pairs = [(CONTEXT, (letter,)) for letter in (0, 1, 2)]
    results = score(tabular, pairs, CONFIG, questions=question_of(3))
    canvas = (*CONTEXT, MASK)
    assert tabular.canvases == [canvas]
    assert [(r.nfe, r.positions) for r in results] == [(1, 6), (0, 0), (0, 0)]
    logits = tabular.logits(torch.tensor([canvas]))[0, -1]
    expected = logits.log_softmax(dim=0).tolist()
    assert [r.value for r in results] == pytest.approx(expected[:3], abs=1e-12)


def test_letters_before_an_end_of_text_are_one_canvas_too(tabular: Recorder) -> None:
    pairs = [(CONTEXT, (letter,)) for letter in (0, 1, 2)]
    config = replace(CONFIG, target_end="eos")
    results = score(tabular, pairs, config, questions=question_of(3))
    assert tabular.canvases == [(*CONTEXT, MASK, tabular.family.eos_id)]
    assert values_of(results) == values_of(score(tabular, pairs, config))


def values_of(results: Sequence[Likelihood]) -> list[dict[str, Any]]:
    """Everything but costs, and chances that only a question has."""
    dropped = ("nfe", "positions", "win_probability", "win_probability_normalised")
    return [{k: v for k, v in asdict(result).items() if k not in dropped} for result in results]


def distinct_canvases(choices: Sequence[Sequence[int]]) -> int:
    """Of all mask sets of all choices; every choice is enumerated."""
    found = set()
    for choice in choices:
        for size in range(1, len(choice) + 1):
            for hidden in combinations(range(len(choice)), size):
                found.add(tuple(MASK if i in hidden else token for i, token in enumerate(choice)))
    return len(found)


def test_every_distinct_canvas_of_a_question_is_evaluated_once(tabular: Recorder) -> None:
    choices = CHOICES[:4]
    pairs = [(CONTEXT, choice) for choice in choices]
    apart = score(tabular, pairs, EVERY_SET)
    assert len(tabular.canvases) == sum(2 ** len(choice) - 1 for choice in choices) == 20
    for order in permutations(range(4)):
        for tokens in (1, 20, 8192):
            tabular.canvases.clear()
            config = replace(EVERY_SET, tokens_per_forward=tokens)
            shared = score(tabular, [pairs[i] for i in order], config, questions=question_of(4))
            assert values_of(shared) == values_of([apart[i] for i in order])
            assert len(tabular.canvases) == len(set(tabular.canvases))
            assert sum(r.nfe for r in shared) == len(tabular.canvases) == distinct_canvases(choices)
            assert sum(r.positions for r in shared) == sum(map(len, tabular.canvases))


@pytest.mark.parametrize("check_greedy", [False, True])
def test_drawn_mask_sets_are_shared_too(tabular: Recorder, *, check_greedy: bool) -> None:
    config = replace(CONFIG, check_greedy=check_greedy)
    pairs = [(CONTEXT, choice) for choice in CHOICES]
    apart = score(tabular, pairs, config)
    tabular.canvases.clear()
    shared = score(tabular, pairs, config, questions=question_of(len(pairs)))
    assert values_of(shared) == values_of(apart)
    assert sum(r.nfe for r in shared) == len(tabular.canvases)
    assert sum(r.nfe for r in shared) < sum(r.nfe for r in apart)
    if not check_greedy:
        assert len(set(tabular.canvases)) == len(tabular.canvases)
        # Both choices of seven tokens draw the same sets; where all that differs is masked, or a
        # set is the whole, one canvas is enough.
        assert shared[5].nfe < shared[4].nfe


def test_different_contexts_never_merge(tabular: Recorder) -> None:
    contexts = [(2, 0, 1), (2, 0, 0), (0, 1), (2, 0, 1, 1)]
    pairs = [(context, (1, 2)) for context in contexts]
    shared = score(tabular, pairs, EVERY_SET, questions=question_of(4))
    assert [r.nfe for r in shared] == [3] * 4
    assert values_of(shared) == values_of(score(tabular, pairs, EVERY_SET))


def test_questions_share_nothing_with_each_other(tabular: Recorder) -> None:
    pairs = [(CONTEXT, choice) for choice in CHOICES[:3]] * 2
    results = score(tabular, pairs, CONFIG, questions=question_of(3, 3))
    costs = [(r.nfe, r.positions) for r in results]
    assert costs[:3] == costs[3:]
    alone = score(tabular, pairs[:3], CONFIG, questions=question_of(3))
    assert [(r.nfe, r.positions) for r in alone] == costs[:3]


def test_an_equal_choice_costs_nothing(tabular: Recorder) -> None:
    pairs = [(CONTEXT, CHOICES[0])] * 2
    one, other = score(tabular, pairs, EVERY_SET, questions=question_of(2))
    assert (one.nfe, other.nfe, other.positions) == (7, 0, 0)
    assert one.value == other.value


def test_requests_without_mask_sets_cost_nothing(tabular: Recorder) -> None:
    pair = Pair(token_ids=np.array([1, 0, 2, 1]), target_length=2)
    some = np.array([[True, False], [True, True]])
    requests = [
        Request(pair=pair, masks=masks, group=group, question=group // 2)
        for group, masks in enumerate((some[:0], some, some[:0], some[:0]))
    ]
    answers = list(log_prob_tables(tabular, requests, 100))
    assert [answer.table.shape for answer in answers] == [(0, 2), (2, 2), (0, 2), (0, 2)]
    assert [(answer.nfe, answer.positions) for answer in answers] == [(0, 0), (2, 8), *[(0, 0)] * 2]
    assert len(tabular.canvases) == 2


def test_positions_that_are_not_read_are_zero_and_shared_canvases_are_read_for_each(
    tabular: Recorder,
) -> None:
    both = np.array([[True, True]])
    targets, reads = [(2, 1), (0, 2)], [[[True, False]], [[False, True]]]
    requests = [
        Request(
            pair=Pair(token_ids=np.array([1, 0, *target]), target_length=2),
            masks=both,
            read=np.array(read),
            group=group,
        )
        for group, (target, read) in enumerate(zip(targets, reads, strict=True))
    ]
    one, other = log_prob_tables(tabular, requests, 100)
    assert tabular.canvases == [(1, 0, MASK, MASK)]
    expected = tabular.logits(torch.tensor([[1, 0, MASK, MASK]]))[0].log_softmax(dim=1)
    assert one.table.tolist() == [[pytest.approx(float(expected[2, 2]), abs=1e-12), 0.0]]
    assert other.table.tolist() == [[0.0, pytest.approx(float(expected[3, 2]), abs=1e-12)]]


class Counted:
    """Counts what a denoiser's passes process, padding apart."""

    def __init__(self, inner: Denoiser) -> None:
        self.inner = inner
        self.family, self.device, self.vocab_size = inner.family, inner.device, inner.vocab_size
        self.nfe, self.positions = 0, 0

    def logits(
        self, token_ids: torch.Tensor, *, rows: slice, valid: Any, cache: Any = None
    ) -> torch.Tensor:
        start = cache.length if cache else 0
        shown = torch.ones_like(token_ids) if valid is None else valid
        own = shown[:, start : rows.stop]
        self.nfe += int(own.any(dim=1).sum())
        self.positions += int(own.sum())
        return self.inner.logits(token_ids, rows=rows, valid=valid, cache=cache)


LOOK_BACK: list[Attention] = ["block_causal", "causal_context", "reordered"]


def random_questions() -> tuple[list[tuple[list[int], list[int]]], list[Question]]:
    generator = np.random.default_rng(3)
    pairs, lengths = [], []
    for context_length, targets in [(9, (7, 7, 3, 12)), (1, (1, 1)), (4, (5, 1, 9)), (13, (2, 2))]:
        context = generator.integers(TOKENS, size=context_length).tolist()
        beginning = generator.integers(TOKENS, size=2).tolist()
        for target in targets:
            rest = generator.integers(TOKENS, size=target).tolist()
            pairs.append((context, [*beginning, *rest][:target]))
        lengths.append(len(targets))
    return pairs, question_of(*lengths)


@pytest.mark.parametrize("shift", [0, 1])
@pytest.mark.parametrize("attention", LOOK_BACK)
def test_shared_prefixes_change_no_value_and_costs_are_what_is_processed(
    attention: Attention, shift: int
) -> None:
    model = small_model(attention, block_length=4, logits_shift=shift)
    config = LikelihoodConfig(samples=5, max_enumeration=3, check_greedy=True)
    pairs, questions = random_questions()
    apart = score(model, pairs, config)
    costs = []
    for tokens in (1, 60, 8192):
        counted: Any = Counted(model)
        shared = score(
            counted, pairs, replace(config, tokens_per_forward=tokens), questions=questions
        )
        for one, other in zip(values_of(shared), values_of(apart), strict=True):
            assert one == pytest.approx(other, abs=1e-5)
        assert counted.nfe == sum(r.nfe for r in shared) < sum(r.nfe for r in apart)
        assert counted.positions == sum(r.positions for r in shared)
        costs.append([(r.nfe, r.positions) for r in shared])
    assert costs[0] == costs[1] == costs[2]


def test_a_context_is_read_once_and_each_choice_goes_on_from_it() -> None:
    model = small_model("block_causal", block_length=4)
    choices = [[0, 1, 2, 3, 1, 1], [0, 1, 2, 2, 1, 2], [3, 1, 1, 2]]
    pairs = [([1] * 20, choice) for choice in choices]
    results = score(model, pairs, EVERY_SET, questions=question_of(3))
    # The context's 20 positions once. A first block is 4 masked positions, read behind it; a second
    # one of 2 is read behind its choice's own first block, of 4 positions more.
    first, second, third = results
    assert (first.nfe, first.positions) == (1 + 15 + 1 + 3, 20 + 15 * 4 + 4 + 3 * 2)
    # Its first block differs in the last token: 8 of 15 sets hide that and are the first choice's.
    assert (second.nfe, second.positions) == (7 + 1 + 3, 7 * 4 + 4 + 3 * 2)
    # It differs from the second in its first and third token: 4 of 15 sets hide both.
    assert (third.nfe, third.positions) == (11, 11 * 4)


def slow_value(model: Any, context: Sequence[int], target: Sequence[int]) -> float:
    """The bound of one block that begins with the target."""
    total, length, text = 0.0, len(target), [*context, *target]
    for size in range(1, length + 1):
        for hidden in combinations(range(len(context), len(text)), size):
            canvas = [model.family.mask_id if i in hidden else text[i] for i in range(len(text))]
            log_probs = slow_log_probs(model, canvas, block_start=len(context))
            terms = sum(float(log_probs[i, text[i]]) for i in hidden)
            total += terms / size / comb(length, size)
    return total


def test_equal_ids_are_two_canvases_where_the_target_begins_elsewhere() -> None:
    """Under causal context the target's own positions see each other, a context's do not."""
    model = small_model("causal_context", block_length=4)
    pairs = [((1, 2, 0), (3, 1)), ((1, 2, 0, 3), (1,)), ((1, 2), (0, 3, 1))]
    results = score(model, pairs, EVERY_SET, questions=question_of(3))
    for (context, target), result in zip(pairs, results, strict=True):
        assert result.value == pytest.approx(slow_value(model, context, target), abs=1e-5)
    assert len({result.value for result in results}) == 3
