"""Keeps the one server that this process has started, for as long as the next model needs the same.

Knows servers; knows no model. `adapters/engine.py` asks for a server, the sweep's worker ends it
when weights change and at its end, and a process that ends by itself ends it on its way out.
"""

import atexit
import os
import tempfile
from functools import cache
from pathlib import Path

from dllm_eval.engines.launch import Launch
from dllm_eval.engines.server import EngineServer, Patience, start


class Keeper:
    """At most one server, which ends with the process that started it.

    Attributes:
        folder: Where logs go; None stands for a temporary folder that is left for the user to read.
    """

    def __init__(self) -> None:
        self.folder: Path | None = None
        self._server: EngineServer | None = None
        self._owner = os.getpid()
        atexit.register(self.stop)

    @property
    def running(self) -> EngineServer | None:
        """The server kept, whether it lives or not."""
        return self._server

    def keep(self, launch: Launch, patience: Patience) -> EngineServer:
        """The server of a launch: the one that runs where it is the same, else a new one.

        Raises:
            EngineEnded: It did not come up.
            UsageError: Its device is taken, or its files cannot be written.
        """
        kept = self._server
        if kept is not None and kept.launch.identity() == launch.identity() and kept.alive:
            return kept
        self.stop()
        if self.folder is None:
            self.folder = Path(tempfile.mkdtemp(prefix="dllm-eval-servers-"))
        self._server = start(launch, self.folder, patience)
        return self._server

    def stop(self) -> None:
        """Ends the server, if there is one; a forked child leaves its parent's alone."""
        server, self._server = self._server, None
        if server is not None and os.getpid() == self._owner:
            server.stop()


@cache
def keeper() -> Keeper:
    """This process's."""
    return Keeper()


def stop() -> None:
    """Ends the server that this process keeps; does nothing, at no cost, where there is none."""
    if keeper.cache_info().currsize:
        keeper().stop()
