"""One setting of one model on one machine and stack, put together from its cells.

Knows the columns of cells; computes no statistic. `tables.py` calls `configurations_of`.
"""

from collections import defaultdict
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from dllm_eval.stats.placement import Placement
from dllm_eval.stats.series import Place, Setting, places, tier_of

Cell = Mapping[Hashable, Any]
"""A row of the frame of cells."""


def place(machine: str, stack: str) -> str:
    """A machine and stack in one line, as the report prints it."""
    return " / ".join(part for part in (machine, stack) if part) or "unknown machine"


@dataclass(frozen=True, kw_only=True)
class Configuration:
    """One setting of one model on one machine and stack: a row of the leaderboard."""

    config_id: str
    model: str
    series: str
    """The model, and where it was run with several samplers, what sets this one apart."""
    kind: str
    dial: str
    """The number that varies along the series; "" where none does."""
    dial_value: float
    settings: dict[str, Any]
    machine: str
    stack: str
    quality_cells: tuple[str, ...]
    latency_cells: tuple[str, ...]
    """Cells timed at batch size 1; empty where latency was not measured."""
    provenance: dict[str, Any]
    composition: str = ""
    """What sets the series apart from the model's others; "" where it has one."""
    approximate: bool = False
    """Whether a cache may have changed its answers, as its records say."""
    batched_cells: tuple[str, ...] = ()
    """Latency cells of the same machine and stack at batch sizes above 1."""
    placement: Placement = field(default_factory=Placement)
    tier: str = ""
    """How hard its stack was driven, in the model's own words; "" where it said nothing."""
    untiered: str = ""
    """`composition` without the words of the tier."""
    imported: bool = False

    @property
    def group(self) -> str:
        """Seconds compare only between rows with the same group."""
        return place(self.machine, self.stack)

    @property
    def of_this_machine(self) -> bool:
        """Whether the machine it names ran it for this sweep: in process, or in an engine."""
        return bool(self.machine) and self.placement.started_here and not self.imported


def configurations_of(part: pd.DataFrame, requests: pd.DataFrame) -> tuple[Configuration, ...]:
    """The settings that have a quality cell, one per machine and stack that timed them.

    Args:
        part: The finished cells of one suite.
        requests: Theirs.
    """
    approximate = _approximate(requests)
    by_config: dict[str, list[Cell]] = defaultdict(list)
    for cell in part.to_dict("records"):
        by_config[str(cell["config_id"])].append(cell)
    changed = {
        config_id
        for config_id, own in by_config.items()
        if any(cell["cell_id"] in approximate for cell in own)
    }
    placed_in = places(
        Setting.of(cell, approximate=config_id in changed)
        for config_id, own in by_config.items()
        for cell in own
    )
    out = []
    for config_id, own in by_config.items():
        quality = [cell for cell in own if cell["purpose"] == "quality"]
        timed = [cell for cell in own if cell["purpose"] == "latency"]
        single = [cell for cell in timed if cell["batch_size"] == 1]
        at, is_changed = placed_in[config_id], config_id in changed
        for where in dict.fromkeys(map(_where, single or quality)):
            judged = [cell for cell in quality if _where(cell) == where] or quality
            found = _Cells(
                quality=judged,
                latency=[cell for cell in single if _where(cell) == where],
                batched=[c for c in timed if c["batch_size"] > 1 and _where(c) == where],
            )
            out.append(_configuration(config_id, found, at, approximate=is_changed))
    out.sort(key=lambda c: (c.kind != "diffusion", c.series, c.dial_value, c.group, c.config_id))
    return tuple(out)


@dataclass(frozen=True, kw_only=True)
class _Cells:
    """The cells of one configuration on one machine and stack."""

    quality: list[Cell]
    """Of other machines where this one has none."""
    latency: list[Cell]
    batched: list[Cell]


def _where(cell: Cell) -> tuple[str, str]:
    return str(cell["machine"]), str(cell["stack"])


def _configuration(config_id: str, cells: _Cells, at: Place, *, approximate: bool) -> Configuration:
    row = (cells.latency or cells.quality)[0]
    machine, stack = _where(row)
    return Configuration(
        config_id=config_id,
        model=str(row["model"]),
        series=at.series,
        composition=at.composition,
        approximate=approximate,
        kind=str(row["kind"]),
        dial=at.dial,
        dial_value=at.dial_value,
        settings=dict(row["settings"] or {}),
        machine=machine,
        stack=stack,
        quality_cells=tuple(str(cell["cell_id"]) for cell in cells.quality),
        latency_cells=tuple(str(cell["cell_id"]) for cell in cells.latency),
        provenance=dict(row["provenance"] or {}),
        batched_cells=tuple(str(cell["cell_id"]) for cell in cells.batched),
        placement=Placement.of(row),
        tier=tier_of(row),
        untiered=at.untiered,
        imported=row.get("imported") is True,
    )


def _approximate(requests: pd.DataFrame) -> frozenset[str]:
    """The cells in which an approximate cache may have changed an answer."""
    if "cache" not in requests:
        return frozenset()
    return frozenset(requests["cell_id"][requests["cache"] == "approximate"])
