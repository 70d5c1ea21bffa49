"""From a name or a folder to a loaded model, once per process.

Knows where checkpoints lie and which family loader to call; knows no architecture. Adapters, the
Python face and sweeps call it.
"""

import gc
import hashlib
import os
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol, get_args

import torch

from dllm_eval.api import Denoiser
from dllm_eval.catalogue.cards import card_for
from dllm_eval.checkpoint import read_model_type, stored_dtype, weight_files
from dllm_eval.compiled import CompileMode
from dllm_eval.denoiser import ModelDenoiser
from dllm_eval.errors import UsageError, unknown
from dllm_eval.families import Family
from dllm_eval.registry import FAMILIES, MODEL_TYPES, SHARED_MODEL_TYPES, family_loader

SHIPPED = {"reference-diffusion": "diffusion", "reference-ar": "ar"}
SHIPPED |= {"stress-diffusion": "stress/diffusion", "stress-ar": "stress/ar"}
"""Names of the models in the package -> their folder under dllm_eval/reference."""

ALSO_HASHED = ("config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json")
"""Files that change an answer as the weights do, where a checkpoint has them."""

Stamps = tuple[tuple[Path, int, int], ...]
"""(path, bytes, time of the last change in ns) of every file that an answer depends on."""

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


class LoadedModel(Denoiser, Protocol):
    """What a family loader hands back."""

    @property
    def dtype(self) -> torch.dtype:
        """Of the weights."""
        ...

    @property
    def tokenizer(self) -> Any:  # noqa: ANN401 - transformers has no one typed tokenizer class
        """The checkpoint's tokenizer."""
        ...


def load_model(
    pretrained: str,
    *,
    family: str | None = "auto",
    revision: str | None = None,
    dtype: str | None = None,
    device: str | None = None,
    compile: str | None = None,
) -> LoadedModel:
    """Loads a diffusion model; the same arguments and files give the same object.

    Args:
        pretrained: A local folder, a hub id, or "reference-diffusion".
        family: A name in `registry.FAMILIES`, or "module:function" of a loader of your own; "auto"
            goes by the checkpoint's card, else by its model_type.
        revision: Of a hub id; None is the one that its card pins, else the newest.
        dtype: "float32", "bfloat16" or "float16"; None means as stored.
        device: None means the first CUDA device, or the CPU where there is none.
        compile: "default" compiles the network's body for canvases padded to a few shapes,
            "reduce-overhead" records CUDA graphs besides; None and "none" run it eagerly.

    Raises:
        UsageError: Anything about the checkpoint or an argument is wrong.
    """
    folder = resolve_checkpoint(pretrained, revision)
    placed = resolve_device(device)
    which = (folder, family or "auto", dtype or "auto", placed, pretrained, _stamps(folder))
    return _load(*which) if compile in (None, "none") else _load_compiled(*which, compile)


@cache
def _load(
    folder: Path, family: str, dtype: str, device: torch.device, pretrained: str, stamps: Stamps
) -> LoadedModel:
    del stamps  # a changed file makes another entry
    name = family if family != "auto" else _detect_family(folder, pretrained)
    loader = family_loader(name)
    model: LoadedModel = loader(folder, dtype=resolve_dtype(dtype, folder), device=device)
    _check_card(model.family, pretrained, folder)
    return model


@cache
def _load_compiled(
    folder: Path,
    family: str,
    dtype: str,
    device: torch.device,
    pretrained: str,
    stamps: Stamps,
    mode: CompileMode,
) -> LoadedModel:
    if mode not in get_args(CompileMode):
        raise unknown("compile", mode, ["none", *get_args(CompileMode)])
    model = _load(folder, family, dtype, device, pretrained, stamps)
    if not isinstance(model, ModelDenoiser):
        raise UsageError(
            f"compile is {mode!r}, and family {model.family.name!r} has no body of a kind that "
            "can be compiled; pass compile=none"
        )
    return model.compiled(mode)


def _detect_family(folder: Path, pretrained: str) -> str:
    """By the checkpoint's card, as one model_type may serve two families, else by config.json."""
    card = card_for(pretrained)
    if card is not None and card.family is not None:
        return card.family
    model_type = read_model_type(folder)
    if model_type in SHARED_MODEL_TYPES:
        raise UsageError(
            f"{folder / 'config.json'} has model_type {model_type!r}, as several families do; pass "
            f"family={' or family='.join(SHARED_MODEL_TYPES[model_type])}"
        )
    if model_type in _autoregressive_types():
        raise UsageError(
            f"{folder} is an autoregressive model (model_type {model_type!r}); use model dllm-ar"
        )
    if model_type not in MODEL_TYPES:
        raise UsageError(
            f"{folder / 'config.json'} has model_type {model_type!r}; known: "
            f"{', '.join(sorted(MODEL_TYPES))}; pass family=NAME with one of "
            f"{', '.join(sorted(FAMILIES))} if it is one of those"
        )
    return MODEL_TYPES[model_type]


def _autoregressive_types() -> frozenset[str]:
    """Transformers' own causal models, apart from those that a diffusion family is made of."""
    names = import_module("transformers.models.auto.modeling_auto")
    return frozenset(names.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES) - MODEL_TYPES.keys()


def _check_card(family: Family, pretrained: str, folder: Path) -> None:
    card = card_for(pretrained)
    if card is None:
        return
    for field in ("mask_id", "eos_id", "eot_id"):
        published, found = getattr(card, field), getattr(family, field)
        # A base checkpoint's tokenizer may lack the end-of-turn token; that contradicts nothing.
        if None not in (published, found) and published != found:
            raise UsageError(f"{folder} has {field} {found}, the card of {card.name} {published}")


def load_autoregressive(
    pretrained: str,
    *,
    revision: str | None = None,
    dtype: str | None = None,
    device: str | None = None,
) -> tuple[Any, Any]:
    """A transformers causal model and its tokenizer; cached as `load_model`'s are.

    Raises:
        UsageError: The folder is damaged or lacks a weight; nothing is re-initialised silently.
    """
    folder = resolve_checkpoint(pretrained, revision)
    return _load_autoregressive(folder, dtype or "auto", resolve_device(device), _stamps(folder))


@cache
def _load_autoregressive(
    folder: Path, dtype: str, device: torch.device, stamps: Stamps
) -> tuple[Any, Any]:
    del stamps  # a changed file makes another entry
    transformers = import_module("transformers")
    model_type = read_model_type(folder)
    if model_type in MODEL_TYPES:
        raise UsageError(
            f"{folder} is a diffusion model (model_type {model_type!r}); use model dllm"
        )
    weight_files(folder)
    try:
        model, report = transformers.AutoModelForCausalLM.from_pretrained(
            folder, dtype=resolve_dtype(dtype, folder), output_loading_info=True
        )
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    except Exception as error:  # transformers, safetensors and tokenizers share no base class
        line = " ".join(str(error).split())[:300] or type(error).__name__
        raise UsageError(f"{folder} cannot be loaded: {line}") from error
    lacking = sorted(map(str, [*report["missing_keys"], *report["mismatched_keys"]]))
    if lacking:
        raise UsageError(f"{folder} lacks the tensor {lacking[0]} or has it in another shape")
    return model.to(device).eval().requires_grad_(requires_grad=False), tokenizer


def forget() -> None:
    """Lets go of every model loaded so far; the memory is free once nobody else holds one."""
    compiled = _load_compiled.cache_info().currsize > 0
    for loader in (_load_compiled, _load, _load_autoregressive):
        loader.cache_clear()
    if compiled:
        torch.compiler.reset()  # compiled code holds the weights it was made for
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def resolve_checkpoint(pretrained: str, revision: str | None = None) -> Path:
    """The local folder of a checkpoint: shipped, given, or a hub snapshot.

    Where no revision of a hub id is asked for, it is the one that its card pins, if any.

    Raises:
        UsageError: There is no such folder and the hub has no such model, or cannot be reached.
    """
    if pretrained in SHIPPED:
        return _shipped(pretrained)
    folder = Path(pretrained).expanduser()
    if folder.is_dir():
        return folder.resolve()
    looks_local = pretrained.startswith((".", "/", "~")) or pretrained.count("/") != 1
    if looks_local or os.sep * 2 in pretrained:
        names = ", ".join(SHIPPED)
        raise UsageError(
            f"no model {pretrained!r}: not a folder, not a hub id (OWNER/NAME), not one of {names}"
        )
    card = card_for(pretrained)
    return _snapshot(pretrained, revision or (card.revision if card else None))


def _shipped(name: str) -> Path:
    folder = Path(str(import_module("dllm_eval.reference").__file__)).parent / SHIPPED[name]
    if not (folder / "config.json").is_file():
        raise UsageError(f"the model {name!r} is missing from this installation ({folder})")
    return folder


def _snapshot(hub_id: str, revision: str | None) -> Path:
    hub = import_module("huggingface_hub")
    patterns = ["*.json", "*.safetensors", "*.model", "*.jinja", "*.txt"]
    try:
        return Path(hub.snapshot_download(hub_id, revision=revision, allow_patterns=patterns))
    except Exception as error:  # the hub client raises errors of several libraries
        line = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UsageError(
            f"no model {hub_id!r}: not a folder here, and the hub gave: {line}"
        ) from error


def resolve_device(device: str | None) -> torch.device:
    """The torch device of a name; None means CUDA where there is one."""
    if device is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        found = torch.device(device)
    except RuntimeError as error:
        raise UsageError(f"unknown device {device!r}; for example cpu, cuda, cuda:1") from error
    if found.type == "cuda" and (found.index or 0) >= torch.cuda.device_count():
        raise UsageError(
            f"device is {device!r}, and this machine has {torch.cuda.device_count()} CUDA devices; "
            "accepted here: cpu and those"
        )
    return found


def resolve_dtype(dtype: str, folder: Path) -> torch.dtype:
    """The torch dtype of a name; "auto" means as stored."""
    if dtype == "auto":
        return stored_dtype(folder)
    if dtype not in DTYPES:
        raise unknown("dtype", dtype, [*DTYPES, "auto"])
    return DTYPES[dtype]


def weights_hash(folder: Path) -> str:
    """SHA-256 over weights, configuration and tokenizer; kept until a file changes.

    Returns:
        Hexadecimal; over name and content of the weight files and of those `ALSO_HASHED` there.
    """
    return _weights_hash(_stamps(folder))


def _stamps(folder: Path) -> Stamps:
    beside = [folder / name for name in ALSO_HASHED]
    files = [*weight_files(folder), *(path for path in beside if path.is_file())]
    return tuple((path, path.stat().st_size, path.stat().st_mtime_ns) for path in files)


@cache
def _weights_hash(stamps: Stamps) -> str:
    digest = hashlib.sha256()
    for path, size, _ in stamps:
        digest.update(f"{path.name}\0{size}\0".encode())
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()
