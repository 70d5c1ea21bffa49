"""`dllm-ar` in lm-eval: any transformers causal model, timed by the same clock as `dllm`.

Translates lm-eval's requests for the autoregressive sampler and computes exact likelihoods. lm-eval
builds it by name through the registry. There is always a KV cache.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

from lm_eval.api.instance import Instance

from dllm_eval.api import Generation, Likelihood, Prompt
from dllm_eval.errors import UsageError
from dllm_eval.likelihood.question import Question
from dllm_eval.loading import load_autoregressive
from dllm_eval.records import Infill
from dllm_eval.samplers.autoregressive import generate_autoregressive

from .arguments import AutoregressiveArguments, parse, without_none_texts
from .autoregressive_scoring import score_causal
from .base import EvaluationLM
from .distributed import launched
from .jobs import GenerationJob, Identity, Pair, content_seed, infill_of, read_keywords
from .tokens import token_id

FIM_TOKENS = ("<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>")
FALLBACK_CONTEXT = 2048


class AutoregressiveLM(EvaluationLM):
    """An autoregressive model behind lm-eval.

    Args:
        **given: `AutoregressiveArguments`; anything else is an error.

    Decoding ends at an end id, at a task's stop string or at the length limit. An infilling request
    uses the tokenizer's infilling tokens if it has them, else the prefix alone.
    """

    argument_names = frozenset(AutoregressiveArguments.model_fields)
    kind = "autoregressive"
    reads_last_target = False

    def __init__(self, **given: Any) -> None:  # noqa: ANN401 - lm-eval passes what the user typed
        arguments = parse("dllm-ar", AutoregressiveArguments, without_none_texts(given), ())
        self.settings = arguments
        self.model, tokenizer = load_autoregressive(
            arguments.pretrained,
            revision=arguments.revision,
            dtype=arguments.dtype,
            device=launched().device or arguments.device,
        )
        super().__init__(
            arguments,
            tokenizer=tokenizer,
            device=self.model.device,
            context_length=getattr(self.model.config, "max_position_embeddings", FALLBACK_CONTEXT),
        )
        self.fim_ids = [token_id(tokenizer, token) for token in FIM_TOKENS]
        self.end_ids = self._end_ids()

    def _end_ids(self) -> tuple[int, ...]:
        published = self.model.generation_config.eos_token_id
        found = published if isinstance(published, list) else [published]
        ends = [self.codec.end_id, *found, *self.fim_ids]
        return tuple(dict.fromkeys(token for token in ends if token is not None))

    def _job(self, request: Instance, identity: Identity) -> GenerationJob:
        keywords = read_keywords(request.args[1], self.settings.temperature)
        length = self._answer_length(keywords.max_gen_toks)
        room = self.max_length - length
        if room < 1:
            raise UsageError(
                f"an answer of {length} tokens leaves no room for a prompt: the context is "
                f"{self.max_length} tokens"
            )
        prefix, infill = self._prefix(request, room)
        return GenerationJob(
            identity=identity,
            prompt=Prompt(
                prefix=prefix, seed=content_seed(self.settings.seed, prefix, identity.repeat)
            ),
            length=length,
            until=() if infill == "fim" else keywords.until,
            infill=infill,
            infill_length=None if infill is None else "until_end",
        )

    def _answer_length(self, asked: int | None) -> int:
        limits = [limit for limit in (self.settings.gen_length, asked) if limit is not None]
        return min(limits, default=self.settings.max_gen_toks)

    def _prefix(self, request: Instance, room: int) -> tuple[tuple[int, ...], Infill | None]:
        parts = infill_of(request)
        if parts is None or None in self.fim_ids:
            prefix = self.tok_encode(request.args[0]) or [self.prefix_token_id]
            return self._truncated(prefix, room), None if parts is None else "prefix_only"
        before = self.codec.encode(parts["prefix"], add_special_tokens=False)
        after = self.codec.encode(parts["suffix"], add_special_tokens=False)
        before_id, after_id, middle_id = (token for token in self.fim_ids if token is not None)
        rest = (after_id, *after, middle_id)
        if len(rest) + 1 >= room:
            raise UsageError(
                f"an infilling suffix of {len(after)} tokens does not fit into {self.max_length}"
            )
        return (before_id, *self._truncated(before, room - len(rest) - 1), *rest), "fim"

    def _decode(self, batch: Sequence[GenerationJob]) -> list[Generation]:
        until = batch[0].until
        return generate_autoregressive(
            self.model,
            [job.prompt for job in batch],
            max_new_tokens=batch[0].length,
            eos_ids=self.end_ids,
            temperature=self.settings.temperature,
            cache=self.settings.cache,
            stop=partial(self.codec.ends_with, until=until) if until else None,
        )

    def _score(
        self,
        pairs: Sequence[Pair],
        salts: Sequence[str | None],
        questions: Sequence[Question],
    ) -> list[Likelihood]:
        """Exact: one forward per request, or fewer where choices of a question share one."""
        del salts  # there is no noise to share
        return score_causal(
            self.model,
            pairs,
            questions,
            pad_id=self.codec.end_id,
            tokens_per_forward=self.settings.batch_size * self.max_length,
        )
