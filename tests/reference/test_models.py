"""The shipped models: hashes, sizes, formats and the direction of their attention."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, LlamaForCausalLM

from dllm_eval.reference import AR_DIR, DIFFUSION_DIR
from dllm_eval.reference.export import (
    llada_config,
    llada_name,
    load_diffusion,
    save_diffusion,
    weights_sha256,
)
from dllm_eval.reference.model import build_model
from dllm_eval.reference.tokenizer import encode


def _changes_first_row(model: LlamaForCausalLM) -> bool:
    ids = torch.tensor([encode("def f(x):\n")])
    other = ids.clone()
    other[0, -1] = ids[0, 0]
    with torch.no_grad():
        difference = model(input_ids=ids).logits[0, 0] - model(input_ids=other).logits[0, 0]
    return bool(difference.abs().max() > 1e-4)


def test_weights_have_the_logged_hash_and_size(training_log: dict[str, Any]) -> None:
    folder: Path = training_log["folder"]
    assert weights_sha256(folder) == training_log["weights_sha256"]
    assert (folder / "model.safetensors").stat().st_size < 4 * 2**20
    assert training_log["num_updates"] == training_log["num_updates_planned"]


def test_both_models_saw_the_same_documents() -> None:
    logs = [json.loads((d / "training.json").read_text("utf-8")) for d in (DIFFUSION_DIR, AR_DIR)]
    for key in ("corpus_sha256", "num_documents", "num_updates", "seed", "optimizer"):
        assert logs[0][key] == logs[1][key]


def test_diffusion_folder_is_a_llada_checkpoint_without_remote_code() -> None:
    config = json.loads((DIFFUSION_DIR / "config.json").read_text("utf-8"))
    assert config == llada_config()
    assert "auto_map" not in config
    names = set(load_file(DIFFUSION_DIR / "model.safetensors"))
    assert "model.transformer.blocks.3.ff_proj.weight" in names
    assert len(names) == 3 + 9 * config["n_layers"]


def test_an_unknown_tensor_has_no_llada_name() -> None:
    with pytest.raises(ValueError, match=r"no LLaDA name for tensor 'model\.extra'"):
        llada_name("model.extra")


def test_autoregressive_folder_loads_in_stock_transformers() -> None:
    model = AutoModelForCausalLM.from_pretrained(AR_DIR)
    assert isinstance(model, LlamaForCausalLM)
    assert sum(parameter.numel() for parameter in model.parameters()) < 1_300_000
    assert not _changes_first_row(model.train(mode=False))


def test_diffusion_model_sees_the_future() -> None:
    assert _changes_first_row(load_diffusion(DIFFUSION_DIR))


def test_diffusion_folder_round_trips(tmp_path: Path) -> None:
    model = build_model(5, causal=False).train(mode=False)
    save_diffusion(model, tmp_path)
    ids = torch.tensor([encode("Today")])
    torch.testing.assert_close(load_diffusion(tmp_path)(ids).logits, model(ids).logits)
