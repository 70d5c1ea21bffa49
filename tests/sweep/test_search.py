"""Which cells a search asks for, what it says it found, and that it goes on where it stopped."""

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dllm_eval.cli import run_command
from dllm_eval.errors import UsageError
from dllm_eval.sweep.cell import Options, run_cell
from dllm_eval.sweep.folder import ResultsFolder
from dllm_eval.sweep.knees import Knee, knees, read_knees
from dllm_eval.sweep.plan import Cell, plan
from dllm_eval.sweep.run import run_sweep
from dllm_eval.sweep.search import Scores, searches, wanted
from dllm_eval.sweep.spec import Sweep
from dllm_eval.sweep.stage import Stage, SweepIncomplete
from dllm_eval.sweep.store import read_results

VALUES = [1, 2, 4, 8, 16, 32]
TAKES = frozenset({"pretrained", "steps", "sampler", "seed", "warmup", "timing_repeats"})


def cells_of(**changes: Any) -> list[Cell]:
    suite = {
        "task": "t",
        "metric": "acc",
        "sweep": {"sampler": ["low_confidence", "margin"]},
        "search": {"dial": "steps", "values": VALUES, "within": 0.1},
    }
    mapping = {
        "name": "s",
        "models": [
            {"name": "D", "model": "dllm", "args": {"pretrained": "x"}},
            {"name": "A", "model": "dllm-ar", "args": {"pretrained": "y"}},
        ],
        "suites": [suite, {"task": "g", "metric": "acc", "sweep": {"steps": [1, 2]}}],
        "latency": {"rounds": 2},
        **changes,
    }
    return plan(Sweep.model_validate(mapping), lambda _: TAKES)


def score_all(quality: Mapping[int, float], documents: int = 100) -> Callable[[Cell], Scores]:
    """The first documents are right, so many that the mean is as asked."""

    def score_of(cell: Cell) -> Scores:
        right = round(quality[int(str(cell.arguments["steps"]))] * documents)
        return {("t", i): float(i < right) for i in range(documents)}

    return score_of


def steps_of(cells: list[Cell], sampler: str, purpose: str) -> list[object]:
    return [
        cell.arguments["steps"]
        for cell in cells
        if cell.search and cell.purpose == purpose and cell.arguments["sampler"] == sampler
    ]


KNEE_AT_8 = {1: 0.1, 2: 0.3, 4: 0.5, 8: 0.79, 16: 0.8, 32: 0.8}


def test_first_the_largest_value_and_one_long_step_and_everything_of_the_grid() -> None:
    cells = cells_of()
    first = wanted(cells, lambda _: None)
    for sampler in ("low_confidence", "margin"):
        assert steps_of(first, sampler, "quality") == [8, 32]
        assert sorted(map(str, steps_of(first, sampler, "latency"))) == ["32", "32", "8", "8"]
    assert [cell for cell in first if not cell.search] == [
        cell for cell in cells if not cell.search
    ]
    assert {cell.name for cell in first} == {"D", "A"}


def test_it_asks_for_more_until_the_knee_is_found_in_the_order_planned() -> None:
    cells = cells_of()
    finished: set[str] = set()
    rounds = []
    score = score_all(KNEE_AT_8)

    def so_far(cell: Cell) -> Scores | None:
        return score(cell) if cell.cell_id in finished else None

    while True:
        asked = wanted(cells, so_far)
        assert asked == [cell for cell in cells if cell in asked]
        quality = {cell.cell_id for cell in asked if cell.purpose == "quality"}
        if quality <= finished:
            break
        rounds.append(steps_of(asked, "margin", "quality"))
        finished |= quality
    assert rounds == [[8, 32], [2, 8, 32], [2, 4, 8, 32]]
    # Every setting that the search ran is timed, and no other.
    assert {*steps_of(asked, "margin", "latency")} == {2, 4, 8, 32}


def test_what_is_wanted_depends_on_finished_scores_alone() -> None:
    cells = cells_of()
    score = score_all(KNEE_AT_8)
    done = wanted(cells, score)
    # Candidates that an earlier grid left finished change nothing.
    ran = {cell.cell_id for cell in done}
    assert wanted(cells, lambda cell: score(cell) if cell.cell_id in ran else None) == done


def test_every_setting_but_the_dial_has_its_own_search() -> None:
    cells = cells_of()

    def by_sampler(cell: Cell) -> Scores:
        flat = dict.fromkeys(VALUES, 0.5)
        slow = cell.arguments["sampler"] == "margin"
        return score_all(KNEE_AT_8 if slow else flat)(cell)

    done = wanted(cells, by_sampler)
    assert steps_of(done, "low_confidence", "quality") == [1, 2, 8, 32]
    assert steps_of(done, "margin", "quality") == [2, 4, 8, 32]
    assert [search.values for search in searches(cells)] == [(32, 16, 8, 4, 2, 1)] * 2


def test_a_value_is_judged_by_the_mean_over_its_seeds_and_waits_for_all_of_them() -> None:
    cells = cells_of(seeds=[0, 1])
    search = searches(cells)[0]
    assert [len(own) for own in search.cells] == [2] * 6
    good, bad = score_all(dict.fromkeys(VALUES, 1.0)), score_all(dict.fromkeys(VALUES, 0.0))

    def lucky_seed(cell: Cell) -> Scores:
        return bad(cell) if cell.seed == 1 and cell.arguments["steps"] != 32 else good(cell)

    assert search.climb(good).lowest == 5
    assert search.climb(lucky_seed).lowest == 0
    waiting = search.climb(lambda cell: None if cell.seed == 1 else good(cell))
    assert (waiting.finished, waiting.run) == (False, (0, 2))


def test_few_documents_show_nothing_and_the_line_says_so() -> None:
    cells = cells_of()
    flat = score_all(dict.fromkeys(VALUES, 1.0), documents=20)
    knee = knees(cells, flat)[0]
    assert knee.value == 32
    assert list(knee.not_shown) == [8, 16]
    assert knee.line == (
        "D, t, sampler=low_confidence: nothing below steps=32 was shown to be within 10 points of "
        "every larger value run (95 % confidence); ran 3 of 6 cells, not run: 1, 2 and 4; 20 "
        "documents are few for such a distance: it takes up to 36, even if all answers are equal"
    )


def test_the_finding_names_what_was_run_and_what_was_not() -> None:
    knee = knees(cells_of(), score_all(KNEE_AT_8))[1]
    assert (knee.value, knee.ran, knee.not_shown) == (8, (32, 8, 2, 4), (2, 4))
    assert knee.line == (
        "D, t, sampler=margin: steps=8 was shown to be within 10 points of every larger value run "
        "(95 % confidence); 2 and 4 were not; ran 4 of 6 cells, not run: 1 and 16"
    )
    unfinished = knees(cells_of(), lambda _: None)[0]
    assert unfinished.line == (
        "D, t, sampler=low_confidence: the search over steps is not finished; ran 2 of 6 cells, "
        "not run: 1, 2, 4 and 16"
    )
    assert Knee.from_dict(knee.as_dict()) == knee


def test_scores_that_are_no_shares_are_one_clear_line() -> None:
    with pytest.raises(UsageError, match=r"a score of metric 'acc' is 40; a search needs scores"):
        wanted(cells_of(), lambda _: {("t", 0): 40.0})


@dataclass
class InProcess:
    """An executor without processes; it breaks down before its n-th cell."""

    breaks_at: int = 10_000
    ran: int = 0

    def run(self, stage: Stage) -> None:
        for cell in stage.pending():
            if self.ran == self.breaks_at:
                raise SweepIncomplete("broken down")
            self.ran += 1
            options = Options(include=tuple(stage.sweep.include))
            run_cell(cell, stage.folder.cell(cell.cell_id), options)


def searched_sweep(build: Callable[..., dict[str, Any]]) -> Sweep:
    mapping = build()
    del mapping["suites"][0]["sweep"]
    # The fake answers 4 of its 12 documents rightly per step; 12 right of 12 show 0.3.
    search = {"dial": "steps", "values": [1, 2, 3, 4, 5, 6], "within": 0.3}
    mapping["suites"][0]["search"] = search
    return Sweep.model_validate(mapping)


def steps_listed(folder: Path, purpose: str) -> list[float]:
    cells = read_results([folder]).cells
    return sorted(cells[cells["purpose"] == purpose]["dial_value"])


def test_a_sweep_runs_what_its_search_asks_for_and_times_all_of_it(
    tmp_path: Path, fake_sweep: Callable[..., dict[str, Any]]
) -> None:
    sweep, executor = searched_sweep(fake_sweep), InProcess()
    run_sweep(sweep, tmp_path / "out", executor=executor, watch=lambda _: None)
    assert executor.ran == 8
    for purpose in ("quality", "latency"):
        assert steps_listed(tmp_path / "out", purpose) == [2, 3, 4, 6]
    assert [knee.value for knee in read_knees(tmp_path / "out")] == [3]
    again = InProcess()
    run_sweep(sweep, tmp_path / "out", executor=again, watch=lambda _: None)
    assert again.ran == 0


def test_a_search_that_broke_down_anywhere_goes_on_to_the_same_cells(
    tmp_path: Path, fake_sweep: Callable[..., dict[str, Any]]
) -> None:
    sweep = searched_sweep(fake_sweep)
    out = tmp_path / "out"
    for _ in range(7):
        with pytest.raises(SweepIncomplete):
            run_sweep(sweep, out, executor=InProcess(breaks_at=1), watch=lambda _: None)
    run_sweep(sweep, out, executor=InProcess(breaks_at=1), watch=lambda _: None)
    assert steps_listed(out, "quality") == [2, 3, 4, 6]
    assert len(ResultsFolder(out).cells()) == 8
    assert [knee.finished for knee in read_knees(out)] == [True]


def score_drawn(drawn: dict[int, Scores]) -> Callable[[Cell], Scores]:
    return lambda cell: drawn[int(str(cell.arguments["steps"]))]


def test_wrong_claims_are_rarer_than_the_error_allowed() -> None:
    """Paired 0/1 answers of known quality: all but the largest value just too low, and a shelf."""
    search = searches(cells_of())[0]
    generator = np.random.default_rng(3)
    rounds, documents = 150, 120
    for quality in ((0.699,) * 5 + (0.8,), (0.2, 0.5, 0.69, 0.695, 0.8, 0.8)):
        wrong = 0
        for _ in range(rounds):
            # Documents differ in difficulty, which is what makes answers at two values alike.
            shared, own = generator.random(documents), generator.random((6, documents))
            alike = generator.random((6, documents)) < 0.8
            solved = np.where(alike, shared, own) < np.array(quality)[:, None]
            drawn: dict[int, Scores] = {
                value: {("t", i): float(x) for i, x in enumerate(row)}
                for value, row in zip(VALUES, solved, strict=True)
            }
            climb = search.climb(score_drawn(drawn))
            claimed = VALUES.index(int(search.values[climb.lowest]))
            wrong += quality[claimed] < max(quality) - search.within
        assert wrong / rounds <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / rounds)


def test_the_command_prints_each_knee_last_and_again_when_nothing_is_left(
    tmp_path: Path,
    fake_sweep: Callable[..., dict[str, Any]],
    spec_file: Callable[[object], Path],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Processes are tested elsewhere, and each takes seconds to start.
    monkeypatch.setattr("dllm_eval.cli.sweeps.opened", lambda _: nullcontext(InProcess()))
    spec = searched_sweep(fake_sweep).model_dump(mode="json", exclude_defaults=True)
    out = tmp_path / "out"
    command = ["sweep", str(spec_file(spec)), "--out", str(out)]
    for _ in range(2):
        assert run_command(command) == 0
        assert capsys.readouterr().out.splitlines()[0] == (
            "knee: Fake, fake_echo: steps=3 was shown to be within 30 points of every larger value "
            "run (95 % confidence); 2 was not; ran 4 of 6 cells, not run: 1 and 5"
        )
