"""The verdict on one generated program.

Knows nothing of processes. Returned by `runner.run_program`, read by the code tasks.
"""

from dataclasses import dataclass
from typing import Literal

Isolation = Literal["namespaces", "none"]


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of one program, and how well it was locked up while it ran."""

    passed: bool
    """True only if the program ran past its last line within its limits."""
    detail: str
    """ "passed", "timed out", "ended early", or the error that stopped it."""
    isolation: Isolation
    """ "namespaces": no network, read-only files; "none": resource limits alone."""
