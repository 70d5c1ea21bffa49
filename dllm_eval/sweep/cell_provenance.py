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
from dllm_eval.sweep.models import weights_identity
from dllm_eval.sweep.plan import Cell

_SAME_KERNEL = {"dllm_eval": "sdpa"}
"""Attention functions of ours that differ from a stock one in the mask and not in the kernel."""


def begin_provenance(cell: Cell, folder: CellFolder, lm: Any) -> None:  # noqa: ANN401 - any lm-eval LM
    """Writes a cell's provenance, or checks that it may go on under the one it began with.

    Raises:
        UsageError: The weights, the software or, for a latency cell, the machine changed.
    """
    now = _provenance(cell, lm)
    if not folder.provenance.exists() or not _begun(folder):
        write_json(folder.provenance, now)
        return
    before, after = _fixed(cell, read_json(folder.provenance)), _fixed(cell, now)
    for name, value in after.items():
        if before.get(name) != value:
            raise UsageError(
                f"the unfinished cell {cell.label} has requests made with {name} "
                f"{before.get(name)}, now it is {value}; use another --out"
            )


def device_of(lm: Any) -> torch.device:  # noqa: ANN401 - any lm-eval LM
    """Where a model computes; a model that does not say so computes on the CPU or elsewhere."""
    return torch.device(getattr(lm, "device", None) or "cpu")


def _begun(folder: CellFolder) -> bool:
    logs = (folder.requests, folder.pilot)
    return any(log.exists() and log.stat().st_size > 0 for log in logs)


def _provenance(cell: Cell, lm: Any) -> dict[str, Any]:  # noqa: ANN401 - any lm-eval LM
    return {
        **collect(device_of(lm)),
        "weights": weights_identity(cell),
        "model": {"name": cell.model, "arguments": cell.arguments, "seed": cell.seed},
        "settings": cell.settings,
        "batch_size": cell.batch_size,
        "dtype": _dtype(lm),
        "attention": _attention(lm),
    }


def _fixed(cell: Cell, provenance: dict[str, Any]) -> dict[str, Any]:
    """What must not change within a cell. Threads may, where no second is compared."""
    machine = {"machine": provenance["machine"]["name"]} if cell.purpose == "latency" else {}
    versions = provenance["versions"]
    software = {
        name: versions.get(name) for name in ("dllm-eval", "lm-eval", "torch", "transformers")
    }
    commit = (provenance["git_commit"] or "").removesuffix("-dirty")
    fixed = {key: provenance[key] for key in ("weights", "dtype", "attention")}
    return {**fixed, "commit": commit, **software, **machine}


def _network(lm: Any) -> Any:  # noqa: ANN401 - any lm-eval LM
    """The network of a model: the adapters' denoiser body, or what stock models call `model`."""
    denoiser = getattr(lm, "denoiser", None)
    return getattr(denoiser, "body", None) or getattr(lm, "model", None)


def _dtype(lm: Any) -> str | None:  # noqa: ANN401 - any lm-eval LM
    network = _network(lm)
    if not isinstance(network, nn.Module):
        return None
    parameter = next(network.parameters(), None)
    return None if parameter is None else str(parameter.dtype).removeprefix("torch.")


def _attention(lm: Any) -> str | None:  # noqa: ANN401 - any lm-eval LM
    """The attention kernel, as the innermost transformers configuration names it."""
    network = _network(lm)
    if not isinstance(network, nn.Module):
        return None
    configs = (getattr(module, "config", None) for module in network.modules())
    found = (getattr(config, "_attn_implementation", None) for config in configs)
    name = next((str(value) for value in found if value), None)
    return _SAME_KERNEL.get(name, name) if name is not None else None
