"""From an lm-eval model name to its class, its arguments and one built for a cell.

The only part of the sweep that touches model classes; it knows no model family. `plan` asks what
a class takes, `cell` asks for a model.
"""

import inspect
from collections.abc import Iterable
from functools import cache, lru_cache
from importlib import import_module
from pathlib import Path
from typing import Any

from dllm_eval.errors import UsageError, unknown
from dllm_eval.records import RequestLog
from dllm_eval.registry import LM_EVAL_MODELS, register_with_lm_eval, resolve
from dllm_eval.sweep.plan import IDENTITY_ARGUMENTS, Cell


@cache
def model_class(name: str) -> type[Any]:
    """The lm-eval model class of a name, or of "module:Class".

    Raises:
        UsageError: There is no such model.
    """
    if ":" in name:
        return _imported(name)
    if name in LM_EVAL_MODELS:
        found: type[Any] = resolve("model", LM_EVAL_MODELS, name)
        return found
    register_with_lm_eval()
    registry = import_module("lm_eval.api.registry")
    known = registry.model_registry.keys()
    if name not in known:
        raise unknown("model", name, known)
    other: type[Any] = registry.get_model(name)
    return other


@cache
def accepted_arguments(name: str) -> frozenset[str]:
    """The argument names that a model's class takes.

    A class may list them as `argument_names`; else its constructor's signature tells.
    """
    listed = getattr(model_class(name), "argument_names", None)
    if listed is not None:
        return frozenset(listed)
    parameters = inspect.signature(model_class(name)).parameters.values()
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return frozenset(p.name for p in parameters if p.kind in named)


def check_cells(cells: Iterable[Cell]) -> None:
    """Finds what is wrong with a cell's arguments before anything is loaded.

    A class may have `check_arguments(arguments)`, and `check_protocol(arguments, *, chat)` for
    what depends on whether a chat template is applied.

    Raises:
        UsageError: A model's class refuses what it would be given; the line names the cell.
    """
    seen: set[tuple[str, str, bool]] = set()
    for cell in cells:
        key = checked_as(cell)
        if key in seen:
            continue
        seen.add(key)
        check = getattr(model_class(cell.model), "check_arguments", None)
        check_protocol = getattr(model_class(cell.model), "check_protocol", None)
        try:
            if check is not None:
                check(dict(cell.arguments))
            if check_protocol is not None:
                check_protocol(dict(cell.arguments), chat=cell.apply_chat_template)
        except UsageError as error:
            raise UsageError(f"{cell.label}: {error}") from error


def checked_as(cell: Cell) -> tuple[str, str, bool]:
    """Equal for cells of which `check_cells` says the same."""
    return (cell.model, repr(cell.arguments), cell.apply_chat_template)


def build(cell: Cell, log: RequestLog, *, repeats: int | None = None) -> Any:  # noqa: ANN401 - any lm-eval LM
    """A model of a cell, which skips the requests that are in the log and puts the others there.

    Args:
        cell: Says the class and its arguments.
        log: Where finished requests go; unused by models that keep no log.
        repeats: Timed repetitions of each request; None means the cell's own.
    """
    run: dict[str, Any] = {"batch_size": cell.batch_size, "seed": cell.seed}
    if cell.timing is not None:
        run["warmup"] = cell.timing.warmup
        run["timing_repeats"] = repeats or cell.timing.repeats
    given = {**cell.arguments, **{k: v for k, v in run.items() if k in cell.takes}}
    if not keeps_log(cell):
        return _stock_model(cell.model, tuple(given.items()))
    lm = model_class(cell.model)(**given)
    lm.log = log
    return lm


@lru_cache(maxsize=1)
def _stock_model(name: str, given: tuple[tuple[str, Any], ...]) -> Any:  # noqa: ANN401 - any lm-eval LM
    """A model that loads its weights itself, kept for the next cell of the same arguments."""
    return model_class(name)(**dict(given))


def forget() -> None:
    """Frees the weights that this process has loaded, and ends the server that holds some."""
    _stock_model.cache_clear()
    import_module("dllm_eval.loading").forget()
    end_server()


def end_server() -> None:
    """Ends the serving engine that this process has started, if it has."""
    import_module("dllm_eval.engines.keeper").stop()


def log_servers_in(folder: Path) -> None:
    """Where the logs go of serving engines that this process starts."""
    import_module("dllm_eval.engines.keeper").keeper().folder = folder


def weights_key(cell: Cell) -> tuple[object, ...]:
    """Equal for cells that run on the same weights, loaded the same way, or on the same server."""
    told = getattr(model_class(cell.model), "weights_key", None)
    if told is not None:
        return (cell.model, *told(cell.arguments))
    identity = [(k, v) for k, v in sorted(cell.arguments.items()) if k in IDENTITY_ARGUMENTS]
    return (cell.model, *identity)


def shareable(cell: Cell) -> bool:
    """Whether several processes may each run a share of the cell's batches."""
    if asks_server(cell):  # which has as many requests in flight as it is to have
        return False
    knows_shares = cell.model in LM_EVAL_MODELS or hasattr(model_class(cell.model), "share")
    return cell.purpose == "quality" and keeps_log(cell) and knows_shares


def asks_server(cell: Cell) -> bool:
    """Whether the cell's model is asked over HTTP; such classes say which requests they answer."""
    return hasattr(model_class(cell.model), "request_types")


def keeps_log(cell: Cell) -> bool:
    """Whether the cell's model writes request records; stock lm-eval models do not."""
    return "records" in cell.takes


def weights_identity(cell: Cell) -> str | None:
    """The hash of the weights a cell runs on; None where it names no local or known checkpoint."""
    pretrained = cell.arguments.get("pretrained")
    if not isinstance(pretrained, str):
        return None
    loading = import_module("dllm_eval.loading")
    elsewhere = cell.model not in LM_EVAL_MODELS or asks_server(cell)
    if elsewhere and not Path(pretrained).is_dir() and pretrained not in loading.SHIPPED:
        return None
    revision = cell.arguments.get("revision")
    found: str = loading.weights_hash(loading.resolve_checkpoint(pretrained, revision))
    return found


def _imported(name: str) -> type[Any]:
    module, _, attribute = name.partition(":")
    try:
        found: type[Any] = getattr(import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise UsageError(f"cannot import the model {name!r}: {error}") from error
    return found
