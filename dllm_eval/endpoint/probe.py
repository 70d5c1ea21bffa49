"""Asks a server, before a run, whether it is there, takes the key and has the model.

Knows no adapter. `adapters/api.py` calls it before anything is sent that costs something.
"""

import asyncio
import json
import threading
from collections.abc import Sequence
from difflib import get_close_matches

from dllm_eval.endpoint.channel import Channel, open_channel
from dllm_eval.endpoint.complaint import raise_status
from dllm_eval.endpoint.exchange import (
    Watch,
    read_complaint_text,
)
from dllm_eval.endpoint.faults import FinalError, PassingError
from dllm_eval.endpoint.server import Server, ServerError
from dllm_eval.errors import unknown

ROUTES = ("/models", "/chat/completions/models")
"""The second is Mercury's own for chat (api-evangelist/inception 2f784396,
`openapi/inception-models-api-openapi.yml`), asked where the first does not know the model."""

TELLING = (401, 402, 403)
"""Statuses that a request would get as well. What else a server says of its list means nothing:
transformers' own answers 500 where there is no cache of the hub."""

MANY, NEAR = 20, 5
"""Of a list that is longer than the first, an error line shows the nearest so many names."""

PROBE_S = 30.0
"""A list of models takes no longer."""


def check(server: Server, model: str) -> tuple[str, ...]:
    """The models that a server offers.

    Args:
        server: Who is asked.
        model: The model that will be asked for; "" for any.

    Returns:
        The models' names as the server writes them; none where it gives no list, which says
        nothing about the model.

    Raises:
        ServerError: If nobody answers there, or the key is missing or wrong.
        UsageError: If the server lists models and this is none of them.
    """
    names: list[str] = []
    for route in ROUTES:
        names += [name for name in _listed(server, route) if name not in names]
        if not names or not model or model in names:
            break
    if names and model and model not in names and not _is_path(model):
        shown = get_close_matches(model, names, n=NEAR, cutoff=0.0) if len(names) > MANY else names
        raise unknown(f"model at {server.host}", model, [server.hide(name) for name in shown])
    return tuple(names)


def _is_path(model: str) -> bool:
    """Whether a model is named by a folder.

    Transformers' server answers for the folder that it was started with, and lists only what lies
    in its cache of the hub (5.23, `cli/serving/model_manager.py:get_gen_models`).
    """
    return model.startswith(("/", "./", "../", "~"))


def _listed(server: Server, route: str) -> Sequence[str]:
    """What one route lists; nothing where there is no such route."""
    found: list[Sequence[str]] = []
    lines: list[str] = []

    def ask() -> None:
        try:
            found.append(asyncio.run(_models(server, route)))
        except (PassingError, FinalError) as error:
            lines.append(error.line)

    thread = threading.Thread(target=ask, name="dllm-eval probe", daemon=True)
    thread.start()
    thread.join()
    if lines:
        raise ServerError(server.hide(f"{server.host}: {lines[0]}"))
    return found[0] if found else ()


async def _models(server: Server, route: str) -> Sequence[str]:
    """One GET, asked again as long as trying may help."""
    async with open_channel(server) as channel:
        for left in reversed(range(min(3, server.retries.most_tries))):
            watch = Watch(server, streamed=False)
            with watch:
                async with asyncio.timeout(min(PROBE_S, server.timeouts.whole_s)):
                    return await _get(channel, route)
            failed = watch.failed()
            if not left or isinstance(failed, FinalError):
                raise failed
            await asyncio.sleep(server.retries.first_wait_s)
    return ()


async def _get(channel: Channel, route: str) -> Sequence[str]:
    """The names of one list; none where the route is not there or gives something else."""
    async with channel.request("GET", route) as response:
        if response.status in TELLING or 300 <= response.status < 400:
            said = await read_complaint_text(response)
            raise_status(response.status, said, server=channel.server, path=route, wait_s=None)
        if response.status != 200:
            return ()
        return _names(await response.text(errors="replace"))


def _names(text: str) -> list[str]:
    """The `id` of each entry, or its `name` (older servers); none where the body is no list."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return []
    entries = found.get("data") or found.get("models") if isinstance(found, dict) else found
    names = []
    for entry in entries if isinstance(entries, list) else []:
        name = entry.get("id") or entry.get("name") if isinstance(entry, dict) else entry
        if isinstance(name, str):
            names.append(name)
    return names
