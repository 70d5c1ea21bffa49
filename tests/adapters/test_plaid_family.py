"""The native Plaid module against the architecture written out slowly, and its conversion."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from checkpoints import plaid
from torch import Tensor

from dllm_eval.errors import UsageError
from dllm_eval.families import NO_MASK
from dllm_eval.likelihood.config import LikelihoodConfig
from dllm_eval.likelihood.score import score
from dllm_eval.loading import load_model
from dllm_eval.registry import resolve

CONVERT: Callable[..., None] = resolve(
    "converter", {"plaid": "dllm_eval.adapters.convert.plaid:convert"}, "plaid"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return plaid.write(tmp_path_factory.mktemp("plaid") / "tiny")


@pytest.fixture(scope="module")
def model(folder: Path) -> Any:
    return load_model(str(folder), device="cpu")


def published(folder: Path) -> dict[str, dict[str, Tensor]]:
    beside = folder.parent / f"{folder.name}-published"
    names = ("noise_schedule", "gamma_bounds", "embedding_matrix", "model")
    return {
        name: {key: part.double() for key, part in torch.load(beside / f"{name}.pt").items()}
        for name in names
    }


def rms(row: Tensor, weight: Tensor) -> Tensor:
    return row / (row.square().mean() + 1e-5).sqrt() * weight


def turned(vector: Tensor, position: int) -> Tensor:
    half, out = len(vector) // 2, vector.clone()
    for k in range(half):
        angle = position * 10000.0 ** (-2 * k / len(vector))
        out[k] = vector[k] * math.cos(angle) - vector[k + half] * math.sin(angle)
        out[k + half] = vector[k + half] * math.cos(angle) + vector[k] * math.sin(angle)
    return out


def gamma_of(w: dict[str, dict[str, Tensor]], time: float) -> float:
    slopes = torch.log1p(w["noise_schedule"]["W1"].exp())[:, 0]
    heights = 0.01 * torch.log1p(w["noise_schedule"]["W2"].exp())[0]

    def raw(at: float) -> float:
        return float(heights @ torch.tanh(slopes * (at - 0.5) + w["noise_schedule"]["b1"]))

    share = (raw(time) - raw(0)) / (raw(1) - raw(0))
    low, high = float(w["gamma_bounds"]["gamma_0"]), float(w["gamma_bounds"]["gamma_1"])
    return low + (high - low) * share


def unit_embeddings(w: dict[str, dict[str, Tensor]]) -> Tensor:
    matrix = w["embedding_matrix"]["matrix"]
    return torch.stack([row / row.norm() for row in matrix])


def slow_pass(
    w: dict[str, dict[str, Tensor]], latents: Tensor, before: Tensor, time: float
) -> tuple[Tensor, Tensor]:
    """Logits and clean latents of one request, block by block, head by head, query by query."""
    m, heads, gamma = w["model"], 4, gamma_of(w, time)
    dim, width = m["input_linear.weight"].shape
    kept, noise = 1 / (1 + math.exp(gamma)), 1 / (1 + math.exp(-gamma))
    rows = latents / math.sqrt(kept / width + noise) @ m["input_linear.weight"].T
    rows = rows + before * math.sqrt(width) @ m["selfcond_linear.weight"].T
    speeds = [math.exp(-5 + 10 * k / 31) for k in range(32)]
    waves = [math.sin(s * gamma) for s in speeds] + [math.cos(s * gamma) for s in speeds]
    rows = rows + m["gamma_linear.weight"] @ torch.tensor(waves, dtype=torch.float64)
    scale = 1 / math.sqrt(2)
    for block in range(2):
        start, head_width = f"blocks.{block}.", dim // heads
        normed = torch.stack([rms(row, m[start + "rmsnorm1.weight"]) for row in rows])
        query, key, value = (normed @ m[start + "attn_qkv.weight"].T).chunk(3, dim=1)
        mixed = torch.zeros_like(rows)
        for head in range(heads):
            own = slice(head * head_width, (head + 1) * head_width)
            keys = torch.stack([turned(k, i) for i, k in enumerate(key[:, own])])
            for q, one in enumerate(query[:, own]):
                chances = (keys @ turned(one, q) / math.sqrt(head_width)).softmax(0)
                mixed[q, own] = chances @ value[:, own]
        rows = rows + scale * mixed @ m[start + "attn_out.weight"].T
        normed = torch.stack([rms(row, m[start + "rmsnorm2.weight"]) for row in rows])
        inner = normed @ m[start + "mlp.fc1.weight"].T
        gelu = inner / 2 * (1 + torch.tanh((2 / math.pi) ** 0.5 * (inner + 0.044715 * inner**3)))
        rows = rows + scale * gelu @ m[start + "mlp.fc2.weight"].T
    centred = rows - rows.mean(dim=1, keepdim=True)
    rows = centred / (centred.square().mean(dim=1, keepdim=True) + 1e-5).sqrt()
    rows = rows * m["output_norm.weight"] / (dim / 256)
    table = unit_embeddings(w)
    logits = rows @ m["output_linear.weight"].T + m["output_linear.bias"]
    logits = logits + math.sqrt(kept) / noise * latents @ table.T
    return logits, logits.softmax(dim=1) @ table


def random_latents(length: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    numbers = torch.randn(2, length, 8, generator=generator, dtype=torch.float64)
    return numbers[0], 0.3 * numbers[1]


@pytest.mark.parametrize("time", [0.0, 0.4, 1.0])
def test_a_pass_is_that_of_the_architecture(folder: Path, model: Any, time: float) -> None:
    latents, before = random_latents(7)
    logits, clean = slow_pass(published(folder), latents, before, time)
    said = model.predict(
        torch.full((1, 7), NO_MASK),
        latents=torch.cat([latents, before], dim=1)[None],
        time=torch.tensor([time], dtype=torch.float64),
    )[0].double()
    assert torch.allclose(said[:, :8], clean, atol=1e-5)
    assert torch.equal(said[:, 8:16], torch.zeros(7, 8, dtype=torch.float64))
    assert torch.allclose(said[:, 16:], logits, atol=1e-4)


def test_guidance_is_the_gradient_of_the_prompts_likelihood(folder: Path, model: Any) -> None:
    """sample.py: weight 2 times d log p(tokens) / d z, times sigma^2 / alpha; by differences."""
    latents, before = random_latents(5, seed=3)
    tokens, time, w = [7, 9, NO_MASK, NO_MASK, 30], 0.5, published(folder)

    def likely(at: Tensor) -> float:
        logits, _ = slow_pass(w, at, before, time)
        chances = logits.log_softmax(dim=1)
        return sum(2 * float(chances[i, t]) for i, t in enumerate(tokens) if t != NO_MASK)

    wanted = torch.zeros_like(latents)
    for place in range(5):
        for number in range(8):
            step = torch.zeros_like(latents)
            step[place, number] = 1e-5
            wanted[place, number] = (likely(latents + step) - likely(latents - step)) / 2e-5
    gamma = gamma_of(w, time)
    wanted = wanted / (1 + math.exp(-gamma)) / math.sqrt(1 / (1 + math.exp(gamma)))
    with torch.inference_mode():  # as in the loop
        said = model.predict(
            torch.tensor([tokens]),
            latents=torch.cat([latents, before], dim=1)[None],
            time=torch.tensor([time], dtype=torch.float64),
        )
    assert torch.allclose(said[0, :, 8:16].double(), wanted, atol=1e-4)
    assert wanted.abs().max() > 0.1


def test_padding_changes_nothing(model: Any) -> None:
    latents, before = random_latents(4)
    shown, time = torch.cat([latents, before], dim=1), torch.tensor([0.3], dtype=torch.float64)
    tokens = [3, NO_MASK, NO_MASK, 4]
    alone = model.predict(torch.tensor([tokens]), latents=shown[None], time=time)
    wide = torch.ones(1, 7, 16, dtype=torch.float64)
    wide[0, 2:6] = shown
    valid = torch.tensor([[False, False, True, True, True, True, False]])
    padded = model.predict(torch.tensor([[0, 0, *tokens, 0]]), latents=wide, valid=valid, time=time)
    assert torch.allclose(padded[:, 2:6], alone, atol=1e-4)


def test_bfloat16_stays_close(folder: Path, model: Any) -> None:
    half: Any = load_model(str(folder), device="cpu", dtype="bfloat16")
    latents, before = random_latents(6)
    said = [
        one.predict(
            torch.full((1, 6), NO_MASK),
            latents=torch.cat([latents, before], dim=1)[None],
            time=torch.tensor([0.5], dtype=torch.float64),
        )
        for one in (model, half)
    ]
    assert torch.allclose(said[0][..., :8], said[1][..., :8], atol=0.05)
    assert not torch.equal(said[0], said[1])


def test_the_facts_are_those_of_the_release(model: Any) -> None:
    assert model.family.noise == "continuous"
    assert model.family.eos_id == 0
    assert model.tokenizer.eos_token == plaid.END
    assert model.family.decoding == {"transition": "ancestral", "steps": 8, "temperature": 0.9}


def test_it_scores(model: Any) -> None:
    [found] = score(model, [((5, 9), (4, 17))], LikelihoodConfig(samples=16))
    assert (found.quantity, found.estimator) == ("elbo", "latent_bound")
    assert found.nfe == 2 * (16 + 2)
    assert found.value < 0 < found.stderr


def test_the_conversion_reads_sizes_off_the_tensors(tmp_path: Path) -> None:
    source = plaid.write_published(tmp_path / "release", dim=128)
    CONVERT(source, tmp_path / "converted")
    config = json.loads((tmp_path / "converted" / "config.json").read_text())
    wanted = {"dim": 128, "n_heads": 2, "n_blocks": 2, "embed_dim": 8, "seq_len": 1024}
    assert {name: config[name] for name in wanted} == wanted
    assert config["sampling_timesteps"] == 4096
    assert load_model(str(tmp_path / "converted"), device="cpu").family.context_length == 1024
    with pytest.raises(UsageError, match=r"holds a model\.safetensors; pass a new folder"):
        CONVERT(source, tmp_path / "converted")


class Trap:
    """Would run code where a pickle is opened carelessly."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (Path("sprung"),))


def test_a_pickle_of_more_than_tensors_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    source = plaid.write_published(tmp_path / "release")
    torch.save({"matrix": Trap()}, source / "embedding_matrix.pt")
    with pytest.raises(UsageError, match=r"embedding_matrix\.pt cannot be read as tensors alone"):
        CONVERT(source, tmp_path / "converted", n_heads=4)
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize(
    ("broken", "line"),
    [
        ("model.pt", r"there is no .*model\.pt"),
        ("owt2_tokenizer.json", r"there is no .*owt2_tokenizer\.json; copy it from misc/"),
    ],
)
def test_a_missing_file_is_named(broken: str, line: str, tmp_path: Path) -> None:
    source = plaid.write_published(tmp_path / "release")
    (source / broken).unlink()
    with pytest.raises(UsageError, match=line):
        CONVERT(source, tmp_path / "converted", n_heads=4)


def test_the_command_converts_or_says_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    place = {"run": "dllm_eval.adapters.convert.pickled:run_converter"}
    run_converter = resolve("converter", place, "run")
    source, target = plaid.write_published(tmp_path / "release"), tmp_path / "converted"
    arguments = ["convert_plaid", str(source), str(target), "--n-heads", "4"]
    monkeypatch.setattr("sys.argv", arguments)
    with pytest.raises(SystemExit) as ended:
        run_converter(CONVERT)
    assert ended.value.code == 0
    assert load_model(str(target), device="cpu").family.name == "plaid"
    with pytest.raises(SystemExit) as ended:
        run_converter(CONVERT)
    assert ended.value.code == 2
    message = f"error: {target} holds a model.safetensors; pass a new folder\n"
    assert capsys.readouterr().err == message


def test_heads_that_do_not_fit_are_one_line(tmp_path: Path) -> None:
    wrong = plaid.write(tmp_path / "wrong", n_heads=3)
    with pytest.raises(UsageError, match="dim 32 does not divide into n_heads 3 heads"):
        load_model(str(wrong), device="cpu")
