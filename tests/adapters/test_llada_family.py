"""The native LLaDA module against the architecture written out slowly, and its file format."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from dllm_eval.denoiser import ModelDenoiser
from dllm_eval.errors import UsageError
from dllm_eval.loading import load_model

LladaWriter = Callable[..., Path]


def rms_norm(rows: Tensor, weight: Tensor, eps: float) -> Tensor:
    return torch.stack([row / (row.square().mean() + eps).sqrt() for row in rows]) * weight


def rotate(vector: Tensor, position: int, theta: float) -> Tensor:
    """Pairs (k, k + half) of one head's vector turned by position * theta^(-2k/width)."""
    half = vector.shape[0] // 2
    out = vector.clone()
    for k in range(half):
        angle = torch.tensor(position * theta ** (-2 * k / vector.shape[0]))
        out[k] = vector[k] * angle.cos() - vector[k + half] * angle.sin()
        out[k + half] = vector[k + half] * angle.cos() + vector[k] * angle.sin()
    return out


def attention(rows: Tensor, w: dict[str, Tensor], config: dict[str, Any]) -> Tensor:
    """Full attention, head by head and query by query."""
    heads, groups = config["n_heads"], config["n_kv_heads"] or config["n_heads"]
    width, theta = config["d_model"] // heads, config["rope_theta"]
    query, key, value = (rows @ w[name].T for name in ("q_proj", "k_proj", "v_proj"))
    out = torch.zeros_like(rows)
    for head in range(heads):
        group = head // (heads // groups)
        mine, shared = (
            slice(head * width, (head + 1) * width),
            slice(group * width, (group + 1) * width),
        )
        keys = torch.stack([rotate(k, i, theta) for i, k in enumerate(key[:, shared])])
        for i, one in enumerate(query[:, mine]):
            weights = (keys @ rotate(one, i, theta) / width**0.5).softmax(dim=0)
            out[i, mine] = weights @ value[:, shared]
    return out @ w["attn_out"].T


def slow_logits(ids: list[int], folder: Path) -> Tensor:
    """(length, vocab) logits of one unpadded sequence, from the published tensors."""
    config = json.loads((folder / "config.json").read_text())
    stored = load_file(folder / "model.safetensors")
    tensors = {n.removeprefix("model.transformer."): t.double() for n, t in stored.items()}
    eps = config["rms_norm_eps"]
    rows = tensors["wte.weight"][ids]
    for layer in range(config["n_layers"]):
        start = f"blocks.{layer}."
        w = {
            name.removeprefix(start).removesuffix(".weight"): tensor
            for name, tensor in tensors.items()
            if name.startswith(start)
        }
        rows = rows + attention(rms_norm(rows, w["attn_norm"], eps), w, config)
        hidden = rms_norm(rows, w["ff_norm"], eps)
        gate = hidden @ w["ff_proj"].T
        rows = rows + (gate * gate.sigmoid() * (hidden @ w["up_proj"].T)) @ w["ff_out"].T
    head = tensors["wte.weight" if config["weight_tying"] else "ff_out.weight"]
    return rms_norm(rows, tensors["ln_f.weight"], eps) @ head.T


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"n_kv_heads": None},
        {"weight_tying": True},
        {"rms_norm_eps": 1e-2, "rope_theta": 100.0},
        {"embedding_size": 310},
    ],
    ids=str,
)
def test_logits_equal_the_written_out_architecture(
    changes: dict[str, Any], tmp_path: Path, llada_writer: LladaWriter
) -> None:
    folder = llada_writer(tmp_path / "model", **changes)
    model = load_model(str(folder), device="cpu")
    ids = [5, 280, 17, 99, 1, 1, 42, 3, 0, 77, 200]
    found = model.logits(torch.tensor([ids]))[0].double()
    assert found.shape[1] == changes.get("embedding_size", 320)
    assert (found - slow_logits(ids, folder)).abs().max() < 2e-4


def test_padding_is_hidden_on_either_side(tiny_llada: Path) -> None:
    model = load_model(str(tiny_llada), device="cpu")
    ids = [5, 280, 17, 99, 1, 42]
    expected = slow_logits(ids, tiny_llada).float()
    for left in (0, 3, 4):
        row = [9] * left + ids + [8] * (4 - left)
        valid = torch.tensor([[left <= i < left + len(ids) for i in range(len(row))]])
        for filler in (0, 200):
            canvas = torch.tensor([row]).where(valid, torch.tensor(filler))
            found = model.logits(canvas, valid=valid)[0, left : left + len(ids)]
            assert (found - expected).abs().max() < 2e-4


def test_the_last_token_moves_the_first_row_and_nothing_masks_it(
    tiny_llada: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = load_model(str(tiny_llada), device="cpu")
    masks: list[Tensor | None] = []
    original = torch.nn.functional.scaled_dot_product_attention

    def watched(*args: Any, **options: Any) -> Tensor:
        masks.append(options["attn_mask"])
        assert not options.get("is_causal", False)
        out: Tensor = original(*args, **options)
        return out

    monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", watched)
    first = model.logits(torch.tensor([[5, 6, 7, 8]]))[0, 0]
    other = model.logits(torch.tensor([[5, 6, 7, 9]]))[0, 0]
    assert (first - other).abs().max() > 1e-3
    assert masks == [None] * 4  # 2 layers, 2 passes


def test_rotary_positions_stay_in_float32_when_the_model_does_not(tiny_llada: Path) -> None:
    model = load_model(str(tiny_llada), device="cpu", dtype="bfloat16")
    assert isinstance(model, ModelDenoiser)
    cosines, sines = model.body.model.rotary_emb(  # type: ignore[union-attr, operator]
        torch.zeros(1, 1, dtype=torch.bfloat16), torch.tensor([[3000]])
    )
    frequencies = 500000.0 ** -(torch.arange(0, 8, 2, dtype=torch.float64) / 8)
    assert cosines.dtype == torch.float32
    assert torch.allclose(cosines[0, 0, :4].double(), (3000 * frequencies).cos(), atol=1e-3)
    assert torch.allclose(sines[0, 0, 4:].double(), (3000 * frequencies).sin(), atol=1e-3)


def test_shards_and_one_file_give_the_same_model(
    tiny_llada: Path, tiny_llada_sharded: Path
) -> None:
    ids = torch.tensor([[1, 2, 3, 250]])
    one, many = load_model(str(tiny_llada)), load_model(str(tiny_llada_sharded))
    torch.testing.assert_close(one.logits(ids), many.logits(ids))


def test_facts_come_from_the_checkpoint(tiny_llada: Path) -> None:
    family = load_model(str(tiny_llada)).family
    assert (family.name, family.mask_id, family.eos_id, family.eot_id) == ("llada", 1, 0, None)
    assert (family.attention, family.logits_shift, family.context_length) == ("full", 0, 256)


@pytest.mark.parametrize(
    ("entry", "value"),
    [
        ("alibi", True),
        ("include_bias", True),
        ("include_qkv_bias", True),
        ("attention_layer_norm", True),
        ("block_type", "sequential"),
        ("activation_type", "swiglu"),
        ("layer_norm_type", "default"),
        ("rope", False),
        ("scale_logits", True),
        ("input_emb_norm", True),
    ],
)
def test_what_the_native_module_cannot_express_is_refused_by_name(
    entry: str, value: object, tmp_path: Path, llada_writer: LladaWriter
) -> None:
    folder = llada_writer(tmp_path / "model", **{entry: value})
    with pytest.raises(UsageError, match=f"{entry} is {value!r}"):
        load_model(str(folder))


def test_a_silent_config_means_the_published_default(
    tmp_path: Path, llada_writer: LladaWriter
) -> None:
    folder = llada_writer(tmp_path / "model")
    config = json.loads((folder / "config.json").read_text())
    del config["rope"]
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(UsageError, match="rope is False"):
        load_model(str(folder))


def test_mask_id_must_be_the_tokenizers(tmp_path: Path, llada_writer: LladaWriter) -> None:
    folder = llada_writer(tmp_path / "model", mask_token_id=7)
    with pytest.raises(UsageError, match=r"mask_token_id 7.*<\|mdm_mask\|>.* the id 1$"):
        load_model(str(folder))


def test_a_tokenizer_without_a_mask_token(tmp_path: Path, llada_writer: LladaWriter) -> None:
    folder = llada_writer(tmp_path / "model")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        text = (folder / name).read_text()
        (folder / name).write_text(text.replace("<|mdm_mask|>", "<|other|>"))
    config = json.loads((folder / "tokenizer_config.json").read_text())
    del config["mask_token"]
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    with pytest.raises(UsageError, match=r"no mask token '<\|mdm_mask\|>'"):
        load_model(str(folder))
