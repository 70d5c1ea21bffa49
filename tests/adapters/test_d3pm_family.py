"""The native D3PM module against the architecture written out slowly, and its folder format."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from checkpoints import d3pm
from safetensors.torch import load_file, save_file
from torch import Tensor

from dllm_eval.api import Prompt
from dllm_eval.errors import UsageError
from dllm_eval.families import NO_MASK
from dllm_eval.likelihood.config import LikelihoodConfig
from dllm_eval.likelihood.score import score
from dllm_eval.loading import load_model
from dllm_eval.samplers.config import SamplerConfig
from dllm_eval.samplers.loop import generate_batch


def t5_norm(row: Tensor, scale: Tensor) -> Tensor:
    return row / (row.square().mean() + 1e-6).sqrt() * scale


def bucket(query: int, key: int, buckets: int, farthest: int) -> int:
    """T5's buckets, counted backwards only: whatever lies behind the query shares bucket 0."""
    distance, near = max(query - key, 0), buckets // 2
    if distance < near:
        return distance
    return min(
        near + int(math.log(distance / near) / math.log(farthest / near) * (buckets - near)),
        buckets - 1,
    )


def slow_logits(ids: list[int], step: int, folder: Path) -> Tensor:
    """(length, vocab) logits of one unpadded sequence, head by head and query by query."""
    config = json.loads((folder / "config.json").read_text())
    w = {name: tensor.double() for name, tensor in load_file(folder / "model.safetensors").items()}
    heads, width = config["num_heads"], config["qkv_dim"] // config["num_heads"]
    times = w["timestep_embed.timestep_embedder.embedding"]
    # jax clamps an index behind the table, so the last two steps share a row.
    rows = w["token_embedder.embedding"][ids] + times[min(step, config["num_steps"] - 1)]
    sizes = (config["relative_attention_num_buckets"], config["relative_attention_max_distance"])
    for layer in range(config["num_decoder_layers"]):
        start = f"layers_{layer}."
        norm = w[start + "pre_self_attention_layer_norm.scale"]
        normed = torch.stack([t5_norm(row, norm) for row in rows])
        query, key, value = (
            normed @ w[f"{start}self_attention.{name}.kernel"].T
            for name in ("query", "key", "value")
        )
        mixed = torch.zeros_like(query)
        for head in range(heads):
            own = slice(head * width, (head + 1) * width)
            for q in range(len(ids)):
                scores = torch.stack(
                    [
                        query[q, own] @ key[k, own]
                        + w["relpos_bias.rel_embedding"][head, bucket(q, k, *sizes)]
                        for k in range(len(ids))
                    ]
                )
                mixed[q, own] = scores.softmax(0) @ value[:, own]
        rows = rows + mixed @ w[start + "self_attention.out.kernel"].T
        norm = w[start + "pre_mlp_layer_norm.scale"]
        inner = torch.stack([t5_norm(row, norm) for row in rows]) @ w[start + "mlp.wi.kernel"].T
        gelu = inner / 2 * (1 + torch.tanh((2 / math.pi) ** 0.5 * (inner + 0.044715 * inner**3)))
        rows = rows + gelu @ w[start + "mlp.wo.kernel"].T
    rows = torch.stack([t5_norm(row, w["decoder_norm.scale"]) for row in rows])
    return rows @ w["logits_dense.kernel"].T


@pytest.fixture(scope="module")
def absorbing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return d3pm.write(tmp_path_factory.mktemp("d3pm") / "mask")


@pytest.fixture(scope="module")
def uniform(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return d3pm.write(tmp_path_factory.mktemp("d3pm") / "uniform", kind="beta-diagonal")


@pytest.mark.parametrize("step", [1, 7, 15, 16])
def test_logits_are_those_of_the_architecture(absorbing: Path, step: int) -> None:
    model = load_model(str(absorbing), device="cpu")
    ids = [5, 9, 280, 4, 4, 17, 33, 2, 100, 63, 7]
    found = model.logits(torch.tensor([ids]), time=torch.tensor([step / 16]))[0]
    assert torch.allclose(found.double(), slow_logits(ids, step, absorbing), atol=1e-5)


def test_padding_changes_nothing(uniform: Path) -> None:
    model, ids = load_model(str(uniform), device="cpu"), [5, 9, 280, 4]
    time = torch.tensor([0.5])
    alone = model.logits(torch.tensor([ids]), time=time)
    valid = torch.tensor([[False, False, True, True, True, True, False]])
    padded = model.logits(torch.tensor([[0, 0, *ids, 0]]), valid=valid, time=time)
    assert torch.allclose(padded[:, 2:6], alone, atol=1e-5)


def test_the_facts_are_those_of_the_folder(absorbing: Path, uniform: Path) -> None:
    one, other = (load_model(str(folder), device="cpu") for folder in (absorbing, uniform))
    assert one.family.mask_id == one.vocab_size - 1
    assert (one.family.noise, one.family.likelihood) == ("mask", "discrete_time")
    assert other.family.mask_id == NO_MASK
    assert other.family.noise == "uniform"
    assert one.family.decoding["steps"] == 16


@pytest.mark.parametrize("kind", ["absorbing", "uniform"])
def test_it_decodes_and_scores(kind: str, request: pytest.FixtureRequest) -> None:
    model = load_model(str(request.getfixturevalue(kind)), device="cpu")
    config = SamplerConfig.from_mapping({"gen_length": 6}, model.family)
    [answer] = generate_batch(model, [Prompt(prefix=(5, 9), suffix=(4,), seed=1)], config)
    assert answer.nfe == 16
    assert all(0 <= token < model.vocab_size for token in answer.tokens)
    [found] = score(model, [((5, 9), (4, 17))], LikelihoodConfig(samples=32))
    assert (found.quantity, found.estimator, found.nfe) == ("elbo", "discrete_time", 32)
    assert found.value < 0 < found.stderr


def test_shards_give_the_same_model(absorbing: Path, tmp_path: Path) -> None:
    sharded = load_model(str(d3pm.write(tmp_path / "sharded", shards=3)), device="cpu")
    ids, time = torch.tensor([[5, 9, 280]]), torch.tensor([0.25])
    whole = load_model(str(absorbing), device="cpu")
    torch.testing.assert_close(sharded.logits(ids, time=time), whole.logits(ids, time=time))


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"kind": "band-diagonal"}, "kind is 'band-diagonal'; the native D3PM module knows"),
        ({"schedule_type": "linear"}, "schedule_type is 'linear'"),
        ({"use_film_layers": True}, "use_film_layers is True"),
        ({"predict_x0": False}, "predict_x0 is False"),
        ({"num_heads": 3}, "qkv_dim 32 is not a multiple of num_heads 3"),
        ({"mask_token_id": 7}, "mask_token_id is 7; the released code masks with the last id"),
        ({"eos_token_id": 9999}, "eos_token_id is 9999, not a token id below vocab_size"),
        ({"eos_token_id": None}, "eos_token_id is None, not a token id"),
        ({"max_length": 0}, "max_length is 0, not a whole number of at least 1"),
    ],
)
def test_what_the_module_cannot_express_is_one_line(
    changes: dict[str, Any], line: str, tmp_path: Path
) -> None:
    folder = d3pm.write(tmp_path / "wrong")
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    with pytest.raises(UsageError, match=line) as caught:
        load_model(str(folder), device="cpu")
    assert "\n" not in str(caught.value)


def test_a_missing_tensor_is_named(tmp_path: Path) -> None:
    folder = d3pm.write(tmp_path / "lacking")
    tensors = load_file(folder / "model.safetensors")
    del tensors["relpos_bias.rel_embedding"]
    save_file(tensors, folder / "model.safetensors")
    with pytest.raises(UsageError, match=r"lacks the tensor relpos_bias\.rel_embedding"):
        load_model(str(folder), device="cpu")
