"""What a served model's answers will cost, told before a server is started: nothing.

Knows arguments alone. Sweeps reach it by `registry.FORECASTS`: it finds bad arguments, and says of
every request that its forward passes are not known, because no engine reports them.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from dllm_eval.measure.work import Request, Work

from .engine import EngineLM


def forwards(given: Mapping[str, Any], folder: Path | None) -> Callable[[Request], Work | None]:
    """A forecast of forward passes that tells none.

    Raises:
        UsageError: A bad argument.
    """
    del folder
    EngineLM.parsed(given)
    return lambda request: None  # noqa: ARG005 - a forecast's shape
