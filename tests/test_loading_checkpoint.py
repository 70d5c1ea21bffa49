"""Every fault of a checkpoint folder gives one clear line and never a half-loaded model."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from dllm_eval import loading
from dllm_eval.checkpoint import load_weights
from dllm_eval.denoiser import ModelDenoiser
from dllm_eval.errors import UsageError
from dllm_eval.loading import load_autoregressive, load_model, resolve_checkpoint, weights_hash

HEAD = "model.transformer.ff_out.weight"


@pytest.fixture
def folder(tmp_path: Path, tiny_llada: Path) -> Path:
    copy = tmp_path / "copy"
    shutil.copytree(tiny_llada, copy)
    return copy


def fault(folder: Path) -> str:
    with pytest.raises(UsageError) as caught:
        load_model(str(folder), device="cpu")
    assert "\n" not in str(caught.value)
    return str(caught.value)


def rewrite(folder: Path, change: Callable[[dict[str, torch.Tensor]], object]) -> None:
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors")


def test_missing_tensor(folder: Path) -> None:
    rewrite(folder, lambda tensors: tensors.pop(HEAD))
    assert f"lacks the tensor {HEAD}" in fault(folder)


def test_surplus_tensor(folder: Path) -> None:
    rewrite(folder, lambda tensors: tensors.update({"model.extra": torch.zeros(2)}))
    assert "holds the tensor model.extra" in fault(folder)


def test_wrong_shape(folder: Path) -> None:
    rewrite(folder, lambda tensors: tensors.update({HEAD: torch.zeros(320, 31)}))
    message = fault(folder)
    assert HEAD in message
    assert "(320, 31)" in message
    assert "(320, 32)" in message


@pytest.mark.parametrize("keep", [0, 5, 100, -1, -1000])
def test_truncated_file(folder: Path, keep: int) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:keep])
    assert "model.safetensors is corrupt or truncated" in fault(folder)


def test_garbage_file(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(b"not a tensor in sight" * 100)
    assert "model.safetensors is corrupt or truncated" in fault(folder)


def test_missing_shard(tmp_path: Path, tiny_llada_sharded: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(tiny_llada_sharded, copy)
    (copy / "model-00002-of-00003.safetensors").unlink()
    assert "lacks the shard model-00002-of-00003.safetensors" in fault(copy)


def test_no_weights_and_a_pickle(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    assert "pytorch_model.bin is a pickle, which is never opened" in fault(folder)


def test_missing_config(folder: Path) -> None:
    (folder / "config.json").unlink()
    assert "has no config.json" in fault(folder)


def test_malformed_config(folder: Path) -> None:
    (folder / "config.json").write_text("{")
    assert "config.json is not valid JSON" in fault(folder)


def test_missing_tokenizer(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()
    assert "has no tokenizer.json" in fault(folder)


def test_malformed_tokenizer(folder: Path) -> None:
    (folder / "tokenizer.json").write_text("{}")
    assert "the tokenizer in" in fault(folder)


def test_unknown_model_type_says_what_to_pass(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"model_type": "mystery"}))
    message = fault(folder)
    assert "model_type 'mystery'" in message
    assert "known: " in message
    assert "family=NAME" in message
    assert load_model(str(folder), family="llada").family.name == "llada"


def test_unknown_family(folder: Path) -> None:
    with pytest.raises(UsageError, match=r"unknown family 'lada' \(did you mean 'llada'\?\)"):
        load_model(str(folder), family="lada")


def test_missing_folder() -> None:
    with pytest.raises(UsageError, match=r"no model '\./nowhere': not a folder"):
        resolve_checkpoint("./nowhere")


def test_a_hub_id_offline() -> None:
    with pytest.raises(UsageError, match="no model 'nobody/nothing': not a folder here, and the"):
        resolve_checkpoint("nobody/nothing")


@pytest.mark.parametrize(("argument", "value"), [("dtype", "float8"), ("device", "abacus")])
def test_bad_dtype_and_device(tiny_llada: Path, argument: str, value: str) -> None:
    with pytest.raises(UsageError, match=f"unknown {argument} '{value}'"):
        load_model(str(tiny_llada), **{argument: value})


def test_ids_that_contradict_the_card(tmp_path: Path, tiny_llada: Path) -> None:
    copy = tmp_path / "LLaDA-8B-Base"
    shutil.copytree(tiny_llada, copy)
    assert "has mask_id 1, the card of LLaDA-8B-Base 126336" in fault(copy)


def test_same_arguments_same_object(tiny_llada: Path) -> None:
    assert load_model(str(tiny_llada)) is load_model(str(tiny_llada), family=None)


def test_dtype_as_stored_and_as_asked(folder: Path) -> None:
    rewrite(folder, lambda t: t.update({name: value.bfloat16() for name, value in t.items()}))
    assert load_model(str(folder)).dtype == torch.bfloat16
    asked = load_model(str(folder), dtype="float32")
    assert isinstance(asked, ModelDenoiser)
    assert {p.dtype for p in asked.body.parameters()} == {torch.float32}


def test_loaded_weights_do_not_hang_on_the_file(folder: Path) -> None:
    model = load_model(str(folder))
    before = model.logits(torch.tensor([[1, 2]])).clone()
    path = folder / "model.safetensors"
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(size // 2)
        file.write(b"\0" * (size // 2))
    assert torch.equal(model.logits(torch.tensor([[1, 2]])), before)


def test_a_buffer_without_value_is_named(tmp_path: Path) -> None:
    save_file({"w": torch.ones(2, 2)}, tmp_path / "model.safetensors")
    module = torch.nn.Linear(2, 2, bias=False, device="meta")
    module.register_buffer("table", torch.zeros(3, device="meta"))
    with pytest.raises(UsageError, match="gives no value for table"):
        load_weights(
            module, tmp_path, {"weight": "w"}, dtype=torch.float32, device=torch.device("cpu")
        )


def test_autoregressive_never_reinitialises(tmp_path: Path, tiny_llama: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(tiny_llama, copy)
    rewrite(copy, lambda tensors: tensors.pop("model.layers.1.mlp.up_proj.weight"))
    with pytest.raises(UsageError, match=r"lacks the tensor model\.layers\.1\.mlp\.up_proj"):
        load_autoregressive(str(copy))


def test_autoregressive_refuses_a_diffusion_model(tiny_llada: Path) -> None:
    with pytest.raises(UsageError, match="is a diffusion model"):
        load_autoregressive(str(tiny_llada))


def test_weights_hash_follows_the_content(folder: Path, tiny_llada: Path) -> None:
    assert weights_hash(folder) == weights_hash(tiny_llada)
    rewrite(folder, lambda tensors: tensors[HEAD].add_(1))
    assert weights_hash(folder) != weights_hash(tiny_llada)


@pytest.mark.parametrize(
    "name", ["config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json"]
)
def test_weights_hash_covers_what_else_changes_an_answer(folder: Path, name: str) -> None:
    before = weights_hash(folder)
    path = folder / name
    path.write_text((path.read_text() if path.exists() else "{}") + "\n")
    assert weights_hash(folder) != before
    (folder / "README.md").write_text("no matter")
    assert weights_hash(folder) != before


def test_weights_hash_knows_a_file_by_its_name(folder: Path) -> None:
    before = weights_hash(folder)
    (folder / "config.json").rename(folder / "generation_config.json")
    assert weights_hash(folder) != before


def test_changed_weights_are_loaded_anew(folder: Path) -> None:
    first = load_model(str(folder))
    assert load_model(str(folder)) is first
    rewrite(folder, lambda tensors: tensors[HEAD].mul_(2))
    token_ids = torch.tensor([[1, 2]])
    assert torch.allclose(load_model(str(folder)).logits(token_ids), 2 * first.logits(token_ids))


def test_shipped_names_are_folders_of_the_package() -> None:
    for name in loading.SHIPPED:
        assert (resolve_checkpoint(name) / "config.json").is_file()
