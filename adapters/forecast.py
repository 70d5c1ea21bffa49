"""What requests will cost, told from arguments and lengths alone: no weights are read.

Knows the arguments, families' published settings (from the cards) and how samplers and estimators
count their forwards; knows no model and no text. Sweeps reach it by `registry.FORECASTS`. Counts
are those of `RequestRecord.nfe` and `positions`: exact for fixed schedules, else upper bounds.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from dllm_eval.errors import UsageError
from dllm_eval.families import Family
from dllm_eval.likelihood import LikelihoodConfig
from dllm_eval.likelihood.auto import OF_MASK_SETS, estimator_for
from dllm_eval.likelihood.plan import Setting
from dllm_eval.measure.work import Asked, Request, Work, together
from dllm_eval.registry import ESTIMATORS, resolve
from dllm_eval.samplers import SamplerConfig
from dllm_eval.samplers.parts.part import Length, Select
from dllm_eval.samplers.schedule import step_counts

from . import lengths
from .arguments import (
    SAMPLER_NAMES,
    AutoregressiveArguments,
    DiffusionArguments,
    parse,
    sampler_config,
    without_none_texts,
)
from .boundaries import boundary_of
from .card_facts import family_of
from .infill_length import LengthPolicy, check_chooses
from .likelihood_arguments import check_family, likelihood_config
from .rolling_forecast import over, read_once, rolling_windows

WITHIN_BUDGET = ("auto", "monte_carlo", "control_variate", "end_strata")
"""Estimators that never evaluate more canvases than `mc_samples`, whatever the target's length."""

Forecast = Callable[[Request], Work | None]
"""What a request costs; None where it cannot be told beforehand."""


def autoregressive(given: Mapping[str, Any], folder: Path | None) -> Forecast | None:
    """Of `dllm-ar`: a forward per token, as many as a task lets it write; one for a scored window.

    With the KV cache the last token is never read, so prompt + tokens - 1 positions are processed.
    An infilling prompt has the suffix and three more tokens where the tokenizer knows them.
    Guesses make it fewer passes, of more positions; an assistant's own cost is not told.

    Raises:
        UsageError: A bad argument.
    """
    arguments = parse("dllm-ar", AutoregressiveArguments, without_none_texts(given), ())
    measured = _readable(folder)

    def rejected(tokens: int) -> int:  # all guesses of every pass, none beyond the last token
        return sum(min(arguments.most_drafted, left) for left in range(tokens))

    def work(request: Request) -> Work | None:
        if request.request_type == "loglikelihood_rolling":
            return over(rolling_windows(request, measured, arguments, None), read_once)
        asked = _asked(request, measured)
        num_gaps = max(1, len(request.middles))
        one_gap = asked.infilling and num_gaps == 1
        prompt = asked.prompt_tokens + (asked.suffix_tokens + 3 if one_gap else 0)
        if asked.request_type == "loglikelihood":
            target = asked.answer_tokens or 0
            return _known(measured, Work(forwards=1, positions=prompt + target - 1, at_most=True))
        limits = [n for n in (arguments.gen_length, asked.most_tokens) if n is not None]
        tokens = min(limits, default=arguments.max_gen_toks)
        # Several gaps are filled in turn, each behind all texts and answers before it.
        read_again = sum(gap * (tokens + asked.given_tokens) for gap in range(num_gaps))
        read = num_gaps * (prompt + tokens - 1 + rejected(tokens)) + read_again
        return _known(measured, Work(forwards=num_gaps * tokens, positions=read, at_most=True))

    return work


def diffusion(given: Mapping[str, Any], folder: Path | None) -> Forecast | None:
    """Of `dllm`; None where neither a card nor its files tell the family's settings.

    Without a folder to read lengths from, forwards that depend on none of them are told, and no
    positions.

    Raises:
        UsageError: A bad argument, or one that means nothing for the family.
    """
    given = without_none_texts(given)
    arguments = parse("dllm", DiffusionArguments, given, SAMPLER_NAMES)
    likelihood = likelihood_config(arguments, given)
    family = family_of(arguments, folder)
    if family is None:
        return None
    config = sampler_config(given, family)
    check_family(likelihood, given, family)
    if not family.looks_ahead and "infill_length" in given:
        raise UsageError(
            f"infill_length means nothing to family {family.name!r}, which looks back only and "
            "continues the prefix; leave it unset"
        )
    boundary = boundary_of(arguments.boundary, family, moves=config.part(Length) is not None)
    policy = LengthPolicy(name=arguments.infill_length, candidates=arguments.candidates)
    if policy.chooses:
        check_chooses(family)
    measured = _readable(folder)

    def work(request: Request) -> Work | None:
        if request.request_type == "loglikelihood_rolling":
            windows = rolling_windows(request, measured, arguments, family)
            return over(windows, lambda window: _scoring(window, likelihood, family))
        asked = _asked(request, measured)
        if measured is None:
            return _without_lengths(asked, config, family, likelihood, policy)
        if asked.request_type == "loglikelihood":
            return _scoring(asked, likelihood, family)
        if not asked.infilling:
            return _generation(asked, config, family)
        if not family.looks_ahead:
            prompt = lengths.unfilled(request, measured)
            alone = Asked(request_type=asked.request_type, prompt_tokens=prompt)
            return _generation(alone, config, family)
        gaps = lengths.canvases(request, measured, boundary, policy)
        return together(_generation(gap, _within(config, gap), family) for gap in gaps)

    return work


def _within(config: SamplerConfig, asked: Asked) -> SamplerConfig:
    """The rules over a canvas of gaps."""
    return config.within(asked.answer_tokens or 1, asked.given_tokens)


def _readable(folder: Path | None) -> Path | None:
    """The folder, if lengths can be told from it."""
    return folder if folder is not None and lengths.readable(folder) else None


def _asked(request: Request, folder: Path | None) -> Asked:
    """A request's lengths; without a folder, of which nothing but the task's own limit is known."""
    if folder is not None:
        return lengths.asked(request, folder)
    return Asked(
        request_type=request.request_type,
        prompt_tokens=0,
        most_tokens=request.most_tokens,
        infilling=bool(request.middles),
    )


def _known(folder: Path | None, work: Work) -> Work:
    return work if folder is not None else replace(work, positions=None)


def _without_lengths(
    asked: Asked,
    config: SamplerConfig,
    family: Family,
    likelihood: LikelihoodConfig,
    policy: LengthPolicy,
) -> Work | None:
    """Forwards for prompts of any length; gaps and targets of unknown length bound by settings."""
    if asked.infilling and family.looks_ahead and policy.chooses:
        gaps = [replace(asked, answer_tokens=length) for length in policy.candidates]
        work = together(_generation(gap, _within(config, gap), family) for gap in gaps)
        return work and replace(work, positions=None, at_most=True)
    if asked.request_type == "loglikelihood":
        drawing = family.attention == "full" and likelihood.estimator in WITHIN_BUDGET
        samples = likelihood.samples
        return Work(forwards=samples, positions=None, at_most=True) if drawing else None
    # The prompt's tail shares the first block, where blocks count from its first token.
    tails = range(family.aligned_block or 1)
    each = [_generation(replace(asked, prompt_tokens=tail), config, family) for tail in tails]
    told = [work for work in each if work is not None]
    if not told or (asked.infilling and family.looks_ahead and config.adaptive):
        return None
    most = max(told, key=lambda work: work.forwards)
    exact = family.aligned_block is None and not asked.infilling
    return replace(most, positions=None, at_most=most.at_most or not exact)


@dataclass(frozen=True, kw_only=True)
class _Canvas:
    """The blocks of one request's canvas."""

    masked: tuple[int, ...]
    """Positions to fill in, by block."""
    block: int
    columns: int
    """Prompt, canvas with overhang, and suffix."""


def _canvas(asked: Asked, config: SamplerConfig, family: Family) -> _Canvas:
    """As `samplers/canvas.py` lays it out."""
    length, prompt = config.gen_length, asked.prompt_tokens
    if family.aligned_block is None:
        block, first = config.block, 0
        end = length
    else:
        block = family.aligned_block
        first = prompt % block
        end = -(-(first + length) // block) * block
    stops = range(block, end + block, block)
    masked = tuple(min(stop, end) - max(first, stop - block) for stop in stops)
    columns = prompt - first + end + asked.suffix_tokens
    return _Canvas(masked=tuple(m for m in masked if m > 0), block=block, columns=columns)


def _generation(asked: Asked, config: SamplerConfig, family: Family) -> Work | None:
    if family.noise == "continuous" or _grows(config):
        return None
    if family.name in ("dreamon", "wedlm", "d3pm"):
        return None  # they change the canvas's length, or slide over it, or follow a chain
    canvas = _canvas(asked, config, family)
    given = asked.given_tokens
    steps = [
        _steps(config, family, canvas.block, masked - given, given) for masked in canvas.masked
    ]
    at_most = any(bounded for _, bounded in steps) or config.stop == "eos"
    passes = 2 if config.cfg_scale > 0 else 1
    forwards = passes * sum(number for number, _ in steps)
    columns = canvas.columns + (canvas.block if config.sampler == "wino" else 0)
    positions, cached = forwards * columns, config.cache != "none"
    if config.cache == "auto" and family.looks_back and passes == 1:
        read_once = canvas.columns + len(steps) * canvas.block
        positions = min(positions, read_once + forwards * canvas.block)
    elif config.cache == "auto":
        cached = False
    return Work(forwards=forwards, positions=positions, at_most=at_most or cached)


def _grows(config: SamplerConfig) -> bool:
    return config.initial_length is not None or any(isinstance(p, Length) for p in config.parts)


def _steps(
    config: SamplerConfig, family: Family, block: int, masked: int, given: int
) -> tuple[int, bool]:
    """(steps of one block, whether that is an upper bound).

    Given tokens lie on a canvas of one block, whose schedule counts what they leave of it.
    """
    steps = -(-config.steps_per_block * block // config.block)
    if config.transition != "none":
        return steps + 1, True  # steps that reveal nothing are left out
    if family.noise == "uniform":
        return steps, config.stop_entropy is not None
    chooser = next((part for part in config.parts if isinstance(part, Select)), None)
    if chooser is not None:
        steps = chooser.num_steps(block, steps)
    by_counts = config.schedule != "bernoulli" and not (chooser is not None and chooser.all_steps)
    if config.adaptive:
        # Every step adds a token at least; where the counts may be 0, only the last one must.
        edits = config.max_edit_steps + 1 if config.edit_threshold is not None else 0
        plain = by_counts and config.schedule == "linear"
        return (masked if plain else max(masked, steps)) + edits, True
    if not by_counts:
        return steps, False
    done = 0
    for index, count in enumerate(step_counts(config.schedule, block - given, steps)):
        done += count
        if done >= masked:
            return index + 1, False
    return steps, False


def _scoring(asked: Asked, config: LikelihoodConfig, family: Family) -> Work | None:
    """The distinct mask sets that the estimator asks for; choices share some, a race leaves out."""
    if family.likelihood is None or asked.answer_tokens is None or family.attention != "full":
        return None
    if family.name in ("sedd", "d3pm", "plaid", "diffusion_lm"):
        return None
    name = estimator_for(family, config.estimator)
    if name not in OF_MASK_SETS:
        return None
    rows = _num_mask_sets(
        name, asked.answer_tokens, config.samples, config.max_enumeration, config.race > 0
    )
    end = 0 if config.target_end == "none" else 1
    columns = asked.prompt_tokens + asked.answer_tokens + end
    return Work(forwards=rows, positions=rows * columns, at_most=True)


@lru_cache(maxsize=4096)
def _num_mask_sets(name: str, length: int, samples: int, most: int, raced: bool) -> int:
    """The most that any seed may ask for: drawn sets differ in how many of them are the same."""
    estimator = resolve("likelihood estimator", ESTIMATORS, name)
    plans = [
        estimator(
            Setting(length=length, samples=samples, max_enumeration=most, seed=seed, raced=raced)
        )
        for seed in range(3)
    ]
    drawn = samples if any(plan.sampling is not None for plan in plans) else 0
    asked: int = max(drawn, *(len(plan.masks) for plan in plans))
    every: int = 2**length - 1
    return min(asked, every)
