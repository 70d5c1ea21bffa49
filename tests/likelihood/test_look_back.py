"""A prefix that is read once: published formats against canvases alone, and what it costs."""

from collections.abc import Sequence
from math import comb
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from checkpoints import bd3lm, fast_dllm_v2, llada2, nbdiff, sdar
from small_transformer import small_model

from dllm_eval.api import Denoiser
from dllm_eval.likelihood import LikelihoodConfig, log_likelihood, score
from dllm_eval.loading import load_model

WRITERS = {
    "sdar": sdar.write,
    "fast_dllm_v2": fast_dllm_v2.write,
    "llada2": llada2.write,
    "nbdiff": nbdiff.write,
    "bd3lm": bd3lm.write,
}


@pytest.fixture(scope="module", params=WRITERS)
def published(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Denoiser:
    """A tiny checkpoint in the family's published format."""
    folder: Path = WRITERS[request.param](tmp_path_factory.mktemp("blocks") / request.param)
    return load_model(str(folder), family=request.param, dtype="float32", device="cpu")


def without_cache(
    denoiser: Denoiser, context: Sequence[int], target: Sequence[int], masked: Sequence[bool]
) -> float:
    """The sum of s(S, i) of one mask set within one block: a canvas alone, nothing held."""
    mask_id = denoiser.family.mask_id
    shown = [mask_id if hide else token for token, hide in zip(target, masked, strict=True)]
    canvas = torch.tensor([[*context, *shown]])
    rows = slice(len(context), len(context) + len(target))
    log_probs = denoiser.logits(canvas, rows=rows)[0].double().log_softmax(dim=1)
    return sum(
        float(row[token])
        for row, token, hide in zip(log_probs, target, masked, strict=True)
        if hide
    )


def test_a_held_prefix_changes_nothing_in_published_formats(published: Denoiser) -> None:
    block = published.family.block_length
    assert block is not None
    context, target = list(range(5, 5 + block + 3)), list(range(40, 43))
    if published.family.attention == "block_causal" and block <= 4:
        # Positions 7, 8, 9: the last one of a block and the next block's first two.
        assert block == 4
        cuts = [(0, 1), (1, 3)]
    else:
        cuts = [(0, 3)]
    expected = 0.0
    for start, stop in cuts:
        length = stop - start
        for code in range(1, 2**length):
            masked = [bool(code >> i & 1) for i in range(length)]
            size = sum(masked)
            before = [*context, *target[:start]]
            terms = without_cache(published, before, target[start:stop], masked)
            expected += terms / size / comb(length, size)
    assert log_likelihood(published, context, target).value == pytest.approx(expected, abs=1e-4)


class Counted:
    """Counts what a denoiser's passes process, padding apart."""

    def __init__(self, inner: Denoiser) -> None:
        self.inner = inner
        self.family, self.device, self.vocab_size = inner.family, inner.device, inner.vocab_size
        self.nfe, self.positions = 0, 0

    def logits(
        self, token_ids: torch.Tensor, *, rows: slice, valid: Any, cache: Any = None
    ) -> torch.Tensor:
        columns = slice(cache.length if cache else 0, rows.stop)
        shown = torch.ones_like(token_ids) if valid is None else valid
        self.nfe += len(token_ids)
        self.positions += int(shown[:, columns].sum())
        return self.inner.logits(token_ids, rows=rows, valid=valid, cache=cache)


def test_costs_are_what_the_passes_process(published: Denoiser) -> None:
    config = LikelihoodConfig(samples=5, max_enumeration=3, check_greedy=True)
    generator = np.random.default_rng(5)
    for context_length, target_length in [(4, 9), (1, 1), (11, 3), (2, 7), (20, 1)]:
        text = generator.integers(40, 200, size=context_length + target_length).tolist()
        counted: Any = Counted(published)
        (result,) = score(counted, [(text[:context_length], text[context_length:])], config)
        assert (result.nfe, result.positions) == (counted.nfe, counted.positions)


def test_a_prefix_is_processed_once() -> None:
    model = small_model("block_causal", block_length=4)
    (result,) = score(model, [([0] * 20, [1] * 8)], LikelihoodConfig())
    # 20 + 4 finished positions once; two blocks of 15 mask sets, 4 positions each.
    assert (result.nfe, result.positions) == (1 + 2 * 15, 24 + 2 * 15 * 4)
