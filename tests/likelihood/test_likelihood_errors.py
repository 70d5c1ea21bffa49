"""Bad input to likelihood scoring gets one line that names it, before any forward pass."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from dllm_eval.errors import UsageError
from dllm_eval.likelihood import LikelihoodConfig, log_likelihood, score
from dllm_eval.registry import ESTIMATORS, resolve


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"estimator": "monte_carol"}, "unknown likelihood estimator 'monte_carol' (did you mean"),
        ({"samples": 0}, "samples is 0; accepted: a whole number of at least 1"),
        ({"samples": 2.5}, "samples is 2.5; accepted: a whole number of at least 1"),
        (
            {"tokens_per_forward": -1},
            "tokens_per_forward is -1; accepted: a whole number of at least 1",
        ),
        ({"max_enumeration": 0}, "max_enumeration is 0; accepted"),
        ({"max_enumeration": 40}, "max_enumeration is 40, i.e. 2^40 forwards"),
    ],
)
def test_settings_out_of_range(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as error:
        LikelihoodConfig(**settings)
    assert str(error.value).startswith(message)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("context", "target", "message"),
    [
        ([1], [], "pair 1 has an empty target; accepted: at least one token to score"),
        ([0] * 62, [1] * 3, "pair 1 has 62 context + 3 target tokens = 65; accepted: up to"),
        ([1], [0, 9], "pair 1 holds the token id 9; accepted: 0 to 4"),
        ([1], [0, 3], "pair 1 holds the mask token (id 3); accepted: text without it"),
        ([-1], [0], "pair 1 holds the token id -1; accepted: 0 to 4"),
    ],
)
def test_pairs_that_cannot_be_scored(
    tabular: Any, context: list[int], target: list[int], message: str
) -> None:
    with pytest.raises(UsageError) as error:
        score(tabular, [([0], [1]), (context, target)], LikelihoodConfig())
    assert str(error.value).startswith(message)
    assert tabular.canvases == []


@pytest.mark.parametrize(
    ("estimator", "length", "samples", "message"),
    [
        ("single_token", 2, 8, "estimator 'single_token' was given a target of 2 tokens"),
        ("enumeration", 17, 8, "estimator 'enumeration' was given a target of 17 tokens"),
        ("control_variate", 3, 1, "samples is 1; accepted by estimators with a control"),
    ],
)
def test_targets_an_estimator_does_not_take(
    tabular: Any, estimator: str, length: int, samples: int, message: str
) -> None:
    with pytest.raises(UsageError) as error:
        log_likelihood(tabular, [0], [1] * length, estimator=estimator, samples=samples)
    assert str(error.value).startswith(message)
    assert tabular.canvases == []


def test_a_canvas_as_long_as_the_context_length_is_scored(tabular: Any) -> None:
    assert np.isfinite(log_likelihood(tabular, [0] * 63, [1]).value)


def test_logits_that_are_not_numbers(tabular: Any) -> None:
    tabular.predict = lambda canvas: np.full((len(canvas), 5), np.nan)
    with pytest.raises(UsageError, match="the model's logits are NaN"):
        log_likelihood(tabular, [0], [1])


@pytest.mark.parametrize("estimator", ["monte_carlo", "control_variate"])
def test_an_impossible_token_gives_minus_infinity(tabular: Any, estimator: str) -> None:
    result = log_likelihood(tabular, [0], [1, 4, 2, 0], estimator=estimator)
    assert result.value == -np.inf
    assert not np.isnan(result.stderr)


def test_a_single_sample_says_that_its_error_is_unknown(tabular: Any) -> None:
    result = log_likelihood(tabular, [0], [1] * 9, samples=1)
    assert (result.stderr, result.exact, result.samples) == (np.inf, False, 1)


def test_a_family_without_mask_tokens(tabular: Any) -> None:
    tabular.family = replace(tabular.family, noise="uniform")
    with pytest.raises(UsageError, match="has noise 'uniform'; likelihood 'masked' accepts"):
        log_likelihood(tabular, [0], [1])


def test_every_name_on_the_page_resolves() -> None:
    assert all(callable(resolve("estimator", ESTIMATORS, name)) for name in ESTIMATORS)
