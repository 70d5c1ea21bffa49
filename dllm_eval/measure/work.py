"""What a request asks for, in texts and in tokens, and what it costs in forward passes: plain data.

Knows neither models nor clocks. `adapters/forecast.py` turns the one into the other before anything
is loaded, `sweep/forecast.py` adds it up.
"""

from dataclasses import dataclass

from dllm_eval.records import RequestType


@dataclass(frozen=True, kw_only=True)
class Request:
    """One request of a document, by its texts."""

    request_type: RequestType
    prompt: str
    answer: str | None = None
    """A scored target, or the text of a gap."""
    most_tokens: int | None = None
    """What the task lets be generated; None where it does not say."""
    suffix: str | None = None
    """Behind a gap; None where there is no gap."""


@dataclass(frozen=True, kw_only=True)
class Asked:
    """The same by its lengths."""

    request_type: RequestType
    prompt_tokens: int
    answer_tokens: int | None = None
    most_tokens: int | None = None
    suffix_tokens: int = 0
    infilling: bool = False


@dataclass(frozen=True, kw_only=True)
class Work:
    """What a request costs, counted as its record will count it."""

    forwards: int
    """Forward passes (`nfe`)."""
    positions: int | None
    """Token positions processed in them; None where the prompts' lengths are not known."""
    at_most: bool
    """Whether these are upper bounds, because the tokens decide."""
