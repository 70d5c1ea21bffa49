"""The shipped sweep over tiers of autoregressive decoding: it plans, no two rows are one tier."""

from importlib import import_module
from pathlib import Path
from typing import Any

from dllm_eval.sweep.models import accepted_arguments, check_cells
from dllm_eval.sweep.plan import plan
from dllm_eval.sweep.spec_file import load_spec

arguments: Any = import_module("dllm_eval.adapters.arguments")


def test_every_tier_of_a_cpu_is_there_and_takes_its_settings() -> None:
    cells = plan(load_spec(Path("tiers")), accepted_arguments)
    check_cells(cells)
    causal = [c for c in cells if c.kind == "autoregressive" and c.purpose == "quality"]
    settings = [
        arguments.parse("dllm-ar", arguments.AutoregressiveArguments, dict(cell.arguments), ())
        for cell in causal
    ]
    told = [(s.cache, s.compile, s.speculative, s.draft_tokens) for s in settings]
    assert told == [
        ("dynamic", "none", "none", None),
        ("static", "none", "none", None),
        ("auto", "default", "none", None),
        ("auto", "none", "prompt_lookup", 4),
        ("auto", "none", "prompt_lookup", 10),
    ]
    diffusion = [c for c in cells if c.kind == "diffusion" and c.purpose == "quality"]
    assert [cell.dial_value for cell in diffusion] == [4, 8, 16, 32]
    timed = {cell.config_id for cell in cells if cell.purpose == "latency"}
    assert timed == {cell.config_id for cell in cells if cell.purpose == "quality"}
