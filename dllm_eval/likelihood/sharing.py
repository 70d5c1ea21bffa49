"""The distinct canvases among what is asked of one question, and whose values each one gives.

Choices of a question often have the same canvas: all single-letter choices are the context and one
mask, choices of equal length have one fully masked canvas, choices that begin alike have more. Each
is evaluated once, for the first that asks, and read for all. Canvases are the same where every id
is and where the target begins at the same place. Knows pairs and mask sets; no model and no
estimator. `core` calls it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dllm_eval.likelihood.batch import Canvases, Request

Places = NDArray[np.int64]

_MASKED = -1
"""No id of a text."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Shared:
    """What is evaluated for the requests of one question."""

    canvases: list[Canvases]
    """Per request, those that nobody asked for before; possibly none."""
    places: list[Places]
    """Per request, where its values are among all values of the canvases, in order."""

    @property
    def num_reads(self) -> int:
        """How many values the canvases give."""
        return sum(map(len, self.places))


def shared(requests: Sequence[Request]) -> Shared:
    """Finds each distinct canvas once.

    Args:
        requests: All of one question.
    """
    owners, slots, new_rows = _owners(requests)
    reads = [np.nonzero(request.wanted) for request in requests]
    owner = np.concatenate([own[rows] for own, (rows, _) in zip(owners, reads, strict=True)])
    row = np.concatenate([at[rows] for at, (rows, _) in zip(slots, reads, strict=True)])
    column = np.concatenate([columns for _, columns in reads])
    ids = np.concatenate(
        [
            request.pair.target[columns]
            for request, (_, columns) in zip(requests, reads, strict=True)
        ]
    )
    order = np.lexsort((row, owner))  # stable: the first that asks is read first
    places = np.empty_like(order)
    places[order] = np.arange(len(order))
    borders = np.searchsorted(owner[order], np.arange(len(requests) + 1))
    canvases = []
    for index, (request, rows) in enumerate(zip(requests, new_rows, strict=True)):
        chosen = order[borders[index] : borders[index + 1]]
        canvases.append(
            Canvases(
                pair=request.pair,
                masks=request.masks[rows],
                row=row[chosen],
                column=column[chosen],
                ids=ids[chosen],
                group=request.group,
                question=request.question,
            )
        )
    counts = np.cumsum([len(columns) for _, columns in reads])[:-1]
    return Shared(canvases=canvases, places=np.split(places, counts))


def _owners(requests: Sequence[Request]) -> tuple[list[Places], list[Places], list[Places]]:
    """Per request: of each row, who asked for its canvas first; as which new row; its new rows."""
    known: dict[tuple[bytes, bytes], tuple[int, int]] = {}
    owners, slots, new_rows = [], [], []
    for index, request in enumerate(requests):
        pair, found, new = request.pair, [], list[int]()
        context = pair.context.tobytes()
        for row, canvas in enumerate(_endings(request)):
            asked = (index, len(new))
            place = known.setdefault((context, canvas.tobytes()), asked)
            if place is asked:
                new.append(row)
            found.append(place)
        pairs = np.array(found, dtype=np.int64).reshape(-1, 2)
        owners.append(pairs[:, 0])
        slots.append(pairs[:, 1])
        new_rows.append(np.array(new, dtype=np.int64))
    return owners, slots, new_rows


def _endings(request: Request) -> NDArray[np.int64]:
    """(rows, target and what lies behind it): the canvases without their context."""
    pair, hidden = request.pair, request.masks
    endings = np.repeat(pair.token_ids[None, pair.start :], len(hidden), axis=0)
    endings[:, : pair.target_length][hidden] = _MASKED
    return endings
