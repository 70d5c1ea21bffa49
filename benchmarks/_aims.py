"""What a GPU is to show, stated for an NVIDIA H200, and what it showed.

Knows figures and text; nothing of models. `gpu.py` calls it.
"""

from dataclasses import dataclass

STEP_AIM = 0.98
PLAIN_AIM = 2.0
CACHED_AIM_MS = 4.8
MEMORY_AIM_MIB = 1.5e9 / 2**20
TIME_AIM_S = 600.0
AIMS_HEADER = ("aim", "measured", "")


@dataclass(frozen=True, kw_only=True)
class Aim:
    """One line of the last table."""

    says: str
    measured: str
    met: bool

    def cells(self) -> list[str]:
        """One row of the table."""
        return [self.says, self.measured, "met" if self.met else "**not met**"]
