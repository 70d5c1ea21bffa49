"""`dllm-eval recommend`: the right suite and settings, few plain words."""

import json
import math
from dataclasses import dataclass

import pandas as pd
import pytest

from dllm_eval.errors import UsageError
from dllm_eval.report.advice import Answer, Asked, answer_frames
from dllm_eval.report.recommend import as_data, lines
from dllm_eval.stats.budget import Budget, parse_floor
from dllm_eval.stats.candidates import candidates_of

SUITE = "Code by instruction"


@dataclass(frozen=True, kw_only=True)
class Frames:
    """As the fixtures have them."""

    cells: pd.DataFrame
    requests: pd.DataFrame
    scores: pd.DataFrame


def ask(
    frames: Frames,
    *,
    task: str = SUITE,
    latency_ms: float | None = None,
    floor: str | None = None,
    percentile: int = 50,
    model: str | None = None,
    machine: str | None = None,
) -> Answer:
    budget = Budget(
        latency_s=None if latency_ms is None else latency_ms / 1000,
        floor=None if floor is None else parse_floor(floor),
        percentile=percentile,
    )
    asked = Asked(task=task, budget=budget, model=model, machine=machine)
    return answer_frames(frames.cells, frames.requests, frames.scores, asked)


def test_it_says_what_to_deploy_and_what_that_rests_on_in_few_lines(frames: Frames) -> None:
    found = ask(frames, latency_ms=30)
    assert found.qualifies
    assert found.command == ""  # made-up frames lie in no folder
    said = lines(found)
    assert len(said) <= 12
    # 12 steps take 0.002 + 12 * 0.0019 s = 24.8 ms, 17 steps 34.3 ms, AR 40 ms.
    assert said[0] == (
        "Asked of Code by instruction: p50 latency of at most 30 ms per request, on "
        "cpu, 2 threads / transformers 5.23 eager float32."
    )
    assert said[1].startswith("Deploy reference-diffusion with 12 steps: ")
    assert said[2].startswith("Documents that had no part in the choice give ")
    assert said[3].startswith("Confidence: more than 99 % that it meets the budget; ")
    assert said[4].startswith("Cost per request: 12 forward passes, 576 token positions, ")
    assert said[5].startswith("Runner-up: reference-diffusion with 8 steps: ")


def test_a_floor_takes_the_fastest_model_that_reaches_it(frames: Frames) -> None:
    found = ask(frames, floor="ar-2pt")
    assert found.found.pick is not None
    row = found.analysis.rows[found.found.pick.row]
    assert row.configuration.model == "reference-ar"
    assert "(the best autoregressive setting less 2 points)" in lines(found)[0]
    said = lines(found)
    assert "Runner-up: none, nothing else reaches the floor." in said
    (sure,) = [line for line in said if line.startswith("Confidence: ")]
    assert sure.endswith("its own score less 2 points, which it reaches by definition.")
    assert sure.count("that it reaches the floor") == 1
    assert "budget" not in " ".join(said)


def test_when_nothing_qualifies_it_says_by_how_much(frames: Frames) -> None:
    found = ask(frames, floor="ar-2pt", latency_ms=10)
    assert not found.qualifies
    said = lines(found)
    assert said[1] == "Nothing qualifies among 8 settings."
    assert said[2].startswith("Nearest: reference-ar: ")
    assert "ms too slow." in said[2]
    assert said[3].startswith("Nearest: reference-diffusion with 4 steps: ")
    assert "points too low." in said[3]
    assert as_data(found)["pick"] is None


def test_one_model_alone_and_a_question_of_choices(frames: Frames) -> None:
    found = ask(frames, task="ref_mmlu", floor="0.5", model="reference-diffusion")
    assert found.found.pick is not None
    said = lines(found)
    assert "per question" in said[4]
    # Scored tokens are no tokens that a reader waits for.
    assert "visible tokens per second" not in "\n".join(said)
    assert {found.found.considered} == {7}


def test_machines_are_never_mixed(two_machines: Frames) -> None:
    with pytest.raises(UsageError, match=r"name one with --machine: H200 / .*; cpu, 2 threads / "):
        ask(two_machines, latency_ms=30)
    found = ask(two_machines, latency_ms=30, machine="H200")
    assert found.place == "H200 / transformers 5.23 eager float32"
    assert found.found.considered == 8
    with pytest.raises(UsageError, match="'A100' fits no machine and stack; there are: H200"):
        ask(two_machines, latency_ms=30, machine="A100")
    with pytest.raises(UsageError, match="fits more than one"):
        ask(two_machines, latency_ms=30, machine="transformers")


def test_unknown_names_are_listed(frames: Frames) -> None:
    with pytest.raises(UsageError, match=r"no suite 'nope'; .*'Code by instruction' \(ref_human"):
        ask(frames, task="nope", latency_ms=3)
    with pytest.raises(UsageError, match="unknown model 'gpt'; known: reference-ar, reference-d"):
        ask(frames, latency_ms=3, model="gpt")


def test_a_percentile_takes_enough_requests(frames: Frames) -> None:
    assert "p90" in lines(ask(frames, latency_ms=30, percentile=90))[1]
    with pytest.raises(UsageError, match=r"p99 takes 1000 timed requests or more, and suite .* 24"):
        ask(frames, latency_ms=30, percentile=99)


def test_settings_timed_on_a_busy_machine_are_left_out_and_counted(one_suite: Frames) -> None:
    slowed = one_suite.cells["config_id"].str.endswith("-12-cpu, 2 threads")
    ids = set(one_suite.cells["cell_id"][slowed])
    # One thread of two was computing: the wall clock ran twice as long as the process.
    told = [{**x, "machine": {"threads": 1}} for x in one_suite.cells["provenance"]]
    provenance = pd.Series(told, index=one_suite.cells.index)
    used = [0.4 if cell in ids else 1.0 for cell in one_suite.requests["cell_id"]]
    busy = Frames(
        cells=one_suite.cells.assign(provenance=provenance),
        requests=one_suite.requests.assign(cpu_seconds=one_suite.requests["seconds"] * used),
        scores=one_suite.scores,
    )
    found = ask(busy, latency_ms=30)
    assert found.busy == 1
    assert "Left out: 1 setting timed while the machine was busy." in lines(found)
    assert "with 12 steps" not in lines(found)[1]


def all_busy(frames: Frames) -> Frames:
    """The process computed on one thread for half of every wall second."""
    told = [{**x, "machine": {"threads": 1}} for x in frames.cells["provenance"]]
    return Frames(
        cells=frames.cells.assign(provenance=pd.Series(told, index=frames.cells.index)),
        requests=frames.requests.assign(cpu_seconds=frames.requests["seconds"] * 0.5),
        scores=frames.scores,
    )


def test_of_busy_seconds_alone_nothing_qualifies_and_the_reason_is_said(frames: Frames) -> None:
    found = ask(all_busy(frames), latency_ms=1000)
    assert not found.qualifies
    said = lines(found)
    assert said[0].startswith("Asked of Code by instruction: p50 latency of at most 1 s per")
    assert said[1].startswith("Nothing qualifies: whatever was timed (")
    assert said[1].endswith("idle one, with dllm-eval sweep SPEC --retime.")
    data = as_data(found)
    assert (data["pick"], data["quality_floor"], data["considered"]) == (None, None, 0)
    assert data["seconds_of_a_busy_machine"] is True
    with_floor = lines(ask(all_busy(frames), latency_ms=1000, floor="50%"))
    assert "quality of at least 50.0 %" in with_floor[0]
    assert "Nothing qualifies: " in with_floor[1]


def test_a_floor_alone_is_answered_from_busy_seconds_that_claim_nothing(frames: Frames) -> None:
    found = ask(all_busy(frames), floor="90%")
    pick = found.found.pick
    assert pick is not None
    assert found.analysis.rows[pick.row].quality >= 0.9
    assert math.isnan(pick.p_best)
    assert not math.isnan(pick.p_meets)
    (sure,) = [line for line in lines(found) if line.startswith("Confidence: ")]
    assert "that it is the fastest is not claimed, as all seconds are of a busy machine" in sure
    assert "two rounds" not in sure
    assert as_data(found)["seconds_of_a_busy_machine"] is True
    assert as_data(ask(frames, floor="90%"))["seconds_of_a_busy_machine"] is False


def test_rounds_in_which_the_machine_was_slower_make_it_less_sure(one_suite: Frames) -> None:
    paces = (0.8, 1.0, 1.25)
    timed = one_suite.cells["purpose"] == "latency"
    ids = set(one_suite.cells["cell_id"][timed])
    own = one_suite.requests[one_suite.requests["cell_id"].isin(ids)]
    rounds = [
        (
            one_suite.cells[timed].assign(cell_id=one_suite.cells["cell_id"][timed] + f"-{i}"),
            own.assign(cell_id=own["cell_id"] + f"-{i}", seconds=own["seconds"] * pace),
        )
        for i, pace in enumerate(paces)
    ]
    rest = one_suite.requests[~one_suite.requests["cell_id"].isin(ids)]
    frames = Frames(
        cells=pd.concat([one_suite.cells[~timed], *(cells for cells, _ in rounds)]),
        requests=pd.concat([rest, *(requests for _, requests in rounds)]),
        scores=one_suite.scores,
    )
    found = ask(frames, latency_ms=27, floor="0.5")
    candidates = candidates_of(found.analysis, [0, 1], None)
    logs = [math.log(pace) for pace in paces]
    deviation = math.sqrt(sum(x * x for x in logs) / 2)  # their mean is zero
    # The median of three normal draws has 0.449 of the variance of one.
    assert candidates.round_spread == pytest.approx([deviation * math.sqrt(0.449)] * 2, rel=0.02)
    alone = ask(one_suite, latency_ms=27, floor="0.5")
    assert found.found.pick is not None
    assert alone.found.pick is not None
    assert found.found.pick.row == alone.found.pick.row
    assert found.found.pick.p_meets < alone.found.pick.p_meets - 0.1


def test_plain_data_holds_everything_and_is_json(frames: Frames) -> None:
    data = json.loads(json.dumps(as_data(ask(frames, latency_ms=30)), allow_nan=False))
    assert data["pick"]["settings"]["steps"] == 12
    assert data["pick"]["p_best"] <= data["pick"]["p_meets"] <= 1
    assert data["pick"]["quality_interval"][0] < data["pick"]["quality"]
    assert data["quality_floor"] is None
    assert data["runner_up"]["settings"]["steps"] == 8
