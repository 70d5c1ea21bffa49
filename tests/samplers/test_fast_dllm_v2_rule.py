"""Fast-dLLM v2's decoding against its published rule, written down again slowly.

The rule is `generate` of the published modeling.py and `batch_sample` of NVlabs/Fast-dLLM
v2/generation_functions.py, greedy: one request at a time, plain lists, no cache, the whole text
again at every step. A prompt of exactly one block is read like any other.
"""

from pathlib import Path
from typing import Any

import pytest
from checkpoints import fast_dllm_v2
from qwen_oracle import QwenOracle, block_causal
from safetensors.torch import load_file, save_file

from dllm_eval.api import Prompt
from dllm_eval.loading import load_model
from dllm_eval.samplers import SamplerConfig, generate_batch

END_OF_TURN, MASK = 2, 3
BLOCK = 16
PROMPTS = [[5, 280, 17], [99, 1, 42, 77] * 4, [200, 5, 8, 150, 31, 64, 90] * 3, [11] * 15]


def best_of(chances: list[float]) -> int:
    return max(range(len(chances)), key=chances.__getitem__)


def published_rule(
    oracle: QwenOracle,
    prompt: list[int],
    *,
    gen_length: int,
    threshold: float,
    sub_block: int = 8,
    stop: bool = False,
) -> tuple[list[int], int]:
    """Returns the canvas' tokens, and how many forward passes revealed something."""

    def chances_of(text: list[int]) -> list[list[float]]:
        rows = oracle.rows(text, block_causal(BLOCK))
        rows[:, MASK] = -1e30
        chances: list[list[float]] = rows.softmax(dim=1).tolist()
        return chances

    num_blocks = -(-(len(prompt) + gen_length) // BLOCK)
    x = prompt + [MASK] * (num_blocks * BLOCK - len(prompt))
    passes = 0
    for start in range(len(prompt) // BLOCK * BLOCK, len(x), BLOCK):
        if x[start] == MASK:
            x[start] = best_of(chances_of(x[:start])[-1])
            passes += 1
        for first in range(start, start + BLOCK, sub_block):
            while MASK in x[first : first + sub_block]:
                chances = chances_of(x[: start + BLOCK])
                passes += 1
                masked = [i for i in range(first, first + sub_block) if x[i] == MASK]
                best = {i: best_of(chances[i - 1]) for i in masked}
                surest = max(masked, key=lambda i: chances[i - 1][best[i]])
                for i in masked:
                    if i == surest or chances[i - 1][best[i]] > threshold:
                        x[i] = best[i]
        if stop and END_OF_TURN in x[max(start, len(prompt)) : start + BLOCK]:
            break
    return x[len(prompt) : len(prompt) + gen_length], passes


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fast_dllm_v2.write(tmp_path_factory.mktemp("fast_dllm_v2") / "model")


def decode(folder: Path, prompts: list[list[int]], **settings: Any) -> list[Any]:
    model = load_model(str(folder), device="cpu")
    config = SamplerConfig.from_mapping({"stop": "none"} | settings, model.family)
    return generate_batch(model, [Prompt(prefix=tuple(p), seed=7) for p in prompts], config)


@pytest.mark.parametrize(
    ("threshold", "sub_block"), [(1.0, 8), (0.9, 8), (0.3, 8), (0.15, 4), (0.3, 16)]
)
def test_decoding_is_the_published_rule(threshold: float, sub_block: int, folder: Path) -> None:
    oracle = QwenOracle(folder)
    expected = [
        published_rule(oracle, prompt, gen_length=32, threshold=threshold, sub_block=sub_block)
        for prompt in PROMPTS
    ]
    for cache in ("auto", "none"):
        for batches in ([PROMPTS], [[prompt] for prompt in PROMPTS]):
            settings: dict[str, Any] = {
                "gen_length": 32,
                "threshold": threshold,
                "sub_block_length": sub_block,
                "cache": cache,
            }
            found = [out for batch in batches for out in decode(folder, batch, **settings)]
            assert [(list(out.tokens), out.nfe) for out in found] == expected


def test_a_threshold_reveals_several_tokens_a_step(folder: Path) -> None:
    [sure] = decode(folder, PROMPTS[1:2], gen_length=32, threshold=0.1)
    [unsure] = decode(folder, PROMPTS[1:2], gen_length=32, threshold=1.0)
    assert sure.nfe < unsure.nfe == 32


def test_a_threshold_of_1_is_never_exceeded(tmp_path: Path) -> None:
    folder = fast_dllm_v2.write(tmp_path / "model")
    path = folder / "model.safetensors"
    tensors = load_file(path)
    tensors["lm_head.weight"] *= 1000  # the surest tokens have probability 1 in float32
    save_file(tensors, path, metadata={"format": "pt"})
    [strict] = decode(folder, PROMPTS[1:2], gen_length=32, threshold=1.0)
    [reached] = decode(folder, PROMPTS[1:2], gen_length=32, threshold=1.0, strict_threshold=False)
    assert reached.nfe < strict.nfe == 32


def test_sub_blocks_are_finished_from_left_to_right(folder: Path) -> None:
    for out in decode(folder, PROMPTS[1:2], gen_length=32, threshold=0.2):
        for start in range(0, 32, 8):
            later = out.reveal_step[start + 8 :]
            assert max(out.reveal_step[start : start + 8]) < min(later, default=10**6)


@pytest.mark.parametrize("temperature", [0.0, 0.8])
def test_a_batch_gives_its_requests_answers_one_by_one(temperature: float, folder: Path) -> None:
    settings: dict[str, Any] = {"gen_length": 32, "threshold": 0.2, "temperature": temperature}
    together = decode(folder, PROMPTS, **settings)
    for prompt, out in zip(PROMPTS, together, strict=True):
        [alone] = decode(folder, [prompt], **settings)
        assert (out.tokens, out.reveal_step) == (alone.tokens, alone.reveal_step)
        assert out.nfe == alone.nfe


@pytest.mark.parametrize("cache", ["auto", "none"])
def test_stopping_leaves_out_the_blocks_behind_end_of_turn(
    cache: str, tmp_path: Path, folder: Path
) -> None:
    settings: dict[str, Any] = {"gen_length": 48, "threshold": 0.3, "cache": cache}
    [free] = decode(folder, PROMPTS[2:3], **settings)
    for place in (4, 11, 12):  # 11 is a block's first token, which the finished blocks predict
        end = free.tokens[place]
        ended = fast_dllm_v2.write(tmp_path / str(place), eos_token_id=end)
        [out] = decode(ended, PROMPTS[2:3], stop="eos", **settings)
        assert out.visible == free.tokens[: free.tokens.index(end)]
        assert out.stop_reason == "eos"
        assert out.nfe < free.nfe


def test_what_the_user_leaves_unset_is_what_was_published(folder: Path) -> None:
    config = SamplerConfig.from_mapping({"gen_length": 64}, load_model(str(folder)).family)
    assert (config.block, config.sub_block_length, config.threshold) == (16, 8, 1.0)
    assert (config.strict_threshold, config.first_token) == (True, "autoregressive")
    assert (config.stop, config.temperature) == ("eos", 0.0)
