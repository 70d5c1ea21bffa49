"""The command line that runs one setting of a sweep again by hand, with every setting written out.

Reads a results folder; runs nothing. `recommend.py` calls it.
"""

import json
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dllm_eval.files import read_json
from dllm_eval.sweep.folder import ResultsFolder
from dllm_eval.sweep.plan import Cell

OURS = ("dllm", "dllm-ar")


def confirm_line(folder: Path, cell_id: str) -> str:
    """`dllm-eval run ...` for a cell, one request at a time, quoted for a shell.

    Settings that the model's family brought along are named with those of the sweep, so that the
    line means the same whatever a later version takes for its defaults. The arguments are JSON,
    because lm-eval reads a bare `none` as no value.

    Args:
        folder: The results folder.
        cell_id: One of its cells.

    Returns:
        "" where the folder keeps no plan, because a sweep did not write it.
    """
    results = ResultsFolder(folder)
    files = results.cell(cell_id)
    if not results.sweep_file.exists() or not files.cell.exists():
        return ""
    cell = Cell.from_dict(read_json(files.cell))
    provenance = read_json(files.provenance) if files.provenance.exists() else {}
    spec = results.read()["spec"]
    scored = _scored(files.requests)
    arguments = json.dumps(_arguments(cell, provenance, scored=scored), ensure_ascii=False)
    words = ["dllm-eval", "run", "--model", cell.model, "--model_args", arguments]
    words += ["--tasks", cell.task, "--batch_size", "1"]
    if cell.num_fewshot is not None:
        words += ["--num_fewshot", str(cell.num_fewshot)]
    if cell.apply_chat_template:
        words += ["--apply_chat_template"]
    if cell.limit is not None:
        words += ["--limit", str(cell.limit)]
    words += [word for path in _include(spec, cell.task) for word in ("--include_path", path)]
    if spec.get("confirm_run_unsafe_code") and not scored:
        words += ["--confirm_run_unsafe_code"]
    return shlex.join(words)


def _scored(requests: Path) -> bool:
    """Whether the cell's requests were scored, so that nothing was decoded and no program ran."""
    if not requests.exists():
        return False
    with requests.open(encoding="utf-8") as lines:
        first = json.loads(next(lines, "{}"))
    kind = first.get("request_type") if isinstance(first, dict) else None
    return isinstance(kind, str) and kind.startswith("loglikelihood")


def _arguments(cell: Cell, provenance: Mapping[str, Any], *, scored: bool) -> dict[str, Any]:
    found: dict[str, Any] = dict(cell.arguments)
    scored = scored or "likelihood" in cell.arguments
    # Nothing of the decoding rule is read where requests are scored.
    resolved = {} if scored else provenance.get("sampler") or {}
    found |= {k: v for k, v in resolved.items() if v is not None and k not in found}
    if cell.model in OURS and provenance.get("dtype"):
        found.setdefault("dtype", provenance["dtype"])
    if "seed" in cell.takes:
        found["seed"] = cell.seed
    return found


def _include(spec: Mapping[str, Any], task: str) -> list[str]:
    """The folder of the sweep's own task files in which the task is defined, if one is."""
    named = f"task: {task}"
    for folder in spec.get("include", []):
        for path in sorted(Path(folder).rglob("*.yaml")):
            if named in path.read_text(encoding="utf-8").splitlines():
                return [str(folder)]
    return []
