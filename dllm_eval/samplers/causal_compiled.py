"""A causal model's decoding step under torch.compile, on static caches of a few lengths.

One graph per (batch, columns), which reads one token of every request. Its cache is kept for the
next batch of that shape: CUDA graphs are recorded for fixed addresses. A shape is compiled, and its
CUDA graph recorded, when it is asked for first, before any token is decoded in it; whoever times
requests looks at `num_compiled`. Knows a transformers causal model and torch.compile; nothing of
prompts and of how tokens are chosen. `causal_steps.py` calls it, the adapter builds it.
"""

from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn
from transformers import StaticCache
from transformers.cache_utils import StaticLayer

from dllm_eval.compiled import Backend, CompileMode, compiling
from dllm_eval.errors import UsageError

COLUMNS = 64
"""Caches are a multiple of this long, long ones a multiple of an eighth of a power of two."""

FIRST_RUNS = 3
"""Of a new shape: one compiles and warms up, one records a CUDA graph, one replays it."""

KEPT_AS = "_dllm_eval_compiled_steps"
"""Attribute of a model under which its compiled steps stay for the next who loads it."""


def columns_around(columns: int) -> int:
    """The length of the shortest cache that has room: an eighth longer than asked at most.

    Short ones are a multiple of `COLUMNS`.
    """
    grain = max(COLUMNS, (1 << (columns - 1).bit_length()) // 8)
    return -(-columns // grain) * grain


class CompiledSteps:
    """The compiled step of one model; `of` hands out the one that the model has already.

    Args:
        model: A transformers causal language model.
        mode: "reduce-overhead" records CUDA graphs, on a CPU it is "default".
        backend: Another compiler than torch's own.
    """

    def __init__(
        self,
        model: Any,  # noqa: ANN401 - transformers has no one type for causal models
        mode: CompileMode,
        *,
        backend: Backend = "inductor",
    ) -> None:
        self.mode = mode
        self._model, self._config = model, model.config
        self._device: torch.device = model.device
        self._caches: dict[tuple[int, int], StaticCache] = {}
        self._backend = backend

    @cached_property
    def _run(self) -> Any:  # noqa: ANN401 - torch names no type for it
        return torch.compile(
            _Step(self._model),
            fullgraph=True,
            dynamic=False,
            backend=self._backend,
            mode=self.mode if self._backend == "inductor" else None,
        )

    @classmethod
    def of(cls, model: Any, mode: CompileMode) -> "CompiledSteps":  # noqa: ANN401
        """The model's own, made when it is asked for first."""
        known: dict[str, CompiledSteps] = model.__dict__.setdefault(KEPT_AS, {})
        if mode not in known:
            known[mode] = cls(model, mode)
        return known[mode]

    @property
    def num_shapes(self) -> int:
        """How many have been compiled."""
        return len(self._caches)

    @property
    def num_compiled(self) -> int:
        """Grows whenever something is compiled in this process, foreseen or not."""
        graphs: int = torch._dynamo.utils.counters["stats"]["unique_graphs"]
        return graphs + len(self._caches)

    def cache(self, batch: int, columns: int) -> StaticCache:
        """An empty cache of a shape, compiled for; the same one each time.

        Args:
            batch: Requests.
            columns: As `columns_around` has them.

        Raises:
            UsageError: The model cannot be compiled here.
        """
        shape = (batch, columns)
        if shape not in self._caches:
            made = _static_cache(self._config, columns)
            with compiling(self.mode):
                self._first_runs(made, batch, columns)
            self._caches[shape] = made
        found = self._caches[shape]
        found.reset()  # type: ignore[no-untyped-call]
        return found

    def advance(self, ids: Tensor, positions: Tensor, valid: Tensor, cache: StaticCache) -> Tensor:
        """Reads one token of every request; returns the next one's logits, (batch, vocab).

        The tensor is written over by the next call where CUDA graphs run.

        Args:
            ids: (batch, 1) int64.
            positions: (batch, 1) int64, padding not counted.
            valid: (batch, columns) int64, 0 at padding.
            cache: As `cache` gave it.
        """
        if self.mode == "reduce-overhead" and self._device.type == "cuda":
            torch.compiler.cudagraph_mark_step_begin()  # type: ignore[no-untyped-call]
        # Strides are part of a shape, and those of a lone element are whatever it was cut from.
        ids, positions, valid = (
            table.clone(memory_format=torch.contiguous_format) for table in (ids, positions, valid)
        )
        logits: Tensor = self._run(ids, positions, valid, cache)
        return logits

    def _first_runs(self, cache: StaticCache, batch: int, columns: int) -> None:
        ids = torch.zeros(batch, 1, dtype=torch.int64, device=self._device)
        valid = torch.ones(batch, columns, dtype=torch.int64, device=self._device)
        model: Any = self._model
        # What fills the cache is never compiled: the first pass allocates it at fixed addresses.
        model(input_ids=ids, past_key_values=cache, use_cache=True, logits_to_keep=1)
        for place in range(1, 1 + FIRST_RUNS):
            self.advance(ids, torch.full_like(ids, place), valid, cache)


class _Step(nn.Module):
    """One pass as a function of tensors and a cache."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, ids: Tensor, positions: Tensor, valid: Tensor, cache: StaticCache) -> Tensor:
        out = self.model(
            input_ids=ids,
            position_ids=positions,
            attention_mask=valid,
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        )
        logits: Tensor = out.logits[:, -1]
        return logits


def _static_cache(config: Any, columns: int) -> StaticCache:  # noqa: ANN401
    """With all columns in every layer; a sliding window is then the mask's alone.

    transformers' own layer of a sliding window counts in Python, so that each step would be another
    graph.
    """
    cache = StaticCache(config=config, max_cache_len=columns)
    plain = all(isinstance(layer, StaticLayer) for layer in cache.layers)
    if not plain or not isinstance(
        getattr(cache.layers[0], "cumulative_length", None), torch.Tensor
    ):
        kinds = ", ".join(sorted({type(layer).__name__ for layer in cache.layers}))
        raise UsageError(
            f"compile needs a static cache of keys and values in every layer, as transformers 5.23 "
            f"has it, and this model's has {kinds}; pass compile=none"
        )
    cache.layers = [StaticLayer(max_cache_len=columns) for _ in cache.layers]
    return cache
