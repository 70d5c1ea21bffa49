"""The part of `coverage.py` on runs under load: queues whose truth many long simulations tell.

One machine answers one request after the other, or whatever waits at once; in closed loops a batch
advances one token at a time. A run is read as a cell's records are. In one more world, whose
machine is faster in one run than in the next, three runs are put together. Used by `coverage.py`.
"""

from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from _measured import Measured, holds

from dllm_eval.stats.load_intervals import numbered, quantile_interval, rate_interval, widest
from dllm_eval.stats.load_point import LoadPoint, load_point
from dllm_eval.stats.load_run import LoadRun, load_run
from dllm_eval.stats.resample import Floats, Interval

POOL = 2000
"""Runs whose requests together are the truth."""
MOST_IN_BATCH = 8
LOADS = (0.3, 0.5, 0.8)
REQUESTS = (64, 200)
ROUNDS = 3
ROUND_REQUESTS = 120
ROUND_SPREAD = 0.1
"""Standard deviation of the logarithm of a run's speed."""


def one_by_one(load: float, count: int, draw: np.random.Generator, *, fixed: bool) -> Floats:
    """(count,) seconds from arrival to answer at one server: M/M/1, or M/D/1 with `fixed`."""
    arrivals = np.cumsum(draw.exponential(1.0 / load, count))
    service = np.ones(count) if fixed else draw.exponential(1.0, count)
    now, out = 0.0, np.empty(count)
    for i in range(count):
        now = max(now, arrivals[i]) + service[i]
        out[i] = now - arrivals[i]
    return out


def in_batches(load: float, count: int, draw: np.random.Generator) -> Floats:
    """(count,) the same where all that wait are decoded at once, 10 % longer for each of them."""
    capacity = MOST_IN_BATCH / (1.0 + 0.1 * (MOST_IN_BATCH - 1))
    arrivals = np.cumsum(draw.exponential(1.0 / (load * capacity), count))
    now, start, out = 0.0, 0, np.empty(count)
    while start < count:
        now = max(now, arrivals[start])
        end = start
        while end < count and arrivals[end] <= now and end - start < MOST_IN_BATCH:
            end += 1
        now += 1.0 + 0.1 * (end - start - 1)
        out[start:end] = now - arrivals[start:end]
        start = end
    return out


_Queue = Callable[[float, int, np.random.Generator], Floats]
QUEUES: dict[str, _Queue] = {
    "M/M/1": lambda load, count, draw: one_by_one(load, count, draw, fixed=False),
    "M/D/1": lambda load, count, draw: one_by_one(load, count, draw, fixed=True),
    "batches of what waits": in_batches,
}


def waits(simulations: int, generator: np.random.Generator) -> Iterator[Measured]:
    """Intervals of p50 and p90, and what they would hold if requests were independent."""
    for name, queue in QUEUES.items():
        for load in LOADS:
            for count in REQUESTS:
                pool = np.concatenate([queue(load, count, generator) for _ in range(POOL)])
                runs = [queue(load, count, generator) for _ in range(simulations)]
                where = f"{name}, load {load:g}, {count} requests"
                for level in (0.5, 0.9):
                    truth = float(np.quantile(pool, level))
                    found = [quantile_interval(run, level, together=1) for run in runs]
                    alone = [quantile_interval(run, level, together=None) for run in runs]
                    ended = np.mean([np.isfinite(x.high) for x in found])
                    what = f"p{100 * level:.0f} of the wait"
                    note = f"{where}; with an upper end {100 * ended:.0f} %"
                    yield _line(what, note, found, truth)
                    yield _line(f"{what}, requests taken as independent", where, alone, truth)


def _line(what: str, where: str, found: list[Interval], truth: float) -> Measured:
    # Where nothing is claimed, nothing is false.
    held = sum(bool(np.isnan(x.low)) or holds(x, truth) for x in found)
    return Measured(what=what, where=where, stated="95 %", held=held, simulations=len(found))


@dataclass(frozen=True, kw_only=True)
class Decoder:
    """A batch that advances a token at a time, in time that wanders."""

    in_flight: int
    static: bool
    """Whether a place stays empty until the whole batch is done."""

    def run(self, count: int, draw: np.random.Generator) -> pd.DataFrame:
        """Records of one closed loop."""
        lengths = draw.integers(8, 33, count)
        left: dict[int, int] = {}
        offered, done = np.zeros(count), np.zeros(count)
        now, following, wander = 0.0, 0, 0.0
        while following < count or left:
            if not left or not self.static:
                while following < count and len(left) < self.in_flight:
                    offered[following], left[following] = now, int(lengths[following])
                    following += 1
            wander = 0.9 * wander + 0.05 * float(draw.normal())
            now += 0.01 * (1.0 + 0.05 * len(left)) * float(np.exp(wander))
            # A static batch is answered as one, when its longest answer ends.
            left = {i: n - 1 for i, n in left.items()}
            if self.static:
                ended = list(left) if max(left.values()) <= 0 else []
            else:
                ended = [i for i, n in left.items() if n == 0]
            for i in ended:
                done[i] = now
                del left[i]
        columns = {"offered_s": offered, "seconds": done - offered, "visible_tokens": lengths}
        return pd.DataFrame({**columns, "batch_size": self.in_flight})

    def read(self, count: int, draw: np.random.Generator, *, slower: float = 1.0) -> LoadRun:
        """A run so many times slower than usual, read as a cell's records are."""
        cell: dict[Hashable, object] = {
            "load_in_flight": float(self.in_flight),
            "load_arrivals_per_s": float("nan"),
        }
        records = self.run(count, draw)
        records[["offered_s", "seconds"]] *= slower
        found = load_run(cell, records)
        if found is None:
            raise ValueError("a run without records")
        return found

    def point(self, count: int, draw: np.random.Generator) -> LoadPoint:
        """As the report reads it."""
        return load_point([self.read(count, draw)])


def rates(simulations: int, generator: np.random.Generator) -> Iterator[Measured]:
    """Intervals of visible tokens per second in closed loops."""
    for static in (True, False):
        for in_flight in (4, 16):
            decoder = Decoder(in_flight=in_flight, static=static)
            truth = decoder.point(20_000, generator).visible_tokens_per_s
            for count in (64, 256):
                found = [decoder.point(count, generator) for _ in range(simulations)]
                way = "static batches" if static else "continuous batches"
                off = np.mean([x.visible_tokens_per_s for x in found]) / truth - 1.0
                window = np.mean([x.window_tokens_per_s for x in found]) / truth - 1.0
                yield _line(
                    "visible tokens per second, closed loop",
                    f"{way}, {in_flight} in flight, {count} requests; off by {100 * off:+.1f} % "
                    f"on average, over the whole window {100 * window:+.1f} %",
                    [x.tokens_interval for x in found],
                    truth,
                )


def round_rates(simulations: int, generator: np.random.Generator) -> Iterator[Measured]:
    """Intervals of tokens per second of several runs, and the same as if they were one."""
    for static in (True, False):
        for in_flight in (4, 16):
            decoder = Decoder(in_flight=in_flight, static=static)
            truth = decoder.point(20_000, generator).visible_tokens_per_s
            levels = [
                [
                    decoder.read(ROUND_REQUESTS, generator, slower=slower)
                    for slower in _speeds(generator)
                ]
                for _ in range(simulations)
            ]
            way = "static batches" if static else "continuous batches"
            where = f"{way}, {in_flight} in flight, {_rounds()}"
            found = [load_point(runs).tokens_interval for runs in levels]
            yield _line("visible tokens per second, closed loop", where, found, truth)
            blind = [_blind_rate(runs) for runs in levels]
            yield _line("visible tokens per second, runs taken as one", where, blind, truth)


def round_waits(simulations: int, generator: np.random.Generator) -> Iterator[Measured]:
    """The same of p50 and p90 of arrivals; what arrives does not know how fast a run is."""
    own = np.repeat(np.arange(ROUNDS), ROUND_REQUESTS)
    for name, queue in QUEUES.items():
        for load in LOADS:
            levels = [_waits_of_rounds(queue, load, generator) for _ in range(simulations)]
            more = (_waits_of_rounds(queue, load, generator) for _ in range(POOL // ROUNDS))
            pool = np.concatenate([*more, *levels])
            for level in (0.5, 0.9):
                truth = float(np.quantile(pool, level))
                found = [quantile_interval(x, level, together=1, run=own) for x in levels]
                blind = [quantile_interval(x, level, together=1) for x in levels]
                ended = np.mean([np.isfinite(x.high) for x in found])
                what, where = f"p{100 * level:.0f} of the wait", f"{name}, load {load:g}"
                note = f"{where}, {_rounds()}; with an upper end {100 * ended:.0f} %"
                yield _line(what, note, found, truth)
                yield _line(f"{what}, runs taken as one", f"{where}, {_rounds()}", blind, truth)


def _rounds() -> str:
    return f"{ROUNDS} rounds of {ROUND_REQUESTS} requests, {100 * ROUND_SPREAD:.0f} % apart"


def _speeds(draw: np.random.Generator) -> Floats:
    speeds: Floats = np.exp(ROUND_SPREAD * draw.normal(size=ROUNDS))
    return speeds


def _waits_of_rounds(queue: _Queue, load: float, draw: np.random.Generator) -> Floats:
    # Where all takes longer, arrivals of the same rate are more of a load.
    return np.concatenate(
        [slower * queue(load * slower, ROUND_REQUESTS, draw) for slower in _speeds(draw)]
    )


def _blind_rate(runs: Sequence[LoadRun]) -> Interval:
    tokens = np.concatenate([run.visible_tokens for run in runs])
    shares = np.concatenate([run.seconds / run.mean_in_flight for run in runs])
    ways = zip(*(run.rate_blocks for run in runs), strict=True)
    return widest([rate_interval(tokens, shares, numbered(blocks)) for blocks in ways])


def under_load(simulations: int, generator: np.random.Generator) -> Iterator[Measured]:
    """All of what is said of a run under load, and of several."""
    yield from rates(simulations, generator)
    yield from waits(simulations, generator)
    yield from round_rates(simulations, generator)
    yield from round_waits(simulations, generator)
