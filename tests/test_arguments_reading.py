"""What a user may read about arguments: from the classes that check them, of made-up ones here."""

from dataclasses import dataclass
from typing import Annotated, Literal

import pytest
from pydantic import BaseModel, Field

from dllm_eval.catalogue.arguments import Argument
from dllm_eval.catalogue.arguments_reading import Accepts, docstrings, of_dataclass, of_model


class Base(BaseModel):
    """Of two classes."""

    steps: int = Field(default=4, ge=1, le=9)
    """How many;
    on two lines."""
    silent: bool = True
    said_below: str = ""
    """The base's word."""


class Derived(Base):
    """The other."""

    share: float | None = Field(default=None, gt=0, lt=1)
    """Of the whole."""
    name: Annotated[str, Accepts("a, b or a folder")]
    """Which."""
    mode: Literal["slow", "fast"] = "fast"
    "In plain quotes."
    either: float | Literal["auto"] = "auto"
    said_below: str = "x"
    """The derived one's word."""


@dataclass
class Plain:
    """No pydantic."""

    width: int | None = None
    """In columns."""
    ratio: float = 0.25
    hidden: object = None


@pytest.mark.parametrize(
    ("name", "accepted", "default", "says"),
    [
        ("steps", "whole, at least 1, at most 9", "4", "How many; on two lines."),
        ("silent", "true, false", "true", ""),
        ("share", "above 0, below 1", "unset", "Of the whole."),
        ("name", "a, b or a folder", "required", "Which."),
        ("mode", "slow, fast", "fast", "In plain quotes."),
        ("either", "number, auto", "auto", ""),
        ("said_below", "text", "x", "The derived one's word."),
    ],
)
def test_a_field_of_a_pydantic_model(name: str, accepted: str, default: str, says: str) -> None:
    assert of_model(Derived)[name] == Argument(
        name=name, accepted=accepted, default=default, says=says
    )


def test_fields_of_a_dataclass() -> None:
    found = of_dataclass(Plain, {"ratio": "0 to 1"}, left_out={"hidden"})
    assert list(found.values()) == [
        Argument(name="width", accepted="whole", default="unset", says="In columns."),
        Argument(name="ratio", accepted="0 to 1", default="0.25", says=""),
    ]


def test_a_docstring_of_the_class_is_no_fields() -> None:
    assert docstrings(Plain) == {"width": "In columns."}
