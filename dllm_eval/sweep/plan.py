"""A sweep, written out as the cells to run: model x task x settings x seed x purpose.

Pure data: no file, no model. What each model class accepts comes in as a function, so that a
setting reaches only the models that take it.
"""

import hashlib
import json
import random
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, Literal

from dllm_eval.errors import UsageError
from dllm_eval.load import Load
from dllm_eval.sweep.points import Point, pairs, points
from dllm_eval.sweep.select import selected
from dllm_eval.sweep.spec import ModelKind, ModelSpec, Setting, SuiteSpec, Sweep
from dllm_eval.sweep.spec_check import (
    RUN_ARGUMENTS,
    Accepts,
    check_batch_sizes,
    check_loads,
    check_names,
    check_settings,
)
from dllm_eval.sweep.ways import TIMING_ARGUMENTS, Timing, Way, ways
from dllm_eval.sweep.ways import Purpose as Purpose

PROTOCOL_VERSION = 1
"""Part of every cell's id; goes up when the way a cell is run changes its records."""

Dial = Literal["steps", "samples", "threshold", "entropy_threshold", "entropy_bound", ""]

IDENTITY_ARGUMENTS = frozenset(
    {"pretrained", "family", "revision", "dtype", "device", "model", "base_url", "key_env", "kind"}
    | {"card"}
)
"""Which model it is, as opposed to how it decodes."""
_DIALS: dict[str, Dial] = {
    "steps": "steps",
    "mc_samples": "samples",
    "threshold": "threshold",
    "entropy_threshold": "entropy_threshold",
    "entropy_bound": "entropy_bound",
}
"""Sweep axis -> the dial it turns between quality and latency; the first that is swept counts.
Results say more: `stats/series.py` takes any number that varies along a series."""


@dataclass(frozen=True, kw_only=True)
class Cell:
    """The unit of a sweep."""

    cell_id: str
    config_id: str
    """The same for the quality and the latency cells of one setting, whatever their seed."""
    name: str
    """The model's display name."""
    model: str
    kind: ModelKind
    arguments: dict[str, Setting]
    """Everything the model class is given, apart from what `RUN_ARGUMENTS` names."""
    seed: int
    takes: tuple[str, ...]
    """Which of `RUN_ARGUMENTS` the model class takes."""
    task: str
    suite: str
    metric: str
    filter: str | None
    chance: float
    num_fewshot: int | None
    apply_chat_template: bool
    dial: Dial
    dial_value: float | None
    purpose: Purpose
    limit: int | None
    batch_size: int
    timing: Timing | None
    swept: tuple[str, ...] = ()
    """Which arguments are dials of the sweep; empty in folders of older versions."""
    search: str = ""
    """The search that this is a candidate of, "" for a cell of the grid: the same for both
    purposes, every seed and every value of the dial."""
    search_dial: str = ""
    """Which argument is searched."""
    search_within: float = 0.0
    search_confidence: float = 0.0
    """Of `spec.SearchSpec`."""
    load: Load | None = None
    """Of a cell whose purpose is "load": what its model is offered."""

    @property
    def settings(self) -> dict[str, Setting]:
        """The sampler settings: the arguments that do not say which model it is."""
        return {k: v for k, v in self.arguments.items() if k not in IDENTITY_ARGUMENTS}

    @property
    def in_flight(self) -> int | None:
        """Of a load cell with a closed loop."""
        return self.load.in_flight if self.load else None

    @property
    def arrivals_per_s(self) -> float | None:
        """Of a load cell with arrivals."""
        return self.load.arrivals_per_s if self.load else None

    @property
    def round(self) -> int:
        """Which pass over the cells of its purpose it belongs to, from 0."""
        return self.timing.round if self.timing else self.load.round if self.load else 0

    @property
    def label(self) -> str:
        """One line for people."""
        names = self.swept or ((self.dial,) if self.dial in self.arguments else ())
        dials = " ".join(f"{name}={_shown(self.arguments[name])}" for name in names)
        what = f"{self.suite} {dials}" if dials else self.suite
        turn = f", {self.load.words}" if self.load else ""
        turn += f", round {self.round + 1}" if self.purpose != "quality" else ""
        turn += f", batch {self.batch_size}" if self.timing and self.batch_size > 1 else ""
        return f"{self.name}, {what} ({self.purpose}{turn})"

    def as_dict(self) -> dict[str, Any]:
        """Plain data, ready for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "Cell":
        """The cell that `as_dict` described."""
        timing = Timing(**data["timing"]) if data["timing"] else None
        load = Load(**data["load"]) if data.get("load") else None
        lists = {name: tuple(data.get(name, ())) for name in ("takes", "swept")}
        return cls(**{**data, "timing": timing, "load": load, **lists})


def _shown(value: Setting) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def plan(sweep: Sweep, accepts: Accepts) -> list[Cell]:
    """Every cell of a sweep: quality cells as written, then latency and load cells, shuffled.

    Args:
        sweep: What to run.
        accepts: Which arguments a model's class takes.

    Raises:
        UsageError: A setting that no model takes, a name that there is not, an entry that leaves
            out nothing, a load that offers nothing, or two cells that are the same. The line says
            where it stands.
    """
    check_names(sweep)
    check_settings(sweep, accepts)
    if sweep.latency.enabled:
        check_batch_sizes(sweep)
    check_loads(sweep, accepts)
    stages = [list(_cells(sweep, accepts, "quality"))]
    # Slow drifts of the machine (heat, neighbours) must not line up with a dial, nor fall on one
    # setting alone: every round goes through all settings in another order.
    turns = range(sweep.latency.rounds if sweep.latency.enabled else 0)
    stages += [_shuffled(_cells(sweep, accepts, "latency", turn), turn) for turn in turns]
    turns = range(sweep.load.rounds if sweep.load else 0)
    stages += [_shuffled(_cells(sweep, accepts, "load", turn), turn) for turn in turns]
    cells = selected(sweep, [cell for stage in stages for cell in stage])
    _check_distinct(sweep, cells)
    return cells


def _shuffled(cells: Iterator[Cell], seed: int) -> list[Cell]:
    found = list(cells)
    random.Random(seed).shuffle(found)
    return found


def _cells(sweep: Sweep, accepts: Accepts, purpose: Purpose, turn: int = 0) -> Iterator[Cell]:
    """The cells of a purpose, of one round where there are several."""
    for model, suite in pairs(sweep.models, sweep.suites):
        taken = accepts(model.model)
        if purpose != "quality" and not taken >= TIMING_ARGUMENTS:
            continue
        for seed in sweep.seeds if "seed" in taken else sweep.seeds[:1]:
            for way in ways(sweep, suite, purpose, turn, seed):
                if purpose != "quality" and way.batch_size > 1 and "batch_size" not in taken:
                    continue
                for point in points(model, suite):
                    yield _cell(model, suite, point, seed, way, taken)


def _cell(
    model: ModelSpec,
    suite: SuiteSpec,
    point: Point,
    seed: int,
    way: Way,
    taken: frozenset[str],
) -> Cell:
    asked = {**suite.settings, **model.settings, **point.settings}
    wanted = {name: value for name, value in asked.items() if name in taken}
    arguments = {**model.args, **wanted}
    config: dict[str, Any] = {
        "protocol": PROTOCOL_VERSION,
        "model": model.model,
        "arguments": arguments,
        "task": suite.task,
        "num_fewshot": suite.num_fewshot,
        "apply_chat_template": suite.apply_chat_template,
    }
    run = {"purpose": way.purpose, "limit": way.limit, "batch_size": way.batch_size, "seed": seed}
    timing = asdict(way.timing) if way.timing else None
    # Without the key in other cells, so that their ids stay what they are in older folders.
    load = {"load": _without_first_round(asdict(way.load))} if way.load else {}
    dial, dial_value = _dial(point.settings)
    return Cell(
        cell_id=_hash({**config, **run, "timing": timing, **load}),
        config_id=_hash(config),
        name=model.name,
        model=model.model,
        kind=model.kind,
        arguments=arguments,
        seed=seed,
        takes=tuple(sorted(taken & RUN_ARGUMENTS)),
        task=suite.task,
        suite=suite.name,
        metric=suite.metric,
        filter=suite.filter,
        chance=suite.chance,
        num_fewshot=suite.num_fewshot,
        apply_chat_template=suite.apply_chat_template,
        dial=dial,
        dial_value=dial_value,
        purpose=way.purpose,
        limit=way.limit,
        batch_size=way.batch_size,
        timing=way.timing,
        load=way.load,
        swept=tuple(name for name in point.settings if name in taken),
        search=_search_id(config, point),
        search_dial=point.search.dial if point.search else "",
        search_within=point.search.within if point.search else 0.0,
        search_confidence=point.search.confidence if point.search else 0.0,
    )


def _without_first_round(load: dict[str, Any]) -> dict[str, Any]:
    """Cells of older folders, which had no rounds, are those of the first."""
    return {key: value for key, value in load.items() if key != "round" or value}


def _search_id(config: dict[str, Any], point: Point) -> str:
    """Hash of a setting but for the value of the dial searched."""
    if point.search is None:
        return ""
    dial = point.search.dial
    others = {name: value for name, value in config["arguments"].items() if name != dial}
    return _hash({**config, "arguments": others, "dial": dial})


def _dial(point: dict[str, Setting]) -> tuple[Dial, float | None]:
    for name, dial in _DIALS.items():
        value = point.get(name)
        if isinstance(value, int | float):
            return dial, float(value)
    return "", None


def _hash(value: object) -> str:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _check_distinct(sweep: Sweep, cells: list[Cell]) -> None:
    seen: dict[str, Cell] = {}
    names = [suite.name for suite in sweep.suites]
    for cell in cells:
        if cell.cell_id in seen:
            raise UsageError(
                f"{sweep.place('suites', names.index(cell.suite), 'sweep')}two cells of the sweep "
                f"are the same run: {seen[cell.cell_id].label} and {cell.label}; remove one of them"
            )
        seen[cell.cell_id] = cell
