"""The protocol server as a program: arguments in, one line with its address out, then it serves.

`protocol_server.py` calls it; tests of engines start it behind a script with an engine's name.
"""

import argparse
import os
import sys
from pathlib import Path

from misbehaviours import MISBEHAVIOURS
from protocol_flavours import FLAVOURS
from protocol_server import ProtocolServer
from protocol_state import Backend

BACKENDS = ("echo", "reference-ar", "reference-diffusion")


def backend_of(name: str, arguments: argparse.Namespace) -> Backend:
    """What answers; the reference models are loaded here, and torch with them."""
    if name == "echo":
        return lambda body: str(body.get("prompt", body.get("messages")))
    from reference_backends import ReferenceAR, ReferenceDiffusion

    if name == "reference-ar":
        return ReferenceAR(arguments.pretrained or "reference-ar")
    names = ("gen_length", "steps", "block_length", "threshold")
    given = {name: getattr(arguments, name) for name in names}
    settings = {name: value for name, value in given.items() if value is not None}
    return ReferenceDiffusion(arguments.pretrained or "reference-diffusion", **settings)


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--as", dest="flavour", choices=FLAVOURS, default="openai")
    parser.add_argument("--backend", choices=BACKENDS, default="echo")
    parser.add_argument("--pretrained", help="a folder in place of the shipped model")
    parser.add_argument("--model", action="append", help="a name that it answers to; repeatable")
    parser.add_argument("--key-env", help="the variable with the key that clients have to send")
    parser.add_argument("--misbehave", help=f"NUMBER=NAME, repeatable: {', '.join(MISBEHAVIOURS)}",
                        action="append", default=[])  # fmt: skip
    parser.add_argument("--first-s", type=float, default=0.0, help="seconds before the first byte")
    parser.add_argument("--chunk-s", type=float, default=0.0, help="seconds between two events")
    parser.add_argument("--log", type=Path, help="a line for each request, when it comes and ends")
    for name in ("gen-length", "steps", "block-length"):
        parser.add_argument(f"--{name}", type=int)
    parser.add_argument("--threshold", type=float)
    return parser.parse_args()


def main() -> None:
    """Serves until it is ended."""
    arguments = parsed()
    plan = {
        int(number): name for number, _, name in (m.partition("=") for m in arguments.misbehave)
    }
    server = ProtocolServer(
        backend_of(arguments.backend, arguments),
        misbehave=plan,
        key=os.environ[arguments.key_env] if arguments.key_env else None,
        models=arguments.model or ["protocol-model"],
        flavour=arguments.flavour,
        first_s=arguments.first_s,
        chunk_s=arguments.chunk_s,
        port=arguments.port,
        log=arguments.log,
    )
    sys.stdout.write(f"{server.base_url}\n")
    sys.stdout.flush()
    server.serve()
