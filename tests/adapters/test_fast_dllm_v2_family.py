"""Fast-dLLM v2's native module against the architecture written out slowly, and its files."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from checkpoints import fast_dllm_v2
from qwen_oracle import QwenOracle, block_causal
from torch import Tensor

from dllm_eval import log_likelihood
from dllm_eval.errors import UsageError
from dllm_eval.loading import load_model

IDS = [5, 280, 17, 99, 1, 3, 42, 3, 3, 77, 200]


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    return fast_dllm_v2.write(tmp_path / "model", bd_size=4)


def shifted(folder: Path, ids: list[int], block_length: int) -> Tensor:
    """(length, vocab): the row that predicts each place is its left neighbour's."""
    rows = QwenOracle(folder).rows(ids, block_causal(block_length))
    return torch.cat([rows[:1], rows[:-1]])


def edit_config(folder: Path, **changes: Any) -> None:
    """Sets entries of config.json; None takes one out."""
    path = folder / "config.json"
    entries = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({k: v for k, v in entries.items() if v is not None}))


@pytest.mark.parametrize(
    "changes",
    [
        {"bd_size": 4},
        {"bd_size": 8, "num_key_value_heads": 4},
        {"bd_size": 32, "tie_word_embeddings": True},
        {"bd_size": 4, "rms_norm_eps": 1e-2, "rope_theta": 100.0, "num_hidden_layers": 3},
    ],
    ids=str,
)
def test_logits_equal_the_written_out_architecture(changes: dict[str, Any], tmp_path: Path) -> None:
    folder = fast_dllm_v2.write(tmp_path / "model", **changes)
    expected = shifted(folder, IDS, changes["bd_size"])
    found = load_model(str(folder), device="cpu").logits(torch.tensor([IDS]))[0].double()
    assert (found - expected).abs().max() < 1e-4 * expected.abs().max()


def test_padding_is_hidden_and_blocks_count_from_the_first_token(tiny: Path) -> None:
    model = load_model(str(tiny), device="cpu")
    expected = shifted(tiny, IDS, 4).float()
    for left in (1, 3, 4):
        row = [9] * left + IDS + [8] * (4 - left)
        valid = torch.tensor([[left <= i < left + len(IDS) for i in range(len(row))]])
        for filler in (0, 200):
            canvas = torch.tensor([row]).where(valid, torch.tensor(filler))
            found = model.logits(canvas, valid=valid)[0, left + 1 : left + len(IDS)]
            assert (found - expected[1:]).abs().max() < 2e-4


def test_a_blocks_first_row_sees_only_finished_blocks(tiny: Path) -> None:
    model = load_model(str(tiny), device="cpu")
    before = model.logits(torch.tensor([[5, 6, 7, 8, 9, 10, 11, 12]]))[0]
    after = model.logits(torch.tensor([[5, 6, 7, 8, 99, 10, 11, 12]]))[0]
    torch.testing.assert_close(before[:5], after[:5])
    assert (before[5] - after[5]).abs().max() > 1e-3


@pytest.mark.parametrize("rows", [slice(1, 6), slice(4, 5), slice(0, 1), slice(5, 8)], ids=str)
def test_some_rows_are_the_same_rows_of_all(rows: slice, tiny: Path) -> None:
    model = load_model(str(tiny), device="cpu")
    ids = torch.tensor([IDS[:8]])
    assert torch.allclose(model.logits(ids, rows=rows), model.logits(ids)[:, rows], atol=1e-5)


def test_shards_and_one_file_give_the_same_model(tmp_path: Path) -> None:
    ids = torch.tensor([[1, 2, 3, 250]])
    one = load_model(str(fast_dllm_v2.write(tmp_path / "one")), device="cpu")
    many = load_model(str(fast_dllm_v2.write(tmp_path / "many", shards=3)), device="cpu")
    torch.testing.assert_close(one.logits(ids), many.logits(ids))


def test_a_one_token_target_is_scored_by_its_left_neighbours_row(tiny: Path) -> None:
    model = load_model(str(tiny), device="cpu")
    for length in (3, 4, 6):
        context, target = [5, 280, 17, 99, 1, 42][:length], 77
        row = shifted(tiny, [*context, 3], 4)[-1]
        found = log_likelihood(model, context, [target])
        assert found.exact
        assert found.value == pytest.approx(float(row.log_softmax(dim=0)[target]), abs=1e-4)


def test_at_block_length_1_the_likelihood_is_the_autoregressive_one(tmp_path: Path) -> None:
    folder = fast_dllm_v2.write(tmp_path / "model", bd_size=1)
    context, target = [5, 280], [17, 99, 1]
    rows = shifted(folder, context + target, 1).log_softmax(dim=1)
    expected = sum(float(rows[2 + i, token]) for i, token in enumerate(target))
    found = log_likelihood(load_model(str(folder), device="cpu"), context, target)
    assert found.exact
    assert found.value == pytest.approx(expected, abs=1e-4)


def test_facts_come_from_the_checkpoint(tiny: Path) -> None:
    family = load_model(str(tiny)).family
    assert (family.name, family.mask_id, family.eos_id) == ("fast_dllm_v2", 3, 2)
    assert family.end_ids == (2,)  # the released code does not stop at <|endoftext|>
    assert (family.attention, family.block_length, family.logits_shift) == ("block_causal", 4, 1)
    assert (family.context_length, family.pad_id) == (256, 2)
    edit_config(tiny, bd_size=None)
    assert load_model(str(tiny)).family.block_length == 32


@pytest.mark.parametrize(
    ("entry", "value", "message"),
    [
        ("use_sliding_window", True, "use_sliding_window is True"),
        ("layer_types", ["full_attention", "sliding_attention"], "layer_types has 'sliding_att"),
        ("hidden_act", "gelu", "hidden_act is 'gelu'"),
        ("rope_scaling", {"type": "linear", "factor": 2.0}, "rope_scaling is 'linear'"),
        ("bd_size", 0, "bd_size is 0, not a whole number of at least 1"),
        ("num_attention_heads", 5, "hidden_size 32 is not a multiple of num_attention_heads 5"),
        ("eos_token_id", [2, 0], r"eos_token_id is \[2, 0\], not a token id"),
        ("eos_token_id", 3, "are both 3"),
        ("mask_token_id", 7, r"mask_token_id 7.*\|<MASK>\|.* the id 3$"),
    ],
)
def test_what_cannot_be_loaded_is_refused_by_name(
    entry: str, value: object, message: str, tiny: Path
) -> None:
    edit_config(tiny, **{entry: value})
    with pytest.raises(UsageError, match=message):
        load_model(str(tiny))


def test_a_missing_bias_is_named(tmp_path: Path) -> None:
    folder = fast_dllm_v2.write(tmp_path / "model")
    edit_config(folder, num_hidden_layers=3, layer_types=["full_attention"] * 3)
    with pytest.raises(UsageError, match=r"lacks the tensor model\.layers\.2\."):
        load_model(str(folder))


def test_a_tokenizer_without_a_mask_token(tiny: Path) -> None:
    path = tiny / "tokenizer.json"
    path.write_text(path.read_text().replace("|<MASK>|", "|<other>|"))
    with pytest.raises(UsageError, match=r"no mask token '\|<MASK>\|'"):
        load_model(str(tiny))
