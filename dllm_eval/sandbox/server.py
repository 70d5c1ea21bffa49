"""The fork server: a small clean interpreter that forks a warden for each program.

Started by `runner.py`, it reads one job a line from its standard
input, answers one verdict a line on its standard output, and ends when its input does. It stays
single-threaded, imports only the standard library, and loads what programs commonly import so
that each fork has it already. Knows nothing of tasks.
"""

import gc
import json
import os
import signal
import sys
from importlib import import_module
from typing import Final, NoReturn

from dllm_eval.sandbox.confine import leave_network_and_files
from dllm_eval.sandbox.warden import Job, Room, Verdict, judge

COMMON_MODULES: Final = (
    *("bisect", "collections", "copy", "datetime", "decimal", "fractions", "functools", "hashlib"),
    *("heapq", "itertools", "json", "math", "operator", "random", "re", "statistics", "string"),
    *("typing", "dataclasses", "enum", "abc", "cmath", "calendar", "unicodedata"),
)


def serve(root: str) -> None:
    """Answers jobs until the input ends. `root` is the folder this package was found in."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for name in COMMON_MODULES:
        import_module(name)
    # The checkout was on the path only to find this module; programs see the library alone.
    sys.path.remove(root)
    room = _build_room()
    gc.freeze()  # else each fork would touch, and so copy, every page
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # wardens are not waited for, nor left as zombies
    for line in sys.stdin:
        reader, writer = os.pipe()
        if os.fork() == 0:
            os.close(reader)
            _work(line, room, writer)
        os.close(writer)
        sys.stdout.write(_read_line(reader) or _encode(Verdict(died=True)))
        sys.stdout.flush()
        os.close(reader)


def _build_room() -> Room:
    try:
        return Room(scratch=leave_network_and_files())
    except OSError as error:
        return Room(refused=str(error))


def _read_line(reader: int) -> str:
    answer = b""
    while not answer.endswith(b"\n"):
        piece = os.read(reader, 65536)
        if not piece:
            return ""
        answer += piece
    return answer.decode("ascii")


def _work(line: str, room: Room, writer: int) -> NoReturn:
    try:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)

        def answer(verdict: Verdict) -> None:
            os.write(writer, _encode(verdict).encode("ascii"))
            os.close(writer)

        judge(Job(**json.loads(line)), room, answer)
    finally:
        os._exit(0)


def _encode(verdict: Verdict) -> str:
    return json.dumps(verdict.__dict__) + "\n"
