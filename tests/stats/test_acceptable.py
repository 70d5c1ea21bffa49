"""The cheapest setting that surely is near the best: clear cases, and too few documents."""

import numpy as np
import pytest

from dllm_eval.stats.acceptable import Acceptable, acceptable


def asked(quality: np.ndarray, **changes: float) -> Acceptable:
    cost = np.arange(1.0, len(quality) + 1.0)
    found = acceptable(quality, cost, generator=np.random.default_rng(0), **changes)  # type: ignore[arg-type]
    assert found is not None
    return found


def rows(*shares: float, documents: int, order: np.ndarray | None = None) -> np.ndarray:
    """0/1 scores, the same documents solved first by all settings."""
    place = np.arange(documents) if order is None else order
    return np.array([(place < share * documents).astype(float) for share in shares])


def test_the_knee_is_found_where_documents_are_many() -> None:
    found = asked(rows(0.2, 0.6, 0.9, 0.9, 0.9, documents=1000))
    assert (found.row, found.best) == (2, 2)
    assert found.difference_low >= -found.within
    assert (found.within, found.confidence) == (0.01, 0.95)


def test_equal_settings_on_few_documents_prove_nothing() -> None:
    # 0.99^164 = 19 %: so many documents may all be spared by a setting that loses one in a hundred.
    found = asked(rows(0.5, 0.9, 0.9, documents=164))
    assert found.row is None
    assert found.best == 1
    assert found.difference_low == pytest.approx(-(1 - 0.05 ** (1 / 164)), abs=1e-9)


def test_a_clear_best_needs_no_thousand_documents() -> None:
    assert asked(rows(0.0, 0.1, 0.5, 0.95, documents=164)).row == 3


def test_a_wider_distance_takes_a_cheaper_setting() -> None:
    quality = rows(0.5, 0.85, 0.9, documents=400)
    assert asked(quality).row == 2
    assert asked(quality, within=0.1).row == 1


def test_lucky_best_is_not_the_measure() -> None:
    # Five coins: the best of them is best by luck, and nothing is surely near it or away from it.
    generator = np.random.default_rng(5)
    found = asked((generator.random((5, 100)) < 0.5).astype(float))
    assert found.row is None


def test_documents_that_some_settings_lack_are_left_out() -> None:
    quality = rows(0.2, 0.9, documents=400)
    quality[0, 100:] = np.nan
    same = asked(quality[:, :100])
    assert asked(quality) == same
    nothing = np.full((2, 3), np.nan)
    assert acceptable(nothing, np.ones(2), generator=np.random.default_rng(0)) is None


def test_of_equals_the_cheapest_is_named_whatever_the_order() -> None:
    quality = rows(0.9, 0.9, 0.2, documents=1000)
    found = acceptable(quality, np.array([3.0, 2.0, 1.0]), generator=np.random.default_rng(0))
    assert found is not None
    assert (found.row, found.best) == (1, 1)
