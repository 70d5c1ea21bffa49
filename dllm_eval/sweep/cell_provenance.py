"""What a cell ran on, written before its first request and compared when it is taken up again.

Knows the cell's folder and its model; `measure/provenance.py` knows the machine.
"""

from typing import Any

import torch
from torch import nn

from dllm_eval.errors import UsageError
from dllm_eval.files import read_json, write_json
from dllm_eval.measure.provenance import collect
from dllm_eval.sweep.folder import CellFolder
from dllm_eval.sweep.lease import guarded
from dllm_eval.sweep.models import weights_identity
from dllm_eval.sweep.plan import Cell
from dllm_eval.sweep.task_files import Marks, change, completed, task_marks


def begin_provenance(
    cell: Cell,
    folder: CellFolder,
    lm: Any,  # noqa: ANN401 - any lm-eval LM
    include: tuple[str, ...],
) -> None:
    """Writes a cell's provenance, or checks that it may go on under the one it began with.

    Args:
        cell: What is begun.
        folder: Its files.
        lm: Its model.
        include: More folders of task YAML.

    Raises:
        UsageError: The weights, the task, its data, the software or, for a latency cell, the
            machine changed.
    """
    now = {**_provenance(cell, lm), "task_files": task_marks(cell.task, include)}
    with guarded(folder.path):  # shares of a cell may begin at the same time
        if not folder.provenance.exists() or not folder.begun:
            write_json(folder.provenance, now)
            return
    written = read_json(folder.provenance)
    changed = change(written.get("task_files"), now["task_files"])
    if changed:
        raise UsageError(
            f"the unfinished cell {cell.label} has requests of {changed}; use another --out"
        )
    before, after = _fixed(cell, written), _fixed(cell, now)
    for name, value in after.items():
        if before.get(name) != value:
            raise UsageError(
                f"the unfinished cell {cell.label} has requests made with {name} "
                f"{before.get(name)}, now it is {value}; use another --out"
            )


def task_files(cell: Cell, folder: CellFolder, include: tuple[str, ...]) -> Marks:
    """What a cell's task was read from, when its documents have been fetched."""
    return completed(read_json(folder.provenance).get("task_files"), task_marks(cell.task, include))


def device_of(lm: Any) -> torch.device:  # noqa: ANN401 - any lm-eval LM
    """Where a model computes; a model that does not say so computes on the CPU or elsewhere."""
    return torch.device(getattr(lm, "device", None) or "cpu")


def is_local(lm: Any) -> bool:  # noqa: ANN401 - any lm-eval LM
    """Whether a model computes in this process, so that its memory and energy are the model's."""
    return getattr(lm, "request_types", None) is None


def served(lm: Any) -> dict[str, Any]:  # noqa: ANN401 - any lm-eval LM
    """What a server has said of itself with its answers; nothing of a model in this process."""
    told = {} if is_local(lm) else lm.provenance()
    return {name: told[name] for name in ("served_model", "fingerprint") if name in told}


def _provenance(cell: Cell, lm: Any) -> dict[str, Any]:  # noqa: ANN401 - any lm-eval LM
    told = dict(getattr(lm, "provenance", dict)())
    found = collect(device_of(lm))
    if told.get("machine"):
        found["machine"] = told.pop("machine")
    return {
        **found,
        "placement": {"kind": "local"},
        "stack": None,
        "tier": getattr(lm, "tier", None),
        "weights": weights_identity(cell),
        "model": {"name": cell.model, "arguments": cell.arguments, "seed": cell.seed},
        "settings": cell.settings,
        "sampler": _sampler(lm),
        "infilling_tokens": getattr(lm, "fim_name", None),
        "boundary": getattr(lm, "boundary", None),
        "batch_size": cell.batch_size,
        "dtype": _dtype(lm),
        "attention": _attention(lm),
        **told,
    }


def _fixed(cell: Cell, provenance: dict[str, Any]) -> dict[str, Any]:
    """What must not change within a cell. Threads may, where no second is compared."""
    machine = {"machine": provenance["machine"]["name"]} if cell.purpose != "quality" else {}
    versions = provenance["versions"]
    software = {
        name: versions.get(name) for name in ("dllm-eval", "lm-eval", "torch", "transformers")
    }
    commit = (provenance["git_commit"] or "").removesuffix("-dirty")
    fixed = {
        key: provenance.get(key) for key in ("weights", "dtype", "attention", "placement", "stack")
    }
    return {**fixed, "commit": commit, **software, **machine}


def _sampler(lm: Any) -> dict[str, Any] | None:  # noqa: ANN401 - any lm-eval LM
    """Every decoding rule in force, those that the model's family brought along included."""
    config = getattr(lm, "config", None) if getattr(lm, "kind", None) == "diffusion" else None
    return None if config is None else config.resolved()


def _dtype(lm: Any) -> str | None:  # noqa: ANN401 - any lm-eval LM
    """Of the weights; None where the model does not say."""
    found = getattr(getattr(lm, "denoiser", None), "dtype", None)
    network = getattr(lm, "model", None)
    if found is None and isinstance(network, nn.Module):
        parameter = next(network.parameters(), None)
        found = None if parameter is None else parameter.dtype
    return None if found is None else str(found).removeprefix("torch.")


def _attention(lm: Any) -> str | None:  # noqa: ANN401 - any lm-eval LM
    """The attention kernel: that of `attention.attend`, or what a stock model's config names."""
    if hasattr(lm, "denoiser"):
        return "sdpa"
    network = getattr(lm, "model", None)
    name = getattr(getattr(network, "config", None), "_attn_implementation", None)
    return str(name) if name else None
