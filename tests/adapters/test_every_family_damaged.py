"""What a user reads when a checkpoint of any family is damaged: one line that names the damage."""

import json
import re
from importlib import import_module
from pathlib import Path

import pytest
import torch
from checkpoints import llama
from safetensors.torch import load_file, save_file

from dllm_eval import load_model
from dllm_eval.errors import UsageError

SAFETENSORS = (
    "llada",
    "dream",
    "sdar",
    "sdar_moe",
    "llada2",
    "fast_dllm_v2",
    "nbdiff",
    "bd3lm",
    "wedlm",
    "diffusion_gemma",
    "mdlm",
    "sedd",
    "d3pm",
)
FAMILY = {"sedd": "sedd", "llada2": "llada2"}


def write(writer: str, folder: Path, shards: int = 1) -> Path:
    written: Path = import_module(f"checkpoints.{writer}").write(folder, shards=shards)
    return written


def refusal(writer: str, folder: Path, family: str | None = None) -> str:
    with pytest.raises(UsageError) as caught:
        load_model(str(folder), family=family or FAMILY.get(writer, "auto"), device="cpu")
    text = str(caught.value)
    assert "\n" not in text
    return text


@pytest.mark.parametrize("writer", SAFETENSORS)
def test_a_sharded_checkpoint_is_the_same_model(writer: str, tmp_path: Path) -> None:
    family = FAMILY.get(writer, "auto")
    folders = [write(writer, tmp_path / str(shards), shards) for shards in (1, 3)]
    one, three = (load_model(str(folder), family=family, device="cpu") for folder in folders)
    ids = torch.tensor([[5, 6, 7, 8, 9, 10, 11, 12]])
    time = torch.full((1,), 0.5) if one.family.time_conditioned else None
    rows = slice(4, 8)
    found = [model.logits(ids, rows=rows, time=time) for model in (one, three)]
    torch.testing.assert_close(found[0], found[1], rtol=0, atol=0)


@pytest.mark.parametrize("writer", SAFETENSORS)
def test_a_missing_shard_is_named(writer: str, tmp_path: Path) -> None:
    folder = write(writer, tmp_path / "tiny", shards=3)
    index = json.loads((folder / "model.safetensors.index.json").read_text())
    shard = sorted(set(index["weight_map"].values()))[1]
    (folder / shard).unlink()
    assert shard in refusal(writer, folder)


@pytest.mark.parametrize("writer", SAFETENSORS)
def test_a_tensor_too_few_too_many_or_misshapen_is_named(writer: str, tmp_path: Path) -> None:
    folder = write(writer, tmp_path / "tiny")
    path = folder / "model.safetensors"
    tensors = load_file(path)
    name = max((n for n in tensors if tensors[n].dim() == 2), key=lambda n: (".1." in n, n))
    kept = tensors.pop(name)
    save_file(tensors, path, metadata={"format": "pt"})
    assert name in refusal(writer, folder)
    save_file(
        {**tensors, name: kept, "surplus.weight": kept.clone()}, path, metadata={"format": "pt"}
    )
    assert "surplus.weight" in refusal(writer, folder)
    save_file({**tensors, name: kept[:-1].contiguous()}, path, metadata={"format": "pt"})
    assert name in refusal(writer, folder)


@pytest.mark.parametrize("writer", SAFETENSORS)
def test_a_truncated_file_is_named(writer: str, tmp_path: Path) -> None:
    folder = write(writer, tmp_path / "tiny")
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1000])
    assert "model.safetensors" in refusal(writer, folder)


def test_a_model_type_of_two_families_asks_which(tmp_path: Path) -> None:
    text = refusal("llada2", write("llada2", tmp_path / "tiny"), family="auto")
    assert "pass family=llada2 or family=llada21" in text


def test_an_autoregressive_model_is_sent_to_the_other_class(tmp_path: Path) -> None:
    folder = llama.write(tmp_path / "llama")
    assert "use model dllm-ar" in refusal("llama", folder)


def test_an_unknown_model_type_lists_the_known_ones_and_the_way_out(tmp_path: Path) -> None:
    folder = write("llada", tmp_path / "tiny")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"model_type": "novel"}))
    text = refusal("llada", folder)
    assert "model_type 'novel'" in text
    assert "pass family=NAME" in text


@pytest.mark.parametrize("writer", ["llada", "dream", "sdar", "llada2", "fast_dllm_v2"])
def test_a_tokenizer_without_the_mask_token_is_refused(writer: str, tmp_path: Path) -> None:
    """The families whose published tokenizer names the mask; elsewhere it is an id alone."""
    folder = write(writer, tmp_path / "tiny")
    for path in folder.glob("*.json"):
        if path.name in ("tokenizer_config.json", "special_tokens_map.json"):
            roles = json.loads(path.read_text())
            roles.pop("mask_token", None)
            path.write_text(json.dumps(roles))
        if path.name != "config.json":
            path.write_text(re.sub(r"mask(\|?>)", r"gone\1", path.read_text(), flags=re.IGNORECASE))
    assert "no mask token" in refusal(writer, folder)
