"""Published safetensors folders read into a native module, tensor by tensor.

Knows files, tensor names and shapes; knows no family, no architecture and no tokenizer. Family
loaders in `adapters/` call it with their own weight names. Nothing is ever re-initialised: every
tensor the module has comes from the files, and every tensor in the files is used.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from dllm_eval.errors import UsageError

SINGLE_FILE = "model.safetensors"
INDEX_FILE = "model.safetensors.index.json"


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file; a missing or malformed file is a `UsageError` that names it."""
    if not path.is_file():
        raise UsageError(f"{path.parent} has no {path.name}; it is not a Hugging Face model folder")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:  # numbers of thousands of digits, for one
        raise UsageError(f"{path} is not valid JSON: {error}") from error
    if not isinstance(content, dict):
        raise UsageError(f"{path} holds {type(content).__name__}, not a JSON object")
    return content


def read_config(folder: Path) -> dict[str, Any]:
    """A checkpoint folder's config.json."""
    if not folder.is_dir():
        raise UsageError(f"checkpoint folder {folder} does not exist")
    return read_json(folder / "config.json")


def read_model_type(folder: Path) -> str | None:
    """What a checkpoint says that it is, which decides who loads it; None where it does not say.

    Raises:
        UsageError: There is no config.json, or its `model_type` is no text.
    """
    found = read_config(folder).get("model_type")
    if not isinstance(found, str | None):
        raise UsageError(f"{folder / 'config.json'}: model_type is {found!r}, not a text")
    return found


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files of a checkpoint: the shards its index names, or the single file.

    Raises:
        UsageError: There are none, or a shard that the index names is missing.
    """
    index = folder / INDEX_FILE
    if index.is_file():
        names = sorted(set(_weight_map(index).values()))
        missing = [name for name in names if not (folder / name).is_file()]
        if missing:
            raise UsageError(f"{folder} lacks the shard {missing[0]} that {INDEX_FILE} names")
        return [folder / name for name in names]
    if (folder / SINGLE_FILE).is_file():
        return [folder / SINGLE_FILE]
    pickles = sorted(path.name for path in folder.glob("*.bin"))
    hint = f"; {pickles[0]} is a pickle, which is never opened" if pickles else ""
    raise UsageError(f"{folder} has neither {SINGLE_FILE} nor {INDEX_FILE}{hint}")


def _weight_map(index: Path) -> dict[str, str]:
    weight_map = read_json(index).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise UsageError(f"{index} has no weight_map")
    return {str(name): str(file) for name, file in weight_map.items()}


def stored_dtype(folder: Path) -> torch.dtype:
    """The floating-point type of the checkpoint's first tensor."""
    path = weight_files(folder)[0]
    with _opened(path, torch.device("cpu")) as file:
        names = list(file.keys())
        if not names:
            raise UsageError(f"{path} holds no tensors")
        dtype: torch.dtype = _read(file, names[0], path).dtype
    return dtype


@dataclass(frozen=True)
class Stack:
    """Published tensors that one parameter is made of, such as the experts of a layer.

    `parts[i]` lie one behind the other along the first axis of the parameter's i-th entry.
    """

    parts: tuple[tuple[str, ...], ...]


Source = str | Stack


def load_weights(
    module: nn.Module,
    folder: Path,
    names: Mapping[str, Source],
    *,
    dtype: torch.dtype,
    device: torch.device,
    unused: tuple[str, ...] = (),
) -> None:
    """Puts a folder's tensors in place of the parameters of a module built on the meta device.

    Each tensor goes straight to `device` in `dtype`, so at most one of them exists twice.

    Args:
        module: Its parameters are replaced; they give the expected shapes.
        folder: A checkpoint folder, one file or sharded.
        names: Parameter name in `module` -> tensor name in the files, or a `Stack` of them.
        dtype: What the parameters become.
        device: Where the parameters go.
        unused: Beginnings of the names of published tensors that are known and not read.

    Raises:
        UsageError: A tensor is missing, surplus or wrongly shaped, or a file is damaged.
    """
    parameters = dict(module.named_parameters())
    wanted = {source: place for name in parameters for source, place in _places(name, names[name])}
    for path in weight_files(folder):
        with _opened(path, device) as file:
            for source in file.keys():  # noqa: SIM118 - an open safetensors file is not a mapping
                if source.startswith(unused):
                    continue
                place = wanted.pop(source, None)
                if place is None:
                    raise UsageError(
                        f"{path} holds the tensor {source}, which the model has no use for"
                    )
                expected = place.shape(parameters[place.name])
                _check_shape(file.get_slice(source).get_shape(), expected, source, path)
                place.fill(module, _read(file, source, path).to(dtype))
    if wanted:
        raise UsageError(f"{folder} lacks the tensor {min(wanted)} ({len(wanted)} missing in all)")
    _check_complete(module, folder)


@dataclass(frozen=True)
class _Place:
    """Where one published tensor goes: a whole parameter, or a share of one of its entries."""

    name: str
    entry: int | None = None
    share: int = 0
    shares: int = 1

    def shape(self, parameter: Tensor) -> tuple[int, ...]:
        """What the published tensor must measure."""
        if self.entry is None:
            return tuple(parameter.shape)
        rows, *rest = parameter.shape[1:]
        return (rows // self.shares, *rest)

    def fill(self, module: nn.Module, tensor: Tensor) -> None:
        """Writes the tensor into the module."""
        owner, _, leaf = self.name.rpartition(".")
        home = module.get_submodule(owner)
        if self.entry is None:
            # A file-backed tensor would be read from disk within the first, timed forward pass.
            tensor = tensor.clone() if tensor.device.type == "cpu" else tensor
            setattr(home, leaf, nn.Parameter(tensor, requires_grad=False))
            return
        parameter = getattr(home, leaf)
        if parameter.is_meta:
            empty = torch.empty(parameter.shape, dtype=tensor.dtype, device=tensor.device)
            parameter = nn.Parameter(empty, requires_grad=False)
            setattr(home, leaf, parameter)
        rows = len(tensor)
        parameter.data[self.entry, self.share * rows : (self.share + 1) * rows] = tensor


def _places(name: str, source: Source) -> Iterator[tuple[str, _Place]]:
    """(published name, place) of everything that a parameter is made of."""
    if isinstance(source, str):
        yield source, _Place(name)
        return
    for entry, shares in enumerate(source.parts):
        for share, part in enumerate(shares):
            yield part, _Place(name, entry, share, len(shares))


def _opened(path: Path, device: torch.device) -> Any:  # noqa: ANN401 - safe_open is untyped
    try:
        return safe_open(path, framework="pt", device=str(device))
    except (SafetensorError, OSError) as error:
        raise UsageError(f"{path} is corrupt or truncated: {error}") from error


def _read(file: Any, name: str, path: Path) -> Tensor:  # noqa: ANN401
    try:
        tensor: Tensor = file.get_tensor(name)
    except (SafetensorError, OSError) as error:
        raise UsageError(f"{path}: tensor {name} cannot be read: {error}") from error
    return tensor


def _check_shape(found: list[int], expected: tuple[int, ...], source: str, path: Path) -> None:
    if tuple(found) != expected:
        raise UsageError(
            f"{path}: tensor {source} has shape {tuple(found)}, config.json asks for {expected}"
        )


def _check_complete(module: nn.Module, folder: Path) -> None:
    for name, tensor in [*module.named_parameters(), *module.named_buffers()]:
        if tensor.is_meta:
            raise UsageError(f"{folder} gives no value for {name}")
