"""How large a model is: parameters and bytes from the headers of its files; no weight is read.

Knows checkpoints' folders; knows no architecture but for how experts are named. `estimate.py` calls
it.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from dllm_eval.errors import UsageError
from dllm_eval.registry import LM_EVAL_MODELS
from dllm_eval.sweep.models import asks_server
from dllm_eval.sweep.plan import Cell

_BYTES = {"F64": 8, "F32": 4, "BF16": 2, "F16": 2, "F8_E4M3": 1, "F8_E5M2": 1, "I64": 8, "I32": 4}
_DTYPE_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}
_EXPERTS = ("num_experts", "n_routed_experts", "num_local_experts")
_EXPERTS_USED = ("num_experts_per_tok", "num_experts_per_token")
_LONGEST_HEADER = 100 * 2**20


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """What bounds a forward pass of a model."""

    parameters: int
    expert_parameters: int
    """Those of them that belong to experts, of which a token uses some."""
    experts_used: float
    """The share of the experts that one token uses; 1 where there are none."""
    parameter_bytes: float
    """Of each, as it is loaded."""

    @property
    def active(self) -> float:
        """Parameters that one token uses."""
        return self.parameters - self.expert_parameters * (1 - self.experts_used)

    def bytes_read(self, positions: float) -> float:
        """Of the weights, in a forward pass over so many positions: an expert at most once."""
        share = min(1.0, self.experts_used * positions)
        others = self.parameters - self.expert_parameters
        return (others + self.expert_parameters * share) * self.parameter_bytes


def local_folder(cell: Cell) -> Path | None:
    """Where a cell's checkpoint lies on this machine; None where it would have to be fetched.

    Raises:
        UsageError: It is named as a folder and there is none.
    """
    pretrained = cell.arguments.get("pretrained")
    if not isinstance(pretrained, str):
        return None
    if asks_server(cell) and not Path(pretrained).expanduser().is_dir():
        return None  # a server's name for its model
    loading = import_module("dllm_eval.loading")
    is_folder = Path(pretrained).expanduser().is_dir()
    is_hub_id = pretrained.count("/") == 1 and pretrained[0] not in "./~"
    if is_folder or (not is_hub_id and cell.model in LM_EVAL_MODELS):
        found: Path = loading.resolve_checkpoint(pretrained)
        return found
    if not is_hub_id:
        return None
    revision = cell.arguments.get("revision")
    hub = import_module("huggingface_hub")
    try:
        return Path(hub.snapshot_download(pretrained, revision=revision, local_files_only=True))
    except Exception:  # the hub client raises errors of several libraries
        return None


def sizes_of(folder: Path, dtype: object = None) -> Sizes | None:
    """The sizes of a checkpoint folder; None where its files are no safetensors.

    Args:
        folder: Holds config.json and the weights.
        dtype: What the weights are loaded as; None is as stored.
    """
    checkpoint = import_module("dllm_eval.checkpoint")
    try:
        files, config = checkpoint.weight_files(folder), checkpoint.read_config(folder)
        tensors = [pair for file in files for pair in _header(file).items()]
    except UsageError:
        return None
    counts = {name: math.prod(entry["shape"]) for name, entry in tensors}
    stored = sum(counts[name] * _BYTES.get(entry["dtype"], 2) for name, entry in tensors)
    total = sum(counts.values())
    if not total:
        return None
    return Sizes(
        parameters=total,
        expert_parameters=sum(n for name, n in counts.items() if ".experts." in name),
        experts_used=_share(config),
        parameter_bytes=_DTYPE_BYTES.get(str(dtype), stored / total),
    )


def _header(path: Path) -> dict[str, Any]:
    """Tensor name -> its dtype and shape: in safetensors, eight bytes of length, then JSON."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        text = file.read(length) if length <= _LONGEST_HEADER else b""
    try:
        found: dict[str, Any] = json.loads(text)
    except ValueError as error:
        raise UsageError(f"{path} is corrupt or truncated: its header is no JSON") from error
    return {name: entry for name, entry in found.items() if name != "__metadata__"}


def _share(config: Mapping[str, Any]) -> float:
    experts = next((config[key] for key in _EXPERTS if config.get(key)), None)
    used = next((config[key] for key in _EXPERTS_USED if config.get(key)), None)
    return used / experts if experts and used else 1.0
