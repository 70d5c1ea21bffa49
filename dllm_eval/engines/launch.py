"""What a server is to be started with, and the command line that says so.

Plain data; starts nothing. `adapters/engine.py` makes one of a model's arguments, `server.py`
starts it.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from dllm_eval.engines.engine import Engine
from dllm_eval.engines.program import Program
from dllm_eval.engines.setting import Setting, Value

HOST = "127.0.0.1"
"""Servers that the harness starts are reached from this machine alone."""


@dataclass(frozen=True, kw_only=True)
class Launch:
    """A server with its settings; equal ones need one server between them."""

    engine: Engine
    program: Program
    model: str
    revision: str | None = None
    dtype: str | None = None
    chosen: Mapping[str, Value] = field(default_factory=dict)
    """Settings by our names; those that go with requests are left out of the command line."""
    flags: tuple[str, ...] = ()
    """Whatever else the user wants."""

    @property
    def served_model(self) -> str:
        """The name under which requests ask for the model."""
        if self.engine.revision is None and self.revision is not None:
            return f"{self.model}@{self.revision}"
        return self.model

    def file_text(self) -> str | None:
        """The YAML file of the settings that stand in one; None where there are none."""
        found = _nested(self._placed("file"))
        return yaml.safe_dump(found, sort_keys=False) if found else None

    def command(self, port: int, file: Path) -> list[str]:
        """The command line.

        Args:
            port: To listen on.
            file: Where `file_text` lies, if there is any.
        """
        engine = self.engine
        words = [*self.program.start, *engine.model, self.served_model]
        words += [engine.host, HOST, engine.port, str(port), *engine.always]
        if engine.served_name is not None:
            words += [engine.served_name, self.served_model]
        if self.revision is not None and engine.revision is not None:
            words += [engine.revision, self.revision]
        if self.dtype is not None:
            words += [engine.dtype, self.dtype]
        for setting, value in self._placed("flag"):
            words += _flag(setting, value)
        for name, keys in self._objects().items():
            words += [name, json.dumps(keys)]
        if self.file_text() is not None and engine.file_flag is not None:
            words += [engine.file_flag, str(file)]
        return [*words, *self.flags]

    def identity(self) -> tuple[object, ...]:
        """Equal for launches that one server can serve."""
        server_side = tuple((s.name, v) for s, v in self._chosen() if s.restarts)
        own = (self.engine.name, self.program.start, self.model, self.revision, self.dtype)
        return (*own, server_side, self.flags)

    def _chosen(self) -> list[tuple[Setting, Value]]:
        return [(self.engine.setting(name), value) for name, value in self.chosen.items()]

    def _placed(self, place: str) -> list[tuple[Setting, Value]]:
        return [(setting, value) for setting, value in self._chosen() if setting.place == place]

    def _objects(self) -> dict[str, dict[str, Any]]:
        found: dict[str, list[tuple[Setting, Value]]] = {}
        for setting, value in self._placed("json"):
            found.setdefault(setting.within, []).append((setting, value))
        return {name: _nested(pairs) for name, pairs in found.items()}


def request_fields(engine: Engine, chosen: Mapping[str, Value]) -> dict[str, Any]:
    """The fields of each request's body that carry the settings which go with requests."""
    found: dict[str, Any] = {}
    for name, value in chosen.items():
        setting = engine.setting(name)
        if setting.place == "request":
            inner = found.setdefault(setting.within, {}) if setting.within else found
            inner[setting.theirs] = value
    return found


def _flag(setting: Setting, value: Value) -> list[str]:
    if isinstance(value, bool):
        return [setting.theirs] if value else []
    return [setting.theirs, _word(setting, value)]


def _word(setting: Setting, value: Value) -> str:
    return setting.words.get(str(value), str(value))


def _nested(pairs: list[tuple[Setting, Value]]) -> dict[str, Any]:
    """Keys with dots become mappings in mappings."""
    found: dict[str, Any] = {}
    for setting, value in pairs:
        *outer, last = setting.theirs.split(".")
        place = found
        for key in outer:
            place = place.setdefault(key, {})
        place[last] = setting.words.get(value, value) if isinstance(value, str) else value
    return found
