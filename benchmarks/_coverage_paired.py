"""The part of `coverage.py` on "no worse than AR by more than a point", where few documents lose.

Six parts are tested of a setting; this is the one that a bootstrap alone gets wrong. Used by
`coverage.py`.
"""

from collections.abc import Iterator

import numpy as np
from _measured import Measured
from _worlds import Floats

from dllm_eval.stats.paired import LEVEL, PARTS, TOLERANCE, not_above, part_p_values

REPLICATES = 2000
DOCUMENTS = (164, 300, 500, 1000, 2000)
GAINED = (0.0, 0.01, 0.1)
FACTS, PARAPHRASES = 50, 10


def no_worse(simulations: int, generator: np.random.Generator) -> Iterator[Measured]:
    """A setting that is worse by the whole tolerance, called no worse at the level of one test."""
    for gained in GAINED:
        lost = gained + TOLERANCE
        for documents in DOCUMENTS:
            chances = (lost, 1.0 - lost - gained, gained)
            counts = generator.multinomial(documents, chances, size=simulations)
            yield from _lines(
                f"{documents} documents, {100 * lost:g} % lost and {100 * gained:g} % won",
                [np.repeat([-1.0, 0.0, 1.0], each) for each in counts],
                generator,
            )
    lost_of_fact = generator.poisson(PARAPHRASES * TOLERANCE, size=(simulations, FACTS))
    yield from _lines(
        f"{FACTS} facts with {PARAPHRASES} paraphrases, 0.1 lost of each on average",
        [-np.sort(np.minimum(each, PARAPHRASES)) / PARAPHRASES for each in lost_of_fact],
        generator,
    )


def _lines(where: str, drawn: list[Floats], generator: np.random.Generator) -> Iterator[Measured]:
    """Of each simulation the sorted differences of two scores, over documents or facts."""
    found: dict[bytes, tuple[bool, bool]] = {}
    for gaps in drawn:
        if gaps.tobytes() not in found:
            found[gaps.tobytes()] = _claimed(gaps, generator)
    for number, what in enumerate(("no worse, falsely", "the same, by the bootstrap alone")):
        yield Measured(
            what=what,
            where=where,
            stated=f"at most {100 * LEVEL:g} %",
            held=sum(found[gaps.tobytes()][number] for gaps in drawn),
            simulations=len(drawn),
        )


def _claimed(gaps: Floats, generator: np.random.Generator) -> tuple[bool, bool]:
    # Resamples of equal values are a multinomial draw of how often each comes.
    values, counts = np.unique(gaps, return_counts=True)
    often = generator.multinomial(len(gaps), counts / len(gaps), size=REPLICATES)
    replicates = often @ values / len(gaps)
    p = part_p_values(replicates, np.full(1, np.nan), gaps)
    alone = not_above(replicates, -TOLERANCE)
    return float(p[PARTS.index("no worse")]) <= LEVEL, alone <= LEVEL
