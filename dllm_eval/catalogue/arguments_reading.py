"""From a class that checks arguments to what a user may read about them.

Knows pydantic models, dataclasses and their attribute docstrings; knows no argument.
`adapters/argument_groups.py` calls it.
"""

import ast
import inspect
import textwrap
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from dataclasses import fields as dataclass_fields
from itertools import pairwise
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from dllm_eval.catalogue.arguments import Argument


@dataclass(frozen=True)
class Accepts:
    """Beside a field's type: what it accepts, where the type does not say."""

    text: str


def of_model(kind: type[BaseModel]) -> dict[str, Argument]:
    """The arguments that a pydantic model takes, in its order."""
    says = docstrings(kind)
    return {
        name: Argument(
            name=name,
            accepted=_of_field(field),
            default="required" if field.is_required() else shown(field.default),
            says=says.get(name, ""),
        )
        for name, field in kind.model_fields.items()
    }


def of_dataclass(
    kind: type, ranges: Mapping[str, str], left_out: Collection[str] = ()
) -> dict[str, Argument]:
    """The fields of a dataclass, in its order.

    Args:
        kind: The dataclass.
        ranges: What some of them accept, where their types do not say.
        left_out: Fields that are no arguments.
    """
    says, hints = docstrings(kind), get_type_hints(kind)
    return {
        each.name: Argument(
            name=each.name,
            accepted=ranges.get(each.name) or accepted(hints[each.name]),
            default=shown(each.default),
            says=says.get(each.name, ""),
        )
        for each in dataclass_fields(kind)
        if each.name not in left_out
    }


def docstrings(kind: type) -> dict[str, str]:
    """The string below each attribute of a class, its bases' included, as one line."""
    found: dict[str, str] = {}
    for base in reversed(kind.__mro__):
        if base.__module__.partition(".")[0] in ("builtins", "pydantic"):
            continue
        [body] = ast.parse(textwrap.dedent(inspect.getsource(base))).body
        for before, after in pairwise(body.body if isinstance(body, ast.ClassDef) else ()):
            if isinstance(before, ast.AnnAssign) and isinstance(before.target, ast.Name):
                text = _text(after)
                if text:
                    found[before.target.id] = text
    return found


def _text(node: ast.stmt) -> str:
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return " ".join(str(node.value.value).split())
    return ""


def accepted(hint: Any, low: str = "", high: str = "") -> str:  # noqa: ANN401 - a type annotation
    """The values of a type, None apart, in words."""
    if get_origin(hint) is Literal:
        return ", ".join(str(value) for value in get_args(hint))
    if get_origin(hint) in (Union, UnionType):
        kinds = [each for each in get_args(hint) if each is not NoneType]
        return ", ".join(accepted(each, low, high) for each in kinds)
    span = ", ".join(part for part in (low, high) if part)
    if hint is int:
        return f"whole, {span}" if span else "whole"
    if hint is float:
        return span or "number"
    return {bool: "true, false", str: "text", NoneType: "none"}[hint]


def shown(value: object) -> str:
    """A default as a user writes it."""
    if value is None or value == "":
        return "unset"
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)


def _of_field(field: FieldInfo) -> str:
    bounds = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below"}
    found: dict[str, str] = {}
    for each in field.metadata:
        if isinstance(each, Accepts):
            return each.text
        # pydantic keeps a bound as an object with one of these attributes
        found |= {
            name: f"{words} {getattr(each, name)}"
            for name, words in bounds.items()
            if hasattr(each, name)
        }
    low, high = (found.get(a) or found.get(b) or "" for a, b in (("ge", "gt"), ("le", "lt")))
    return accepted(field.annotation, low, high)
