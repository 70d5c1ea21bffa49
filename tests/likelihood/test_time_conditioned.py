"""Which likelihood a family has: `auto` finds it, and what means nothing for it is refused."""

from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from checkpoints import d3pm, d3pm_uniform, diffusion_lm, plaid, sedd

from dllm_eval.errors import UsageError
from dllm_eval.likelihood import LikelihoodConfig, score
from dllm_eval.loading import load_model

FAMILIES: dict[str, tuple[ModuleType, str, str]] = {
    "sedd": (sedd, "sedd", "score_entropy"),
    "d3pm": (d3pm, "auto", "discrete_time"),
    "d3pm_uniform": (d3pm_uniform, "auto", "discrete_time"),
    "plaid": (plaid, "auto", "latent_bound"),
    "diffusion_lm": (diffusion_lm, "auto", "latent_bound"),
}
CONFIG = LikelihoodConfig(samples=4, tokens_per_forward=48)
PAIRS = [([9, 8, 7], [10, 11, 12]), ([9], [13]), ([9, 8], [14, 15, 16, 17, 18])]


@pytest.fixture(scope="module", params=FAMILIES)
def loaded(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Any, str]:
    """A tiny checkpoint of a family that is told the noise level, and its estimator's name."""
    writer, family, estimator = FAMILIES[request.param]
    folder: Path = writer.write(tmp_path_factory.mktemp("timed") / request.param)
    return load_model(str(folder), family=family, dtype="float32", device="cpu"), estimator


def test_auto_is_the_family_s_own_bound(loaded: tuple[Any, str]) -> None:
    model, estimator = loaded
    results = score(model, PAIRS, CONFIG)
    assert [result.estimator for result in results] == [estimator] * 3
    assert score(model, PAIRS, replace(CONFIG, estimator=estimator)) == results
    assert {(r.quantity, r.exact, r.is_greedy) for r in results} == {("elbo", False, None)}
    assert all(r.value < 0 < r.stderr < float("inf") for r in results)


def test_order_and_neighbours_change_nothing(loaded: tuple[Any, str]) -> None:
    model, _ = loaded
    together = score(model, PAIRS, CONFIG)
    backwards = score(model, PAIRS[::-1], replace(CONFIG, tokens_per_forward=20))[::-1]
    alone = [score(model, [pair], CONFIG)[0] for pair in PAIRS]
    for results in (backwards, alone):
        for one, other in zip(together, results, strict=True):
            assert other.value == pytest.approx(one.value, rel=1e-4)
            assert (other.nfe, other.positions) == (one.nfe, one.positions)


def test_salted_pairs_have_noise_of_their_own(loaded: tuple[Any, str]) -> None:
    model, _ = loaded
    pair = PAIRS[2]
    values = [score(model, [pair], CONFIG, salts=[salt])[0].value for salt in (None, "a", "b", "a")]
    assert len(set(values)) == 3
    assert values[1] == values[3]


@pytest.mark.parametrize("name", ["monte_carlo", "enumeration", "single_token", "left_to_right"])
def test_estimators_of_masked_families_are_refused(loaded: tuple[Any, str], name: str) -> None:
    model, estimator = loaded
    with pytest.raises(UsageError) as error:
        score(model, PAIRS, replace(CONFIG, estimator=name))
    assert str(error.value) == (
        f"likelihood estimator {name!r} means nothing for family {model.family.name!r}, whose"
        f" likelihood is {model.family.likelihood!r}; accepted: auto, {estimator}"
    )


def test_greedy_decoding_and_an_end_are_refused(loaded: tuple[Any, str]) -> None:
    model, _ = loaded
    with pytest.raises(UsageError, match="check_greedy is True, and family"):
        score(model, PAIRS, replace(CONFIG, check_greedy=True))
    with pytest.raises(UsageError, match="target_end is 'eos', and family"):
        score(model, PAIRS, replace(CONFIG, target_end="eos"))


def test_the_model_is_told_the_noise_of_every_row(tmp_path: Path) -> None:
    model = load_model(str(sedd.write(tmp_path / "sedd")), family="sedd", device="cpu")
    told: list[torch.Tensor] = []
    plain = model.logits

    def recording(token_ids: torch.Tensor, **keywords: Any) -> torch.Tensor:
        told.append(keywords["time"])
        return plain(token_ids, **keywords)

    model.logits = recording  # type: ignore[method-assign]
    score(model, PAIRS, CONFIG)
    times = torch.cat(told)
    assert times.shape == (3 * CONFIG.samples,)
    assert 0 < times.min() < times.max() <= 1
    assert len(set(times.tolist())) > CONFIG.samples


def test_a_family_without_likelihood_generates_only(tabular: Any) -> None:
    tabular.family = replace(tabular.family, likelihood=None)
    with pytest.raises(UsageError) as error:
        score(tabular, [([1], [2])], LikelihoodConfig())
    assert str(error.value) == (
        "family 'fake' publishes no likelihood, nor a bound of one; accepted: generation tasks only"
    )


@pytest.mark.parametrize("name", ["score_entropy", "discrete_time", "latent_bound"])
def test_bounds_of_other_families_are_refused(tabular: Any, name: str) -> None:
    with pytest.raises(UsageError) as error:
        score(tabular, [([1], [2])], LikelihoodConfig(estimator=name))
    assert str(error.value) == (
        f"likelihood estimator {name!r} means nothing for family 'fake', whose likelihood is"
        " 'masked'; accepted: auto, single_token, enumeration, monte_carlo, control_variate,"
        " end_strata, random_order, left_to_right, right_to_left, importance_bound, upper_bound,"
        " bernoulli_time, llada_mc, dream_mc, pseudo_likelihood, one_step, policy"
    )
