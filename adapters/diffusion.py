"""`dllm` in lm-eval: any diffusion family, any sampler, any likelihood estimator.

Translates lm-eval's requests for `samplers` and `likelihood`; knows neither's rules. lm-eval builds
it by name through the registry.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from lm_eval.api.instance import Instance

from dllm_eval.api import Generation, Likelihood, Prompt
from dllm_eval.errors import UsageError
from dllm_eval.likelihood import score
from dllm_eval.likelihood.question import Question
from dllm_eval.loading import load_model
from dllm_eval.samplers import SamplerConfig, generate_batch
from dllm_eval.samplers.naming import check_names

from .arguments import (
    FLAT,
    SAMPLER_NAMES,
    DiffusionArguments,
    parse,
    sampler_config,
    without_none_texts,
)
from .base import EvaluationLM
from .distributed import launched
from .jobs import GenerationJob, Identity, Ids, Pair, content_seed, infill_of, read_keywords
from .likelihood_arguments import check_family, likelihood_config
from .windows import whole_blocks


class DiffusionLM(EvaluationLM):
    """A diffusion model behind lm-eval.

    Args:
        **given: `DiffusionArguments` and the fields of `SamplerConfig`; anything else is an error.

    The canvas always has `gen_length` tokens, because steps and blocks are meant for that length;
    a task that asks for fewer (`max_gen_toks`) gets the answer's first tokens. An infilling request
    (`doc["infill"]`) has a canvas of one block between prefix and suffix, which its own length
    bounds, so stop strings made for left-to-right models are not applied to it.
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
        self.infill_length = arguments.infill_length
        if not self.family.looks_ahead and "infill_length" in given:
            raise UsageError(
                f"infill_length means nothing to family {self.family.name!r}, which looks back "
                "only and continues the prefix; leave it unset"
            )
        super().__init__(
            arguments,
            tokenizer=self.denoiser.tokenizer,
            device=self.denoiser.device,
            context_length=self.family.context_length,
        )

    def _settings(self) -> str:
        return f"{super()._settings()} {self.config}"

    def _job(self, request: Instance, identity: Identity) -> GenerationJob:
        keywords = read_keywords(request.args[1], self.config.temperature)
        parts = infill_of(request)
        if parts is not None and self.family.looks_ahead:
            return self._infilling_job(parts, identity)
        length = self.config.gen_length
        ids, suffix = self._framed(self._context(request.args[0]), ())
        prefix = self._truncated(ids, self._room(length) - len(suffix))
        return GenerationJob(
            identity=identity,
            prompt=Prompt(prefix=prefix, suffix=suffix, seed=self._seed(prefix, suffix, identity)),
            length=length,
            until=keywords.until,
            limit=keywords.max_gen_toks,
            infill=None if parts is None else "prefix_only",
            infill_length=None if parts is None else f"fixed:{length}",
        )

    def _infilling_job(self, parts: dict[str, str], identity: Identity) -> GenerationJob:
        text, held_back = self.codec.split_trailing_blanks(parts["prefix"])
        behind = tuple(self.codec.encode(parts["suffix"], add_special_tokens=False))
        before, behind = self._framed(self.tok_encode(text), behind)
        length = self._canvas_length(held_back + parts["middle"])
        room = self._room(length)
        if len(behind) >= room:
            self._warn_once(
                f"a suffix of {len(behind)} tokens is cut from the right to {room // 2}"
            )
            behind = behind[: room // 2]
        prefix = self._truncated(before, room - len(behind))
        return GenerationJob(
            identity=identity,
            prompt=Prompt(prefix=prefix, suffix=behind, seed=self._seed(prefix, behind, identity)),
            length=length,
            infill="native",
            infill_length="model" if self._chooses_length else self.infill_length,
            held_back=held_back,
        )

    def _context(self, text: str) -> list[int]:
        """A text's ids; a model that predicts from the left neighbour is always given one."""
        ids = self.tok_encode(text)
        return [self.prefix_token_id] if not ids and self.family.logits_shift else ids

    @property
    def _chooses_length(self) -> bool:
        return self.family.expand_id is not None

    def _framed(self, prefix: Sequence[int], suffix: Ids) -> tuple[list[int], Ids]:
        """A model that chooses its length is given the text's both ends (DreamOn)."""
        if not self._chooses_length:
            return list(prefix), suffix
        begin = [] if prefix and prefix[0] == self.codec.begin_id else [self.codec.begin_id]
        return [*begin, *prefix], (*suffix, self.family.eos_id)

    def _canvas_length(self, middle: str) -> int:
        kind, _, count = self.infill_length.partition(":")
        if self._chooses_length:
            return self.config.gen_length
        if kind == "fixed":
            return int(count)
        return max(1, len(self.codec.encode(middle, add_special_tokens=False)))

    def _room(self, length: int) -> int:
        room = self.max_length - length
        if room < 1:
            raise UsageError(
                f"a canvas of {length} tokens leaves no room for a prompt: the context is "
                f"{self.max_length} tokens"
            )
        return room

    def _seed(self, prefix: Sequence[int], suffix: Sequence[int], identity: Identity) -> int:
        return content_seed(self.arguments.seed, prefix, suffix, identity.repeat)

    def _decode(self, batch: Sequence[GenerationJob]) -> list[Generation]:
        config = self._config_for(batch[0])
        return generate_batch(self.denoiser, [job.prompt for job in batch], config)

    def _config_for(self, job: GenerationJob) -> SamplerConfig:
        native = job.infill == "native" and not self._chooses_length
        return self.config.within(job.length) if native else self.config

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
