"""Fake denoisers: a random table, an exact Markov chain, and a tiny attention model."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from dllm_eval.api import Denoiser
from dllm_eval.denoiser import ModelDenoiser
from dllm_eval.families import Family

TOKENS = 3
MASK, PAD = TOKENS, TOKENS + 1
VOCAB = TOKENS + 2


def family(logits_shift: int = 0, context_length: int = 64) -> Family:
    return Family(
        name="fake",
        mask_id=MASK,
        eos_id=0,
        pad_id=PAD,
        logits_shift=logits_shift,
        context_length=context_length,
    )


class CanvasDenoiser:
    """Calls `predict` on each canvas without its padding, and keeps what it was asked."""

    def __init__(self, predict: Callable[[tuple[int, ...]], NDArray[np.float64]]) -> None:
        self.family = family()
        self.device = torch.device("cpu")
        self.vocab_size = VOCAB
        self.predict = predict
        self.canvases: list[tuple[int, ...]] = []
        self.batches: list[tuple[int, int]] = []
        """Rows and logit columns of each forward pass."""

    def logits(
        self,
        token_ids: Tensor,
        *,
        valid: Tensor | None = None,
        rows: slice | None = None,
        **_: object,
    ) -> Tensor:
        keep = torch.ones_like(token_ids, dtype=torch.bool) if valid is None else valid
        out = torch.full((*token_ids.shape, VOCAB), torch.nan, dtype=torch.float64)
        for row in range(len(token_ids)):
            canvas = tuple(token_ids[row][keep[row]].tolist())
            self.canvases.append(canvas)
            out[row, keep[row]] = torch.from_numpy(self.predict(canvas))
        out = out[:, rows or slice(None)]
        self.batches.append((out.shape[0], out.shape[1]))
        return out


def _table(seed: int) -> Callable[[tuple[int, ...]], NDArray[np.float64]]:
    def predict(canvas: tuple[int, ...]) -> NDArray[np.float64]:
        generator = np.random.default_rng([seed, *canvas])
        logits = generator.normal(scale=1.5, size=(len(canvas), VOCAB))
        logits[:, TOKENS:] = -np.inf
        return logits

    return predict


def _chain_posterior(
    start: NDArray[np.float64], step: NDArray[np.float64]
) -> Callable[[tuple[int, ...]], NDArray[np.float64]]:
    """p(token at i | the tokens that are not masked), by forward-backward."""

    def predict(canvas: tuple[int, ...]) -> NDArray[np.float64]:
        evidence = np.array([np.ones(TOKENS) if t == MASK else np.eye(TOKENS)[t] for t in canvas])
        before = [start]  # before[i] is p(x_i, evidence left of i)
        for seen in evidence[:-1]:
            before.append((before[-1] * seen) @ step)
        after = [np.ones(TOKENS)]  # after[i] is p(evidence right of i | x_i)
        for seen in evidence[:0:-1]:
            after.insert(0, step @ (seen * after[0]))
        out = np.full((len(canvas), VOCAB), -np.inf)
        for i, (left, right) in enumerate(zip(before, after, strict=True)):
            joint = left * right if canvas[i] == MASK else left * right * evidence[i]
            with np.errstate(divide="ignore"):
                out[i, :TOKENS] = np.log(joint / joint.sum())
        return out

    return predict


class Body(nn.Module):
    """One bidirectional attention layer with learned positions, in random weights."""

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.tokens = nn.Embedding(VOCAB, width)
        self.positions = nn.Embedding(64, width)
        self.query, self.key, self.value = (nn.Linear(width, width) for _ in range(3))

    def forward(
        self,
        input_ids: Tensor,
        *,
        mask: Tensor | None,
        positions: Tensor | None,
        cache: object = None,  # noqa: ARG002 - full attention has none
        time: Tensor | None = None,  # noqa: ARG002
    ) -> Tensor:
        if positions is None:
            positions = torch.arange(input_ids.shape[1])[None]
        hidden: Tensor = self.tokens(input_ids) + self.positions(positions)
        scores = self.query(hidden) @ self.key(hidden).transpose(1, 2)
        if mask is not None:
            scores = scores.masked_fill(~mask[:, 0], -1e9)
        out: Tensor = hidden + scores.softmax(-1) @ self.value(hidden)
        return out


@pytest.fixture
def tabular() -> CanvasDenoiser:
    """Logits drawn afresh for every canvas: conditionals that no joint distribution has."""
    return CanvasDenoiser(_table(seed=7))


@pytest.fixture
def chain_parameters() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    generator = np.random.default_rng(11)
    return generator.dirichlet(np.ones(TOKENS)), generator.dirichlet(np.ones(TOKENS), size=TOKENS)


@pytest.fixture
def chain(
    chain_parameters: tuple[NDArray[np.float64], NDArray[np.float64]],
) -> CanvasDenoiser:
    """The exact posterior of a Markov chain: every order of revealing gives one joint."""
    return CanvasDenoiser(_chain_posterior(*chain_parameters))


@pytest.fixture
def tiny_model() -> Callable[[int], Denoiser]:
    """A real forward pass, by logit shift."""

    def build(logits_shift: int) -> Denoiser:
        torch.manual_seed(3)
        body, head = Body(), nn.Linear(16, VOCAB)
        return ModelDenoiser(body=body, head=head, family=family(logits_shift))

    return build
