"""How a dial's value reads: counts are whole, thresholds keep their digits."""

from math import nan

import pytest

from dllm_eval.report import text
from dllm_eval.stats.tables import Configuration


@pytest.mark.parametrize(
    ("dial", "value", "shown", "alone"),
    [
        ("steps", 8.0, "8 steps", "8"),
        ("steps", 1.0, "1 step", "1"),
        ("samples", 4.0, "4 samples", "4"),
        ("threshold", 0.95, "threshold 0.95", "0.95"),
        ("entropy_threshold", 0.4, "entropy threshold 0.4", "0.4"),
        ("", nan, "–", "–"),
    ],
)
def test_a_dial_reads_as_what_it_turns(dial: str, value: float, shown: str, alone: str) -> None:
    configuration = Configuration(
        config_id="c",
        model="m",
        series="m",
        kind="diffusion",
        dial=dial,
        dial_value=value,
        settings={},
        machine="here",
        stack="this",
        quality_cells=(),
        latency_cells=(),
        provenance={},
    )
    assert text.dial(configuration) == shown
    assert text.dial_value(configuration) == alone
