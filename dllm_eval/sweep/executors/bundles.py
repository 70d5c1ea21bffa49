"""Which pending cells travel together to one worker of a cluster.

Quality cells of one model go together, so that its weights load once for a bundle; bundles are
small enough to fill the cluster evenly. Latency and load cells go through their rounds in the
planned, random order in every slot. Pure data: knows no cluster; executors call it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from dllm_eval.sweep.folder import Share
from dllm_eval.sweep.models import shareable, weights_key
from dllm_eval.sweep.plan import Cell
from dllm_eval.sweep.stage import work

BUNDLES_PER_SLOT = 3
"""More even out what `work` guesses wrongly; fewer load weights less often."""
WORTH_A_START = 2000.0
"""In `work` units: what a worker does in about the time in which another one starts and loads its
weights: ten seconds and 5 ms a unit with the reference models, a minute and 30 ms with 8B ones."""


@dataclass(frozen=True, kw_only=True)
class Bundle:
    """What one worker is given."""

    cells: tuple[Cell, ...]
    """At least one, in the order in which to run them."""
    share: Share | None = None
    """Of each cell's batches; None is all."""

    @property
    def key(self) -> tuple[object, ...]:
        """Tells bundles apart."""
        return (self.share, *(cell.cell_id for cell in self.cells))

    @property
    def cost(self) -> float:
        """In `work` units."""
        return sum(map(work, self.cells)) / (self.share[1] if self.share else 1)


def quality_bundles(cells: Sequence[Cell], slots: int) -> list[Bundle]:
    """Cells of one model each, in the order planned; the costliest bundle comes first.

    Where there are more slots than cells, a cell whose model can share its batches is cut up.

    Args:
        cells: What is pending.
        slots: Bundles that can run at a time. No bundle of several cells costs more than
            `most_together`.
    """
    if not cells:
        return []
    parts = slots // len(cells)
    if parts > 1 and all(map(shareable, cells)):
        shares = [(index, parts) for index in range(parts)]
        return [Bundle(cells=(cell,), share=share) for cell in cells for share in shares]
    most = most_together(sum(map(work, cells)), slots)
    bundles: list[Bundle] = []
    for _, group in groupby(sorted(cells, key=_weights), key=_weights):
        bundles += [Bundle(cells=part) for part in _cut(list(group), most)]
    return sorted(bundles, key=lambda bundle: -bundle.cost)


def most_together(total: float, slots: int) -> float:
    """The cost of a bundle: small enough to fill the slots evenly, if that is worth the starts.

    Args:
        total: Of all cells.
        slots: Bundles that can run at a time.
    """
    each = total / max(1, slots)
    return max(each / BUNDLES_PER_SLOT, min(each, WORTH_A_START))


def latency_bundles(cells: Sequence[Cell], slots: int) -> list[Bundle]:
    """At most one bundle for each slot.

    Every slot goes through the rounds one after the other, as a single process would. A round's
    cells are cut up in order, and the parts go round, so that a setting is timed on several devices
    where there are several.
    """
    hands: list[list[Cell]] = [[] for _ in range(max(1, slots))]
    for number, (_, group) in enumerate(groupby(cells, key=lambda cell: cell.round)):
        for index, part in enumerate(_parts(list(group), len(hands))):
            hands[(index + number) % len(hands)] += part
    return [Bundle(cells=tuple(hand)) for hand in hands if hand]


def _cut(cells: list[Cell], most: float) -> Iterator[tuple[Cell, ...]]:
    """Neighbours together, as many as cost no more than allowed, and at least one."""
    part: list[Cell] = []
    for cell in cells:
        if part and sum(map(work, part)) + work(cell) > most:
            yield tuple(part)
            part = []
        part.append(cell)
    yield tuple(part)


def _parts(cells: list[Cell], count: int) -> list[list[Cell]]:
    """Neighbours together, in so many parts of about the same cost."""
    parts: list[list[Cell]] = [[] for _ in range(count)]
    total = sum(map(work, cells))
    before = 0.0
    for cell in cells:
        middle = before + work(cell) / 2
        parts[min(count - 1, int(count * middle / total))].append(cell)
        before += work(cell)
    return parts


def _weights(cell: Cell) -> str:
    return repr(weights_key(cell))
