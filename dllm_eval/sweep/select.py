"""`exclude` and `only`: which of the planned cells are left out.

Knows the spec and what a cell says of itself; knows no file and no model class. `plan.py` calls it.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

from dllm_eval.errors import UsageError, unknown
from dllm_eval.sweep.spec import Selector, Setting, Sweep

if TYPE_CHECKING:
    from dllm_eval.sweep.plan import Cell

NAMED_KEYS = ("model", "suite", "purpose")
OWN_KEYS = (*NAMED_KEYS, "batch_size", "seed", "in_flight", "arrivals_per_s")
"""Keys of an entry that are no setting; the first three have a closed list of values."""


def selected(sweep: Sweep, cells: Sequence["Cell"]) -> list["Cell"]:
    """The cells that `only` and `exclude` leave, in the order given.

    Raises:
        UsageError: An entry matches no cell, or no cell is left.
    """
    for key, entries in (("only", sweep.only), ("exclude", sweep.exclude)):
        for number, entry in enumerate(entries):
            if not any(matches(entry, cell) for cell in cells):
                raise UsageError(
                    f"{sweep.place(key, number)}'{key}[{number}]' matches no cell: "
                    f"{written(entry)}; change or remove it"
                )
    asked = [c for c in cells if not sweep.only or any(matches(e, c) for e in sweep.only)]
    left = [cell for cell in asked if not any(matches(entry, cell) for entry in sweep.exclude)]
    if not left:
        key = "exclude" if sweep.exclude else "only"
        raise UsageError(
            f"{sweep.place(key)}{key!r} leaves none of the {len(cells)} cells; allow some again"
        )
    return left


def matches(entry: Selector, cell: "Cell") -> bool:
    """Whether a cell has, under every key of an entry, one of its values.

    A suite goes by its title or its task. `null` stands for a setting that is not set.
    """
    return all(_has(cell, key, values) for key, values in entry.items())


def _has(cell: "Cell", key: str, values: Sequence[Setting]) -> bool:
    if key == "model":
        return cell.name in values
    if key == "suite":
        return cell.suite in values or cell.task in values
    found = getattr(cell, key) if key in OWN_KEYS else cell.arguments.get(key)
    # In Python 1 is True; in a sweep they are two settings.
    return any(isinstance(v, bool) == isinstance(found, bool) and v == found for v in values)


def check_keys(sweep: Sweep, settings: Collection[str]) -> None:
    """Makes sure that entries name models, suites and settings that there are.

    Args:
        sweep: The spec.
        settings: What models take.

    Raises:
        UsageError: One does not.
    """
    names = {
        "model": {model.name for model in sweep.models},
        "suite": {name for suite in sweep.suites for name in (suite.title, suite.task) if name},
        "purpose": {"quality", "latency", "load"},
    }
    for field, entries in (("only", sweep.only), ("exclude", sweep.exclude)):
        for number, entry in enumerate(entries):
            for key, values in entry.items():
                place, where = sweep.place(field, number, key), f"'{field}[{number}]'"
                if key not in OWN_KEYS and key not in settings:
                    known = [*OWN_KEYS, *settings]
                    raise UsageError(f"{place}{unknown(f'key of {where}', key, known)}")
                for value in values if key in NAMED_KEYS else ():
                    if value not in names[key]:
                        kind = f"{key} in {where}"
                        raise UsageError(f"{place}{unknown(kind, value, names[key])}")


def written(entry: Mapping[str, list[Setting] | Setting]) -> str:
    """An entry as YAML on one line."""
    import yaml

    text = yaml.safe_dump(
        {key: _single(value) for key, value in entry.items()},
        default_flow_style=True,
        sort_keys=False,
        allow_unicode=True,
        width=float("inf"),
    )
    return text.strip()


def _single(value: list[Setting] | Setting) -> object:
    return value[0] if isinstance(value, list) and len(value) == 1 else value
