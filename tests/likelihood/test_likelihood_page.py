"""docs/likelihood.md names every estimator, with the canvases it takes."""

from pathlib import Path

import pytest

from dllm_eval.registry import ESTIMATORS

PAGE = (Path(__file__).parents[2] / "docs" / "likelihood.md").read_text()


@pytest.mark.parametrize("name", ESTIMATORS)
def test_every_estimator_is_on_the_page(name: str) -> None:
    assert f"`{name}`" in PAGE


def test_the_page_names_no_estimator_that_is_gone() -> None:
    rows = [line for line in PAGE.splitlines() if line.startswith("| `")]
    named = [name.strip("` ") for row in rows for name in row.split("|")[1].split(",")]
    assert set(named) <= set(ESTIMATORS)
    assert len(named) > 10
