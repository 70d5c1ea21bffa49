"""SDAR's native module against the architecture written out slowly, and its file format."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from checkpoints import sdar, sdar_moe
from qwen_oracle import QwenOracle, block_causal

from dllm_eval import log_likelihood
from dllm_eval.errors import UsageError
from dllm_eval.loading import load_model

IDS = [5, 280, 17, 99, 1, 3, 42, 3, 3, 77, 200]


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    return sdar.write(tmp_path / "model")


def edit_config(folder: Path, **changes: Any) -> None:
    """Sets entries of config.json; None takes one out."""
    path = folder / "config.json"
    entries = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({k: v for k, v in entries.items() if v is not None}))


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"block_size": 8},
        {"head_dim": 8, "num_key_value_heads": 4},
        {"tie_word_embeddings": True},
        {"rms_norm_eps": 1e-2, "rope_theta": 100.0},
    ],
    ids=str,
)
def test_dense_logits_equal_the_written_out_architecture(
    changes: dict[str, Any], tmp_path: Path
) -> None:
    folder = sdar.write(tmp_path / "model", **changes)
    expected = QwenOracle(folder).rows(IDS, block_causal(changes.get("block_size", 4)))
    found = load_model(str(folder), device="cpu").logits(torch.tensor([IDS]))[0].double()
    assert (found - expected).abs().max() < 1e-4 * expected.abs().max()


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"norm_topk_prob": False, "num_experts_per_tok": 1},
        {"num_experts": 5, "num_experts_per_tok": 5},
        {"mlp_only_layers": [0]},
        {"decoder_sparse_step": 2},
    ],
    ids=str,
)
def test_expert_logits_equal_the_written_out_architecture(
    changes: dict[str, Any], tmp_path: Path
) -> None:
    folder = sdar_moe.write(tmp_path / "model", **changes)
    expected = QwenOracle(folder).rows(IDS, block_causal(4))
    model = load_model(str(folder), device="cpu")
    for rows in (1, 3):
        found = model.logits(torch.tensor([IDS] * rows)).double()
        assert (found - expected).abs().max() < 1e-4 * expected.abs().max()


def test_padding_is_hidden_and_blocks_count_from_the_first_token(tiny: Path) -> None:
    model = load_model(str(tiny), device="cpu")
    expected = QwenOracle(tiny).rows(IDS, block_causal(4)).float()
    for left in (0, 3, 4):
        row = [9] * left + IDS + [8] * (4 - left)
        valid = torch.tensor([[left <= i < left + len(IDS) for i in range(len(row))]])
        for filler in (0, 200):
            canvas = torch.tensor([row]).where(valid, torch.tensor(filler))
            found = model.logits(canvas, valid=valid)[0, left : left + len(IDS)]
            assert (found - expected).abs().max() < 2e-4


def test_a_block_sees_itself_whole_and_nothing_behind_it(tiny: Path) -> None:
    model = load_model(str(tiny), device="cpu")
    before = model.logits(torch.tensor([[5, 6, 7, 8, 9, 10, 11, 12]]))[0]
    after = model.logits(torch.tensor([[5, 6, 7, 8, 9, 10, 11, 99]]))[0]
    torch.testing.assert_close(before[:4], after[:4])
    assert (before[4] - after[4]).abs().max() > 1e-3


def test_rows_within_a_block_still_see_all_of_it(tiny: Path) -> None:
    model = load_model(str(tiny), device="cpu")
    ids = torch.tensor([IDS[:8]])
    assert torch.allclose(model.logits(ids, rows=slice(1, 6)), model.logits(ids)[:, 1:6], atol=1e-5)


@pytest.mark.parametrize("writer", [sdar, sdar_moe], ids=["dense", "experts"])
def test_shards_and_one_file_give_the_same_model(writer: Any, tmp_path: Path) -> None:
    ids = torch.tensor([[1, 2, 3, 250]])
    one = load_model(str(writer.write(tmp_path / "one")), device="cpu")
    many = load_model(str(writer.write(tmp_path / "many", shards=3)), device="cpu")
    torch.testing.assert_close(one.logits(ids), many.logits(ids))


@pytest.mark.parametrize("writer", [sdar, sdar_moe], ids=["dense", "experts"])
def test_bfloat16_stays_near_float32(writer: Any, tmp_path: Path) -> None:
    folder = writer.write(tmp_path / "model")
    ids = torch.tensor([IDS])
    exact = load_model(str(folder), device="cpu").logits(ids)
    rounded = load_model(str(folder), device="cpu", dtype="bfloat16").logits(ids)
    assert rounded.dtype == torch.bfloat16
    assert (rounded.float() - exact).abs().mean() < 0.05 * exact.abs().mean()


def test_a_one_token_target_is_scored_exactly_behind_its_block_so_far(tiny: Path) -> None:
    model = load_model(str(tiny), device="cpu")
    for length in (3, 4, 6):
        context, target = [5, 280, 17, 99, 1, 42][:length], 77
        row = QwenOracle(tiny).rows([*context, 3], block_causal(4))[-1]
        found = log_likelihood(model, context, [target])
        assert found.exact
        assert found.value == pytest.approx(float(row.log_softmax(dim=0)[target]), abs=1e-4)


def test_at_block_length_1_a_text_is_scored_exactly_token_by_token(tmp_path: Path) -> None:
    folder = sdar.write(tmp_path / "model", block_size=1)
    context, target, expected = [5, 280], [17, 99, 1], 0.0
    for i, token in enumerate(target):
        row = QwenOracle(folder).rows([*context, *target[:i], 3], block_causal(1))[-1]
        expected += float(row.log_softmax(dim=0)[token])
    found = log_likelihood(load_model(str(folder), device="cpu"), context, target)
    assert found.exact
    assert found.value == pytest.approx(expected, abs=1e-4)


def test_facts_come_from_the_checkpoint(tiny: Path) -> None:
    family = load_model(str(tiny)).family
    assert (family.name, family.mask_id, family.eos_id, family.eot_id) == ("sdar", 3, 0, 2)
    assert (family.attention, family.block_length, family.logits_shift) == ("block_causal", 4, 0)
    assert family.context_length == 256


def test_a_config_without_the_diffusion_entries_means_the_default_model(tiny: Path) -> None:
    edit_config(tiny, block_size=None, mask_token_id=None)
    family = load_model(str(tiny)).family
    assert (family.mask_id, family.block_length) == (3, 4)


def test_the_other_published_name_of_the_mask(tiny: Path) -> None:
    for name in ("tokenizer.json", "tokenizer_config.json"):
        text = (tiny / name).read_text().replace("<|MASK|>", "<MASK>")
        (tiny / name).write_text(text.replace('"mask_token": "<MASK>"', '"mask_token": null'))
    assert load_model(str(tiny)).family.mask_id == 3


@pytest.mark.parametrize(
    ("entry", "value", "message"),
    [
        ("attention_bias", True, "attention_bias is True"),
        ("use_sliding_window", True, "use_sliding_window is True"),
        ("hidden_act", "gelu", "hidden_act is 'gelu'"),
        ("rope_scaling", {"rope_type": "yarn", "factor": 4.0}, "rope_scaling is 'yarn'"),
        ("block_size", 0, "block_size is 0, not a whole number of at least 1"),
        ("hidden_size", "32", "hidden_size is '32', not a whole number"),
        ("eos_token_id", [0, 2], r"eos_token_id is \[0, 2\], not a token id"),
        ("mask_token_id", 7, r"mask_token_id 7.*<\|MASK\|>.* the id 3$"),
        ("eos_token_id", 3, "are both 3"),
    ],
)
def test_what_cannot_be_loaded_is_refused_by_name(
    entry: str, value: object, message: str, tiny: Path
) -> None:
    edit_config(tiny, **{entry: value})
    with pytest.raises(UsageError, match=message):
        load_model(str(tiny))


@pytest.mark.parametrize("entry", ["num_experts", "norm_topk_prob"])
def test_an_expert_model_must_say_how_it_routes(entry: str, tmp_path: Path) -> None:
    folder = sdar_moe.write(tmp_path / "model")
    edit_config(folder, **{entry: None})
    with pytest.raises(UsageError, match=f"{entry} is None"):
        load_model(str(folder))


def test_a_missing_expert_is_named(tmp_path: Path) -> None:
    folder = sdar_moe.write(tmp_path / "model")
    edit_config(folder, num_experts=9)
    with pytest.raises(UsageError, match=r"shape \(8, 32\)|lacks the tensor .*experts\.8\."):
        load_model(str(folder))


def test_a_tokenizer_without_a_mask_token(tiny: Path) -> None:
    for name in ("tokenizer.json", "tokenizer_config.json"):
        text = (tiny / name).read_text().replace("<|MASK|>", "<|other|>")
        (tiny / name).write_text(text.replace('"mask_token": "<|other|>"', '"mask_token": null'))
    with pytest.raises(UsageError, match=r"no mask token '<\|MASK\|>'"):
        load_model(str(tiny))
