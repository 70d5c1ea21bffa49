"""A completions server on the loopback that answers at once: the process `client_overhead.py` asks.

    python benchmarks/_instant_server.py 32

Says so many words, whole or one at a time. Prints its port, and ends with its input.
"""

import asyncio
import json
import sys

from aiohttp import web

PIECE = " word"


def application(chunks: int) -> web.Application:
    """The server, whose answers have so many words."""

    async def answer(request: web.Request) -> web.StreamResponse:
        body = await request.json()
        if not body.get("stream"):
            text = PIECE * chunks
            return web.json_response({"choices": [{"text": text, "finish_reason": "stop"}]})
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for number in range(chunks):
            reason = "stop" if number + 1 == chunks else None
            piece = {"choices": [{"index": 0, "text": PIECE, "finish_reason": reason}]}
            await response.write(b"data: %s\n\n" % json.dumps(piece).encode())
        await response.write(b"data: [DONE]\n\n")
        return response

    found = web.Application()
    found.router.add_post("/v1/completions", answer)
    return found


async def serve(chunks: int) -> None:
    """Answer until the input ends."""
    runner = web.AppRunner(application(chunks), access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await runner.cleanup()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1])))
