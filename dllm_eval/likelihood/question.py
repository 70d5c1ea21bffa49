"""Choices that are compared with each other, and so scored as one problem.

Plain data. Adapters make questions of a task's requests; `score`, `race` and `win` read them.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import inf

from dllm_eval.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class Question:
    """Which pairs are the choices of one question; the highest value is the answer.

    Raises:
        UsageError: No pair, a pair named twice, or divisors that are not one positive number each.
    """

    pairs: tuple[int, ...]
    """Indices into the pairs that are scored together."""
    divisors: tuple[float, ...] | None = None
    """What a normalised score divides each value by, such as the choice's characters (`acc_norm` of
    lm-eval); None where there is no such score."""

    def __post_init__(self) -> None:
        if not self.pairs or len(set(self.pairs)) < len(self.pairs):
            raise UsageError(f"a question has the pairs {self.pairs}; accepted: each index once")
        if self.divisors is None:
            return
        positive = all(0 < divisor < inf for divisor in self.divisors)
        if len(self.divisors) != len(self.pairs) or not positive:
            raise UsageError(
                f"a question of {len(self.pairs)} pairs has the divisors {self.divisors}; accepted:"
                " one number above 0 for each"
            )


def check_questions(questions: Iterable[Question], num_pairs: int) -> None:
    """Makes sure that every question names known pairs, and none names another's.

    Raises:
        UsageError: One does not.
    """
    seen: set[int] = set()
    for question in questions:
        for pair in question.pairs:
            if not 0 <= pair < num_pairs or pair in seen:
                raise UsageError(
                    f"a question names pair {pair}; accepted: 0 to {num_pairs - 1}, in one"
                    " question each"
                )
            seen.add(pair)


def chunks(questions: Sequence[Question], size: int) -> Iterator[list[Question]]:
    """Whole questions, of about `size` pairs together."""
    chunk: list[Question] = []
    for question in questions:
        chunk.append(question)
        if sum(len(each.pairs) for each in chunk) >= size:
            yield chunk
            chunk = []
    if chunk:
        yield chunk
