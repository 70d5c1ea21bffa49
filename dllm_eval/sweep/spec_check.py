"""What a spec asks of its models, compared with what they take: names, settings, axes, batch sizes.

Knows the spec; which arguments a class takes comes in as a function. `plan.py` calls it. Every
message begins with the file and the line, where the spec was read from a file.
"""

from collections.abc import Callable, Iterable
from itertools import product

from dllm_eval.errors import UsageError, unknown
from dllm_eval.registry import LM_EVAL_MODELS
from dllm_eval.sweep.points import axes_of, pairs, search_of
from dllm_eval.sweep.select import check_keys
from dllm_eval.sweep.spec import ModelSpec, Setting, SuiteSpec, Sweep
from dllm_eval.sweep.ways import TIMING_ARGUMENTS

Accepts = Callable[[str], frozenset[str]]
"""lm-eval model name -> the argument names its class takes."""

RUN_ARGUMENTS = frozenset({"batch_size", "seed", "records", "warmup", "timing_repeats"})
"""What the sweep itself sets; a spec says these elsewhere."""
_ARGUMENTS = "dllm-eval arguments"


def check_names(sweep: Sweep) -> None:
    """Makes sure that models and suites name each other rightly, and that some pair is left.

    Raises:
        UsageError: A title or a name that there is not, or no model is run on any suite.
    """
    titles = {name for suite in sweep.suites for name in (suite.title, suite.task) if name}
    for number, model in enumerate(sweep.models):
        _check_known(sweep, ("models", number, "suites"), model.suites, titles)
    names = {model.name for model in sweep.models}
    for number, suite in enumerate(sweep.suites):
        _check_known(sweep, ("suites", number, "models"), suite.models, names)
    paired = list(pairs(sweep.models, sweep.suites))
    for number, model in enumerate(sweep.models):
        if not any(model is other for other, _ in paired):
            raise UsageError(
                f"{sweep.place('models', number)}model {model.name!r} is run on no suite; change "
                f"its 'suites' or the 'models' of a suite"
            )
    for number, suite in enumerate(sweep.suites):
        if not any(suite is other for _, other in paired):
            raise UsageError(
                f"{sweep.place('suites', number)}suite {suite.name!r} is run by no model; change "
                f"its 'models' or the 'suites' of a model"
            )
        searched = any(search_of(model, other) for model, other in paired if other is suite)
        if suite.search and not searched:
            raise UsageError(
                f"{sweep.place('suites', number, 'search')}suite {suite.name!r} searches a dial "
                f"and no diffusion model runs it; remove 'search'"
            )


def _check_known(
    sweep: Sweep, location: tuple[str, int, str], asked: list[str] | None, known: set[str]
) -> None:
    section, number, key = location
    for index, name in enumerate(asked or ()):
        if name not in known:
            kind = f"entry of '{section}[{number}].{key}'"
            raise UsageError(f"{sweep.place(*location, index)}{unknown(kind, name, known)}")


def check_settings(sweep: Sweep, accepts: Accepts) -> None:
    """Makes sure that every setting, axis and dial is an argument of the models it is for.

    Raises:
        UsageError: One is not, or stands in two places of which one would be passed over.
    """
    known = {}
    for number, model in enumerate(sweep.models):
        try:
            known[model.model] = accepts(model.model) - RUN_ARGUMENTS
        except UsageError as error:
            raise UsageError(f"{sweep.place('models', number, 'model')}{error}") from error
    everywhere = frozenset().union(*known.values())
    for number, model in enumerate(sweep.models):
        _check_model(sweep, number, model, known[model.model])
    for number, suite in enumerate(sweep.suites):
        _check_suite(sweep, number, suite, known, everywhere)
    for model, suite in pairs(sweep.models, sweep.suites):
        _check_pair(sweep, model, suite, known[model.model])
    check_keys(sweep, everywhere)


def _check_model(sweep: Sweep, number: int, model: ModelSpec, known: frozenset[str]) -> None:
    for name in model.args:
        place = sweep.place("models", number, "args", name)
        if name in RUN_ARGUMENTS:
            raise UsageError(
                f"{place}argument {name!r} of model {model.name!r} is set by the sweep; use the "
                f"keys quality, latency, load and seeds instead"
            )
        # A stock model may take more than its signature says; ours take what they list.
        if model.model in LM_EVAL_MODELS and name not in known:
            raise UsageError(f"{place}{_unknown('argument', model, name, known)}")
    for name in model.settings:
        if name not in known:
            place = sweep.place("models", number, "settings", name)
            raise UsageError(f"{place}{_unknown('setting', model, name, known)}")
    several = isinstance(model.sweep, list)
    for index, axes in enumerate([] if model.sweep is None else axes_of(model, sweep.suites[0])):
        for name in axes:
            if name not in known:
                inner = (index, name) if several else (name,)
                place = sweep.place("models", number, "sweep", *inner)
                raise UsageError(f"{place}{_unknown('sweep axis', model, name, known)}")


def _unknown(kind: str, model: ModelSpec, name: str, known: frozenset[str]) -> UsageError:
    ours = model.model in LM_EVAL_MODELS
    listed = f"{_ARGUMENTS} {model.model}" if ours else ""
    return unknown(f"{kind} of model {model.name!r}", name, known, all_by=listed)


def _check_suite(
    sweep: Sweep,
    number: int,
    suite: SuiteSpec,
    known: dict[str, frozenset[str]],
    everywhere: frozenset[str],
) -> None:
    for name in suite.settings:
        if name not in everywhere:
            place = sweep.place("suites", number, "settings", name)
            kind = f"setting of suite {suite.task!r}"
            raise UsageError(f"{place}{unknown(kind, name, everywhere, all_by=_ARGUMENTS)}")
    dials = frozenset().union(*(known[m.model] for m in sweep.models if m.kind == "diffusion"))
    for index, axes in enumerate(suite.products):
        for name in axes:
            if dials and name not in dials:
                inner = (index, name) if isinstance(suite.sweep, list) else (name,)
                place = sweep.place("suites", number, "sweep", *inner)
                kind = f"sweep axis of suite {suite.task!r}"
                raise UsageError(f"{place}{unknown(kind, name, dials, all_by=_ARGUMENTS)}")


def _check_pair(sweep: Sweep, model: ModelSpec, suite: SuiteSpec, known: frozenset[str]) -> None:
    at_suite = ("suites", sweep.suites.index(suite))
    at_model = ("models", sweep.models.index(model))
    axes = {name for each in axes_of(model, suite) for name in each}
    if model.sweep is None:
        for name in model.settings:
            if name in axes:
                raise UsageError(
                    f"{sweep.place(*at_model, 'settings', name)}{name!r} stands in the settings of "
                    f"model {model.name!r} and in the sweep of suite {suite.name!r}; keep one of "
                    f"them, or give the model a sweep of its own"
                )
    search = search_of(model, suite)
    if search is None:
        return
    place = sweep.place(*at_suite, "search", "dial")
    if search.dial not in known:
        kind = f"dial of suite {suite.name!r} for model {model.name!r}"
        raise UsageError(f"{place}{unknown(kind, search.dial, known, all_by=_ARGUMENTS)}")
    held = _holders(search.dial, axes, model, suite)
    if held:
        raise UsageError(
            f"{place}{search.dial!r} is searched on suite {suite.name!r} and stands in "
            f"{' and '.join(held)} too; keep one of them"
        )


def _holders(dial: str, axes: Iterable[str], model: ModelSpec, suite: SuiteSpec) -> list[str]:
    """Where else a dial is set, in words."""
    places: list[tuple[str, Iterable[str] | dict[str, Setting]]] = [
        ("its sweep" if model.sweep is None else f"the sweep of model {model.name!r}", axes),
        ("its settings", suite.settings),
        (f"the settings of model {model.name!r}", model.settings),
        (f"the args of model {model.name!r}", model.args),
    ]
    return [name for name, names in places if dial in names]


def check_batch_sizes(sweep: Sweep) -> None:
    """Makes sure that every suite has documents enough for one batch of each size timed.

    Raises:
        UsageError: A batch size is above a suite's limit.
    """
    for suite in sweep.suites:
        for number, size in enumerate(sweep.latency.batch_sizes):
            if suite.limit is not None and size > suite.limit:
                raise UsageError(
                    f"{sweep.place('latency', 'batch_sizes', number)}batch size {size} is above "
                    f"the limit of suite {suite.name!r}; accepted: up to {suite.limit}"
                )


def check_loads(sweep: Sweep, accepts: Accepts) -> None:
    """Makes sure that every load offers something, and that some model can be offered it.

    Raises:
        UsageError: No request arrives in time, or no model's requests are timed.
    """
    if sweep.load is None:
        return
    if not any(accepts(model.model) >= TIMING_ARGUMENTS for model in sweep.models):
        raise UsageError(
            f"{sweep.place('load')}no model of the sweep keeps the time of each request, so none "
            f"can be offered a load; accepted: {', '.join(LM_EVAL_MODELS)}"
        )
    for seed, turn in product(sweep.seeds, range(sweep.load.rounds)):
        for load, _ in sweep.load.loads(seed, turn):
            if load.arrivals_s() == []:
                number = sweep.load.arrivals_per_s.index(load.arrivals_per_s or 0.0)
                raise UsageError(
                    f"{sweep.place('load', 'arrivals_per_s', number)}at {load.words} nothing "
                    f"arrives within {load.seconds:g} s (seed {seed}, round {turn + 1}); raise "
                    f"load.seconds"
                )
