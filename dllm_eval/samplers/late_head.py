"""The output head at the positions that are still masked, a few rows at a time.

With a large vocabulary the logits are most of a step's memory, and the head much of its work; most
samplers want one token and a few numbers per masked position. So the body runs first, its last
layer at the masked positions alone, and each chunk of their logits is reduced and dropped: on a CPU
at temperature 0 a tile of the vocabulary (`head_tiles.py`), else some rows. The host knows how many
there are without asking the device. A drawn token takes numbers for its own position alone, so
above temperature 0 the draws are others than with all logits. Knows states, heads and proposals;
nothing of blocks and steps. `loop.py` asks whether it applies, `reveal.py` calls it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from dllm_eval.api import Denoiser
from dllm_eval.attention import KeyValues
from dllm_eval.families import Family
from dllm_eval.samplers.allowed import AllowedPlaces
from dllm_eval.samplers.config import SamplerConfig
from dllm_eval.samplers.head_tiles import TiledHead
from dllm_eval.samplers.noise import Noise
from dllm_eval.samplers.parts.part import Statistic
from dllm_eval.samplers.proposal import (
    Prediction,
    Proposal,
    forbid,
    is_greedy,
    propose,
    statistics_of,
    statistics_read,
    unusable,
)
from dllm_eval.samplers.reads import Reads
from dllm_eval.samplers.row_statistics import RowStatistics

LARGE_VOCABULARY = 8192
"""Below this, gathering costs more than it saves (`benchmarks/vocabulary.py`)."""

CHUNK_ELEMENTS = {"cpu": 2**24, "cuda": 2**26}
"""Logits that exist at once, by device: large enough that the head's weights are read few times."""

SAMPLED_SHARE = 4
"""Drawing tokens takes a few more tensors as large as the logits."""


@runtime_checkable
class HasStates(Protocol):
    """A denoiser whose output head can run later."""

    head: nn.Module

    def states(
        self,
        token_ids: Tensor,
        *,
        valid: Tensor | None = None,
        rows: slice | None = None,
        time: Tensor | None = None,
        cache: KeyValues | None = None,
        at: Tensor | None = None,
    ) -> Tensor:
        """As `Denoiser.logits`, without the head: (batch, rows, width).

        Where `at` says which columns of the rows are wanted, (batch, reads): (batch, reads, width).
        """
        ...


@dataclass(frozen=True, kw_only=True)
class States:
    """A forward pass whose head has not run yet."""

    hidden: Tensor
    """(batch, reads, width); under guidance the copies without the prompt behind the batch."""
    reads: Reads
    head: nn.Module
    scale: float = 0.0
    """Of guidance; see `reader.Reader.read`."""
    tiled: TiledHead | None = None
    """The same head, where its logits can be reduced a tile at a time."""
    allowed: AllowedPlaces | None = None
    """Positions where only some tokens may be written."""

    @property
    def copies(self) -> int:
        """How often each row is there."""
        return 2 if self.scale > 0 else 1

    def logits(self, numbers: Tensor) -> Tensor:
        """(numbers, vocab) logits, guided; a fresh tensor.

        Args:
            numbers: (numbers,) int64, which of the reads.
        """
        logits = self.guided(self.head(self.at(numbers)))
        if self.allowed is None:
            return logits
        return self.allowed.restrict(logits, self.reads.places[numbers])

    def at(self, numbers: Tensor) -> Tensor:
        """(copies, numbers, width)."""
        flat = self.hidden.reshape(self.copies, -1, self.hidden.shape[2])
        return flat.index_select(1, numbers)

    def guided(self, logits: Tensor) -> Tensor:
        """(copies, places, columns) -> (places, columns)."""
        if self.copies == 1:
            return logits[0]
        conditional, unconditional = logits[0], logits[1]
        return unconditional + (self.scale + 1) * (conditional - unconditional)


@dataclass(frozen=True, kw_only=True)
class ReducedPrediction(Prediction):
    """What is kept of distributions: what the parts asked for, and no logits."""

    logits: Tensor = field(init=False, repr=False)
    kept: Mapping[Statistic, Tensor]
    """Each (batch, rows), zeros where nothing is masked."""

    def entropy(self) -> Tensor:
        """(batch, rows), in nats."""
        return self.kept["entropy"]

    def best_probability(self) -> Tensor:
        """(batch, rows): of the most probable token, whatever was drawn."""
        return self.kept["best"]

    def two_best(self) -> Tensor:
        """(batch, rows, 2): the probabilities of the two most probable tokens."""
        return torch.stack([self.kept["best"], self.kept["second"]], dim=-1)


def applies(denoiser: Denoiser, config: SamplerConfig) -> bool:
    """Whether the logits can be reduced at once: vocabulary, model and every part allow it."""
    return (
        denoiser.vocab_size >= LARGE_VOCABULARY
        and isinstance(denoiser, HasStates)
        and config.mode == "fast"
        and config.edit_threshold is None
        and all(part.reads is not None and not part.whole_canvas for part in config.parts)
    )


def tiled_head(head: nn.Module, config: SamplerConfig) -> TiledHead | None:
    """The head for one decoding, in tiles, where that is possible and faster.

    On a CPU, for the most likely tokens: a drawn one needs numbers for all ids of a row in order.
    """
    if not is_greedy(config) or type(head) is not nn.Linear or head.weight.device.type != "cpu":
        return None
    return TiledHead(head)


def propose_masked(
    states: States, *, config: SamplerConfig, family: Family, noise: Noise
) -> Proposal:
    """As `proposal.propose`, at the masked positions alone; elsewhere it says nothing.

    Args:
        states: The forward pass.
        config: The sampler's settings.
        family: Which ids are special.
        noise: Each request's random numbers.
    """
    reads, wanted = states.reads, statistics_read(config)
    numbers = reads.counted()
    places = reads.places[numbers]
    if states.tiled is not None:
        row = _reduce_tiles(states, states.tiled, numbers, config, family)
        if states.allowed is not None:
            # The few constrained positions once more, from all of their logits.
            logits = states.logits(reads.numbers_of(states.allowed.places))
            forbid(logits, config, family)
            row = states.allowed.joined(row, statistics_of(logits, wanted), places)
        return _spread([_kept_of(row, wanted)], places, reads.masked)
    owners = [request for request, count in enumerate(reads.counts) for _ in range(count)]
    size = _chunk_rows(states, config)
    found = []
    for at in range(0, len(owners), size):
        own = noise.of(owners[at : at + size])
        # Under no name here, or two chunks of logits would exist at once.
        found.append(_reduce(states.logits(numbers[at : at + size]), config, family, own, wanted))
    return _spread(found, places, reads.masked)


def _chunk_rows(states: States, config: SamplerConfig) -> int:
    weight = states.head.weight
    vocab = weight.shape[0] if isinstance(weight, Tensor) else 1
    elements = CHUNK_ELEMENTS["cuda" if states.hidden.is_cuda else "cpu"]
    tensors = states.copies * (1 if is_greedy(config) else SAMPLED_SHARE)
    return max(1, elements // vocab // tensors)


@dataclass(frozen=True, kw_only=True)
class _Reduced:
    """What is kept of some rows of logits, (places,) each."""

    tokens: Tensor
    confidence: Tensor
    broken: Tensor
    kept: Mapping[Statistic, Tensor]


def _reduce(
    logits: Tensor, config: SamplerConfig, family: Family, noise: Noise, wanted: set[Statistic]
) -> _Reduced:
    """Reduces (places, vocab) logits, which are overwritten."""
    if not is_greedy(config):
        whole = propose(logits[:, None], config, family, noise)  # (places, 1, vocab)
        return _Reduced(
            tokens=whole.tokens[:, 0],
            confidence=whole.confidence[:, 0],
            broken=whole.broken[:, 0],
            kept={name: _told(whole.prediction, name)[:, 0] for name in wanted},
        )
    forbid(logits, config, family)
    return _kept_of(statistics_of(logits, wanted), wanted)


def _reduce_tiles(
    states: States, tiled: TiledHead, numbers: Tensor, config: SamplerConfig, family: Family
) -> RowStatistics:
    """The same without the logits ever existing together."""
    wanted = statistics_read(config)

    def finish(logits: Tensor, first: int) -> Tensor:
        logits = states.guided(logits)
        forbid(logits, config, family, first=first)
        return logits

    return tiled.reduce(
        states.at(numbers),
        finish=finish,
        entropy="entropy" in wanted,
        runner_up="second" in wanted,
    )


def _kept_of(row: RowStatistics, wanted: set[Statistic]) -> _Reduced:
    confidence = row.probability
    kept: dict[Statistic, Tensor] = {"best": confidence} if "best" in wanted else {}
    if row.entropy is not None:
        kept["entropy"] = row.entropy
    if row.runner_up is not None:
        kept["second"] = (row.runner_up - row.normaliser).exp()
    return _Reduced(tokens=row.token, confidence=confidence, broken=unusable(row.best), kept=kept)


def _told(prediction: Prediction, name: Statistic) -> Tensor:
    if name == "entropy":
        return prediction.entropy()
    if name == "best":
        return prediction.best_probability()
    return prediction.two_best()[..., 1]


def _spread(found: Sequence[_Reduced], places: Tensor, masked: Tensor) -> Proposal:
    """The chunks' numbers at their places, (batch, rows)."""

    def at_places(values: Sequence[Tensor], elsewhere: bool = False) -> Tensor:
        joined = torch.cat(list(values))
        whole = joined.new_full((masked.numel(),), elsewhere)
        return whole.index_copy_(0, places, joined).view(masked.shape)

    kept = {name: at_places([one.kept[name] for one in found]) for name in found[0].kept}
    return Proposal(
        tokens=at_places([one.tokens for one in found]),
        confidence=at_places([one.confidence for one in found]),
        # A masked position that was not computed would be a mistake in `counts`: never reveal it.
        broken=at_places([one.broken for one in found], elsewhere=True),
        prediction=ReducedPrediction(kept=kept),
    )
