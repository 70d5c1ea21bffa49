"""The native LLaDA2 module against the architecture written out slowly, and its file format."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from bailing_oracle import BailingOracle
from checkpoints import llada2, llada21
from safetensors.torch import load_file, save_file

from dllm_eval.attention import KeyValues
from dllm_eval.errors import UsageError
from dllm_eval.loading import load_model

BLOCK = 32
MASK = 1
IDS = [(37 * i + 11) % 290 + 3 for i in range(33)] + [MASK] * 6


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    return llada2.write(tmp_path / "model")


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"use_bias": True, "use_qkv_bias": True, "use_qk_norm": False},
        {"partial_rotary_factor": 1.0, "rms_norm_eps": 1e-2, "rope_theta": 100.0},
        {"tie_word_embeddings": True, "num_key_value_heads": 4, "first_k_dense_replace": 3},
        {"num_experts_per_tok": 1, "num_shared_experts": 0, "first_k_dense_replace": 0},
        {"num_experts": 16, "n_group": 8, "num_experts_per_tok": 4, "num_shared_experts": 2},
        {"n_group": 1, "topk_group": 1, "routed_scaling_factor": 1.0, "num_key_value_heads": 1},
    ],
    ids=str,
)
def test_logits_equal_the_written_out_architecture(changes: dict[str, Any], tmp_path: Path) -> None:
    folder = llada2.write(tmp_path / "model", **changes)
    expected = BailingOracle(folder).rows(IDS, BLOCK)
    model = load_model(str(folder), family="llada2", device="cpu")
    for rows in (1, 3):
        found = model.logits(torch.tensor([IDS] * rows)).double()
        assert (found - expected).abs().max() < 1e-5 * expected.abs().max()


def test_a_block_sees_itself_and_nothing_behind_it(tiny: Path) -> None:
    model = load_model(str(tiny), family="llada2", device="cpu")
    before = model.logits(torch.tensor([IDS]))[0]
    later, inside = list(IDS), list(IDS)
    later[-1], inside[BLOCK - 1] = 77, 77
    after_later = model.logits(torch.tensor([later]))[0]
    torch.testing.assert_close(before[:BLOCK], after_later[:BLOCK])
    assert (before[BLOCK] - after_later[BLOCK]).abs().max() > 1e-3
    after_inside = model.logits(torch.tensor([inside]))[0]
    assert (before[0] - after_inside[0]).abs().max() > 1e-3


def test_padding_is_hidden_on_either_side(tiny: Path) -> None:
    model = load_model(str(tiny), family="llada2", device="cpu")
    expected = BailingOracle(tiny).rows(IDS, BLOCK).float()
    for left in (0, BLOCK):
        row = [9] * left + IDS + [8] * (BLOCK - left)
        valid = torch.tensor([[left <= i < left + len(IDS) for i in range(len(row))]])
        for filler in (0, 200):
            canvas = torch.tensor([row]).where(valid, torch.tensor(filler))
            found = model.logits(canvas, valid=valid)[0, left : left + len(IDS)]
            assert (found - expected).abs().max() < 1e-5 * expected.abs().max()


def test_finished_blocks_are_read_from_the_cache_exactly(tiny: Path) -> None:
    model = load_model(str(tiny), family="llada2", device="cpu")
    ids = torch.tensor([IDS + IDS[:25]])
    whole = model.logits(ids)
    cache = KeyValues(ids.shape[1])
    for start in range(0, 64, BLOCK):
        block = slice(start, min(start + BLOCK, 64))
        cache.keep = start
        for _ in range(2):
            found = model.logits(ids, rows=block, cache=cache)
            assert (found - whole[:, block]).abs().max() < 1e-5 * whole.abs().max()
        assert cache.length == start


def test_the_bias_of_an_expert_joins_in_the_choice_alone(tmp_path: Path) -> None:
    """With all experts chosen there is no choice, so that no bias can change anything."""
    changes = {"num_experts_per_tok": 8, "n_group": 1, "topk_group": 1}
    folder = llada2.write(tmp_path / "model", **changes)
    before = load_model(str(folder), family="llada2", device="cpu").logits(torch.tensor([IDS]))
    tensors = load_file(folder / "model.safetensors")
    for name in [name for name in tensors if name.endswith("expert_bias")]:
        tensors[name] = torch.linspace(-5, 5, 8)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    after = load_model(str(folder), family="llada2", device="cpu").logits(torch.tensor([IDS]))
    assert (before - after).abs().max() < 1e-5 * before.abs().max()


def test_bfloat16_stays_near_float32(tiny: Path) -> None:
    exact = load_model(str(tiny), family="llada2", device="cpu").logits(torch.tensor([IDS]))
    rounded = load_model(str(tiny), family="llada2", device="cpu", dtype="bfloat16").logits(
        torch.tensor([IDS])
    )
    assert rounded.dtype == torch.bfloat16
    # A token whose router is nearly undecided may take another expert, so not every row is near.
    error = (rounded.float() - exact).abs().amax(dim=-1)
    assert error.median() < 0.05 * exact.abs().max()


def test_shards_and_one_file_give_the_same_model(tiny: Path, tmp_path: Path) -> None:
    sharded = llada2.write(tmp_path / "sharded", shards=3)
    one, many = load_model(str(tiny), family="llada2"), load_model(str(sharded), family="llada2")
    torch.testing.assert_close(one.logits(torch.tensor([IDS])), many.logits(torch.tensor([IDS])))


def test_facts_come_from_the_checkpoint(tiny: Path) -> None:
    family = load_model(str(tiny), family="llada2").family
    assert (family.name, family.mask_id, family.eos_id, family.eot_id) == ("llada2", 1, 0, 2)
    assert (family.attention, family.block_length) == ("block_causal", 32)
    assert (family.logits_shift, family.context_length, family.pad_id) == (0, 512, 0)
    assert "edit_threshold" not in family.decoding


def test_a_chat_tokenizer_may_call_the_end_of_turn_its_end(tiny: Path) -> None:
    config = json.loads((tiny / "tokenizer_config.json").read_text())
    config["eos_token"] = llada2.END_OF_TURN
    (tiny / "tokenizer_config.json").write_text(json.dumps(config))
    edit(tiny, eos_token_id=0)
    family = load_model(str(tiny), family="llada2").family
    assert (family.eos_id, family.eot_id, family.end_ids) == (0, 2, (0, 2))


def test_the_editing_family_is_asked_for_by_name(tmp_path: Path) -> None:
    folder = llada21.write(tmp_path / "model")
    plain, editing = (
        load_model(str(folder), family="llada2"),
        load_model(str(folder), family="llada21"),
    )
    assert (plain.family.name, editing.family.name) == ("llada2", "llada21")
    assert editing.family.decoding["edit_threshold"] == 0.5
    torch.testing.assert_close(
        plain.logits(torch.tensor([IDS])), editing.logits(torch.tensor([IDS]))
    )


@pytest.mark.parametrize(
    ("entry", "value"),
    [
        ("hidden_act", "gelu"),
        ("rope_scaling", {"type": "yarn"}),
        ("use_sliding_window", True),
        ("norm_head", True),
        ("score_function", "softmax"),
        ("norm_topk_prob", False),
        ("moe_router_enable_expert_bias", False),
    ],
)
def test_what_the_native_module_cannot_express_is_refused_by_name(
    entry: str, value: object, tiny: Path
) -> None:
    edit(tiny, **{entry: value})
    with pytest.raises(UsageError, match=entry):
        load_model(str(tiny), family="llada2")


@pytest.mark.parametrize(
    ("entry", "value", "words"),
    [
        ("num_experts", None, r"expert_bias has shape \(8,\), config.json asks for \(16,\)"),
        ("moe_intermediate_size", None, "moe_intermediate_size is None"),
        ("num_key_value_heads", 3, "4 is not a multiple of num_key_value_heads 3"),
        ("n_group", 3, "8 is not a multiple of n_group 3"),
        ("n_group", 8, "n_group 8 leaves 1 of 8 experts"),
        ("num_experts_per_tok", 5, "num_experts_per_tok 5 is more than the 4 experts"),
        ("mask_token_id", 7, "mask_token_id 7, but the tokenizer gives .* the id 1$"),
        ("eos_token_id", 9, "eos_token_id 9, but the tokenizer gives .* the id 0$"),
    ],
)
def test_a_config_that_contradicts_itself_or_the_files(
    entry: str, value: object, words: str, tiny: Path
) -> None:
    edit(tiny, **{entry: value})
    with pytest.raises(UsageError, match=words):
        load_model(str(tiny), family="llada2")


def test_a_missing_expert_is_named(tiny: Path) -> None:
    tensors = load_file(tiny / "model.safetensors")
    gone = "model.layers.2.mlp.experts.5.up_proj.weight"
    del tensors[gone]
    save_file(tensors, tiny / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UsageError, match=f"lacks the tensor {gone}"):
        load_model(str(tiny), family="llada2")


def test_a_tokenizer_without_a_mask_token(tiny: Path) -> None:
    for name in ("tokenizer.json", "tokenizer_config.json"):
        text = (tiny / name).read_text()
        (tiny / name).write_text(text.replace("<|mask|>", "<|other|>"))
    config = json.loads((tiny / "tokenizer_config.json").read_text())
    del config["mask_token"]
    (tiny / "tokenizer_config.json").write_text(json.dumps(config))
    with pytest.raises(UsageError, match=r"no mask token '<\|mask\|>'"):
        load_model(str(tiny), family="llada2")


def edit(folder: Path, **changes: Any) -> None:
    """Sets entries of config.json; None takes one out."""
    path = folder / "config.json"
    entries = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({k: v for k, v in entries.items() if v is not None}))
