"""Which settings one model is run with on one suite: products of axes, and what is searched.

Knows the spec; knows no cell and no model class. `plan.py` calls it.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

from dllm_eval.sweep.spec import Axes, ModelSpec, SearchSpec, Setting, SuiteSpec, products_of


@dataclass(frozen=True, kw_only=True)
class Point:
    """One combination of the values of the axes."""

    settings: dict[str, Setting]
    search: SearchSpec | None = None
    """The search that this is a candidate of; None for a point of the grid."""


def pairs(
    models: list[ModelSpec], suites: list[SuiteSpec]
) -> Iterator[tuple[ModelSpec, SuiteSpec]]:
    """Every model with every suite that it is run on, in the order written."""
    for model, suite in product(models, suites):
        wanted = suite.models is None or model.name in suite.models
        if wanted and (model.suites is None or {suite.title, suite.task} & set(model.suites)):
            yield model, suite


def axes_of(model: ModelSpec, suite: SuiteSpec) -> list[Axes]:
    """The products in force: the model's own, else the suite's where they apply to the model."""
    if model.sweep is not None:
        return products_of(model.sweep)
    return suite.products if model.kind == "diffusion" else [{}]


def search_of(model: ModelSpec, suite: SuiteSpec) -> SearchSpec | None:
    """The suite's search, where it applies to the model."""
    return suite.search if model.kind == "diffusion" else None


def points(model: ModelSpec, suite: SuiteSpec) -> list[Point]:
    """The swept settings, one product after the other; what an earlier one has is not run again."""
    search = search_of(model, suite)
    grid = _grid(axes_of(model, suite))
    if search is None:
        return [Point(settings=settings) for settings in grid]
    return [
        Point(settings={**settings, search.dial: value}, search=search)
        for settings in grid
        for value in search.values
    ]


def _grid(products: list[Axes]) -> list[dict[str, Setting]]:
    seen: set[str] = set()
    found: list[dict[str, Setting]] = []
    for axes in products:
        own = [dict(zip(axes, values, strict=True)) for values in product(*axes.values())]
        # The same value twice in one axis is a slip, and `plan` names it.
        fresh = [point for point in own if _text(point) not in seen]
        seen |= {_text(point) for point in fresh}
        found += fresh
    return found


def _text(point: dict[str, Setting]) -> str:
    return json.dumps(point, sort_keys=True)
