"""Likelihoods of a causal model: inputs that choices share, padding, memory, broken logits."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from dllm_eval.api import Likelihood
from dllm_eval.errors import UsageError
from dllm_eval.likelihood.question import Question
from dllm_eval.registry import resolve

VOCAB = 7
PAIRS = [
    ((1, 2, 3), (4,)),
    ((1, 2, 3), (5,)),
    ((1, 2, 3), (6,)),
    ((1, 2, 3), (4, 4)),
    ((1, 2, 3), (4, 6)),
    ((3, 1), (2,)),
    ((1, 2), (3, 0)),
]
QUESTION = Question(pairs=(0, 1, 2, 3, 4))


class Causal:
    """Random weights, causal by construction: running sums of embeddings; counts its rows."""

    device = torch.device("cpu")

    def __init__(self, most_rows: int = 1000) -> None:
        generator = torch.Generator().manual_seed(4)
        self.embedding = torch.randn(VOCAB, 8, generator=generator)
        self.head = torch.randn(8, VOCAB, generator=generator)
        self.most_rows = most_rows
        self.rows: list[int] = []
        self.failures = 0

    def __call__(self, *, input_ids: torch.Tensor, use_cache: bool, logits_to_keep: int) -> Any:
        assert not use_cache
        if len(input_ids) > self.most_rows:
            self.failures += 1
            raise torch.OutOfMemoryError("CUDA out of memory.")
        self.rows.append(len(input_ids))
        hidden = torch.tanh(self.embedding[input_ids].cumsum(dim=1))
        return SimpleNamespace(logits=(hidden @ self.head)[:, -logits_to_keep:])


def score(model: Causal, pairs: Any, questions: Any = (), tokens: int = 1000) -> list[Likelihood]:
    score_causal: Any = resolve(
        "function", {"it": "dllm_eval.adapters.autoregressive_scoring:score_causal"}, "it"
    )
    found: list[Likelihood] = score_causal(
        model, pairs, questions, pad_id=0, tokens_per_forward=tokens
    )
    return found


def slow(context: tuple[int, ...], target: tuple[int, ...]) -> tuple[float, bool]:
    """The chain rule, one token and one forward at a time."""
    model, text, total, greedy = Causal(), list(context), 0.0, True
    for token in target:
        out = model(input_ids=torch.tensor([text]), use_cache=False, logits_to_keep=1)
        log_probs = out.logits[0, 0].double().log_softmax(dim=0)
        total += float(log_probs[token])
        greedy &= int(log_probs.argmax()) == token
        text.append(token)
    return total, greedy


@pytest.mark.parametrize("tokens", [1, 8, 1000])
@pytest.mark.parametrize("questions", [(), (QUESTION,), (Question(pairs=(6, 1, 4)), QUESTION)])
def test_values_are_the_chain_rule_whatever_is_shared(questions: Any, tokens: int) -> None:
    if len(questions) == 2:
        questions = (Question(pairs=(6, 5)), replace(QUESTION, pairs=(4, 3, 2, 1, 0)))
    results = score(Causal(), PAIRS, questions, tokens)
    for (context, target), result in zip(PAIRS, results, strict=True):
        value, greedy = slow(context, target)
        assert result.value == pytest.approx(value, abs=1e-5)
        assert result.is_greedy is greedy
        assert (result.exact, result.quantity) == (True, "log_likelihood")


def test_single_letter_choices_are_one_row() -> None:
    model = Causal()
    results = score(model, PAIRS[:3], [Question(pairs=(0, 1, 2))])
    assert model.rows == [1]
    assert [(r.nfe, r.positions) for r in results] == [(1, 3), (0, 0), (0, 0)]


def test_equal_inputs_share_a_row_within_a_question_alone() -> None:
    model = Causal()
    results = score(model, [*PAIRS, *PAIRS], [QUESTION])
    # One row for the letters, one for both choices of two tokens; all else by itself.
    assert model.rows == [2 + 2 + 7]
    costs = [(r.nfe, r.positions) for r in results]
    assert costs[:5] == [(1, 3), (0, 0), (0, 0), (1, 4), (0, 0)]
    assert costs[5:7] == [(1, 2), (1, 3)]
    assert costs[7:] == [(1, 3), (1, 3), (1, 3), (1, 4), (1, 4), (1, 2), (1, 3)]


def test_the_order_of_choices_moves_the_cost_and_nothing_else() -> None:
    forth = score(Causal(), PAIRS, [QUESTION])
    back = score(Causal(), PAIRS[::-1], [Question(pairs=(2, 3, 4, 5, 6))])[::-1]
    assert [r.value for r in back] == pytest.approx([r.value for r in forth], abs=1e-5)
    assert sum(r.nfe for r in back) == sum(r.nfe for r in forth) == 4


@pytest.mark.parametrize("most_rows", [1, 2])
def test_a_pass_without_memory_is_halved(most_rows: int) -> None:
    model = Causal(most_rows)
    assert [r.value for r in score(model, PAIRS)] == pytest.approx(
        [r.value for r in score(Causal(), PAIRS)], abs=1e-5
    )
    assert sum(model.rows) == len(PAIRS)
    assert 1 <= model.failures <= 3
    with pytest.raises(UsageError, match="one canvas of 3 positions does not fit into memory"):
        score(Causal(0), PAIRS)


def test_broken_logits_are_no_likelihood() -> None:
    model = Causal()
    model.head[0, 0] = torch.nan
    with pytest.raises(UsageError, match="NaN"):
        score(model, PAIRS)


def test_no_pairs_are_no_pass() -> None:
    model = Causal()
    assert score(model, []) == []
    assert model.rows == []


@pytest.mark.parametrize("name", ["dllm-ar", "dllm"])
def test_lm_eval_s_letters_are_one_row(
    name: str, tiny_llama: Path, tiny_llada: Path, make_model: Any, tasks: Any, records_of: Any
) -> None:
    folder = tiny_llama if name == "dllm-ar" else tiny_llada
    docs = [{"q": "Question: what? Answer:", "choices": ["x", "y", "z"]}]
    task = tasks(
        "multiple_choice", docs, doc_to_choice="{{choices}}", doc_to_target=0, target_delimiter=""
    )
    task.build_all_requests()
    model = make_model(name, pretrained=folder)
    shared = model.loglikelihood(task.instances, disable_tqdm=True)
    targets = {
        len(model.tok_encode(letter, add_special_tokens=False)) for letter in docs[0]["choices"]
    }
    assert targets == {1}
    nfe = [record.nfe for _, record in sorted(records_of(model).items())]
    assert nfe == [1, 0, 0]
    apart = [
        make_model(name, pretrained=folder).loglikelihood([request], disable_tqdm=True)[0]
        for request in task.instances
    ]
    assert [value for value, _ in shared] == pytest.approx([value for value, _ in apart], abs=1e-5)
    assert [greedy for _, greedy in shared] == [greedy for _, greedy in apart]
