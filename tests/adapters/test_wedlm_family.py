"""The native WeDLM module against its architecture written out slowly, and its file format."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from checkpoints import wedlm
from slow_qwen import slow_logits
from torch import Tensor

from dllm_eval.errors import UsageError
from dllm_eval.loading import load_model

MASK = 3
IDS = [5, 280, 17, MASK, 99, MASK, MASK, 42, 0, MASK, 77, MASK]


def expected_logits(ids: list[int], folder: Path) -> Tensor:
    """Causal attention over the known tokens first and the masks behind them (arXiv 2512.22737).

    Each keeps its own rotary position; a row predicts its own position.
    """
    known = [i for i, token in enumerate(ids) if token != MASK]
    order = known + [i for i, token in enumerate(ids) if token == MASK]
    looks = [order[: order.index(i) + 1] for i in range(len(ids))]
    return slow_logits(ids, folder, looks)


@pytest.mark.parametrize("shape", ["7b", "8b"])
@pytest.mark.parametrize(
    "changes", [{}, {"tie_word_embeddings": True}, {"rope_theta": 100.0}], ids=str
)
def test_logits_equal_the_written_out_architecture(
    shape: wedlm.Shape, changes: dict[str, Any], tmp_path: Path
) -> None:
    folder = wedlm.write(tmp_path / "model", shape=shape, **changes)
    model = load_model(str(folder), device="cpu")
    found = model.logits(torch.tensor([IDS]))[0].double()
    assert (found - expected_logits(IDS, folder)).abs().max() < 1e-5


@pytest.mark.parametrize("shape", ["7b", "8b"])
def test_padding_and_rows_leave_the_logits_as_they_are(shape: wedlm.Shape, tmp_path: Path) -> None:
    folder = wedlm.write(tmp_path / "model", shape=shape)
    model = load_model(str(folder), device="cpu")
    for ids in (IDS, [MASK, MASK, 5, MASK]):  # the second begins with masks, as no prompt does
        expected = expected_logits(ids, folder).float()
        for left in (0, 1, 3):
            row = torch.tensor([[9] * left + ids + [8] * (3 - left)])
            valid = torch.tensor([[left <= i < left + len(ids) for i in range(row.shape[1])]])
            found = model.logits(row, valid=valid)[0, left : left + len(ids)]
            assert (found - expected).abs().max() < 1e-5
            part = model.logits(row, valid=valid, rows=slice(left + 1, left + len(ids)))[0]
            assert (part - expected[1:]).abs().max() < 1e-5


def test_masks_far_behind_change_nothing(tmp_path: Path) -> None:
    model = load_model(str(wedlm.write(tmp_path / "model")), device="cpu")
    near = model.logits(torch.tensor([IDS]))[0]
    far = model.logits(torch.tensor([IDS + [MASK] * 20]))[0, : len(IDS)]
    assert (near - far).abs().max() < 1e-5


def test_shards_and_one_file_give_the_same_model(tmp_path: Path) -> None:
    one = load_model(str(wedlm.write(tmp_path / "one")), device="cpu")
    many = load_model(str(wedlm.write(tmp_path / "many", shards=3)), device="cpu")
    torch.testing.assert_close(one.logits(torch.tensor([IDS])), many.logits(torch.tensor([IDS])))


@pytest.mark.parametrize("shape", ["7b", "8b"])
def test_facts_come_from_the_checkpoint(shape: wedlm.Shape, tmp_path: Path) -> None:
    family = load_model(str(wedlm.write(tmp_path / "model", shape=shape)), device="cpu").family
    assert (family.name, family.mask_id, family.eos_id, family.eot_id) == ("wedlm", 3, 0, 2)
    assert (family.attention, family.logits_shift) == ("reordered", 0)
    assert (family.context_length, family.likelihood) == (512, "left_to_right")


def test_a_null_mask_id_means_the_published_engines(tmp_path: Path) -> None:
    folder = wedlm.write(tmp_path / "small", mask_token_id=None)
    with pytest.raises(UsageError, match="is 151665, not a token id below vocab_size 320"):
        load_model(str(folder), device="cpu")
    folder = wedlm.write(
        tmp_path / "large",
        mask_token_id=None,
        vocab_size=151666,
        hidden_size=8,
        num_attention_heads=1,
        num_key_value_heads=1,
    )
    assert load_model(str(folder), device="cpu").family.mask_id == 151665


@pytest.mark.parametrize(
    ("entry", "value"),
    [
        ("hidden_act", "gelu"),
        ("use_sliding_window", True),
        ("rope_scaling", {"rope_type": "yarn", "factor": 4.0}),
        ("attention_bias", True),
        ("qk_norm", False),
        ("layer_types", ["full_attention", "sliding_attention"]),
        ("mask_token_id", 320),
        ("mask_token_id", "x"),
        ("eos_token_id", 3),
        ("eos_token_id", None),
    ],
)
def test_what_the_native_module_cannot_express_is_refused_by_name(
    entry: str, value: object, tmp_path: Path
) -> None:
    folder = wedlm.write(tmp_path / "model")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {entry: value}))
    with pytest.raises(UsageError, match=rf"config.json: .*{entry} "):
        load_model(str(folder), device="cpu")


def test_a_silent_config_means_the_published_default(tmp_path: Path) -> None:
    folder = wedlm.write(tmp_path / "model", shape="7b")
    ids = torch.tensor([IDS])
    said = load_model(str(folder), device="cpu").logits(ids)
    config = json.loads((folder / "config.json").read_text())
    for entry in ("attention_bias", "qk_norm", "layer_types", "head_dim"):
        del config[entry]
    (folder / "config.json").write_text(json.dumps(config))
    torch.testing.assert_close(load_model(str(folder), device="cpu").logits(ids), said)


def test_a_mask_token_that_contradicts_the_config(tmp_path: Path) -> None:
    folder = wedlm.write(tmp_path / "model")
    config = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(
        json.dumps(config | {"mask_token": "<|im_start|>"})
    )
    with pytest.raises(UsageError, match=r"mask_token_id 3, but .*'<\|im_start\|>' the id 1$"):
        load_model(str(folder), device="cpu")
