"""How hard a stack was driven: the tiers of autoregressive rows, and which of them are plain.

A tier is a few words that a model says of itself, for example "prompt lookup, dynamic cache". Old
records have none, and nothing is guessed for them. Called by `series.py` and by the report.
"""

from collections.abc import Iterable

PLAIN = "eager, dynamic cache"
"""What everybody has without asking for it."""
EAGER = frozenset({PLAIN, "eager, static cache"})
"""Neither compiled, nor an engine, nor speculative."""
SETTINGS = frozenset(
    {"assistant", "cache", "compile", "draft_tokens", "engine", "lookup_ngram", "speculative"}
)
"""Settings that a tier's words stand for, where they are the same in all rows of the tier."""


def eager_alone(tiers: Iterable[str]) -> bool:
    """Whether tiers are known and none of them is compiled, an engine or speculative."""
    told = {tier for tier in tiers if tier}
    return bool(told) and told <= EAGER


def beyond_plain(tiers: Iterable[str]) -> bool:
    """Whether there is a tier that a reader would not take for granted."""
    return bool({tier for tier in tiers if tier} - {PLAIN})
