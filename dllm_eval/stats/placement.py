"""Where a row's model ran: in this process, in an engine, or behind an API.

Knows the columns of cells. Called by `configuration.py`, `best_stack.py` and the report.
"""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

Kind = Literal["local", "engine", "api"]
KINDS: tuple[Kind, ...] = get_args(Kind)
"""In the order in which they are shown."""


@dataclass(frozen=True, kw_only=True)
class Placement:
    """What kind of place a model ran at, and whether that is the machine the row names."""

    kind: Kind = "local"
    started_here: bool = True
    """False for an API, and for a server that was there already."""

    @classmethod
    def of(cls, cell: Mapping[Hashable, Any]) -> "Placement":
        """That of a row of the frame of cells; local where a record does not say."""
        told = cell.get("placement")
        kind: Kind = next((known for known in KINDS if known == told), "local")
        if kind == "local":
            return cls()
        found = (cell.get("provenance") or {}).get("placement") or {}
        return cls(kind=kind, started_here=kind == "engine" and bool(found.get("started_here")))

    @property
    def served(self) -> bool:
        """Whether a server answered, which may not report what an answer took."""
        return self.kind != "local"

    @property
    def remote(self) -> bool:
        """Whether seconds are those of a network and of hardware that others may use too."""
        return not self.started_here

    @property
    def words(self) -> str:
        """For a reader."""
        if self.kind == "api":
            return "API"
        if self.kind == "engine":
            return "engine started here" if self.started_here else "attached server"
        return "in process"
