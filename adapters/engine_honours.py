"""Whether a server does what a request asks of it: few steps and many have to differ.

Knows asks and replies; knows no engine and no connection. `engine.py` asks once for each server
whose settings go with the requests.

A setting of a request that a server overlooks would make a sweep of it a row of equal points, so it
is looked at before the first of them. One prompt is asked at one step and at many, in turn. Where
equal requests give equal texts, other texts at one step show that the server counts steps. Where
they do not (sampling), or the texts are equal, the seconds have to show it.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from dllm_eval.endpoint.ask import Ask, Reply
from dllm_eval.errors import UsageError

PROMPT = "Count from one to one hundred in words, separated by commas:\none, two, three,"
"""Long enough to answer that a model with time to think changes its mind."""
MAX_TOKENS = 128
FEW, TIMES = 1, 3
CLEARLY = 1.5
"""Every answer at many steps has to take longer than every one at one step, by this factor."""

Answer = Callable[[Sequence[Ask]], list[Reply]]
"""Asks one after another."""


def honoured(answer: Answer, fields: Callable[[int], Mapping[str, Any]], many: int) -> str:
    """How it shows that a server counts steps.

    Args:
        answer: Asks the server.
        fields: The fields of a request's body that ask for so many steps.
        many: As many steps as the server takes.

    Returns:
        What was seen, in words.

    Raises:
        UsageError: Nothing shows it.
    """
    counts = [many, *([many, FEW] * TIMES)]
    asks = [_ask(fields(count)) for count in counts]
    replies = answer(asks)[1:]  # the first one warms up
    slow, fast = replies[::2], replies[1::2]
    texts, few = {reply.text for reply in slow}, {reply.text for reply in fast}
    if len(texts) == len(few) == 1 and texts != few:
        return f"honoured: other text at {FEW} step than at {many}"
    least, most = min(r.seconds for r in slow), max(r.seconds for r in fast)
    if least > CLEARLY * most:
        return f"honoured: {most:.3g} s at {FEW} step, {least:.3g} s at {many}"
    raise UsageError(
        f"the server does not honour steps of a request: at {FEW} step and at {many} it gives the "
        f"same in the same time ({most:.3g} s and {least:.3g} s); leave steps out, and set what "
        "its servers are started with"
    )


def _ask(more: Mapping[str, Any]) -> Ask:
    return Ask(
        route="completions",
        prompt=PROMPT,
        max_tokens=MAX_TOKENS,
        temperature=0.0,
        seed=0,
        more=more,
    )
