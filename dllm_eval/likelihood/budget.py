"""How many positions a forward pass takes, and what happens where memory does not suffice.

Work is taken in order, as much at a time as the budget allows. A pass that runs out of memory is
undone: its work goes back to the front of the queue, and the budget becomes half of what that pass
took, so that nothing is lost and a failure is repeated a logarithmic number of times. Knows rows
and their width; nothing of models, masks and estimators. `core` and the bounds of other families
run their passes here.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Generic, Protocol, Self, TypeVar

import torch

from dllm_eval.errors import UsageError

_OUT_OF_MEMORY = (
    "out of memory",
    "can't allocate memory",
    "not enough memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
)
"""What allocators say that have no error class of their own: torch 2.13's on CPU
(c10/core/impl/alloc_cpu.cpp), on MPS, and cuBLAS's."""


class Piece(Protocol):
    """Rows of one forward pass that are of one width."""

    @property
    def num_rows(self) -> int:
        """At least 1."""
        ...

    @property
    def width(self) -> int:
        """Positions that each row takes."""
        ...

    def cut(self, start: int, stop: int) -> Self:
        """Some of the rows."""
        ...


class OneRow:
    """A piece that is never cut."""

    @property
    def num_rows(self) -> int:
        """One."""
        return 1

    def cut(self, start: int, stop: int) -> Self:
        """Itself."""
        del start, stop
        return self


Work = TypeVar("Work", bound=Piece)
Result = TypeVar("Result")


class Budget:
    """The most positions of one forward pass, padding included; at least one row always runs.

    It is lowered for good where memory ran out, so calls that share a budget share what was learnt.

    Args:
        tokens: Positions.
    """

    def __init__(self, tokens: int) -> None:
        self.tokens = tokens

    @classmethod
    def of(cls, tokens: "int | Budget") -> "Budget":
        """A budget of its own for a number."""
        return tokens if isinstance(tokens, Budget) else cls(tokens)

    def run(
        self, pieces: Iterable[Work], attempt: Callable[[list[Work]], Result]
    ) -> Iterator[tuple[list[Work], Result]]:
        """Works through the pieces in order.

        Args:
            pieces: Taken only when needed; like widths side by side save padding.
            attempt: One forward pass over some of them, cut where they did not fit.

        Yields:
            The pieces of every pass that succeeded, and what it gave.

        Raises:
            UsageError: A single row does not fit into memory.
        """
        waiting = _Queue(pieces)
        while some := waiting.take(self.tokens):
            try:
                result = attempt(some)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
            else:
                yield some, result
                del result  # a pass's keys and values must not outlive the caller's use of them
                continue
            # Not in the except block: until that ends, the traceback holds the pass's tensors.
            release()
            self._lower(some)
            waiting.put_back(some)

    def _lower(self, failed: list[Work]) -> None:
        rows, width = sum(piece.num_rows for piece in failed), _width(failed)
        if rows == 1:
            raise UsageError(
                f"one canvas of {width} positions does not fit into memory; accepted: a lower"
                " max_length or tokens_per_forward, a narrower dtype (such as bfloat16), or a"
                " device with more free memory"
            )
        self.tokens = rows // 2 * width


class _Queue(Generic[Work]):
    """Pieces in order; what was taken can be put back."""

    def __init__(self, pieces: Iterable[Work]) -> None:
        self._source = iter(pieces)
        self._front: deque[Work] = deque()

    def take(self, tokens: int) -> list[Work]:
        """As many rows as fit, at least one; none where nothing is left."""
        taken: list[Work] = []
        rows = width = 0
        while (piece := self._next()) is not None:
            width = max(width, piece.width)
            room = max(tokens // max(width, 1) - rows, 0 if taken else 1)
            if room < piece.num_rows:
                self._front.appendleft(piece.cut(room, piece.num_rows) if room else piece)
            if room:
                taken.append(piece.cut(0, min(room, piece.num_rows)))
                rows += taken[-1].num_rows
            if room <= piece.num_rows:
                break
        return taken

    def put_back(self, pieces: list[Work]) -> None:
        """Undoes a `take`."""
        self._front.extendleft(reversed(pieces))

    def _next(self) -> Work | None:
        if self._front:
            return self._front.popleft()
        return next(self._source, None)


def _width(pieces: list[Work]) -> int:
    return max(piece.width for piece in pieces)


def is_out_of_memory(error: Exception) -> bool:
    """Whether a device or the host had no room for a tensor."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return any(text in str(error) for text in _OUT_OF_MEMORY)


def release() -> None:
    """Gives freed blocks back, or a smaller pass may not find one piece that is large enough."""
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
