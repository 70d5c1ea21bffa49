"""What finished cells tell about the others: rates that were put in come out."""

import json
from pathlib import Path
from typing import Any

import pytest
from small_spec import SPEC, TAKES

from dllm_eval.files import write_json, write_lines
from dllm_eval.sweep.folder import ResultsFolder
from dllm_eval.sweep.forecast import CellWork
from dllm_eval.sweep.pace import read_pace
from dllm_eval.sweep.plan import Cell, plan
from dllm_eval.sweep.spec import Sweep

PER_FORWARD, PER_POSITION, BESIDE = 0.004, 0.0001, 0.01
SUITES = [
    {"task": task, "metric": "m", "sweep": {"steps": [1, 2, 4]}, "limit": 6} for task in "tuv"
]
LENGTHS = {"t": 20, "u": 80, "v": 50}


def cells_of() -> list[Cell]:
    latency = {"rounds": 2, "requests": 3, "warmup": 0, "min_seconds": 0}
    spec = {**SPEC, "suites": SUITES, "latency": latency, "models": SPEC["models"][:1]}
    return plan(Sweep.model_validate(spec), TAKES.__getitem__)


def work_of(cell: Cell) -> CellWork:
    documents = cell.limit or 0
    forwards = documents * int(cell.dial_value or 0)
    return CellWork(
        documents=documents,
        requests=documents,
        forwards=forwards,
        positions=forwards * LENGTHS[cell.task],
    )


def model_s(cell: Cell) -> float:
    work = work_of(cell)
    return (work.forwards or 0) * PER_FORWARD + (work.positions or 0) * PER_POSITION


def seconds_of(cell: Cell) -> float:
    return model_s(cell) + (cell.limit or 0) * BESIDE


def finish(folder: ResultsFolder, cell: Cell, **changes: Any) -> None:
    files, work = folder.cell(cell.cell_id), work_of(cell)
    documents = work.documents or 1
    row = {
        "task": cell.task,
        "seconds": model_s(cell) / documents,
        "repeat_seconds": [],
        "nfe": (work.forwards or 0) // documents,
        "positions": (work.positions or 0) // documents,
    }
    write_lines(files.requests, ({**row, "doc_id": n, **changes} for n in range(documents)))
    write_json(files.done, {"seconds": seconds_of(cell)})


@pytest.fixture
def folder(tmp_path: Path) -> ResultsFolder:
    return ResultsFolder(tmp_path / "out")


def predicted(folder: ResultsFolder, cells: list[Cell]) -> dict[str, float | None]:
    works = [work_of(cell) for cell in cells]
    pace = read_pace(folder, cells, works)
    return {c.cell_id: pace.seconds(c, w) for c, w in zip(cells, works, strict=True)}


def test_nothing_is_told_where_nothing_is_finished(folder: ResultsFolder) -> None:
    assert set(predicted(folder, cells_of()).values()) == {None}


def test_cells_of_a_suite_follow_its_own_rate(folder: ResultsFolder) -> None:
    cells = cells_of()
    for cell in cells:
        if cell.dial_value == 1 and cell.purpose == "quality":
            finish(folder, cell)
    found = predicted(folder, cells)
    for cell in cells:
        told = found[cell.cell_id]
        if cell.purpose == "quality":
            assert told == pytest.approx(seconds_of(cell)), cell.label
        else:
            assert told is None


def test_other_suites_tell_what_a_forward_and_what_a_position_costs(folder: ResultsFolder) -> None:
    cells = [cell for cell in cells_of() if cell.purpose == "quality"]
    for cell in cells:
        if cell.task in "tu":
            finish(folder, cell)
    found = predicted(folder, cells)
    for cell in cells:
        assert found[cell.cell_id] == pytest.approx(seconds_of(cell), rel=1e-6), cell.label


def test_forwards_of_one_length_are_told_by_positions(folder: ResultsFolder) -> None:
    cells = [cell for cell in cells_of() if cell.purpose == "quality"]
    for cell in cells:
        if cell.task == "t":
            finish(folder, cell)
    found = predicted(folder, cells)
    rate = (PER_FORWARD + 20 * PER_POSITION) / 20
    for cell in cells:
        if cell.task != "t":
            expected = (work_of(cell).positions or 0) * rate + 6 * BESIDE
            assert found[cell.cell_id] == pytest.approx(expected)


def test_another_round_of_a_setting_takes_what_its_like_took(folder: ResultsFolder) -> None:
    cells = [cell for cell in cells_of() if cell.timing is not None]
    first = next(cell for cell in cells if cell.timing and cell.timing.round == 0)
    finish(folder, first)
    write_json(folder.cell(first.cell_id).done, {"seconds": 77.0})
    found = predicted(folder, cells)
    alike = [c for c in cells if c.config_id == first.config_id]
    assert [found[cell.cell_id] for cell in alike] == [77.0, 77.0]


def test_repeats_are_neither_the_model_nor_beside_it(folder: ResultsFolder) -> None:
    cells = [cell for cell in cells_of() if cell.purpose == "quality" and cell.task == "t"]
    first, *others = cells
    each = model_s(first) / 6
    finish(folder, first, repeat_seconds=[each] * 3)
    done = {"seconds": model_s(first) * 3 + 6 * BESIDE}
    write_json(folder.cell(first.cell_id).done, done)
    found = predicted(folder, cells)
    for cell in others:
        assert found[cell.cell_id] == pytest.approx(seconds_of(cell))


def test_cells_without_records_tell_of_themselves_alone(folder: ResultsFolder) -> None:
    cells = [cell for cell in cells_of() if cell.purpose == "quality"]
    files = folder.cell(cells[0].cell_id)
    write_json(files.done, {"seconds": 5.0})
    assert json.loads(files.done.read_text()) == {"seconds": 5.0}
    found = predicted(folder, cells)
    assert found.pop(cells[0].cell_id) == 5.0
    assert set(found.values()) == {None}


def test_a_server_that_reports_no_forwards_is_paced_by_documents(tmp_path: Path) -> None:
    # Requests in flight together: their seconds add up to more than the cell took.
    folder, cells = ResultsFolder(tmp_path), [c for c in cells_of() if c.purpose == "quality"]
    silent = CellWork(documents=6, requests=6)
    done, waiting = cells[0], cells[1]
    files = folder.cell(done.cell_id)
    row = {"task": done.task, "seconds": 9.0, "repeat_seconds": [], "nfe": None, "positions": None}
    write_lines(files.requests, ({**row, "doc_id": n} for n in range(6)))
    write_json(files.done, {"seconds": 12.0})
    pace = read_pace(folder, cells, [silent] * len(cells))
    assert pace.seconds(done, silent) == 12.0
    assert pace.seconds(waiting, CellWork(documents=3, requests=3)) == pytest.approx(6.0)
    assert pace.seconds(waiting, CellWork()) is None


def test_one_silent_record_makes_the_forwards_of_its_cell_unknown(tmp_path: Path) -> None:
    folder, cells = ResultsFolder(tmp_path), [c for c in cells_of() if c.purpose == "quality"]
    files = folder.cell(cells[0].cell_id)
    row = {"task": cells[0].task, "seconds": 1.0, "repeat_seconds": [], "positions": 20}
    write_lines(files.requests, ({**row, "doc_id": n, "nfe": n or None} for n in range(4)))
    write_json(files.done, {"seconds": 8.0})
    pace = read_pace(folder, cells, [work_of(cell) for cell in cells])
    assert pace.seconds(cells[1], work_of(cells[1])) == pytest.approx(2.0 * 6)
