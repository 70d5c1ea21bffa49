"""What happens where a batch does not fit into memory: it is run in halves, down to one request.

Knows jobs by their number only; knows no model, no log and no clock. `decoding.py` calls it;
scoring has the same in `dllm_eval/likelihood/budget.py`, by positions.
"""

import logging
from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import TypeVar

from dllm_eval.errors import UsageError
from dllm_eval.likelihood.budget import is_out_of_memory, release

logger = logging.getLogger(__name__)

Job = TypeVar("Job")
Result = TypeVar("Result")


class Halving:
    """The most requests that fit, by the shape of their batch, as far as has been found out.

    What is found out goes for later batches of the same shape and size. A run that was cut off
    finds it out anew, and runs the same pieces wherever shape and size decide what fits.
    """

    def __init__(self) -> None:
        self._most: dict[tuple[Hashable, int], int] = {}
        self._said = False

    def run(
        self,
        batch: Sequence[Job],
        *,
        shape: Hashable,
        positions: int,
        attempt: Callable[[Sequence[Job]], Result],
    ) -> Iterator[tuple[Sequence[Job], Result]]:
        """Runs a batch, whole or in pieces of equal size, in order.

        Args:
            batch: At least one job.
            shape: Batches of one shape need about as much memory for each request.
            positions: Of the longest request, for the message.
            attempt: Runs some of the jobs; what it had done when memory ran out does not count.

        Yields:
            The jobs of every piece that was run, and what it gave.

        Raises:
            UsageError: One request alone does not fit into memory.
        """
        whole = (shape, len(batch))
        start = 0
        while start < len(batch):
            some = batch[start : start + self._most.get(whole, len(batch))]
            try:
                result = attempt(some)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
            else:
                yield some, result
                start += len(some)
                continue
            # Not in the except block: until that ends, the traceback holds the batch's tensors.
            release()
            self._lower(whole, len(some), positions)

    def _lower(self, whole: tuple[Hashable, int], failed: int, positions: int) -> None:
        if failed == 1:
            raise UsageError(
                f"one request of {positions} positions does not fit into memory at batch_size 1;"
                " accepted: a smaller gen_length or max_length, a sampler with a cache (cache=...),"
                " a narrower dtype (such as bfloat16), or a device with more free memory"
            )
        self._most[whole] = failed // 2
        if not self._said:
            logger.warning(
                "%d requests of up to %d positions do not fit into memory together: going on with"
                " %d at a time; a smaller batch_size saves the attempt. Not said again",
                *(failed, positions, failed // 2),
            )
        self._said = True
