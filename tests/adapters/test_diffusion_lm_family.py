"""The native Diffusion-LM against the architecture written out slowly, and its conversion."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from checkpoints import diffusion_lm
from torch import Tensor

from dllm_eval.errors import UsageError
from dllm_eval.families import NO_MASK
from dllm_eval.likelihood.config import LikelihoodConfig
from dllm_eval.likelihood.score import score
from dllm_eval.loading import load_model
from dllm_eval.registry import resolve

CONVERT: Callable[..., None] = resolve(
    "converter", {"dlm": "dllm_eval.adapters.convert.diffusion_lm:convert"}, "dlm"
)
Weights = dict[str, Tensor]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return diffusion_lm.write(tmp_path_factory.mktemp("diffusion_lm") / "tiny")


@pytest.fixture(scope="module")
def model(folder: Path) -> Any:
    return load_model(str(folder), device="cpu")


@pytest.fixture(scope="module")
def weights(folder: Path) -> Weights:
    beside = folder.parent / f"{folder.name}-published"
    state = torch.load(beside / "ema_0.9999_200000.pt")
    return {name: tensor.double() for name, tensor in state.items()}


def linear(w: Weights, name: str, rows: Tensor) -> Tensor:
    return rows @ w[f"{name}.weight"].T + w[f"{name}.bias"]


def norm(w: Weights, name: str, row: Tensor) -> Tensor:
    centred = row - row.mean()
    scaled = centred / (centred.square().mean() + 1e-12).sqrt()
    return scaled * w[f"{name}.weight"] + w[f"{name}.bias"]


def norms(w: Weights, name: str, rows: Tensor) -> Tensor:
    return torch.stack([norm(w, name, row) for row in rows])


def slow_answer(w: Weights, latents: Tensor, step: float) -> Tensor:
    """The network's x_start for one request; BERT's layers, head by head and query by query."""
    speeds = [math.exp(-math.log(10000) * k / 8) for k in range(8)]
    waves = [math.cos(step * s) for s in speeds] + [math.sin(step * s) for s in speeds]
    time = linear(w, "time_embed.0", torch.tensor(waves, dtype=torch.float64))
    time = linear(w, "time_embed.2", time * torch.sigmoid(time))
    rows = linear(w, "input_up_proj.2", torch.tanh(linear(w, "input_up_proj.0", latents)))
    rows = norms(w, "LayerNorm", rows + w["position_embeddings.weight"][: len(latents)] + time)
    for layer in range(2):
        start = f"input_transformers.layer.{layer}"
        query, key, value = (
            linear(w, f"{start}.attention.self.{name}", rows) for name in ("query", "key", "value")
        )
        mixed = torch.zeros_like(rows)
        for head in range(4):
            own = slice(head * 8, (head + 1) * 8)
            for q in range(len(rows)):
                chances = (key[:, own] @ query[q, own] / math.sqrt(8)).softmax(0)
                mixed[q, own] = chances @ value[:, own]
        mixed = linear(w, f"{start}.attention.output.dense", mixed)
        rows = norms(w, f"{start}.attention.output.LayerNorm", mixed + rows)
        inner = linear(w, f"{start}.intermediate.dense", rows)
        inner = inner / 2 * (1 + torch.erf(inner / math.sqrt(2)))
        inner = linear(w, f"{start}.output.dense", inner)
        rows = norms(w, f"{start}.output.LayerNorm", inner + rows)
    return linear(w, "output_down_proj.2", torch.tanh(linear(w, "output_down_proj.0", rows)))


def random_latents(length: int) -> Tensor:
    return torch.randn(length, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.mark.parametrize("step", [0, 4, 9])
def test_the_network_is_that_of_the_architecture(model: Any, weights: Weights, step: int) -> None:
    latents = random_latents(7)
    # Times go to the network as if there were 1000 steps (rescale_timesteps).
    wanted = slow_answer(weights, latents, step * 100.0)
    found = model.body(
        latents.float()[None],
        step=torch.tensor([step * 100.0]),
        mask=None,
        positions=torch.arange(7)[None],
    )[0]
    assert torch.allclose(found.double(), wanted, atol=1e-5)


def test_a_prediction_is_the_nearest_embedding_and_its_logits(model: Any, weights: Weights) -> None:
    latents, table = random_latents(9), weights["lm_head.weight"]
    said = model.predict(
        torch.full((1, 9), NO_MASK), latents=latents[None], time=torch.tensor([0.5])
    )[0].double()
    for row, answer in zip(said, slow_answer(weights, latents, 400.0), strict=True):
        nearest = min(range(len(table)), key=lambda word: float((table[word] - answer).norm()))
        assert torch.allclose(row[:8], table[nearest], atol=1e-6)
        assert torch.equal(row[8:16], torch.zeros(8, dtype=torch.float64))
        wanted = table @ table[nearest] + weights["lm_head.bias"]
        assert torch.allclose(row[16:], wanted, atol=1e-4)


def test_the_embedding_is_the_heads_as_load_state_dict_leaves_it(
    model: Any, weights: Weights
) -> None:
    """An ema_*.pt holds two; torch writes the tied parameter twice, the head's copy last."""
    assert torch.equal(model.embeddings.double(), weights["lm_head.weight"])
    assert not torch.equal(weights["lm_head.weight"], weights["word_embedding.weight"])
    words, width = weights["lm_head.weight"].shape
    embedding, head = torch.nn.Embedding(words, width), torch.nn.Linear(width, words)
    head.weight = embedding.weight
    tied = torch.nn.ModuleDict({"word_embedding": embedding, "lm_head": head}).double()
    tied.load_state_dict({name: weights[name] for name in tied.state_dict()})
    assert torch.equal(embedding.weight, weights["lm_head.weight"])


def test_padding_changes_nothing(model: Any) -> None:
    latents, time = random_latents(4), torch.tensor([0.3])
    alone = model.predict(torch.full((1, 4), NO_MASK), latents=latents[None], time=time)
    wide = torch.ones(1, 7, 8, dtype=torch.float64)
    wide[0, 2:6] = latents
    valid = torch.tensor([[False, False, True, True, True, True, False]])
    padded = model.predict(torch.full((1, 7), NO_MASK), latents=wide, valid=valid, time=time)
    assert torch.allclose(padded[:, 2:6], alone, atol=1e-4)


def test_the_facts_are_those_of_the_training(model: Any) -> None:
    assert model.family.context_length == diffusion_lm.LENGTH**2
    assert (model.family.eos_id, model.family.pad_id) == (1, 3)
    assert model.tokenizer.bos_token_id == 0
    assert model.family.decoding == {"transition": "ancestral", "steps": 10, "temperature": 1.0}


def test_words_are_split_at_blanks_and_joined_by_them(model: Any) -> None:
    ids = model.tokenizer.encode("The capital of nowhere", add_special_tokens=False)
    vocabulary = diffusion_lm.vocabulary()
    assert ids == [vocabulary["The"], vocabulary["capital"], vocabulary["of"], vocabulary["UNK"]]
    assert model.tokenizer.decode([0, *ids[:3], 1], skip_special_tokens=True) == "The capital of"


def test_it_scores(model: Any) -> None:
    [found] = score(model, [((5, 9), (4, 17))], LikelihoodConfig(samples=16))
    assert (found.quantity, found.estimator, found.nfe) == ("elbo", "latent_bound", 16)
    assert found.value < 0 < found.stderr


def test_the_newest_average_is_converted_unless_another_is_named(tmp_path: Path) -> None:
    source = diffusion_lm.write_published(tmp_path / "training")
    other = diffusion_lm.diffusion_lm_tensors(diffusion_lm.training_arguments(), seed=5)
    torch.save(other, source / "ema_0.9999_050000.pt")
    CONVERT(source, tmp_path / "newest", n_heads=4)
    CONVERT(source, tmp_path / "named", checkpoint="ema_0.9999_050000.pt", n_heads=4)
    newest, named = (load_model(str(tmp_path / name), device="cpu") for name in ("newest", "named"))
    assert torch.equal(named.embeddings, other["lm_head.weight"])  # type: ignore[attr-defined]
    assert not torch.equal(newest.embeddings, named.embeddings)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        (
            {"model_arch": "conv-unet"},
            "model_arch is 'conv-unet'; the native Diffusion-LM module knows",
        ),
        ({"predict_xstart": False}, "predict_xstart is False"),
        ({"training_mode": "emb"}, "training_mode is 'emb'"),
        ({"noise_schedule": "trunc_cos"}, "noise_schedule is 'trunc_cos'"),
    ],
)
def test_another_training_is_refused_in_one_line(
    changes: dict[str, Any], line: str, tmp_path: Path
) -> None:
    source = diffusion_lm.write_published(tmp_path / "training")
    path = source / "training_args.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    with pytest.raises(UsageError, match=line) as caught:
        CONVERT(source, tmp_path / "converted", n_heads=4)
    assert "\n" not in str(caught.value)


def test_a_training_without_an_average_says_what_to_pass(tmp_path: Path) -> None:
    source = diffusion_lm.write_published(tmp_path / "training")
    (source / "ema_0.9999_200000.pt").unlink()
    with pytest.raises(UsageError, match=r"has no ema_\*\.pt; name another with --checkpoint"):
        CONVERT(source, tmp_path / "converted")
