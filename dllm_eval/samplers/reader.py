"""Asks the model for logits during decoding: guidance, noise level, caches, and the count.

Knows the canvas and the model; knows nothing of rules. `loop.py` calls it.
"""

from collections.abc import Sequence
from functools import cached_property

import torch
from torch import Tensor

from dllm_eval.api import Denoiser
from dllm_eval.attention import KeyValues, stop_of
from dllm_eval.families import Family
from dllm_eval.packing import Packing
from dllm_eval.samplers.allowed import Allowed
from dllm_eval.samplers.caches import APPROXIMATE, ApproximateCache, check_cache
from dllm_eval.samplers.canvas import Canvas
from dllm_eval.samplers.config import SamplerConfig
from dllm_eval.samplers.head_tiles import TiledHead
from dllm_eval.samplers.last_pass import LastPass
from dllm_eval.samplers.late_head import HasStates, States, tiled_head
from dllm_eval.samplers.latent import LatentDenoiser, read_latents
from dllm_eval.samplers.left_out import left_out_by, num_columns
from dllm_eval.samplers.packed import Packs, packing_of
from dllm_eval.samplers.reads import Reads
from dllm_eval.samplers.rules import Step


class Reader:
    """The model under one canvas.

    With the exact cache, the first pass of a block also reads the block before it, now finished,
    and keeps its keys; the passes after it process the block's own columns alone. What a pass
    processes under an approximate one is in `caches.py`.

    Raises:
        UsageError: The cache asked for has no place here.
    """

    def __init__(self, denoiser: Denoiser, canvas: Canvas, config: SamplerConfig) -> None:
        check_cache(denoiser.family, config)
        self.denoiser = denoiser
        self.latent = denoiser if isinstance(denoiser, LatentDenoiser) else None
        self._stateful = denoiser if isinstance(denoiser, HasStates) else None
        self.canvas = canvas
        self.scale = config.cfg_scale
        self.config = config
        self.cache: KeyValues | None = None
        self.approximate: ApproximateCache | None = None
        if config.cache == "auto" and _is_exact(denoiser.family, config.cfg_scale):
            self.cache = KeyValues(canvas.tokens.shape[1])
            canvas.cache = "exact"
        elif config.cache in APPROXIMATE:
            self.approximate = ApproximateCache(canvas, config)
            self.cache = self.approximate.held
            canvas.cache = "approximate"
        self.left_out = left_out_by(denoiser, config)
        self.allowed = Allowed.of(canvas, denoiser.vocab_size)
        self.last_pass = LastPass()
        self._tiled: TiledHead | None = None

    def read(self, rows: slice, step: Step, self_conditioning: Tensor | None) -> Tensor:
        """(batch, rows, vocab) logits, guided; with leave-one-out, twice as many rows.

        Above guidance scale 0 they are pushed away from those of a copy in which every prompt
        position is masked: u + (scale + 1)(c - u) (LLaDA, arXiv 2502.09992 Eq. 16).
        """
        canvas = self.canvas
        self.last_pass = self._plan(rows, step)
        if self.latent is not None:
            return read_latents(self.latent, canvas, step)
        tokens, valid = self._copies()
        time = None
        if canvas.family.time_conditioned and step.time is not None:
            time = torch.full((len(tokens),), step.time, device=tokens.device)
        if self.left_out is not None:
            logits = self.left_out.logits_and_leave_one_out(tokens, valid=valid, rows=rows)
        elif self._packing is not None and isinstance(self.denoiser, Packs):
            hidden = self.denoiser.states(tokens, rows=rows, packing=self._packing)
            logits = self.denoiser.head(hidden)
        else:
            logits = self.denoiser.logits(
                tokens,
                valid=valid,
                rows=rows,
                time=time,
                cache=self.cache,
                self_conditioning=self_conditioning,
            )
        if self.scale > 0:
            conditional, unconditional = logits.chunk(2)
            logits = unconditional + (self.scale + 1) * (conditional - unconditional)
        if self.allowed is not None:
            self.allowed.restrict(logits, rows)
        return logits

    def states(self, rows: slice, step: Step, reads: Reads) -> States:
        """The same pass without the output head, where `late_head.applies`, at the masked rows."""
        if self._stateful is None:
            raise TypeError(
                f"{type(self.denoiser).__name__} cannot leave its output head for later"
            )
        self.last_pass = self._plan(rows, step)
        tokens, valid = self._copies()
        at = (rows.start + reads.rows).repeat(len(tokens) // len(reads.rows), 1)
        if self._packing is not None and isinstance(self.denoiser, Packs):
            hidden = self.denoiser.states(tokens, rows=rows, at=at, packing=self._packing)
        else:
            hidden = self._stateful.states(tokens, valid=valid, rows=rows, cache=self.cache, at=at)
        head = self._stateful.head
        if self._tiled is None:
            self._tiled = tiled_head(head, self.config)
        allowed = None
        if self.allowed is not None:
            allowed = self.allowed.at(rows, len(self.canvas.prompts))
        return States(
            hidden=hidden,
            reads=reads,
            head=head,
            scale=self.scale,
            tiled=self._tiled,
            allowed=allowed,
        )

    @cached_property
    def _packing(self) -> Packing | None:
        """Made at the first pass: by then the rule has said whether the canvas moves."""
        canvas = self.canvas
        if canvas.spans is None or canvas.valid is None or self.cache is not None:
            return None
        spans = [*canvas.spans] * (2 if self.scale > 0 else 1)
        return packing_of(self.denoiser, spans, canvas.tokens.shape[1])

    def _copies(self) -> tuple[Tensor, Tensor | None]:
        """Canvas and validity; under guidance with a copy whose prompts are masked behind them."""
        canvas, tokens, valid = self.canvas, self.canvas.tokens, self.canvas.valid
        if self.scale == 0:
            return tokens, valid
        blank = torch.where(canvas.given, canvas.family.mask_id, tokens)
        return torch.cat([tokens, blank]), None if valid is None else torch.cat([valid, valid])

    def _plan(self, rows: slice, step: Step) -> LastPass:
        """What the next pass processes; tells the cache."""
        length = self.canvas.tokens.shape[1]
        if self.latent is not None:
            return LastPass(passes=1, stop=length)
        if self.approximate is not None:
            return self.approximate.plan(rows, step.revealed)
        start = kept = 0
        if self.cache is not None:
            # What lies before the rows changes no more; a shifted row is read at its neighbour.
            start, kept = self.cache.length, max(rows.start - self.canvas.family.logits_shift, 0)
            self.cache.keep = kept
        return LastPass(
            passes=2 if self.scale > 0 else 1,
            start=start,
            kept=kept,
            stop=stop_of(self.canvas.family, rows, length),
            num_columns=self._num_columns(rows, step),
        )

    def _num_columns(self, rows: slice, step: Step) -> Sequence[int] | Tensor | None:
        if step.columns is not None or self.left_out is None:
            return step.columns
        spans = self.canvas.spans
        if spans is None:  # the canvas moves, and the device alone knows how long it is
            return num_columns(self.canvas.valid, self.canvas.tokens, rows)
        return [stop - start + rows.stop - rows.start for start, stop in spans]


def _is_exact(family: Family, scale: float) -> bool:
    """Whether finished columns have final keys: attention looks back, and at nothing that changes.

    Guidance masks the prompt; under reordered attention masked columns see what lies behind them.
    """
    return family.looks_back and not (family.attention == "reordered" and scale > 0)
