"""`dllm-engine` in lm-eval: a model behind a serving engine that the harness starts and ends.

Asks and records as `api.py` does; knows which server these arguments need, and no process:
`dllm_eval.engines` runs them. A server is started when the first request has to be sent, and kept
for the next model of the same server-side settings.
"""

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

from dllm_eval.endpoint.ask import Ask, Reply
from dllm_eval.endpoint.client import answer_all
from dllm_eval.endpoint.probe import check as look_up
from dllm_eval.endpoint.server import Server, ServerError
from dllm_eval.engines.keeper import keeper
from dllm_eval.engines.launch import HOST, request_fields
from dllm_eval.engines.server import EngineServer, Patience

from .api import ApiLM
from .api_arguments import ApiArguments
from .api_facts import Service, service_of
from .api_provenance import counted_by
from .engine_arguments import NAME, EngineArguments, check, launch_of, tier_of
from .engine_honours import honoured

logger = logging.getLogger(__name__)

_MOST_STEPS = 48
"""Of DiffusionGemma, where the server was told no other number."""


_END_S = 2.0
_SEEN: dict[tuple[str, str, int], str] = {}
"""Address, model and most steps -> how a server has shown this process that it counts steps."""


class EngineLM(ApiLM):
    """A model that a serving engine answers for.

    Args:
        **given: `EngineArguments`; anything else is an error.
    """

    name: ClassVar[str] = NAME
    arguments_class: ClassVar[type[ApiArguments]] = EngineArguments
    argument_names: ClassVar[frozenset[str]] = frozenset(
        [*EngineArguments.model_fields, "pretrained"]
    )
    arguments: EngineArguments

    def __init__(self, **given: Any) -> None:  # noqa: ANN401 - lm-eval passes what the user typed
        super().__init__(**given)
        check(self.arguments)
        self._asked: tuple[str, Server] | None = None
        self._honoured: str | None = None
        if self.arguments.attached and self._declared():
            logger.warning(
                "the %s server at %s runs already: %s cannot be set there and is recorded as "
                "declared, not checked",
                self.arguments.engine,
                self.arguments.base_url,
                json.dumps(self._declared()),
            )

    @classmethod
    def parsed(cls, given: Mapping[str, Any]) -> EngineArguments:
        """Arguments, checked by themselves.

        Raises:
            UsageError: An unknown name, a bad value, or a key among them.
        """
        found = super().parsed(given)
        return EngineArguments.model_validate(found)

    @classmethod
    def check_arguments(cls, given: dict[str, Any]) -> None:
        """Whatever can be found wrong before a server is started.

        Raises:
            UsageError: Something is; that the engine is not installed, for one.
        """
        arguments = cls.parsed(given)
        check(arguments)
        cls.service_for(arguments)

    @classmethod
    def weights_key(cls, given: Mapping[str, Any]) -> tuple[object, ...]:
        """Equal for arguments that one server can serve."""
        arguments = cls.parsed(given)
        engine = arguments.described
        own = [(n, v) for n, v in arguments.chosen.items() if engine.setting(n).restarts]
        names = ("engine", "model", "revision", "dtype", "base_url", "engine_args", "engine_python")
        return (*(getattr(arguments, name) for name in names), *own)

    @classmethod
    def service_for(cls, arguments: ApiArguments) -> Service:
        """The server with what its card says; of one that is started, its port is left open."""
        return service_of(cls.name, arguments, base_url=f"http://{HOST}/v1")

    @property
    def server(self) -> Server:  # another one after the first has died
        """Where requests go; started and looked at when the first one has to be sent.

        Raises:
            UsageError: It does not come up, or overlooks what requests ask.
        """
        running = None if self.arguments.attached else self._running()
        where = self.arguments.base_url if running is None else running.base_url
        if self._asked is None or self._asked[0] != where:
            server = self._server(self.arguments)
            if running is None:
                look_up(server, "" if Path(server.model).is_dir() else server.model)
            self._asked = (where, server)
            self._honoured = self._look(server)
        return self._asked[1]

    def _server(self, arguments: ApiArguments) -> Server:
        """The server that runs for these arguments."""
        plain = super()._server(arguments)
        if self.arguments.attached:
            return plain
        running = self._running()
        return Server(
            base_url=running.base_url,
            model=running.launch.served_model,
            timeouts=plain.timeouts,
            retries=plain.retries,
            stream=plain.stream,
            drafts=plain.drafts,
            limit_field=plain.limit_field,
        )

    def _running(self) -> EngineServer:
        kept = keeper()
        logs = self.arguments.server_logs
        if logs is not None:
            kept.folder = Path(logs)
        elif kept.folder is None and self.arguments.records is not None:
            kept.folder = Path(self.arguments.records).parent / "servers"
        patience = Patience(start_s=self.arguments.start_s, stop_s=self.arguments.stop_s)
        return kept.keep(launch_of(self.arguments), patience)

    def _more(self) -> Mapping[str, Any]:
        fields = request_fields(self.arguments.described, self.arguments.chosen)
        own = super()._more()
        both = {k: {**v, **own[k]} for k, v in fields.items() if isinstance(own.get(k), dict)}
        return {**fields, **own, **both}

    def answered(
        self,
        asks: Sequence[Ask],
        done: Callable[[int, Reply], None],
        *,
        in_flight: int,
        starts_s: Sequence[float] | None = None,
        until_s: float | None = None,
    ) -> None:
        """Asks the server, and says of one that died meanwhile how it ended."""
        try:
            super().answered(asks, done, in_flight=in_flight, starts_s=starts_s, until_s=until_s)
        except ServerError as error:
            running = None if self.arguments.attached else keeper().running
            # A broken connection is noticed before the end of the process behind it.
            if running is None or not running.ends_within(_END_S):
                raise
            raise running.ended("ended while it answered") from error

    @property
    def kind(self) -> Literal["diffusion", "autoregressive"]:
        """Which kind of model answers."""
        return self.arguments.model_kind

    @property
    def tier(self) -> str | None:
        """How the model is served."""
        return tier_of(self.arguments)

    def provenance(self) -> dict[str, Any]:
        """Who answers, for a cell's provenance; starts the server, which knows its version."""
        told = super().provenance()
        arguments, server = self.arguments, self.server
        running = None if arguments.attached else keeper().running
        version = None if running is None else running.version
        name = "transformers serve" if arguments.engine == "transformers" else arguments.engine
        stack = name if version is None else f"{name} {version}"
        del told["weights"]  # those of a folder here are hashed as any
        if running is not None:
            del told["machine"]
        else:
            told["machine"] = {"name": f"server {server.host}"}
        revision = "" if arguments.revision is None else f"@{arguments.revision}"
        return {
            **told,
            "placement": {
                "kind": "engine",
                "engine": stack,
                # A port would make a server that was started again another placement.
                "host": HOST if running is not None else server.host,
                "started_here": running is not None,
            },
            "stack": stack if arguments.dtype is None else f"{stack}, {arguments.dtype}",
            "checkpoint": f"{arguments.model}{revision}",
            "token_counts": counted_by(self.counting_folder),
            "launch": None if running is None else running.command_line,
            "engine_settings": dict(arguments.chosen),
            "declared_not_checked": self._declared() if arguments.attached else None,
            "per_request": self._honoured,
        }

    @property
    def counting_folder(self) -> str | None:
        """The tokenizer named, else that of the checkpoint where it lies on this machine."""
        arguments = self.arguments
        here = (Path(arguments.checkpoint) / "tokenizer.json").is_file() and not arguments.attached
        return arguments.tokenizer or (arguments.checkpoint if here else None)

    def _declared(self) -> dict[str, Any]:
        """Settings that only a server's start could set."""
        engine = self.arguments.described
        found = {n: v for n, v in self.arguments.chosen.items() if engine.setting(n).restarts}
        also = {"dtype": self.arguments.dtype, "revision": self.arguments.revision}
        return found | {name: value for name, value in also.items() if value is not None}

    def _look(self, server: Server) -> str | None:
        """Whether the server honours what goes with requests; None where nothing does."""
        engine, chosen = self.arguments.described, self.arguments.chosen
        if "steps" not in chosen or engine.setting("steps").restarts:
            return None

        def answer(asks: Sequence[Ask]) -> list[Reply]:
            replies: dict[int, Reply] = {}
            answer_all(server, asks, replies.__setitem__, in_flight=1)
            return [replies[number] for number in range(len(asks))]

        most = int(chosen.get("max_denoising_steps", _MOST_STEPS))
        key = (server.base_url, server.model, most)
        if key not in _SEEN:
            _SEEN[key] = honoured(
                answer, lambda n: request_fields(engine, {**chosen, "steps": n}), most
            )
        return _SEEN[key]
