"""What lm-eval may pass to `dllm-engine`, checked once, and what of it a server is started with.

Knows names, engines, cards and config.json; starts nothing. `engine.py` calls it.
"""

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from dllm_eval.catalogue.arguments_reading import Accepts
from dllm_eval.catalogue.cards import card_for
from dllm_eval.checkpoint import read_config
from dllm_eval.engines.catalogue import ENGINES, engine_of, setting_names
from dllm_eval.engines.engine import Engine
from dllm_eval.engines.launch import Launch
from dllm_eval.engines.program import find
from dllm_eval.engines.setting import Value
from dllm_eval.errors import UsageError
from dllm_eval.loading import SHIPPED, resolve_checkpoint
from dllm_eval.registry import MODEL_TYPES

from .api_arguments import ApiArguments

NAME = "dllm-engine"
_SECRET = ("--api-key", "--api-keys", "--admin-api-key", "--hf-token", "--ssl-keyfile-password")
_NOT_SECRET = ("--ssl-keyfile",)
"""Begins like one of them, and holds none."""
_LEAST_ABBREVIATION = len("--api-k")
"""argparse takes a flag's beginning for the flag."""
Kind = Literal["diffusion", "autoregressive"]


class EngineArguments(ApiArguments):
    """The arguments of `dllm-engine`, over those of `dllm-api`."""

    engine: Annotated[str, Accepts(", ".join(ENGINES))]
    """Which engine serves the model; each has settings of its own."""
    revision: str | None = None
    """Branch, tag or commit of a hub id; unset is its default branch."""
    dtype: str | None = None
    """Of the weights, in the engine's words; unset leaves it to the engine."""
    engine_args: str = ""
    """Further flags of the server, as one would type them. They are recorded; keys, and flags that
    an argument sets, are refused."""
    engine_python: Annotated[str | None, Accepts("a file")] = Field(default=None, exclude=True)
    """The Python interpreter of another environment that has the engine; unset is ours."""
    start_s: float = Field(default=600.0, gt=0, exclude=True)
    """Most seconds that a server may take until it answers."""
    stop_s: float = Field(default=20.0, gt=0, exclude=True)
    """Seconds from the polite signal that ends a server to the one that kills it."""
    server_logs: Annotated[str | None, Accepts("a folder")] = Field(default=None, exclude=True)
    """Of servers' logs; unset is one beside `records`, else a temporary one. A sweep has them in
    DIR/servers."""

    algorithm: str | None = None
    strategy: str | None = None
    threshold: float | None = None
    edit_threshold: float | None = None
    max_edit_steps: int | None = None
    penalty_lambda: float | None = None
    block_length: int | None = None
    steps: int | None = None
    max_denoising_steps: int | None = None
    canvas_length: int | None = None
    entropy_bound: float | None = None
    speculation: str | None = None
    speculative_tokens: int | None = None
    prompt_lookup_min: int | None = None
    prompt_lookup_max: int | None = None
    compile: bool | None = None
    continuous_batching: bool | None = None

    @property
    def attached(self) -> bool:
        """Whether the server runs already."""
        return bool(self.base_url)

    @property
    def described(self) -> Engine:
        """The engine."""
        return engine_of(self.engine)

    @property
    def chosen(self) -> dict[str, Value]:
        """The engine's settings that were given, checked."""
        return self.described.checked({name: getattr(self, name) for name in setting_names()})

    @property
    def flags(self) -> tuple[str, ...]:
        """`engine_args` as words.

        Raises:
            UsageError: They are no shell words, hold a key, or set what the harness sets.
        """
        try:
            words = tuple(shlex.split(self.engine_args))
        except ValueError as error:
            raise UsageError(f"argument engine_args={self.engine_args!r}: {error}") from error
        for word in words:
            # vLLM's parser reads an underscore as a dash.
            _check_flag(self.described, word.partition("=")[0].replace("_", "-"))
        return words

    @property
    def checkpoint(self) -> str:
        """The model as the engine is told: a folder, also of a shipped model, or a hub id."""
        if self.model in SHIPPED:
            return str(resolve_checkpoint(self.model))
        return str(Path(self.model).expanduser()) if self.model.startswith("~") else self.model

    @property
    def family(self) -> str | None:
        """The family of diffusion models it is of, by its card or its config.json; None without."""
        card = card_for(self.model)
        if card is not None:
            return card.family
        folder = Path(self.checkpoint)
        if not (folder / "config.json").is_file():
            return None
        return MODEL_TYPES.get(str(read_config(folder).get("model_type")))

    @property
    def model_kind(self) -> Kind:
        """Which kind of model it is: as told, else by its family, else by the settings given.

        Raises:
            UsageError: The model's kind and the settings contradict each other.
        """
        engine = self.described
        diffusion = [name for name in self.chosen if engine.setting(name).diffusion]
        found: Kind = "diffusion" if self.family or diffusion else "autoregressive"
        kind: Kind = found if self.kind == "auto" else self.kind
        own = diffusion if kind == "autoregressive" else sorted({*self.chosen} - {*diffusion})
        if own:
            raise UsageError(
                f"argument {own[0]} of engine {engine.name} is not for {kind} models; leave it "
                "out, or say kind=diffusion or kind=autoregressive if the model is another"
            )
        return kind


def check(arguments: EngineArguments) -> None:
    """Whatever can be found wrong before a server is started.

    Raises:
        UsageError: Something is; that the engine is not installed, for one.
    """
    engine, chosen = arguments.described, arguments.chosen
    if not arguments.model:
        raise UsageError(f"{NAME} needs the argument pretrained, a folder or a hub id")
    _check_folder(arguments)
    if arguments.model_kind == "diffusion":
        if not arguments.attached:
            engine.check_needs(chosen, arguments.family)
    elif not engine.autoregressive:
        raise UsageError(f"engine {engine.name} serves no autoregressive models")
    if arguments.attached and arguments.engine_args:
        raise UsageError(
            f"engine_args={arguments.engine_args!r} cannot be set: the server at "
            f"{arguments.base_url} runs already; leave one of the two out"
        )
    if not arguments.attached:
        launch_of(arguments)


def _check_folder(arguments: EngineArguments) -> None:
    """A path that is nowhere here is no hub id either; an engine would find that out at its start.

    Raises:
        UsageError: `pretrained` is written as a path, and there is no such folder.
    """
    model = arguments.checkpoint
    written_as_path = model.startswith(("/", "./", "../", "~")) or model in (".", "..")
    if arguments.attached or (not written_as_path and not Path(model).is_file()):
        return
    if not Path(model).is_dir():
        raise UsageError(
            f"pretrained={arguments.model!r} is no folder here; accepted: a folder with a "
            f"checkpoint, a hub id such as org/name, or {', '.join(SHIPPED)}"
        )
    if not (Path(model) / "config.json").is_file():
        raise UsageError(
            f"pretrained={arguments.model!r} has no config.json; accepted: a folder with a "
            "checkpoint in Hugging Face's format"
        )


def launch_of(arguments: EngineArguments) -> Launch:
    """What a server of these arguments is started with.

    Raises:
        UsageError: The engine is not installed, or a flag is refused.
    """
    return Launch(
        engine=arguments.described,
        program=find(arguments.described, arguments.engine_python),
        model=arguments.checkpoint,
        revision=arguments.revision,
        dtype=arguments.dtype,
        chosen=arguments.chosen,
        flags=arguments.flags,
    )


def tier_of(arguments: EngineArguments) -> str:
    """How the model is served, in the few words that a table has room for."""
    chosen: Mapping[str, Value] = arguments.chosen
    name = "transformers serve" if arguments.engine == "transformers" else arguments.engine
    words = [str(chosen[key]) for key in ("algorithm", "strategy") if key in chosen]
    if "speculation" in chosen:
        words.append("n-gram speculation")
    words += ["compiled"] if chosen.get("compile") else []
    words += ["continuous batching"] if chosen.get("continuous_batching") else []
    words += ["flags given"] if arguments.engine_args else []
    words = words or ["default flags"]
    return ", ".join([name, *words, *(["attached"] if arguments.attached else [])])


def _check_flag(engine: Engine, word: str) -> None:
    cut_short = len(word) >= _LEAST_ABBREVIATION and word not in _NOT_SECRET
    if word in _SECRET or (cut_short and any(flag.startswith(word) for flag in _SECRET)):
        raise UsageError(
            f"engine_args with {word}: arguments are written to results; a server that the harness "
            "starts is reached from this machine alone and needs no key"
        )
    own = {engine.host, engine.port, engine.dtype, engine.revision, engine.served_name}
    placed = {s.within if s.place == "json" else s.theirs for s in engine.settings}
    if word in {*own, *engine.model, engine.file_flag, *(p for p in placed if p.startswith("--"))}:
        raise UsageError(
            f"engine_args with {word}: an argument of {NAME} sets it; the settings of "
            f"{engine.name} are {', '.join(s.name for s in engine.settings)}"
        )
