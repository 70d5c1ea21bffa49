"""The likelihood of a text under a sampler, said slowly: one request, one position at a time.

Shares nothing with the loop. The rules are written from their papers' words; places count from the
first token of the target, and the block's own are those from `first` to `behind`.
"""

import math
import random
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

Rows = list[list[float]]
Read = Callable[[list[int], int], Rows]
"""(canvas, where the block begins on it) -> the logits at every place of the canvas; the canvas is
context, target and what lies behind."""


@dataclass
class Step:
    """What there is to see before a step."""

    masked: list[int]
    """The places that may be revealed."""
    chances: Rows
    """By place of the target; the mask token has none."""
    index: int
    first: int
    behind: int
    memory: dict[str, Any] = field(default_factory=dict)

    def confidence(self, i: int) -> float:
        return max(self.chances[i])

    def margin(self, i: int) -> float:
        best, second = sorted(self.chances[i], reverse=True)[:2]
        return best - second

    def entropy(self, i: int) -> float:
        return -sum(p * math.log(p) for p in self.chances[i] if p > 0)


Rule = Callable[[Step], Collection[int]]
Order = Callable[[Step, int], float]


def by_confidence(step: Step, i: int) -> float:
    return step.confidence(i)


def by_margin(step: Step, i: int) -> float:
    return step.margin(i)


def by_entropy(step: Step, i: int) -> float:
    return -step.entropy(i)


def left_to_right(step: Step, i: int) -> float:
    del step
    return -i


def ranked(step: Step, order: Order = by_confidence) -> list[int]:
    return sorted(step.masked, key=lambda i: -order(step, i))


def quota(counts: Sequence[int], order: Order = by_confidence) -> Rule:
    """So many at each step of a block."""
    return lambda step: ranked(step, order)[: counts[step.index]]


def threshold(least: float, order: Order = by_confidence) -> Rule:
    def rule(step: Step) -> Collection[int]:
        sure = {i for i in step.masked if step.confidence(i) >= least}
        return sure | {ranked(step, order)[0]}

    return rule


def entropy_bounded(bound: float, order: Order) -> Rule:
    """As long as the sum of entropies less the largest stays within the bound."""

    def rule(step: Step) -> Collection[int]:
        chosen: list[int] = []
        for i in ranked(step, order):
            own = [step.entropy(j) for j in (*chosen, i)]
            if sum(own) - max(own) > bound:
                break
            chosen.append(i)
        return chosen

    return rule


def factor(most: float) -> Rule:
    """The first n while (n + 1) x the doubt of the nth is within; the last two fall together."""

    def rule(step: Step) -> Collection[int]:
        order = ranked(step)
        n = 1
        while n < len(order) and (n + 2) * (1 - step.confidence(order[n])) <= most:
            n += 1
        if 2 * (1 - step.confidence(order[0])) > most:
            n = 1
        return order[: n + 1] if n == len(order) - 1 else order[:n]

    return rule


def klass(least: float, divergence: float, stable_steps: int) -> Rule:
    """What is sure and has moved little in so many steps running; the surest where nothing is."""

    def rule(step: Step) -> Collection[int]:
        before, calm = step.memory.get("before"), step.memory.setdefault("calm", {})
        for i in range(step.first, step.behind):
            if before is not None:
                pairs = zip(step.chances[i], before[i], strict=True)
                moved = sum(p * (math.log(p + 1e-12) - math.log(q + 1e-12)) for p, q in pairs)
                calm[i] = calm.get(i, 0) + 1 if moved < divergence else 0
        step.memory["before"] = step.chances
        ready = [
            i for i in step.masked if calm.get(i, 0) >= stable_steps and step.confidence(i) > least
        ]
        return ready or ranked(step)[:1]

    return rule


@dataclass
class SlowPolicy:
    """One request under one rule."""

    read: Read
    rule: Rule
    mask: int
    context: Sequence[int]
    borders: Sequence[int]
    """Where each block ends, counted from the target's first token; the last one is its length."""
    behind: Sequence[int] = ()
    sees_later_blocks: bool = True
    """Whether the masks of later blocks are there; with attention by blocks nothing sees them."""

    def log_p(self, target: Sequence[int]) -> tuple[float, int]:
        """Log-probability and steps."""
        return self._go(lambda i, _: target[i])[1:]

    def sample(self, generator: random.Random) -> tuple[int, ...]:
        """A text: the rule's positions, each token drawn from the model's own distribution."""

        def draw(_: int, chances: list[float]) -> int:
            return generator.choices(range(len(chances)), chances)[0]

        return tuple(self._go(draw)[0])

    def _go(self, token: Callable[[int, list[float]], int]) -> tuple[list[int], float, int]:
        length = self.borders[-1]
        text, total, steps = [self.mask] * length, 0.0, 0
        first = 0
        for border in self.borders:
            memory: dict[str, Any] = {}
            index = 0
            while self.mask in text[first:border]:
                visible = text if self.sees_later_blocks else text[:border]
                canvas = [*self.context, *visible, *self.behind]
                rows = self.read(canvas, len(self.context) + first)[len(self.context) :]
                chances = [self._chances(row) for row in rows[:border]]
                masked = [i for i in range(first, border) if text[i] == self.mask]
                step = Step(masked, chances, index, first, border, memory)
                for i in self.rule(step):
                    assert text[i] == self.mask
                    text[i] = token(i, chances[i])
                    total += math.log(chances[i][text[i]])
                index += 1
                steps += 1
            first = border
        return text, total, steps

    def _chances(self, row: Sequence[float]) -> list[float]:
        top = max(value for token, value in enumerate(row) if token != self.mask)
        weights = [
            0.0 if token == self.mask else math.exp(value - top) for token, value in enumerate(row)
        ]
        return [weight / sum(weights) for weight in weights]
