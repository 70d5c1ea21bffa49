"""The native NBDiff module against the architecture written out slowly, and its file format."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from checkpoints import nbdiff
from nbdiff_oracle import NBDiffOracle
from safetensors.torch import load_file, save_file

from dllm_eval.attention import KeyValues
from dllm_eval.errors import UsageError
from dllm_eval.loading import load_model

IDS = [1, 280, 17, 99, 30, 42, 77, 200, 8, 9, 3, 3, 3, 3]


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    return nbdiff.write(tmp_path / "model")


@pytest.mark.parametrize("start", [0, 1, 5, 10, 13])
@pytest.mark.parametrize(
    "changes",
    [{}, {"bias": False, "num_key_value_heads": 4}, {"rms_norm_eps": 1e-2, "rope_theta": 100.0}],
    ids=str,
)
def test_logits_equal_the_written_out_architecture(
    changes: dict[str, Any], start: int, tmp_path: Path
) -> None:
    folder = nbdiff.write(tmp_path / "model", **changes)
    expected = NBDiffOracle(folder).rows(IDS, start)
    shifted = torch.cat([expected[:1], expected[:-1]])[start:]
    model = load_model(str(folder), device="cpu")
    found = model.logits(torch.tensor([IDS]), rows=slice(start, len(IDS)))[0].double()
    assert (found - shifted).abs().max() < 1e-5 * expected.abs().max()


def test_the_first_token_of_a_block_is_read_causally(tiny: Path) -> None:
    model = load_model(str(tiny), device="cpu")
    expected = NBDiffOracle(tiny).rows(IDS[:9], 9)[-1]
    for behind in (3, 77):
        ids = [*IDS[:9], behind, 5, 6]
        found = model.logits(torch.tensor([ids]), rows=slice(9, 10))[0, 0].double()
        assert (found - expected).abs().max() < 1e-5 * expected.abs().max()


def test_padding_is_hidden_on_either_side(tiny: Path) -> None:
    model = load_model(str(tiny), device="cpu")
    expected = NBDiffOracle(tiny).rows(IDS, 10)[10:-1].float()
    for left in (0, 3, 4):
        row = [9] * left + IDS + [8] * (4 - left)
        valid = torch.tensor([[left <= i < left + len(IDS) for i in range(len(row))]])
        for filler in (0, 200):
            canvas = torch.tensor([row]).where(valid, torch.tensor(filler))
            rows = slice(left + 11, left + len(IDS))
            found = model.logits(canvas, valid=valid, rows=slice(left + 10, rows.stop))[0, 1:]
            assert (found - expected).abs().max() < 1e-5 * expected.abs().max()


def test_finished_blocks_are_read_from_the_cache_exactly(tiny: Path) -> None:
    model = load_model(str(tiny), device="cpu")
    ids = torch.tensor([IDS * 3])
    cache = KeyValues(ids.shape[1])
    for start in (10, 18, 26):
        cache.keep = start
        for rows in (slice(start, start + 1), slice(start, start + 8)):
            plain = model.logits(ids, rows=rows)
            kept = model.logits(ids, rows=rows, cache=cache)
            first = 0 if rows.stop == start + 1 else 1  # a block's own first row is not kept
            error = (kept - plain)[:, first:].abs().max()
            assert error < 1e-5 * plain.abs().max()
        assert cache.length == start


def test_stored_rotary_tables_are_known_and_computed_instead(tiny: Path, tmp_path: Path) -> None:
    ids = torch.tensor([IDS])
    with_tables = load_model(str(tiny)).logits(ids)
    tensors = load_file(tiny / "model.safetensors")
    plain = {name: tensor for name, tensor in tensors.items() if "inv_freq" not in name}
    assert len(plain) < len(tensors)
    folder = nbdiff.write(tmp_path / "plain")
    save_file(plain, folder / "model.safetensors", metadata={"format": "pt"})
    torch.testing.assert_close(load_model(str(folder)).logits(ids), with_tables)


def test_shards_and_one_file_give_the_same_model(tiny: Path, tmp_path: Path) -> None:
    sharded = nbdiff.write(tmp_path / "sharded", shards=3)
    ids = torch.tensor([IDS])
    torch.testing.assert_close(
        load_model(str(tiny)).logits(ids), load_model(str(sharded)).logits(ids)
    )


def test_facts_come_from_the_checkpoint(tiny: Path) -> None:
    family = load_model(str(tiny)).family
    assert (family.name, family.mask_id, family.eos_id, family.pad_id) == ("nbdiff", 3, 5, 0)
    assert (family.attention, family.logits_shift) == ("causal_context", 1)
    assert (family.context_length, family.block_length, family.aligned_block) == (512, 32, None)


@pytest.mark.parametrize(
    ("entry", "value"),
    [("hidden_act", "gelu"), ("rope_scaling", {"type": "yarn"}), ("tie_word_embeddings", True)],
)
def test_what_the_native_module_cannot_express_is_refused_by_name(
    entry: str, value: object, tiny: Path
) -> None:
    edit(tiny, **{entry: value})
    with pytest.raises(UsageError, match=f"{entry} is .*; the native NBDiff module knows"):
        load_model(str(tiny))


@pytest.mark.parametrize(
    ("entry", "value", "words"),
    [
        ("vocab_size", 0, "vocab_size is 0, not a whole number of at least 1"),
        ("num_hidden_layers", None, r"lacks the tensor model.layers.10\..*\(416 missing in all\)"),
        ("num_key_value_heads", 3, "4 is not a multiple of num_key_value_heads 3"),
        ("mask_token_id", 7, r"mask_token_id 7, but the tokenizer gives '\[unused0\]' the id 3$"),
        ("eos_token_id", 9, r"eos_token_id 9, but the tokenizer gives '\[unused10\]' the id 5$"),
    ],
)
def test_a_config_that_contradicts_itself_or_the_files(
    entry: str, value: object, words: str, tiny: Path
) -> None:
    edit(tiny, **{entry: value})
    with pytest.raises(UsageError, match=words):
        load_model(str(tiny))


def edit(folder: Path, **changes: Any) -> None:
    """Sets entries of config.json; None takes one out."""
    path = folder / "config.json"
    entries = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({k: v for k, v in entries.items() if v is not None}))
