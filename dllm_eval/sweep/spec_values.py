"""The kinds of values that a sweep file may hold, and the error that says where one is wrong.

Knows pydantic; knows no key. The sections of a spec (`spec.py`, `spec_runs.py`) are made of these.
"""

from typing import Annotated

from pydantic import BeforeValidator, ConfigDict

Setting = bool | int | float | str | None
"""A value that reaches a model class as one of its arguments."""


class SpecError(ValueError):
    """A fault that pydantic finds in a whole section, and that stands deeper in it."""

    def __init__(self, message: str, *location: int | str) -> None:
        super().__init__(message)
        self.location = location


def _number(value: object) -> object:
    # A whole number of hundreds of digits is too large to be looked at as a float.
    if type(value) not in (int, float) or not -1e300 < value < 1e300:  # type: ignore[operator]
        raise ValueError(f"must be a number, not {value!r}")
    return value


Number = Annotated[int | float, BeforeValidator(_number)]


def _whole(value: object) -> object:
    """YAML writes 1 where 1.0 is meant; nothing else becomes a float."""
    return float(value) if type(value) is int else value


Real = Annotated[float, BeforeValidator(_whole)]


STRICT = ConfigDict(extra="forbid", frozen=True, strict=True)
"""Of a section: keys that it does not know, and values of another type, are refused."""
