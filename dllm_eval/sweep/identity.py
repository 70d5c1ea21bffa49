"""Refuses to add cells of other weights to a results folder that holds cells of a model.

Knows provenance files and checkpoints; the executor calls it before the first cell.
"""

from dllm_eval.errors import UsageError
from dllm_eval.files import read_json
from dllm_eval.sweep.folder import ResultsFolder
from dllm_eval.sweep.models import weights_identity, weights_key
from dllm_eval.sweep.plan import Cell


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
