"""A network's body under torch.compile, on canvases that are padded up to a few fixed shapes.

A shape is compiled when it is met first, as one graph, of which CUDA graphs are recorded where they
are asked for. Padding is hidden from attention and cut off again, so that answers are the eager
ones up to rounding, and what counts tokens never sees it. Knows a body's calling convention and
torch.compile; nothing of families, heads and samplers. `denoiser.py` calls it.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal
from weakref import ref

import torch
from torch import Tensor, nn
from torch.nn import functional

from dllm_eval.attention import KeyValues, Rows, StaleKeyValues
from dllm_eval.errors import UsageError
from dllm_eval.shapes import Held, Shape, padded, padded_held, padded_index, padded_mask

CompileMode = Literal["default", "reduce-overhead"]
"""What a user may name beside "none"; the second records CUDA graphs."""

Backend = str | Callable[..., Any]
"""What `torch.compile` takes for one."""

MOST_SHAPES = 1024
"""Compiled in one process; torch's own limit of 8 would end in an error at the ninth."""

logger = logging.getLogger(__name__)


class CompiledBody:
    """Called as the body is; see `ModelDenoiser`.

    Args:
        body: The network.
        mode: How.
        backend: Another compiler than torch's own.
    """

    def __init__(
        self, body: nn.Module, mode: CompileMode, *, backend: Backend = "inductor"
    ) -> None:
        self._body = body
        self._mode = mode
        self._met: set[object] = set()
        self._last_held: _LastHeld | None = None
        self._warned = False
        self._run = torch.compile(
            _Pass(body),
            fullgraph=True,
            dynamic=False,
            backend=backend,
            mode=mode if backend == "inductor" else None,
        )

    @property
    def num_shapes(self) -> int:
        """How many graphs have been compiled."""
        return len(self._met)

    def __call__(
        self,
        input_ids: Tensor,
        *,
        mask: Tensor | None,
        positions: Tensor | None,
        cache: KeyValues | None,
        time: Tensor | None,
        rows: slice | None = None,
    ) -> Tensor:
        """(batch, columns, width), or (batch, rows, width) where the network narrows to `rows`.

        The rows go in as an index whose length is padded, so that blocks of one length share a
        graph wherever they lie.

        Raises:
            UsageError: The body cannot be compiled here, or approximate caches are asked for.
        """
        if isinstance(cache, StaleKeyValues):
            raise UsageError(
                f"compile is {self._mode!r}, which has no place for approximate caches: they "
                "process other columns at every step; pass compile=none or cache=none"
            )
        if cache is not None and type(cache) is not KeyValues:
            self._warn()
            eager: Tensor = _call(
                self._body, input_ids, mask, positions, time, cache=cache, rows=rows
            )
            return eager
        batch, columns = input_ids.shape
        length = 0 if cache is None else cache.length
        shape = Shape.around(batch, columns, length)
        if positions is None:
            positions = torch.arange(columns, device=input_ids.device)[None]
        graphed = self._mode == "reduce-overhead"
        if graphed:
            torch.compiler.cudagraph_mark_step_begin()  # type: ignore[no-untyped-call]
        hidden, new = self._first_or_again(
            shape,
            padded(input_ids, shape),
            padded_mask(mask, shape, columns=columns, held=length, device=input_ids.device),
            padded(positions, shape),
            None if time is None else functional.pad(time, (0, shape.batch - batch)),
            None if cache is None else self._held_by(cache, shape),
            padded_index(rows, shape, input_ids.device),
        )
        if cache is not None and cache.keep > length:
            # Passes that keep nothing leave it be: a block's own keys are as short-lived as they.
            for layer, pair in enumerate(new):
                key, value = (part[:batch, :, :columns] for part in pair)
                cache.seen(layer, key, value)
        hidden = hidden[:batch, : columns if rows is None else rows.stop - rows.start]
        # The next pass writes over what CUDA graphs hand out.
        return hidden.clone() if graphed else hidden

    def _first_or_again(
        self,
        shape: Shape,
        ids: Tensor,
        mask: Tensor | None,
        positions: Tensor,
        time: Tensor | None,
        held: Held | None,
        rows: Tensor | None,
    ) -> tuple[Tensor, Held]:
        seen = None if mask is None else mask.shape
        wanted = None if rows is None else rows.shape
        graph = (shape, seen, positions.shape, time is None, held is None, wanted)
        if graph in self._met:
            again: tuple[Tensor, Held] = self._run(ids, mask, positions, time, held, rows)
            return again
        with compiling(self._mode):
            first: tuple[Tensor, Held] = self._run(ids, mask, positions, time, held, rows)
        self._met.add(graph)
        return first

    def _held_by(self, cache: KeyValues, shape: Shape) -> Held:
        """Padded once a block: what is held stays as it is while its passes go on."""
        last = self._last_held
        if last is None or last.of() is not cache or last.where != (cache.length, shape):
            self._last_held = None  # or both would exist at once
            where, held = (cache.length, shape), padded_held(cache, shape)
            last = self._last_held = _LastHeld(of=ref(cache), where=where, held=held)
        return last.held

    def _warn(self) -> None:
        if not self._warned:
            logger.warning(
                "compile=%s: passes behind shared prefixes, as in scoring, run eagerly", self._mode
            )
        self._warned = True


@dataclass(frozen=True, kw_only=True, eq=False)
class _LastHeld:
    """Held keys and values, padded, and whose they are."""

    of: "ref[KeyValues]"
    where: tuple[int, Shape]
    held: Held


class _Pass(nn.Module):
    """The body as a function of tensors alone, which hands back the new keys and values."""

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body

    def forward(
        self,
        ids: Tensor,
        mask: Tensor | None,
        positions: Tensor,
        time: Tensor | None,
        held: Held | None,
        rows: Tensor | None,
    ) -> tuple[Tensor, Held]:
        cache = None if held is None else _Behind(held)
        hidden = _call(self.body, ids, mask, positions, time, cache=cache, rows=rows)
        return hidden, [] if cache is None else cache.new


def _call(
    body: nn.Module,
    ids: Tensor,
    mask: Tensor | None,
    positions: Tensor | None,
    time: Tensor | None,
    *,
    cache: KeyValues | None,
    rows: Rows,
) -> Tensor:
    """The body; one that narrows not is never told of rows."""
    told = {"mask": mask, "positions": positions, "cache": cache, "time": time}
    hidden: Tensor = body(ids, **told) if rows is None else body(ids, **told, rows=rows)
    return hidden


class _Behind(KeyValues):
    """Held columns before a pass's own, which are collected layer by layer."""

    def __init__(self, held: Held) -> None:
        super().__init__(0)
        self._before = held
        self.new: Held = []

    def seen(self, layer: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Held and new ones, the held ones padded."""
        self.new.append((key, value))
        if not self._before:
            return key, value
        keys, values = self._before[layer]
        return torch.cat([keys, key], dim=2), torch.cat([values, value], dim=2)


@contextmanager
def compiling(mode: CompileMode) -> Iterator[None]:
    """While it lasts, one function is compiled for as many shapes as are met.

    Raises:
        UsageError: torch's compilers cannot; the line names the mode.
    """
    try:
        with _many_shapes():
            yield
    except (torch.OutOfMemoryError, UsageError):
        raise
    except Exception as error:  # torch's compilers raise errors of many kinds
        line = str(error).strip().splitlines()[0] if str(error).strip() else "no reason given"
        raise UsageError(
            f"compile is {mode!r}, and this network cannot be compiled here "
            f"({type(error).__name__}: {line}); pass compile=none"
        ) from error


def _many_shapes() -> Any:  # noqa: ANN401 - torch names no type for it
    """While it lasts, torch compiles one function for as many shapes as are met."""
    config: Any = torch._dynamo.config
    names: Sequence[str] = ("recompile_limit", "accumulated_recompile_limit")
    if not hasattr(config, names[0]):  # torch 2.6 and before
        names = ("cache_size_limit", "accumulated_cache_size_limit")
    return config.patch(dict.fromkeys(names, MOST_SHAPES))
