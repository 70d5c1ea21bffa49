"""The types that cross borders between layers; every other module may import this one.

It knows torch's Tensor and nothing else: no model, no file, no clock, no lm-eval.
"""

from dataclasses import dataclass
from typing import Literal, Protocol

import torch
from torch import Tensor

from dllm_eval.attention import KeyValues
from dllm_eval.families import Family

StopReason = Literal["eos", "stop_string", "length"]

Quantity = Literal[
    "log_likelihood", "elbo", "importance_bound", "upper_bound", "pseudo_log_likelihood", "one_step"
]
"""What a score is: log p itself; a lower bound of it, a tighter one, or an upper one; or, the last
two, a number that is no likelihood and bounds none."""

CacheKind = Literal["none", "exact", "approximate"]
"""What forward passes use again of earlier ones: nothing; what can no longer change; or what could,
so that an answer may differ from the uncached one."""


class Denoiser(Protocol):
    """What samplers and estimators need of a diffusion model."""

    @property
    def family(self) -> Family:
        """The facts in which this model differs from other diffusion models."""
        ...

    @property
    def device(self) -> torch.device:
        """Where token ids have to be."""
        ...

    @property
    def vocab_size(self) -> int:
        """Number of columns of the logits."""
        ...

    def logits(
        self,
        token_ids: Tensor,
        *,
        valid: Tensor | None = None,
        rows: slice | None = None,
        time: Tensor | None = None,
        cache: KeyValues | None = None,
        self_conditioning: Tensor | None = None,
    ) -> Tensor:
        """One forward pass; row i predicts position i whatever the family's shift.

        Args:
            token_ids: (batch, length) int64 canvas, masks included.
            valid: (batch, length) bool, False at padding; None means that nothing is padded.
            rows: The positions whose logits are wanted; None means all of them.
            time: (batch,) share of noise in [0, 1], 1 where nothing is known; only families that
                are conditioned on it look at it.
            cache: Columns that this pass reads instead of processing them again. Where attention
                only looks back, the finished ones, to which the pass adds those before
                `cache.keep`; a `StaleKeyValues` holds any columns, under full attention.
            self_conditioning: (batch, rows, vocab) logits, what the same rows were predicted to be
                one step before; only families that are conditioned on it look at it.

        Returns:
            (batch, number of rows, vocab_size) logits in the model's dtype, a fresh tensor that
            the caller may overwrite.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class Prompt:
    """What one request conditions on: the canvas lies between prefix and suffix."""

    prefix: tuple[int, ...]
    suffix: tuple[int, ...] = ()
    """Token ids after the canvas; not empty only when infilling."""
    given: tuple[tuple[int, int], ...] = ()
    """(offset in the canvas, token id): positions that hold this token before the first step, and
    are seen by every pass, but never denoised. So several gaps are one canvas."""
    allowed: tuple[tuple[int, tuple[int, ...]], ...] = ()
    """(offset in the canvas, token ids): at this position only these may be written."""
    seed: int = 0
    """Seeds this request's own generator, so that batch and order change nothing."""


@dataclass(frozen=True, kw_only=True)
class Generation:
    """One request's answer and what it cost. Every tuple has one entry per canvas position."""

    tokens: tuple[int, ...]
    """The canvas after decoding, gen_length ids; for an AR model the generated ids."""
    visible: tuple[int, ...]
    """The ids before the first end-of-text id; with `spans` those of the spans, one after
    another."""
    nfe: int
    """Forward passes that worked on this request; guidance counts two."""
    positions: int
    """Token positions those passes processed, padding excluded."""
    reveal_step: tuple[int, ...]
    """The step (from 0) at which each position was set; -1 where it was never reached, -2 where
    the request gave it."""
    stop_reason: StopReason
    host_syncs: int = 0
    """Times the decoding loop waited for the device on behalf of this request's batch."""
    cache: CacheKind = "none"
    draft_nfe: int | None = None
    draft_positions: int | None = None
    """Of speculative decoding with an assistant: its own passes for this request, and what they
    processed; `nfe` and `positions` are the model's, rejected drafts included."""
    spans: tuple[tuple[int, int], ...] | None = None
    """Half-open ranges of `tokens`, in reading order: the answer of each gap, up to its own first
    end-of-text id; None where the whole canvas is the answer."""
    certainty: float | None = None
    """Mean log-probability (nats) of the written tokens in the steps that wrote them; None where
    nobody asked."""


@dataclass(frozen=True, kw_only=True)
class Likelihood:
    """An estimate of log p(target | context) in nats, and what it cost."""

    value: float
    stderr: float
    """Monte-Carlo standard error; 0 where exact."""
    nfe: int
    positions: int
    exact: bool
    """True where `value` carries no Monte-Carlo error."""
    quantity: Quantity
    """An ELBO is a lower bound; never print it beside a log-likelihood as one quantity."""
    estimator: str
    """Which estimator ran, for example "single_token", "enumeration", "monte_carlo"."""
    samples: int = 0
    """Monte-Carlo samples drawn; 0 where exact."""
    is_greedy: bool | None = None
    """Whether greedy decoding gives the target; None where it was not computed."""
    degrees: float | None = None
    """Degrees of freedom of Student's t behind `stderr`; None where nothing was drawn, and for the
    bounds of SEDD, D3PM, Plaid and Diffusion-LM, which do not tell."""
    importance_bound: float | None = None
    """A lower bound of log p that lies above the ELBO on average, from the same forwards; None
    where the estimator has none."""
    upper_bound: float | None = None
    """An estimate of an upper bound of log p, from the same forwards."""
    upper_bound_stderr: float | None = None
    win_probability: float | None = None
    """Of a question's choice: the chance that it has the highest value under another seed."""
    win_probability_normalised: float | None = None
    """The same for the value divided by the choice's length, as the question says."""
