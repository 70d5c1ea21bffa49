"""Where a server's key comes from: the environment, and never an argument.

Knows names of variables and of arguments; a key itself stays inside `endpoint.key.Key`. `api.py`
and `api_facts.py` call it.
"""

import os
import re
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from dllm_eval.endpoint.key import Key
from dllm_eval.errors import UsageError

KEY_LIKE = frozenset(
    {"api_key", "apikey", "key", "token", "auth_token", "access_token", "authorization", "headers"}
)
"""Names of arguments and fields that would hold a key."""

OPENAI_HOST = "api.openai.com"
OPENAI_KEY = "OPENAI_API_KEY"


def refuse_keys(model: str, given: Mapping[str, Any]) -> None:
    """Arguments are written to results, so a key among them is refused; no line repeats it.

    Args:
        model: lm-eval's name of the model class.
        given: What the user typed.

    Raises:
        UsageError: An argument looks like a key.
    """
    for name in given:
        if is_key_like(name):
            raise _no_argument(model, name)
    for field in str(given.get("extra") or "").split("+"):
        if any(is_key_like(word) for word in field.partition(":")[0].split(".")):
            raise _no_argument(model, "extra")
    variable = given.get("key_env")
    if variable is not None and not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", str(variable)):
        raise _no_argument(model, "key_env")
    address = str(given.get("base_url") or "")
    # Searched as text: what is no address may hold a key as well.
    if "@" in re.split("[/?#]", address.partition("//")[2] or address)[0]:
        raise _no_argument(model, "base_url")
    if "?" in address or "#" in address:
        raise UsageError(
            f"argument base_url of {model} has a ? or #, behind which a key may stand; accepted: an"
            " address without them, for example http://127.0.0.1:8000/v1"
        )


def is_key_like(name: str) -> bool:
    """Whether a field or argument of this name would hold a key."""
    lowered = name.lower()
    return lowered in KEY_LIKE or lowered.endswith("api_key")


def _no_argument(model: str, name: str) -> UsageError:
    return UsageError(
        f"argument {name} of {model} looks like a key, and arguments are written to results; put"
        " the key into the environment (export INCEPTION_API_KEY=...), and where the variable has"
        " another name, pass key_env=NAME"
    )


def names_for(key_env: str | None, published: str | None, base_url: str) -> tuple[str, ...]:
    """The environment variables that may hold the key; none where none is asked for.

    Args:
        key_env: What the user named.
        published: What the card of the model names, if it is served where the card says.
        base_url: Where it is served.
    """
    if key_env is not None:
        return (key_env,)
    if published is not None:
        return (published,)
    return (OPENAI_KEY,) if urlsplit(base_url).hostname == OPENAI_HOST else ()


def key_of(names: Sequence[str], base_url: str) -> Key | None:
    """The key, from this process' environment.

    Raises:
        UsageError: None of the variables is set.
    """
    if not names:
        return None
    found = Key.from_environment(names, os.environ)
    if found is None:
        raise UsageError(
            f"{urlsplit(base_url).hostname} wants a key, and {' or '.join(names)} is not set:"
            f" export {names[0]}=..., or name another variable by key_env=NAME"
        )
    return found
