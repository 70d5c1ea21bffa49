"""One try: a request goes out, an answer comes back, and the moments between are measured.

What goes wrong leaves it as a `PassingError` or `FinalError`; aiohttp's own exceptions, which hold
the request with its key, go no further. `client.py` and `probe.py` call it.
"""

import asyncio
import json
from dataclasses import dataclass
from types import TracebackType

import aiohttp

from dllm_eval.endpoint.answer import Parts
from dllm_eval.endpoint.ask import Ask
from dllm_eval.endpoint.bodies import PATHS, body, is_streamed
from dllm_eval.endpoint.channel import Channel
from dllm_eval.endpoint.complaint import raise_status
from dllm_eval.endpoint.faults import FinalError, PassingError, UsageRefusedError
from dllm_eval.endpoint.pace import retry_after_s
from dllm_eval.endpoint.reading import Reading
from dllm_eval.endpoint.server import Server
from dllm_eval.measure.wall import instant_s

COMPLAINT_BYTES = 64 * 1024
"""Of an error's body, as much is read."""

LAST_BYTES_S = 0.2
"""After the stream's last event: how long the end of the body is waited for, so that the
connection can be used again. The clock has stopped by then."""


@dataclass(frozen=True, kw_only=True)
class Exchange:
    """An answered try."""

    parts: Parts
    sent_at_s: float
    """By the clock of `measure.wall`."""
    answered_at_s: float


async def exchange(channel: Channel, ask: Ask, *, usage: bool) -> Exchange:
    """Send a request once and read its answer.

    Args:
        channel: The way to the server.
        ask: What is asked.
        usage: Ask for token counts at a stream's end.

    Raises:
        PassingError: If another try may help.
        FinalError: If not.
        UsageRefusedError: If the server does not take `stream_options`.
    """
    server = channel.server
    watch = Watch(server, streamed=is_streamed(server, ask))
    with watch:
        async with asyncio.timeout(server.timeouts.whole_s), asyncio.timeout(None) as piece:
            watch.piece = piece
            return await _exchange(channel, ask, usage=usage, watch=watch)
    raise watch.failed()


async def _exchange(channel: Channel, ask: Ask, *, usage: bool, watch: "Watch") -> Exchange:
    """The same, with aiohttp's own exceptions."""
    server, path = channel.server, PATHS[ask.route]
    data = json.dumps(body(server, ask, usage=usage)).encode()
    sent_at_s = instant_s()
    watch.sent()
    async with channel.request("POST", path, data) as response:
        if not 200 <= response.status < 300:
            said = await read_complaint_text(response)
            if usage and _is_about_usage(response.status, said):
                raise UsageRefusedError
            raise_status(
                response.status,
                said,
                server=server,
                path=path,
                wait_s=retry_after_s(response.headers),
            )
        reading = Reading(drafts_asked=server.drafts)
        async for chunk in response.content.iter_any():
            watch.moved()
            reading.feed(chunk, instant_s())
            if reading.is_done:
                break
        answered_at_s = instant_s()
        parts = reading.end(answered_at_s, content_type=response.content_type)
        if reading.is_done:
            await _read_out(response)
        return Exchange(parts=parts, sent_at_s=sent_at_s, answered_at_s=answered_at_s)


async def read_complaint_text(response: aiohttp.ClientResponse) -> str:
    """The beginning of an error's body, and where a redirect leads."""
    said = (await response.content.read(COMPLAINT_BYTES)).decode("utf-8", "replace")
    return response.headers.get("Location", said) if 300 <= response.status < 400 else said


async def _read_out(response: aiohttp.ClientResponse) -> None:
    """Wait shortly for the end of a body whose stream is over."""
    try:
        async with asyncio.timeout(LAST_BYTES_S):
            await response.content.read(COMPLAINT_BYTES)
    except (TimeoutError, aiohttp.ClientError):
        response.close()


def _is_about_usage(status: int, said: str) -> bool:
    """Whether a refusal is about `stream_options`."""
    return status in (400, 422) and ("stream_options" in said or "include_usage" in said)


class Watch:
    """The limits of one try, and what it failed of."""

    def __init__(self, server: Server, *, streamed: bool) -> None:
        self._server = server
        self._streamed = streamed
        self._has_moved = False
        self._failed: Exception | None = None
        self.piece: asyncio.Timeout

    def sent(self) -> None:
        """The request is on its way: the first byte is waited for."""
        self._until(self._server.timeouts.connect_s + self._server.timeouts.first_byte_s)

    def moved(self) -> None:
        """A piece has come: the next is waited for."""
        self._has_moved = True
        self._until(self._server.timeouts.idle_s)

    def _until(self, seconds: float) -> None:
        if self._streamed:
            self.piece.reschedule(asyncio.get_running_loop().time() + seconds)

    def __enter__(self) -> "Watch":
        return self

    def __exit__(
        self, kind: object, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        self._failed = self._read(error) if error else None
        return self._failed is not None

    def _read(self, error: BaseException) -> Exception | None:
        """What a try failed of, as a line and no more; None for what is no failure of a server."""
        if isinstance(error, PassingError | FinalError | UsageRefusedError):
            return error
        if isinstance(error, aiohttp.ConnectionTimeoutError):
            return PassingError(
                f"no connection within {self._server.timeouts.connect_s:g} s; start the server, "
                "change base_url, or raise connect_s"
            )
        if isinstance(error, TimeoutError):
            return PassingError(self._late())
        if isinstance(error, aiohttp.ClientHttpProxyError):
            return PassingError(f"the environment's proxy refuses ({error.status})")
        if isinstance(error, aiohttp.ClientConnectorCertificateError):
            return FinalError("its certificate is not trusted")
        if isinstance(error, aiohttp.ClientConnectorError):
            reason = _reason(error.os_error)
            return PassingError(f"no connection ({reason}); start the server, or change base_url")
        if isinstance(error, aiohttp.ClientResponseError):
            return PassingError("what came back is no HTTP that can be read")
        if isinstance(error, aiohttp.ClientPayloadError):
            return PassingError("the answer broke off, or cannot be unpacked")
        if isinstance(error, aiohttp.ClientError | OSError):
            return PassingError("the connection broke off")
        return None

    def _late(self) -> str:
        """Which limit was passed."""
        limits = self._server.timeouts
        if self._streamed and self.piece.expired():
            if self._has_moved:
                return f"the stream stood still for {limits.idle_s:g} s"
            return f"no byte of the answer within {limits.first_byte_s:g} s"
        return f"no answer within {limits.whole_s:g} s"

    def failed(self) -> Exception:
        """What the try failed of."""
        return self._failed or PassingError("no answer")


def _reason(error: OSError) -> str:
    """What the system says of a connection, without addresses where they can be left out."""
    if isinstance(error, ConnectionRefusedError):
        return "connection refused"
    return error.strerror or str(error) or type(error).__name__
