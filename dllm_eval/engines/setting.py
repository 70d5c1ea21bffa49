"""One setting of an engine: our name for it, and how the engine is told.

Plain data; knows no engine. The engines' own files list theirs, `command.py` carries them out.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from dllm_eval.errors import UsageError

Value = str | int | float | bool
Place = Literal["flag", "file", "json", "request"]
"""Where a setting goes: a flag of the command line; a key of the YAML file that a flag names; a key
of the JSON object that a flag takes; or a field that goes with each request, for which no server
has to be started anew."""


@dataclass(frozen=True, kw_only=True)
class Setting:
    """A setting that an engine has."""

    name: str
    """Ours: the same word in every engine and, where they have it, in `dllm`."""
    kind: type[str] | type[int] | type[float] | type[bool]
    place: Place
    theirs: str
    """The engine's: a flag, or a key, nested by dots."""
    within: str = ""
    """Of a JSON object or a request's field: the flag or field it is in."""
    least: float | None = None
    most: float | None = None
    accepted: Sequence[str] = ()
    words: Mapping[str, str] = field(default_factory=dict)
    """The engine's words for accepted ones, where they differ."""
    unset: str
    """What the engine does where it is not given, for the documentation."""
    diffusion: bool = True
    """Whether only diffusion models have it."""
    source: str
    """File and function of the engine's release that read it, at the engine's `version_read`."""

    @property
    def restarts(self) -> bool:
        """Whether another value needs another server."""
        return self.place != "request"

    def checked(self, engine: str, value: object) -> Value:
        """A value as the engine takes it.

        Raises:
            UsageError: It is of the wrong type or out of range.
        """
        found = self._typed(value)
        if found is None or not self._in_range(found):
            raise UsageError(
                f"argument {self.name}={value!r} of engine {engine}: accepted: {self.range}"
            )
        return found

    def _typed(self, value: object) -> Value | None:
        if self.kind is bool or isinstance(value, bool):
            return value if self.kind is bool and isinstance(value, bool) else None
        if self.kind is str:
            return value if isinstance(value, str) else None
        if not isinstance(value, int | float) or not math.isfinite(value):
            return None
        if self.kind is int and value != int(value):
            return None
        return self.kind(value)

    def _in_range(self, value: Value) -> bool:
        if isinstance(value, str):
            return not self.accepted or value in self.accepted
        too_low = self.least is not None and value < self.least
        return not too_low and not (self.most is not None and value > self.most)

    @property
    def range(self) -> str:
        """What it accepts, in words."""
        if self.accepted:
            return ", ".join(self.accepted)
        if self.kind in (bool, str):
            return "true or false" if self.kind is bool else "a text"
        word = "a whole number" if self.kind is int else "a number"
        low = "" if self.least is None else f" of at least {self.least:g}"
        return word + low + ("" if self.most is None else f", at most {self.most:g}")
