"""The open way to one server: its session, the headers that carry the key, and the proxy.

The only file that reads a key. `exchange.py` and `probe.py` send through it.
"""

from base64 import b64encode
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp

from dllm_eval.endpoint.faults import FinalError
from dllm_eval.endpoint.server import Server


@dataclass(frozen=True, kw_only=True)
class Proxy:
    """A proxy that the environment asks for; none where `url` is None."""

    url: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Its user's name and password: part of the request itself where that is not encrypted."""


@dataclass(frozen=True, kw_only=True)
class Channel:
    """The way to one server, for as long as a call lasts."""

    session: aiohttp.ClientSession
    server: Server
    proxy: Proxy
    headers: Mapping[str, str] = field(repr=False)
    """Of every request. They are no defaults of the session, because aiohttp shows these to the
    proxy as well (3.14, `client.py:ClientSession._request`), where the key has no business."""

    def request(
        self, method: str, path: str, data: bytes | None = None
    ) -> "aiohttp.client._RequestContextManager":
        """Send a request to a route; redirects are not followed, so that no key goes astray."""
        headers = dict(self.headers)
        if data is not None:
            headers["Content-Type"] = "application/json"
        if self.server.scheme == "http":
            headers |= self.proxy.headers
        return self.session.request(
            method,
            self.server.base_url + path,
            data=data,
            headers=headers,
            allow_redirects=False,
            proxy=self.proxy.url,
            proxy_headers=self.proxy.headers if self.proxy.url else None,
        )


@asynccontextmanager
async def open_channel(server: Server) -> AsyncIterator[Channel]:
    """The way to a server; connections are kept and used again, as many as are in flight.

    Raises:
        FinalError: If the environment asks for a proxy of a kind that is not known here.
    """
    proxy = _proxy(server)
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0),
        timeout=aiohttp.ClientTimeout(total=None, connect=server.timeouts.connect_s),
        cookie_jar=aiohttp.DummyCookieJar(),
    ) as session:
        yield Channel(session=session, server=server, proxy=proxy, headers=_headers(server))


def _headers(server: Server) -> dict[str, str]:
    """The headers of a request; compression would hold streamed text back."""
    found = {"Accept-Encoding": "identity", "User-Agent": "dllm-eval", **server.headers}
    if server.key:
        found["Authorization"] = server.key.header()
    return found


def _proxy(server: Server) -> Proxy:
    """The proxy that HTTP_PROXY, HTTPS_PROXY and NO_PROXY ask for; none on this machine itself.

    aiohttp's own `trust_env` is not used: it would also read ~/.netrc, and refuse our header.
    """
    host = urlsplit(server.base_url).hostname or ""
    found = getproxies().get(server.scheme)
    if not found or server.is_loopback or proxy_bypass(host):
        return Proxy()
    parts = urlsplit(found if "://" in found else f"http://{found}")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise FinalError(
            f"the environment's proxy at {parts.hostname} is of kind {parts.scheme!r}: accepted "
            f"are http and https; unset it, or name {host} in NO_PROXY"
        )
    url = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
    if not parts.username:
        return Proxy(url=url)
    user = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    token = b64encode(user.encode()).decode()
    return Proxy(url=url, headers={"Proxy-Authorization": f"Basic {token}"})
