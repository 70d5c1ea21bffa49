"""A family loader that writes down each load, and how many models were in memory just before it."""

import os
import weakref
from importlib import import_module
from pathlib import Path
from typing import Any

_LOADED: "list[weakref.ref[Any]]" = []


def load(folder: Path, *, dtype: Any, device: Any) -> Any:
    alive = sum(ref() is not None for ref in _LOADED)
    model = import_module("dllm_eval.adapters.llada").load(folder, dtype=dtype, device=device)
    _LOADED.append(weakref.ref(next(model.body.parameters())))
    with Path(os.environ["LOADS"]).open("a") as file:
        file.write(f"{os.getpid()} {folder.name} {alive}\n")
    return model
