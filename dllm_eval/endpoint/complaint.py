"""What a server complains of, as one line, and whether another try may help.

Knows no socket. `exchange.py` gives it status codes and bodies, `reading.py` errors that stand in
an answer of status 200.

Sources: OpenAI's and Inception's error envelope {"error": {message, type, param, code}}
(api-evangelist/inception 90ee93f, `errors/inception-problem-types.yml`); {"detail": ...} of
FastAPI, which transformers' server is made of.
"""

import json
from dataclasses import dataclass
from typing import NoReturn

from dllm_eval.endpoint.answer import readable
from dllm_eval.endpoint.faults import FinalError, PassingError
from dllm_eval.endpoint.key import CUT
from dllm_eval.endpoint.server import Server

SHOWN_CHARACTERS = 240

PASSING = {408, 409, 425, 429, 500, 502, 503, 504, 520, 521, 522, 523, 524, 529}
"""Status codes after which the same request may be answered: time-outs, limits of rate, overload
(529 is Anthropic's), and what proxies say of servers behind them (520 to 524 are Cloudflare's)."""

HOLDING_BACK = {429, 503, 529}
"""Status codes that ask everybody to slow down."""

SPENT = {"insufficient_quota", "billing_hard_limit_reached", "billing_not_active", "account_error"}
"""Codes of an account that is empty, which some servers send with status 429."""

FINAL_TYPES = {
    "invalid_request_error",
    "authentication_error",
    "permission_error",
    "not_found_error",
    "billing_error",
    "account_error",
    "insufficient_quota",
}
"""Types of an error within a stream that another try will not mend."""


@dataclass(frozen=True, kw_only=True)
class Complaint:
    """A server's own words."""

    message: str = ""
    code: str = ""
    type: str = ""


def read_complaint(text: str) -> Complaint:
    """The words of an error body: JSON of the usual shapes, or a page of a proxy."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        looks_like_page = text.lstrip()[:1] == "<"
        return Complaint(message="a web page" if looks_like_page else one_line(text))
    if isinstance(found, dict):
        return read_error(found.get("error") or found.get("detail") or found)
    return read_error(found)


def read_error(error: object) -> Complaint:
    """The words of an `error` field: an object, a text, or what else there may be."""
    if not isinstance(error, dict):
        return Complaint(message=one_line(error if isinstance(error, str) else json.dumps(error)))
    message = error.get("message")
    return Complaint(
        message=one_line(message if isinstance(message, str) else json.dumps(error)),
        code=str(error.get("code") or ""),
        type=str(error.get("type") or ""),
    )


def raise_complaint(error: object) -> NoReturn:
    """Raise for an `error` within an answer of status 200.

    Raises:
        FinalError: If its type or code says that no further try will help.
        PassingError: Otherwise.
    """
    complaint = read_error(error)
    said = f"the server broke off with an error: {complaint.message}"
    codes = {complaint.type, complaint.code}
    status = int(complaint.code) if complaint.code.isdecimal() else 0
    if codes & (FINAL_TYPES | SPENT) or (400 <= status < 500 and status not in PASSING):
        raise FinalError(said)
    shared = status in HOLDING_BACK or bool(codes & {"rate_limit_error", "rate_limit_reached"})
    raise PassingError(said, shared=shared)


def raise_status(
    status: int, text: str, *, server: Server, path: str, wait_s: float | None
) -> NoReturn:
    """Raise for a status that is no success.

    Args:
        status: The status code.
        text: The beginning of the body.
        server: Who was asked.
        path: The route, as the URL has it.
        wait_s: What its Retry-After says.

    Raises:
        PassingError: If another try may help.
        FinalError: If not; the line names what to do.
    """
    complaint = read_complaint(text)
    said = f"{status}: {complaint.message}" if complaint.message else str(status)
    if complaint.code in SPENT or complaint.type in SPENT or status == 402:
        account = server.key.name if server.key else "this server"
        raise FinalError(f"the account is not paid up ({said}): see to the account of {account}")
    if status in PASSING:
        raise PassingError(said, wait_s=wait_s, shared=status in HOLDING_BACK)
    raise FinalError(_remedy(status, said, complaint, server=server, path=path))


def _remedy(status: int, said: str, complaint: Complaint, *, server: Server, path: str) -> str:
    """What was refused and what to do about it."""
    if status in (401, 403):
        return _about_key(status, said, server)
    if status == 404 and complaint.code == "model_not_found":
        return f"no model {server.model!r} there for this key ({said}): check model="
    if status in (404, 405):
        return (
            f"no route {path} or no model {server.model!r} there ({said}): "
            "check base_url=, route= and model="
        )
    if 300 <= status < 400:
        return (
            f"it redirects to another address ({said}): redirects are not followed, so that no key "
            "goes astray; set base_url= to where the server is"
        )
    if complaint.code == "context_length_exceeded":
        return f"prompt and answer are longer than the model's context ({said}): lower max_gen_toks"
    return f"it does not take the request ({said}): change what it names"


def _about_key(status: int, said: str, server: Server) -> str:
    """The line for a key that is missing, wrong or not enough."""
    if server.key is None:
        if not server.key_names:
            return f"it wants a key ({said}): export a key and name its variable by key_env=NAME"
        return f"it wants a key ({said}): set {' or '.join(server.key_names)} in the environment"
    if status == 401:
        return f"it does not take {server.key.name} ({said}): set it to a valid key"
    return f"{server.key.name} may not do this ({said}): check its rights to {server.model!r}"


def one_line(text: str) -> str:
    """Text of any size as part of a line."""
    flat = " ".join(readable(text).split())
    return flat if len(flat) <= SHOWN_CHARACTERS else flat[:SHOWN_CHARACTERS] + CUT
