"""BD3-LM checkpoints in their published layout: architecture, blocks, exact cache, refusals."""

from pathlib import Path
from typing import Any

import pytest
import torch
from checkpoints import bd3lm
from dit_oracle import SlowDit
from safetensors.torch import load_file

from dllm_eval.attention import KeyValues
from dllm_eval.errors import UsageError
from dllm_eval.loading import load_model

TOKEN_IDS = [0, 17, 250, 8, 41, 300, 31, 300, 299, 300]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bd3lm.write(tmp_path_factory.mktemp("bd3lm") / "tiny")


def slow(folder: Path) -> SlowDit:
    tensors = load_file(folder / "model.safetensors")
    kept = {name: tensor for name, tensor in tensors.items() if name.startswith("backbone.")}
    return SlowDit(kept, prefix="backbone.", heads=4)


def test_the_facts_are_the_checkpoints(folder: Path) -> None:
    family = load_model(str(folder)).family
    assert (family.name, family.mask_id, family.context_length) == ("bd3lm", 300, 128)
    assert (family.attention, family.block_length) == ("block_causal", 4)
    assert family.decoding == {
        "sampler": "random",
        "temperature": 1.0,
        "top_p": 0.9,
        "top_p_cut": "within",
        "block_length": 4,
    }


@pytest.mark.parametrize("block_size", [1, 4, 8])
def test_a_position_sees_its_block_and_those_before(block_size: int, tmp_path: Path) -> None:
    folder = bd3lm.write(tmp_path / "blocks", block_size=block_size)
    found = load_model(str(folder), dtype="float32").logits(torch.tensor([TOKEN_IDS]))[0, :, :300]
    expected = slow(folder).logits(
        TOKEN_IDS, sees=lambda query, key: key // block_size <= query // block_size
    )
    torch.testing.assert_close(
        found.double(), torch.from_numpy(expected[:, :300]), atol=1e-5, rtol=0
    )


@pytest.mark.parametrize("changes", [{"block_size": 128}, {"cross_attn": False}])
def test_the_pretrained_model_sees_everything(changes: dict[str, Any], tmp_path: Path) -> None:
    folder = bd3lm.write(tmp_path / "whole", **changes)
    model = load_model(str(folder), dtype="float32")
    assert (model.family.attention, model.family.block_length) == ("full", None)
    found = model.logits(torch.tensor([TOKEN_IDS]))[0, :, :300]
    expected = torch.from_numpy(slow(folder).logits(TOKEN_IDS)[:, :300])
    torch.testing.assert_close(found.double(), expected, atol=1e-5, rtol=0)


def test_finished_blocks_kept_are_finished_blocks_read_again(folder: Path) -> None:
    model = load_model(str(folder), dtype="float32")
    token_ids = torch.randint(0, 300, (2, 12), generator=torch.Generator().manual_seed(1))
    cache = KeyValues(12)
    for start in (0, 4, 8):
        block = slice(start, start + 4)
        noisy = token_ids.clone()
        noisy[:, start + 1 :] = model.family.mask_id
        cache.keep = start
        kept = model.logits(noisy, rows=block, cache=cache)
        again = model.logits(noisy, rows=block)
        torch.testing.assert_close(kept, again, atol=1e-5, rtol=0)
        model.logits(token_ids, rows=block, cache=cache)
    assert cache.length == 8


def test_a_row_does_not_depend_on_its_batch(folder: Path) -> None:
    model = load_model(str(folder), dtype="float32")
    alone = torch.tensor([[5, 300, 7, 9, 300]])
    padded = torch.tensor([[0, 0, 0, 0, 5, 300, 7, 9, 300], [9, 8, 3, 2, 6, 11, 5, 4, 300]])
    valid = torch.ones_like(padded, dtype=torch.bool)
    valid[0, :4] = False
    together = model.logits(padded, valid=valid, rows=slice(4, 9))[0]
    torch.testing.assert_close(together, model.logits(alone)[0], atol=1e-5, rtol=0)


def test_without_the_training_schedules_bounds_it_loads_too(tmp_path: Path) -> None:
    folder = bd3lm.write(tmp_path / "plain", var_min=False, shards=2)
    assert load_model(str(folder)).family.name == "bd3lm"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"adaln": False}, "adaln is False; the native BD3-LM module knows True only"),
        ({"causal": True}, "causal is True; the native BD3-LM module knows False only"),
        ({"time_conditioning": True}, "time_conditioning is True; .* knows False only"),
        ({"block_size": 3}, "model_length 128 is not a multiple of block_size 3"),
    ],
)
def test_what_does_not_fit_is_one_line(
    changes: dict[str, Any], message: str, tmp_path: Path
) -> None:
    folder = bd3lm.write(tmp_path / "odd", **changes)
    with pytest.raises(UsageError, match=message) as caught:
        load_model(str(folder))
    assert "\n" not in str(caught.value)
