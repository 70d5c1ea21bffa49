"""The command line that runs one setting again, for the page's drawer.

Of a sweep the line that `confirm.py` makes of its plan; of imported results what their provenance
says. Called by `details.py`.
"""

import json
import shlex
from collections.abc import Mapping
from pathlib import Path

from dllm_eval.report.confirm import confirm_line
from dllm_eval.stats.tables import Configuration, TaskTable


def rerun_command(
    table: TaskTable, configuration: Configuration, folders: Mapping[str, str]
) -> str:
    """A `dllm-eval run` line; "" where nothing says which model was run.

    Args:
        table: The suite.
        configuration: The setting.
        folders: Cell id -> its results folder, "" or missing where there is none.
    """
    cell = next(iter(configuration.quality_cells), "")
    folder = folders.get(cell, "")
    # From the second folder on, an id that occurs twice carries the folder's number.
    planned = confirm_line(Path(folder), cell.split("@")[0]) if folder else ""
    return planned or _from_provenance(table, configuration)


def _from_provenance(table: TaskTable, configuration: Configuration) -> str:
    model = configuration.provenance.get("model")
    if not isinstance(model, dict) or "name" not in model:
        return ""
    arguments = json.dumps(model.get("arguments") or {}, ensure_ascii=False)
    words = ["dllm-eval", "run", "--model", str(model["name"]), "--model_args", arguments]
    words += ["--tasks", table.task, "--batch_size", "1"]
    shots = table.protocol.split("-shot")[0]
    if shots.isdigit():
        words += ["--num_fewshot", shots]
    if not table.protocol.endswith("no chat template"):
        words += ["--apply_chat_template"]
    return shlex.join(words)
