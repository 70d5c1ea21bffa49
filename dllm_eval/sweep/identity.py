"""Refuses to take a results folder's cells for cells of other weights, tasks or documents.

Knows provenance files, checkpoints and the files of tasks; a run calls it before the first cell.
"""

from collections.abc import Sequence

from dllm_eval.errors import UsageError
from dllm_eval.files import read_json, read_mapping
from dllm_eval.sweep.folder import ResultsFolder
from dllm_eval.sweep.models import weights_identity, weights_key
from dllm_eval.sweep.plan import Cell
from dllm_eval.sweep.task_files import Marks, change, task_marks


def check_weights(folder: ResultsFolder, cells: list[Cell]) -> None:
    """Compares every model's weights now with those its cells in the folder were run on.

    Raises:
        UsageError: They differ, or a checkpoint cannot be found.
    """
    now: dict[tuple[object, ...], str | None] = {}
    for cell in cells:
        model = weights_key(cell)
        if model not in now:
            now[model] = weights_identity(cell)
        provenance = folder.cell(cell.cell_id).provenance
        if provenance.exists() and read_json(provenance).get("weights") != now[model]:
            raise UsageError(
                f"{str(folder.path)!r} holds results of {cell.name!r} with other weights than "
                f"{cell.arguments.get('pretrained')!r} has now; use another --out"
            )


def check_task_files(
    folder: ResultsFolder, cells: Sequence[Cell], include: tuple[str, ...]
) -> None:
    """Compares the YAML and the data of every cell that was begun with what they are now.

    Raises:
        UsageError: They differ: the cell would be taken for an answer to other questions.
    """
    marks: dict[str, Marks] = {}
    for cell in cells:
        files = folder.cell(cell.cell_id)
        if not files.provenance.exists() or not (files.finished or files.begun):
            continue
        before = read_mapping(files.provenance).get("task_files")
        if cell.task not in marks:
            marks[cell.task] = task_marks(cell.task, include)
        changed = change(before, marks[cell.task])
        if changed:
            raise UsageError(
                f"{str(folder.path)!r} holds {cell.label} with {changed}; use another --out, or "
                f"remove {files.path} to run it again"
            )


def num_unmarked(folder: ResultsFolder) -> int:
    """How many finished cells do not say what their task was read from: older versions wrote them.

    Nobody can see whether they answered the questions of today.
    """
    if not folder.sweep_file.exists():
        return 0
    wanted = [folder.cell(cell_id) for cell_id in folder.read()["cells"]]
    kept = [files.provenance for files in wanted if files.finished and files.provenance.exists()]
    return sum("task_files" not in read_mapping(path) for path in kept)
