"""Every argument of our lm-eval models, by subject, read from the classes that check them.

Knows which subject an argument belongs to; what it accepts and does stands at its class.
`dllm_eval.catalogue.arguments` asks by model, through the registry.
"""

from collections.abc import Iterator, Mapping

from dllm_eval.catalogue.arguments import Argument, Group
from dllm_eval.catalogue.arguments_reading import of_dataclass, of_model
from dllm_eval.engines.catalogue import ENGINES, setting_names
from dllm_eval.engines.engine import Engine
from dllm_eval.engines.setting import Setting
from dllm_eval.samplers import SamplerConfig
from dllm_eval.samplers.checks import COUNTS, LARGEST_NUMBER, RANGES, Range

from .api_arguments import ApiArguments
from .arguments import AutoregressiveArguments, DiffusionArguments
from .engine_arguments import EngineArguments

MODEL, DECODING, DRIVEN, LIKELIHOOD, INFILLING, COST = (
    "Which model",
    "Decoding",
    "How it is driven",
    "Likelihood",
    "Infilling",
    "Cost and records",
)
GROUPS = {
    MODEL: (
        *("pretrained", "model", "engine", "family", "revision", "dtype", "device", "max_length"),
        *("base_url", "card", "key_env", "plain_http", "kind", "tokenizer"),
    ),
    DECODING: (
        *("temperature", "gen_length", "max_gen_toks", "seed", "reasoning_effort"),
        *("reasoning_room", "route", "prefill", "most_stops", "limit_field", "drafts", "extra"),
    ),
    DRIVEN: (
        *("compile", "cache", "cache_refresh", "speculative", "draft_tokens", "lookup_ngram"),
        *("assistant", "engine_args", "engine_python", "start_s", "stop_s", "server_logs"),
    ),
    LIKELIHOOD: (
        *("likelihood", "mc_samples", "max_enumeration", "race", "race_by", "check_greedy"),
        *("target_end", "rolling_context"),
    ),
    INFILLING: ("infill_length", "infill_lengths", "boundary", "fim", "infill"),
    COST: (
        *("batch_size", "max_batch_size", "tokens_per_forward", "warmup", "timing_repeats"),
        *("stream", "connect_s", "first_byte_s", "idle_s", "whole_s", "tries", "records"),
    ),
}
"""Subject -> arguments, in the order in which they are shown; a sampler's are `DECODING`."""

SERVER_PAGE = "[servers.md](servers.md)"
ABOUT_COST = "These change what an answer costs, or where it is kept, and not the answer."
ABOUT = {
    "dllm": {
        DECODING: (
            "What is left out is as the family's authors published it, and the default where they "
            "published nothing; `gen_length` is 64 unless the family's canvas is fixed. The parts "
            "that `sampler` names have settings of their own: [samplers.md](samplers.md)."
        ),
        LIKELIHOOD: "[likelihood.md](likelihood.md) has every estimator with its cost.",
        INFILLING: "[suites.md](suites.md) says what a model sees of a gap.",
        COST: ABOUT_COST,
    },
    "dllm-ar": {
        DRIVEN: "[tiers.md](tiers.md) says what each tier is worth, and what goes with what.",
        COST: ABOUT_COST,
    },
    "dllm-api": {MODEL: f"{SERVER_PAGE} has examples and the rules of keys.", COST: ABOUT_COST},
    "dllm-engine": {
        MODEL: f"With `base_url` it asks a server that runs already. {SERVER_PAGE} has examples.",
        COST: ABOUT_COST,
    },
}
PRETRAINED = Argument(
    name="pretrained",
    accepted="text",
    default="unset",
    says="Another word for `model`; one of the two is needed.",
)


def diffusion() -> tuple[Group, ...]:
    """Of `dllm`; the settings of a sampler's parts apart."""
    ranges = {name: _range(span, whole=False) for name, span in RANGES.items()}
    ranges |= {name: _range(Range(1), whole=True) for name in COUNTS}
    ranges["sampler"] = "names, joined by +"
    sampler = of_dataclass(SamplerConfig, ranges, left_out={"parts"})
    found = {**sampler, **of_model(DiffusionArguments)}
    named = {name for names in GROUPS.values() for name in names}
    decoding = [name for name in sampler if name not in named or name in GROUPS[DECODING]]
    return tuple(_grouped("dllm", found, {**GROUPS, DECODING: (*decoding, "seed")}))


def autoregressive() -> tuple[Group, ...]:
    """Of `dllm-ar`."""
    return tuple(_grouped("dllm-ar", of_model(AutoregressiveArguments), GROUPS))


def api() -> tuple[Group, ...]:
    """Of `dllm-api`."""
    found = {**of_model(ApiArguments), PRETRAINED.name: PRETRAINED}
    return tuple(_grouped("dllm-api", found, GROUPS))


def engine() -> tuple[Group, ...]:
    """Of `dllm-engine`, and after them the settings of each engine."""
    found = {**of_model(EngineArguments), PRETRAINED.name: PRETRAINED}
    own = {name: one for name, one in found.items() if name not in setting_names()}
    return (*_grouped("dllm-engine", own, GROUPS), *(_of_engine(one) for one in ENGINES.values()))


def _grouped(
    model: str, found: Mapping[str, Argument], groups: Mapping[str, tuple[str, ...]]
) -> Iterator[Group]:
    for title, names in groups.items():
        arguments = tuple(found[name] for name in names if name in found)
        if arguments:
            about = ABOUT[model].get(title, "")
            yield Group(title=title, about=about, arguments=arguments)


def _of_engine(one: Engine) -> Group:
    return Group(
        title=f"Settings of engine={one.name}",
        about=(
            f"As {one.name} {one.version_read} reads them; the default is what it does where a "
            "setting is left out. Another value needs another server, except in a request."
        ),
        arguments=tuple(_of_setting(setting) for setting in one.settings),
    )


def _of_setting(setting: Setting) -> Argument:
    models = "Diffusion models" if setting.diffusion else "Autoregressive models"
    theirs = f"{setting.within} {setting.theirs}".strip()
    place = {
        "flag": "the flag",
        "file": "in the algorithm's YAML file, the key",
        "json": "the flag and the key in its JSON,",
        "request": "in each request, the field",
    }[setting.place]
    return Argument(
        name=setting.name,
        accepted=setting.range,
        default=setting.unset,
        says=f"{models} only; {place} `{theirs}`.",
    )


def _range(span: Range, *, whole: bool) -> str:
    low = f"at least {span.low:g}" if span.high >= LARGEST_NUMBER else ""
    text = low or f"{span.low:g} to {span.high:g}"
    return f"whole, {text}" if whole else text
