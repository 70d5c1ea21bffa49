"""What does our client add to a request, over a bare aiohttp loop that reads the same answer?

A server in a process of its own answers at once, so that nothing but the two clients is measured:
whole answers, and answers streamed in `--chunks` pieces. Both clients keep as many requests in
flight, send the same bodies and put the text together; the bare one retries nothing, checks nothing
and takes no times. In turns, so that a ratio of neighbours holds where the seconds do not; "cpu ms"
is what this process computed for one request, which waiting for a core does not touch.

    python benchmarks/client_overhead.py
    python benchmarks/client_overhead.py --requests 100 --in-flight 1 8 --chunks 64
"""

import argparse
import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import process_time

import aiohttp
from _instant_server import PIECE
from _table import print_table
from _turns import Middle, middle

from dllm_eval.endpoint.ask import Ask, Reply
from dllm_eval.endpoint.client import answer_all
from dllm_eval.endpoint.server import Server
from dllm_eval.measure.wall import instant_s

WARM_UP_ROUNDS = 2


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What a row is about."""

    base_url: str
    streamed: bool
    chunks: int
    in_flight: int
    requests: int


@contextmanager
def serving(chunks: int) -> Iterator[str]:
    """The base URL of a server that lives as long as the block."""
    command = [sys.executable, str(Path(__file__).with_name("_instant_server.py")), str(chunks)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        if process.stdin is None or process.stdout is None:
            raise RuntimeError("the server's process has no pipes")
        yield f"http://127.0.0.1:{int(process.stdout.readline())}/v1"
        process.stdin.close()


def ours(setting: Setting) -> list[str]:
    """The texts, by this package's client."""
    server = Server(base_url=setting.base_url, model="m", stream=setting.streamed)
    asks = [Ask(route="completions", prompt="p", max_tokens=64)] * setting.requests
    found = [""] * setting.requests

    def done(index: int, reply: Reply) -> None:
        found[index] = reply.text

    answer_all(server, asks, done, in_flight=setting.in_flight)
    return found


def bare(setting: Setting) -> list[str]:
    """The texts, by a loop over aiohttp."""
    body: dict[str, object] = {"model": "m", "prompt": "p", "max_tokens": 64}
    if setting.streamed:
        body["stream"] = True
    found: list[str] = []

    async def one(session: aiohttp.ClientSession) -> None:
        async with session.post(setting.base_url + "/completions", json=body) as response:
            if not setting.streamed:
                found.append((await response.json())["choices"][0]["text"])
                return
            lines = [line async for line in response.content if line.startswith(b"data: {")]
            found.append("".join(json.loads(line[6:])["choices"][0]["text"] for line in lines))

    async def worker(session: aiohttp.ClientSession, left: Iterator[int]) -> None:
        for _ in left:
            await one(session)

    async def run() -> None:
        left = iter(range(setting.requests))
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
            tasks: list[Awaitable[None]] = [worker(session, left) for _ in range(setting.in_flight)]
            await asyncio.gather(*tasks)

    asyncio.run(run())
    return found


@dataclass
class Taken:
    """Seconds of each round, of the wall and computed."""

    wall_s: list[float]
    cpu_s: list[float]


def measured(setting: Setting, rounds: int) -> dict[str, Taken]:
    """Both clients in turns, forwards and backwards."""
    works: dict[str, Callable[[Setting], list[str]]] = {"bare": bare, "ours": ours}
    taken = {name: Taken([], []) for name in works}
    expected = [PIECE * setting.chunks] * setting.requests
    for index in range(-WARM_UP_ROUNDS, rounds):
        for name in works if index % 2 == 0 else reversed(list(works)):
            begun_s, begun_cpu_s = instant_s(), process_time()
            texts = works[name](setting)
            if index >= 0:
                taken[name].wall_s.append(instant_s() - begun_s)
                taken[name].cpu_s.append(process_time() - begun_cpu_s)
            if texts != expected:
                raise RuntimeError(f"{name} read another text than was sent")
    return taken


def row(setting: Setting, rounds: int) -> list[str]:
    """A row of the table."""
    taken = measured(setting, rounds)
    each = 1000 / setting.requests
    ratios = [
        own / other for own, other in zip(taken["ours"].wall_s, taken["bare"].wall_s, strict=True)
    ]
    return [
        f"{setting.chunks} pieces" if setting.streamed else "whole",
        str(setting.in_flight),
        str(rounds),
        _milliseconds(taken["bare"].wall_s, each),
        _milliseconds(taken["ours"].wall_s, each),
        middle(ratios).text(2),
        _milliseconds(taken["bare"].cpu_s, each),
        _milliseconds(taken["ours"].cpu_s, each),
    ]


def _milliseconds(seconds: list[float], each: float) -> str:
    found: Middle = middle(seconds).times(each)
    return found.text()


def main(arguments: list[str] | None = None) -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--requests", type=int, default=200, help="of a round")
    parser.add_argument("--in-flight", type=int, nargs="+", default=[1, 16])
    parser.add_argument("--chunks", type=int, default=32, help="pieces of a streamed answer")
    options = parser.parse_args(arguments)
    rows = []
    with serving(options.chunks) as base_url:
        for streamed in (False, True):
            for in_flight in options.in_flight:
                setting = Setting(
                    base_url=base_url,
                    streamed=streamed,
                    chunks=options.chunks,
                    in_flight=in_flight,
                    requests=options.requests,
                )
                rows.append(row(setting, options.rounds))
    versions = f"Python {sys.version.split()[0]}, aiohttp {aiohttp.__version__}"
    print(f"{versions}, {options.requests} requests a round, load {os.getloadavg()[0]:.1f}\n")
    header = ("answer", "in flight", "rounds", "bare ms", "ours ms", "ours / bare")
    print_table((*header, "bare cpu ms", "ours cpu ms"), rows)


if __name__ == "__main__":
    main(sys.argv[1:])
