"""`dllm` in lm-eval: any diffusion family, any sampler, any likelihood estimator.

Translates lm-eval's requests for `samplers` and `likelihood`; knows neither's rules. lm-eval builds
it by name through the registry.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from lm_eval.api.instance import Instance

from dllm_eval.api import Generation, Likelihood, Prompt
from dllm_eval.errors import UsageError
from dllm_eval.likelihood import score
from dllm_eval.likelihood.question import Question
from dllm_eval.loading import load_model
from dllm_eval.samplers import SamplerConfig, generate_batch
from dllm_eval.samplers.naming import check_names
from dllm_eval.samplers.parts.part import Length

from .arguments import (
    FLAT,
    SAMPLER_NAMES,
    DiffusionArguments,
    parse,
    sampler_config,
    without_none_texts,
)
from .base import EvaluationLM
from .boundaries import Boundaries, boundary_of
from .distributed import launched
from .gaps import gaps_of
from .in_turn import fill_in_turn, ids_between
from .infill_length import LengthPolicy, check_chooses, surest
from .infilling import Infilling
from .jobs import GenerationJob, Identity, Pair, read_keywords
from .likelihood_arguments import check_family, likelihood_config
from .windows import whole_blocks


class DiffusionLM(EvaluationLM):
    """A diffusion model behind lm-eval.

    Args:
        **given: `DiffusionArguments` and the fields of `SamplerConfig`; anything else is an error.

    The canvas always has `gen_length` tokens, because steps and blocks are meant for that length;
    a task that asks for fewer (`max_gen_toks`) gets the answer's first tokens. An infilling request
    (`doc["infill"]`) has a canvas of one block between prefix and suffix, which its own length
    bounds, so stop strings made for left-to-right models are not applied to it. Several gaps are
    one canvas with the texts between them given; a family that looks back only fills them in turn.
    """

    argument_names = frozenset([*DiffusionArguments.model_fields, *SAMPLER_NAMES])
    kind = "diffusion"
    reads_last_target = True

    @staticmethod
    def check_arguments(given: dict[str, Any]) -> None:
        """Whatever can be found wrong without the checkpoint: names, and settings of a sampler.

        Raises:
            UsageError: Something is.
        """
        given = without_none_texts(given)
        parse("dllm", DiffusionArguments, given, SAMPLER_NAMES)
        if "sampler" in given:
            settings = {name: given[name] for name in given if name in SAMPLER_NAMES}
            check_names(settings, FLAT, settings["sampler"])

    def __init__(self, **given: Any) -> None:  # noqa: ANN401 - lm-eval passes what the user typed
        given = without_none_texts(given)
        arguments = parse("dllm", DiffusionArguments, given, SAMPLER_NAMES)
        likelihood = likelihood_config(arguments, given)
        self.denoiser = load_model(
            arguments.pretrained,
            family=arguments.family,
            revision=arguments.revision,
            dtype=arguments.dtype,
            device=launched().device or arguments.device,
            compile=arguments.compile,
        )
        self.family = self.denoiser.family
        self.config = sampler_config(given, self.family)
        of_policy = likelihood.estimator == "policy"
        self.likelihood = replace(likelihood, policy=self.config) if of_policy else likelihood
        check_family(self.likelihood, given, self.family)
        if not self.family.looks_ahead and "infill_length" in given:
            raise UsageError(
                f"infill_length means nothing to family {self.family.name!r}, which looks back "
                "only and continues the prefix; leave it unset"
            )
        boundary = boundary_of(
            arguments.boundary, self.family, moves=self.config.part(Length) is not None
        )
        if arguments.infill_length == "model":
            check_chooses(self.family)
        super().__init__(
            arguments,
            tokenizer=self.denoiser.tokenizer,
            device=self.denoiser.device,
            context_length=self.family.context_length,
        )
        self.stopwatch.compiled = lambda: getattr(self.denoiser, "num_shapes", 0)
        self.infilling = Infilling(
            codec=self.codec,
            family=self.family,
            config=self.config,
            policy=LengthPolicy(name=arguments.infill_length, candidates=arguments.candidates),
            boundaries=Boundaries(self.codec, boundary),
            max_length=self.max_length,
            seed=arguments.seed,
            truncated=self._truncated,
            warn=self._warn_once,
        )

    @property
    def boundary(self) -> str:
        """The rule at the borders of gaps that is in force, see `boundaries.py`."""
        return self.infilling.boundaries.boundary

    def _settings(self) -> str:
        return f"{super()._settings()} {self.config}"

    def _job(self, request: Instance, identity: Identity) -> GenerationJob:
        keywords = read_keywords(request.args[1], self.config.temperature)
        gaps = gaps_of(request)
        if gaps is not None and self.family.looks_ahead:
            return self.infilling.job(gaps, identity)
        length, between = self.config.gen_length, ids_between(gaps, self.codec, keywords.until)
        taken = length * (1 + len(between)) + sum(len(text) for text in between)
        ids, suffix = self.infilling.framed(self._context(request.args[0]), ())
        prefix = self._truncated(ids, self.infilling.room(taken) - len(suffix))
        return GenerationJob(
            identity=identity,
            prompt=Prompt(
                prefix=prefix,
                suffix=suffix,
                seed=self.infilling.seed_of(prefix, sum(between, suffix), identity),
            ),
            length=length,
            between=between,
            until=keywords.until,
            limit=keywords.max_gen_toks,
            infill=None if gaps is None else "prefix_only",
            infill_length=None if gaps is None else f"fixed:{length}",
        )

    def _context(self, text: str) -> list[int]:
        """A text's ids; a model that predicts from the left neighbour is always given one."""
        ids = self.tok_encode(text)
        return [self.prefix_token_id] if not ids and self.family.logits_shift else ids

    def _decode(self, batch: Sequence[GenerationJob]) -> list[Generation]:
        if batch[0].between:
            own = partial(generate_batch, self.denoiser, config=self._config_for(batch[0]))
            return fill_in_turn(batch, own, self.codec)
        if batch[0].candidates:
            choices = zip(*(job.candidates for job in batch), strict=True)
            return surest([self._decoded(jobs, certainty=True) for jobs in choices])
        return self._decoded(batch)

    def _decoded(
        self, batch: Sequence[GenerationJob], *, certainty: bool = False
    ) -> list[Generation]:
        config, prompts = self._config_for(batch[0]), [job.prompt for job in batch]
        found = generate_batch(self.denoiser, prompts, config, certainty=certainty)
        return [self.infilling.answered(job, out) for job, out in zip(batch, found, strict=True)]

    def _config_for(self, job: GenerationJob) -> SamplerConfig:
        native = job.infill == "native" and not self.infilling.chooses_length
        return self.config.within(job.length, len(job.prompt.given)) if native else self.config

    def _window_tokens(self) -> int:
        return whole_blocks(self.max_length, self.arguments.rolling_context, self.family)

    def _behind_target(self) -> int:
        return 0 if self.likelihood.target_end == "none" else 1

    def _score(
        self,
        pairs: Sequence[Pair],
        salts: Sequence[str | None],
        questions: Sequence[Question],
    ) -> list[Likelihood]:
        return score(self.denoiser, pairs, self.likelihood, salts=salts, questions=questions)
