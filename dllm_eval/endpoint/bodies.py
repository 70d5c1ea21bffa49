"""What the body of a request says, route by route.

Knows no socket. `exchange.py` sends what this makes.

Sources: OpenAI's API as its servers read it (transformers 5.23 `cli/serving`), and Inception's
OpenAPI description of chat, FIM and edit (api-evangelist/inception 2f784396, `openapi/*.yml`).
"""

from typing import Any

from dllm_eval.endpoint.ask import Ask, Route
from dllm_eval.endpoint.server import Server

PATHS: dict[Route, str] = {
    "chat": "/chat/completions",
    "completions": "/completions",
    "fim": "/fim/completions",
    "edit": "/edit/completions",
}


def is_streamed(server: Server, ask: Ask) -> bool:
    """Whether this answer is asked for piece by piece; the edit route offers no streams."""
    return server.stream and ask.route != "edit"


def body(server: Server, ask: Ask, *, usage: bool) -> dict[str, Any]:
    """The JSON body of a request.

    Args:
        server: Whose model is asked, and whether in streams.
        ask: What is asked; what it leaves open is left to the server.
        usage: Ask for token counts at a stream's end (`stream_options`), which some servers refuse.
    """
    found: dict[str, Any] = {"model": server.model, server.limit_field: ask.max_tokens}
    if ask.route in ("chat", "edit"):
        found["messages"] = [dict(message) for message in ask.messages]
    else:
        found["prompt"] = ask.prompt
        if ask.suffix is not None:
            found["suffix"] = ask.suffix
    if ask.temperature is not None:
        found["temperature"] = ask.temperature
    if ask.stop:
        found["stop"] = list(ask.stop)
    if ask.seed is not None:
        found["seed"] = ask.seed
    if is_streamed(server, ask):
        found["stream"] = True
        if usage:
            found["stream_options"] = {"include_usage": True}
        if server.drafts:
            found["diffusing"] = True
    return found | dict(ask.more)
