"""How long a request waits before it is sent, or sent again; shared by all requests of a call.

Knows no socket. `client.py` asks it.
"""

import asyncio
import logging
import random
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from dllm_eval.endpoint.server import Retries
from dllm_eval.measure.wall import instant_s

logger = logging.getLogger(__name__)

SAID_FROM_S = 5.0
"""Shorter waits are not worth a line."""


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """What a server asks to wait; None where it does not say or cannot be read.

    Retry-After in seconds or as an HTTP date (RFC 9110, section 10.2.3), the latter against the
    server's own Date where it gives one; and the `retry-after-ms` of OpenAI's servers.
    """
    milliseconds = _number(headers.get("retry-after-ms", ""))
    if milliseconds is not None:
        return milliseconds / 1000
    said = headers.get("Retry-After", "")
    seconds = _number(said)
    if seconds is not None:
        return seconds
    due = _date(said)
    if due is None:
        return None
    now = _date(headers.get("Date", "")) or datetime.now(UTC)
    return max(0.0, (due - now).total_seconds())


def _number(text: str) -> float | None:
    """A number of seconds or milliseconds that is finite and not below zero."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if 0 <= value < float("inf") else None


def _date(text: str) -> datetime | None:
    """An HTTP date."""
    try:
        found = parsedate_to_datetime(text)
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


class Pace:
    """The waits of one call."""

    def __init__(self, retries: Retries, *, host: str) -> None:
        self._retries = retries
        self._host = host
        self._draw = random.Random(retries.seed)
        self._held_until_s = 0.0

    def wait_s(self, tries: int, asked_s: float | None) -> float:
        """How long a request waits after its so-manieth failed try.

        Full jitter: evenly between zero and a limit that doubles. Where the server has asked for a
        wait, that one, and as much jitter on top as before a second try, so that not all come back
        at the same moment.
        """
        rules = self._retries
        if asked_s is not None:
            return min(asked_s, rules.most_wait_s) + self._draw.uniform(0, rules.first_wait_s)
        most = min(rules.most_wait_s, rules.first_wait_s * 2.0 ** (tries - 1))
        return self._draw.uniform(0, most)

    def hold(self, seconds: float) -> None:
        """Nobody sends for so long."""
        self._held_until_s = max(self._held_until_s, instant_s() + seconds)

    async def sleep(self, seconds: float, why: str) -> None:
        """Wait after a failed try; a long wait is told."""
        if seconds > SAID_FROM_S:
            logger.warning("%s: %s; waiting %g s", self._host, why, round(seconds, 1))
        await asyncio.sleep(seconds)

    async def ready(self) -> None:
        """Wait while everybody holds back; not all go on at the same moment."""
        while (left_s := self._held_until_s - instant_s()) > 0:
            await asyncio.sleep(left_s + self._draw.uniform(0, self._retries.first_wait_s))
