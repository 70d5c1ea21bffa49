"""Dream's published convention: the end-of-text id behind the target, seen and not scored."""

from dataclasses import replace
from itertools import combinations
from math import comb
from pathlib import Path
from typing import Any

import pytest
import torch
from checkpoints import dream
from lm_eval.api.instance import Instance

from dllm_eval.errors import UsageError
from dllm_eval.likelihood import LikelihoodConfig, log_likelihood, score
from dllm_eval.registry import LM_EVAL_MODELS, resolve

CONTEXT, TARGET, END = (2, 1), (1, 2, 0), 0
CONFIG = LikelihoodConfig(target_end="eos")


def test_the_end_is_seen_and_neither_masked_nor_scored(tabular: Any) -> None:
    mask, expected, canvases = tabular.family.mask_id, 0.0, set()
    for size in (1, 2, 3):
        for masked in combinations(range(3), size):
            shown = [mask if i in masked else token for i, token in enumerate(TARGET)]
            canvases.add(canvas := (*CONTEXT, *shown, END))
            log_probs = tabular.logits(torch.tensor([canvas]))[0].log_softmax(dim=1)
            terms = sum(float(log_probs[2 + i, TARGET[i]]) for i in masked)
            expected += terms / size / comb(3, size)
    tabular.canvases.clear()
    (result,) = score(tabular, [(CONTEXT, TARGET)], CONFIG)
    assert set(tabular.canvases) == canvases
    assert result.value == pytest.approx(expected, abs=1e-9)
    assert (result.nfe, result.positions) == (7, 7 * 6)
    plain = log_likelihood(tabular, CONTEXT, TARGET).value
    assert abs(plain - result.value) > 0.1


@pytest.mark.parametrize("shift", [0, 1])
def test_padding_and_neighbours_change_nothing(tiny_model: Any, shift: int) -> None:
    model = tiny_model(shift)
    pairs = [((2, 1, 0, 1), (1, 2)), ((), (1, 2, 0, 0)), ((1,), (0,)), (CONTEXT, TARGET)]
    alone = [score(model, [pair], CONFIG)[0] for pair in pairs]
    for together in (score(model, pairs, CONFIG), score(model, pairs[::-1], CONFIG)[::-1]):
        for one, other in zip(alone, together, strict=True):
            assert other.value == pytest.approx(one.value, abs=1e-5)
    greedy = score(model, pairs, replace(CONFIG, check_greedy=True, tokens_per_forward=20))
    assert all(result.is_greedy is not None for result in greedy)


def test_a_piece_of_a_longer_text_has_no_end(tabular: Any) -> None:
    score(tabular, [(CONTEXT, TARGET)], CONFIG, salts=["window 0"])
    assert {len(canvas) for canvas in tabular.canvases} == {5}


def test_the_end_has_to_fit(tabular: Any) -> None:
    with pytest.raises(UsageError) as error:
        score(tabular, [([1] * 62, [1, 2])], CONFIG)
    assert str(error.value) == (
        "pair 0 has 62 context + 2 target tokens + 1 tokens behind them = 65; accepted: up to the"
        " model's context length of 64"
    )


def test_an_unknown_convention_is_named() -> None:
    with pytest.raises(UsageError, match="unknown target_end 'eot'"):
        LikelihoodConfig(target_end="eot")  # type: ignore[arg-type]


def test_dream_through_lm_eval(tmp_path: Path) -> None:
    folder = dream.write(tmp_path / "dream")

    def model(**arguments: Any) -> Any:
        given = {"pretrained": str(folder), "device": "cpu", "dtype": "float32"} | arguments
        return resolve("model", LM_EVAL_MODELS, "dllm").create_from_arg_obj(given)

    def ask(lm: Any, context: str) -> float:
        request = Instance(
            request_type="loglikelihood", doc={}, arguments=(context, "x"), idx=0, task_name="t"
        )
        ((value, _),) = lm.loglikelihood([request], disable_tqdm=True)
        return float(value)

    ended, plain = model(target_end="eos"), model(target_end="none")
    family = ended.family
    for lm, behind in ((ended, [family.eos_id]), (plain, [])):
        context, target = lm._pair("The capital of France is", "x")
        assert len(target) == 1
        canvas = torch.tensor([[*context, family.mask_id, *behind]])
        row = lm.denoiser.logits(canvas)[0, len(context)].double().log_softmax(dim=0)
        expected = float(row[target[0]])
        assert ask(lm, "The capital of France is") == pytest.approx(expected, abs=1e-4)
    for length, lm in ((6, model(target_end="eos", max_length=8)), (7, model(max_length=8))):
        context, _ = lm._pair("The capital of France is Paris" * 3, "x")
        assert len(context) == length
