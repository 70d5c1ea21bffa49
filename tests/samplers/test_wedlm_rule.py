"""WeDLM's streaming decoding against the published engine, written down again, slowly.

Tencent/WeDLM 0216110f: wedlm/engine/wedlm_decoder.py (window, refill, prune), sampler.py (entropy,
penalty), scheduler.py (stop). One sequence at a time; the window is a list, the known tokens come
first and the masks behind them, and transformers' own causal Qwen reads them in that order. The
mask token is never proposed, and counts for no entropy, which the engine leaves to the weights.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from checkpoints import wedlm
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import Qwen2Config, Qwen2ForCausalLM, Qwen3Config, Qwen3ForCausalLM

from dllm_eval.api import Prompt
from dllm_eval.loading import load_model
from dllm_eval.samplers import SamplerConfig, generate_batch

EOS, EOT, MASK = 0, 2, 3
THETA = 100.0

Causal = Callable[[list[int], list[int]], Tensor]


@pytest.fixture(scope="module", params=["7b", "8b"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint that is sure of some tokens, and of others not."""
    folder = tmp_path_factory.mktemp("wedlm") / str(request.param)
    wedlm.write(folder, shape=request.param, seed=1, rope_theta=THETA)
    tensors = load_file(folder / "model.safetensors")
    tensors["model.embed_tokens.weight"][MASK] *= 0.1
    tensors["lm_head.weight"][40:] *= 0.1
    for name in tensors:
        if name.endswith("o_proj.weight"):
            tensors[name] *= 3
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


@pytest.fixture(scope="module")
def causal(folder: Path) -> Causal:
    """`causal(tokens, positions)`: logits of a plain causal transformer, row by row."""
    model = load_model(str(folder), device="cpu")
    native = model.body.model.config  # type: ignore[attr-defined]
    kind: Any = Qwen3ForCausalLM if isinstance(native, Qwen3Config) else Qwen2ForCausalLM
    settings = {
        name: getattr(native, name)
        for name in (
            "vocab_size",
            "hidden_size",
            "intermediate_size",
            "num_hidden_layers",
            "num_attention_heads",
            "num_key_value_heads",
            "rms_norm_eps",
            "head_dim",
        )
    }
    configuration: Any = Qwen3Config if kind is Qwen3ForCausalLM else Qwen2Config
    plain = kind(
        configuration(
            **settings,
            rope_parameters={"rope_type": "default", "rope_theta": THETA},
            attn_implementation="eager",
        )
    ).eval()
    plain.load_state_dict(load_file(folder / "model.safetensors"))

    def read(tokens: list[int], positions: list[int]) -> Tensor:
        with torch.inference_mode():
            out = plain(
                input_ids=torch.tensor([tokens]),
                position_ids=torch.tensor([positions]),
                attention_mask=torch.ones(1, len(tokens), dtype=torch.int64),
            )
        logits: Tensor = out.logits[0]
        return logits

    return read


def published_rule(
    causal: Causal,
    prompt: tuple[int, ...],
    *,
    max_tokens: int,
    window: int,
    threshold: float | None,
    penalty: float,
    ends: tuple[int, ...] = (EOS,),
) -> tuple[list[int], int]:
    """Returns (tokens as far as they were finished, forward passes that revealed something)."""
    finished: list[int] = []
    held = [MASK] * window
    passes = 0
    while True:
        leading = next((i for i, token in enumerate(held) if token == MASK), len(held))
        held += [MASK] * leading
        start = len(prompt) + len(finished)
        order = [i for i, token in enumerate(held) if token != MASK]
        hidden = [i for i, token in enumerate(held) if token == MASK]
        logits = causal(
            [*prompt, *finished, *(held[i] for i in [*order, *hidden])],
            [*range(start), *(start + i for i in [*order, *hidden])],
        )[-len(hidden) :].clone()
        logits[:, MASK] = -torch.inf
        for _ in range(leading):
            finished.append(held.pop(0))
            if finished[-1] in ends or len(finished) == max_tokens:
                return finished, passes
        hidden = [i - leading for i in hidden]
        log_p = logits.log_softmax(dim=-1)
        entropy = -(log_p.exp() * log_p.clamp(min=-1e9)).sum(dim=-1)
        adjusted = [
            float(e) + penalty * (i - hidden[0]) for e, i in zip(entropy, hidden, strict=True)
        ]
        below = [
            k for k, value in enumerate(adjusted) if threshold is not None and value < threshold
        ]
        for k in below or [adjusted.index(min(adjusted))]:
            held[hidden[k]] = int(logits[k].argmax())
        passes += 1


PROMPTS = [(5, 280, 17, 99), (42,), (7, 7, 200, 11, 6, 9, 30)]


@pytest.mark.parametrize(
    ("window", "threshold", "penalty"),
    [
        (16, 0.4, 0.02),
        (16, 1.6, 0.0),
        (16, 2.5, 0.02),
        (5, 1.2, 0.05),
        (4, None, 1.0),
        (1, 0.4, 0.02),
    ],
)
def test_temperature_0_is_the_published_rule(
    window: int, threshold: float | None, penalty: float, folder: Path, causal: Causal
) -> None:
    model = load_model(str(folder), device="cpu")
    config = SamplerConfig(
        gen_length=24,
        sampler="entropy",
        window=window,
        entropy_threshold=0.0 if threshold is None else threshold,
        position_penalty=penalty,
    )
    expected = [
        published_rule(
            causal, prompt, max_tokens=24, window=window, threshold=threshold, penalty=penalty
        )
        for prompt in PROMPTS
    ]
    batch = generate_batch(model, [Prompt(prefix=prompt) for prompt in PROMPTS], config)
    for prompt, (tokens, passes), out in zip(PROMPTS, expected, batch, strict=True):
        [alone] = generate_batch(model, [Prompt(prefix=prompt)], config)
        for found in (out, alone):
            assert list(found.tokens)[: len(tokens)] == tokens
            if EOS not in tokens:
                assert found.nfe == passes
    if threshold == 2.5:
        assert any(passes < len(tokens) for tokens, passes in expected)


def test_a_row_stops_where_the_engine_stops(folder: Path, causal: Causal) -> None:
    """At the first end of text with nothing masked before it, in a batch of rows that go on."""
    model = load_model(str(folder), device="cpu")
    config = SamplerConfig(
        gen_length=24, sampler="entropy", window=16, entropy_threshold=1.6, stop="eos"
    )
    prompts = [(first, second) for first in range(4, 10) for second in (7, 200)]
    outs = generate_batch(model, [Prompt(prefix=prompt) for prompt in prompts], config)
    stopped = 0
    for prompt, out in zip(prompts, outs, strict=True):
        tokens, passes = published_rule(
            causal,
            prompt,
            max_tokens=24,
            window=16,
            threshold=1.6,
            penalty=0.0,
            ends=(EOS, EOT),
        )
        assert list(out.tokens)[: len(tokens)] == tokens
        assert out.nfe == passes
        stopped += len(tokens) < 24
    assert 0 < stopped < len(prompts)


def test_a_window_may_reveal_by_chance(folder: Path) -> None:
    """The time grid's chances are those of each block's own steps, in a window, too."""
    model = load_model(str(folder), device="cpu")
    settings = {"gen_length": 6, "block_length": 3, "steps": 6, "window": 2}
    config = SamplerConfig.from_mapping({**settings, "schedule": "bernoulli"}, model.family)
    prompts = [Prompt(prefix=prefix, seed=seed) for seed, prefix in enumerate(PROMPTS)]
    for prompt, found in zip(prompts, generate_batch(model, prompts, config), strict=True):
        [alone] = generate_batch(model, [prompt], config)
        assert MASK not in found.tokens
        assert (found.tokens, found.reveal_step) == (alone.tokens, alone.reveal_step)
