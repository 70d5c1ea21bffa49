"""Asks a server on this machine whether it is up, and what it says of itself.

Knows HTTP's GET and JSON; knows no engine. `server.py` calls it while a server starts.
"""

import json
from contextlib import closing
from http.client import HTTPConnection, HTTPException
from typing import Any

_ANSWER_S = 30.0
"""SGLang's health route decodes a token before it answers."""


def healthy(host: str, port: int, path: str) -> bool:
    """Whether a GET of the path is answered with 200."""
    return _get(host, port, path)[0] == 200


def told(host: str, port: int, path: str, key: str) -> str | None:
    """A text of the JSON object that a GET of the path gives; None where there is none."""
    status, body = _get(host, port, path)
    if status != 200:
        return None
    try:
        found: Any = json.loads(body)
    except ValueError:
        return None
    value = found.get(key) if isinstance(found, dict) else None
    return value if isinstance(value, str) else None


def _get(host: str, port: int, path: str) -> tuple[int, bytes]:
    """(status, body); (0, b"") where nobody answers."""
    with closing(HTTPConnection(host, port, timeout=_ANSWER_S)) as connection:
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read()
        except (OSError, HTTPException):
            return 0, b""
