"""Who answered and on which terms, as the provenance of a sweep's cell keeps it.

Knows the facts of a server and what its answers told; opens no connection. `api.py` calls it.
"""

from pathlib import Path
from typing import Any

from .api_facts import Service
from .api_notices import Notices


def provenance_of(service: Service, notices: Notices) -> dict[str, Any]:
    """What stands in place of a local machine and its software.

    Args:
        service: The server.
        notices: What its answers have told so far; before the first, nothing.
    """
    prices = None if service.facts is None else service.facts.prices
    return {
        "machine": {"name": f"server {service.host}" if service.attached else service.host},
        "placement": {
            "kind": "api",
            "engine": None,
            "host": service.host,
            "started_here": False,
        },
        "stack": _stack(service),
        "weights": None,
        "prices": None if prices is None else prices.model_dump(),
        "token_counts": counted_by(service.arguments.tokenizer),
        "served_model": ", ".join(sorted(notices.served_models)) or None,
        "fingerprint": ", ".join(sorted(notices.fingerprints)) or None,
    }


def _stack(service: Service) -> str:
    route = service.arguments.route
    streamed = "streamed" if service.arguments.stream else "whole answers"
    return f"api, {'own' if route == 'auto' else route} route, {streamed}"


def counted_by(folder: str | None) -> str:
    """Who counts visible tokens."""
    return "server" if folder is None else f"tokenizer {Path(folder).name}"
