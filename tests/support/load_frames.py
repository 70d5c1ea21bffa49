"""Made-up cells under load whose queue is simulated, for the frames of `served_frames.py`.

A machine decodes one batch at a time; a batch of n takes `first_s + (n - 1) * each_s`, give or take
some chance. Closed loops of n are batches of n; what arrives waits until the machine is free.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from served_frames import Placed, ServedFrames

MOST_IN_BATCH = 16


@dataclass(frozen=True, kw_only=True)
class Speed:
    """How long a batch of one takes, and how much longer with every further request."""

    first_s: float
    each_s: float

    def batch_s(self, size: int) -> float:
        """Of a batch of so many."""
        return self.first_s + (size - 1) * self.each_s


@dataclass(frozen=True, kw_only=True)
class Answered:
    """One request of a simulated run."""

    offered_s: float
    answered_s: float
    batch: int


def closed_loop(
    speed: Speed, in_flight: int, requests: int, draw: np.random.Generator
) -> list[Answered]:
    """Batches of `in_flight`, one after the other; the last one holds what is left."""
    now, out = 0.0, []
    for start in range(0, requests, in_flight):
        size = min(in_flight, requests - start)
        end = now + speed.batch_s(size) * float(draw.uniform(0.9, 1.1))
        out += [Answered(offered_s=now, answered_s=end, batch=size)] * size
        now = end
    return out


def arriving(speed: Speed, rate: float, requests: int, draw: np.random.Generator) -> list[Answered]:
    """Whatever waits when the machine is free is one batch, oldest first."""
    arrivals = np.cumsum(draw.exponential(1.0 / rate, requests)).tolist()
    now, out = 0.0, []
    while arrivals:
        now = max(now, arrivals[0])
        taken = [at for at in arrivals[:MOST_IN_BATCH] if at <= now]
        arrivals = arrivals[len(taken) :]
        now += speed.batch_s(len(taken)) * float(draw.uniform(0.9, 1.1))
        out += [Answered(offered_s=at, answered_s=now, batch=len(taken)) for at in taken]
    return out


def add_load(
    build: ServedFrames,
    placed: Placed,
    ran: list[Answered],
    *,
    in_flight: int | None = None,
    arrivals_per_s: float | None = None,
    offered: int | None = None,
    visible_tokens: int | None = None,
    turn: int = 0,
) -> str:
    """A cell under load of a setting; returns its id.

    `visible_tokens` is what every answer has, where it does not differ by document; `turn` is the
    round.
    """
    own = next(
        x
        for x in build.cells
        if x["model"] == placed.model
        and x["stack"] == placed.stack
        and x["settings"] == placed.settings
    )
    level = in_flight or arrivals_per_s
    cell: dict[str, Any] = {
        **own,
        "cell_id": f"{own['config_id']}-load-{'closed' if in_flight else 'poisson'}-{level}-{turn}",
        "purpose": "load",
        "load_in_flight": in_flight or math.nan,
        "load_arrivals_per_s": arrivals_per_s or math.nan,
        "done": {
            "load": {
                "window_s": max(x.answered_s for x in ran) - min(x.offered_s for x in ran),
                "offered": offered or len(ran),
                "answered": len(ran),
                "stopped_by": "requests",
            }
        },
    }
    build.cells.append(cell)
    like = next(x for x in build.requests if x["cell_id"].startswith(own["config_id"] + "-"))
    for number, one in enumerate(ran):
        seconds = one.answered_s - one.offered_s
        visible = 6 + number % 9 if visible_tokens is None else visible_tokens
        build.requests.append(
            {
                **like,
                "cell_id": cell["cell_id"],
                "key": f"load-{number}",
                "doc_id": number,
                "visible_tokens": visible if placed.reported else None,
                "offered_s": one.offered_s,
                "seconds": seconds,
                "repeat_seconds": [seconds],
                "batch_size": one.batch,
            }
        )
    return str(cell["cell_id"])
