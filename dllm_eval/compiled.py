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

import torch
from torch import Tensor, nn
from torch.nn import functional

from dllm_eval.attention import KeyValues, StaleKeyValues
from dllm_eval.errors import UsageError

CompileMode = Literal["default", "reduce-overhead"]
"""What a user may name beside "none"; the second records CUDA graphs."""

Backend = str | Callable[..., Any]
"""What `torch.compile` takes for one."""

Held = list[tuple[Tensor, Tensor]]
"""Keys and values of finished columns by layer, (batch, heads, columns, width) each."""

COLUMNS = 64
"""Canvases are padded to a multiple of this, shorter ones to a power of two."""

LEAST_COLUMNS = 8
"""Padding of the very short costs nothing."""

MOST_SHAPES = 1024
"""Compiled in one process; torch's own limit of 8 would end in an error at the ninth."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Shape:
    """What one graph is compiled for, padding included."""

    batch: int
    columns: int
    held: int
    """Columns that another pass has processed; 0 where this one processes all."""

    @classmethod
    def around(cls, batch: int, columns: int, held: int) -> "Shape":
        """The smallest one that has room."""
        return cls(
            batch=_power_of_two(batch),
            columns=_whole_columns(columns),
            held=0 if held == 0 else max(COLUMNS, _power_of_two(held)),
        )


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
    ) -> Tensor:
        """(batch, columns, width).

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
            eager: Tensor = self._body(
                input_ids, mask=mask, positions=positions, cache=cache, time=time
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
            _padded(input_ids, shape),
            _padded_mask(mask, shape, columns=columns, held=length, device=input_ids.device),
            _padded(positions, shape),
            None if time is None else functional.pad(time, (0, shape.batch - batch)),
            None if cache is None else _padded_held(cache, shape),
        )
        if cache is not None:
            for layer, pair in enumerate(new):
                key, value = (part[:batch, :, :columns] for part in pair)
                cache.seen(layer, key, value)
        hidden = hidden[:batch, :columns]
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
    ) -> tuple[Tensor, Held]:
        seen = None if mask is None else mask.shape
        graph = (shape, seen, positions.shape, time is None, held is None)
        if graph in self._met:
            again: tuple[Tensor, Held] = self._run(ids, mask, positions, time, held)
            return again
        with compiling(self._mode):
            first: tuple[Tensor, Held] = self._run(ids, mask, positions, time, held)
        self._met.add(graph)
        return first

    def _warn(self) -> None:
        if not self._warned:
            logger.warning(
                "compile=%s: passes behind shared prefixes, as in scoring, run eagerly", self._mode
            )
        self._warned = True


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
    ) -> tuple[Tensor, Held]:
        cache = None if held is None else _Behind(held)
        hidden = self.body(ids, mask=mask, positions=positions, cache=cache, time=time)
        return hidden, [] if cache is None else cache.new


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


def _padded(table: Tensor, shape: Shape) -> Tensor:
    """(batch or 1, columns) with zeros to the right and below; one row stays one."""
    rows = shape.batch - len(table) if len(table) > 1 else 0
    return functional.pad(table, (0, shape.columns - table.shape[1], 0, rows))


def _padded_mask(
    mask: Tensor | None, shape: Shape, *, columns: int, held: int, device: torch.device
) -> Tensor | None:
    """Who sees whom, padding hidden: keys are the held columns, then the pass's own.

    Padding itself sees all that a mask names, so that no row is empty.

    Args:
        mask: (batch or 1, 1, columns or 1, held + columns) bool, None where all is seen.
        shape: With padding.
        columns: Without.
        held: Without.
        device: Of the canvas.
    """
    if mask is None:
        if (columns, held) == (shape.columns, shape.held):
            return None
        mask = torch.ones(1, 1, 1, held + columns, dtype=torch.bool, device=device)
    before, own = mask[..., :held], mask[..., held:]
    keys = (
        functional.pad(before, (0, shape.held - held)),
        functional.pad(own, (0, shape.columns - columns)),
    )
    wide = torch.cat(keys, dim=3)
    rows = shape.batch - len(mask) if len(mask) > 1 else 0
    queries = shape.columns - columns if mask.shape[2] > 1 else 0
    return functional.pad(wide, (0, 0, 0, queries, 0, 0, 0, rows), value=True)


def _padded_held(cache: KeyValues, shape: Shape) -> Held:
    """Zeros where nothing is held, because attention weighs even what it hides by nought."""
    if cache.length == 0:
        return []
    return [(_padded_block(key, shape), _padded_block(value, shape)) for key, value in cache.held()]


def _padded_block(part: Tensor, shape: Shape) -> Tensor:
    batch, _, columns, _ = part.shape
    room = (0, 0, 0, shape.held - columns, 0, 0, 0, shape.batch - batch)
    return functional.pad(part, room)


def _whole_columns(columns: int) -> int:
    if columns <= COLUMNS:
        return max(LEAST_COLUMNS, _power_of_two(columns))
    return -(-columns // COLUMNS) * COLUMNS


def _power_of_two(number: int) -> int:
    return 1 << (number - 1).bit_length()


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
