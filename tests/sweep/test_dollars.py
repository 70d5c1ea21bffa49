"""What a sweep over a server's model costs at most, told before anything is sent."""

from pathlib import Path

import pytest

from dllm_eval.sweep.devices import Device
from dllm_eval.sweep.estimate import estimates, totals
from dllm_eval.sweep.folder import ResultsFolder
from dllm_eval.sweep.forecast import cell_work
from dllm_eval.sweep.models import accepted_arguments
from dllm_eval.sweep.plan import Cell, plan
from dllm_eval.sweep.spec import Sweep
from dllm_eval.sweep.workload import documents

INPUT_USD, OUTPUT_USD = 0.25e-6, 0.75e-6
"""Of a token of Mercury 2, as its card has them."""
HERE = Device(name="here", flops_per_s=1e9, bytes_per_s=1e9)
ASKED, ANSWER, ROOM = 32, 8, 64
"""Tokens: the longest answer that the sweep allows, the task's own shorter limit, and room for a
chat template around a prompt."""


def cells(load: object = None, **timing: object) -> list[Cell]:
    spec = {
        "name": "n",
        "models": [
            {"name": "M", "model": "dllm-api", "args": {"model": "mercury-2", "reasoning_room": 0}},
            {"name": "A", "model": "dllm-ar", "args": {"pretrained": "reference-ar"}},
        ],
        "suites": [
            {
                "task": "ref_reversal",
                "metric": "exact_match",
                "limit": 3,
                "settings": {"gen_length": ASKED},
            }
        ],
        "latency": timing or {"enabled": False},
        **({"load": load} if load else {}),
    }
    return plan(Sweep.model_validate(spec), accepted_arguments)


def by_hand() -> list[float]:
    """Of each of the three documents."""
    prompts = [request.prompt for own in documents("ref_reversal", None, 3, ()) for request in own]
    return [(len(prompt.encode()) + ROOM) * INPUT_USD + ANSWER * OUTPUT_USD for prompt in prompts]


def test_a_cell_costs_what_its_prompts_and_longest_answers_do() -> None:
    server, own = cells()
    assert cell_work(server, ()).dollars == pytest.approx(sum(by_hand()))
    assert cell_work(own, ()).dollars is None


def test_repeats_and_warm_up_are_paid_too() -> None:
    found = cells(requests=3, rounds=1, repeats=2, warmup=4, min_seconds=0)
    timed = next(cell for cell in found if cell.purpose == "latency" and cell.name == "M")
    expected = 2 * sum(by_hand()) + 4 * max(by_hand())
    assert cell_work(timed, ()).dollars == pytest.approx(expected)


@pytest.mark.parametrize(("in_flight", "at_once"), [(2, 2), (100, 3)])
def test_the_warm_up_of_a_load_is_paid_for_too(in_flight: int, at_once: int) -> None:
    found = cells(load={"in_flight": [in_flight], "warmup": 5})
    offered = next(cell for cell in found if cell.purpose == "load" and cell.name == "M")
    expected = sum(by_hand()) + 5 * at_once * max(by_hand())
    assert cell_work(offered, ()).dollars == pytest.approx(expected)


def test_the_total_says_which_cells_have_no_price(tmp_path: Path) -> None:
    found = cells()
    works = [cell_work(cell, ()) for cell in found]
    every = totals(estimates(ResultsFolder(tmp_path), found, works, lambda _: HERE))[-1]
    assert every.dollars == pytest.approx(sum(by_hand()))
    assert every.unknown_dollars == 1
