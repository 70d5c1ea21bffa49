"""`dllm-ar` in lm-eval: any transformers causal model, timed by the same clock as `dllm`.

Translates lm-eval's requests for the autoregressive sampler and computes exact likelihoods. lm-eval
builds it by name through the registry. There is always a KV cache.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from lm_eval.api.instance import Instance

from dllm_eval.api import Generation, Likelihood, Prompt
from dllm_eval.errors import UsageError
from dllm_eval.likelihood.question import Question
from dllm_eval.loading import load_autoregressive
from dllm_eval.records import Infill

from .arguments import AutoregressiveArguments, parse, without_none_texts
from .autoregressive_scoring import score_causal
from .autoregressive_tiers import Tier, load_assistant
from .base import EvaluationLM
from .distributed import launched
from .fim import fim_of
from .gaps import Gaps, gaps_of
from .in_turn import ids_between, joined, kept_ids
from .jobs import GenerationJob, Identity, Ids, Pair, content_seed, read_keywords

FALLBACK_CONTEXT = 2048


class AutoregressiveLM(EvaluationLM):
    """An autoregressive model behind lm-eval.

    Args:
        **given: `AutoregressiveArguments`; anything else is an error.

    Decoding ends at an end id, at a task's stop string or at the length limit. An infilling request
    with one gap uses the tokenizer's infilling tokens if it has them (`fim.py`), else the prefix
    alone. Several gaps are filled in turn, each from the text before it (`in_turn.py`).
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
        self.assistant = load_assistant(arguments, tokenizer, str(self.model.device))
        super().__init__(
            arguments,
            tokenizer=tokenizer,
            device=self.model.device,
            context_length=getattr(self.model.config, "max_position_embeddings", FALLBACK_CONTEXT),
        )
        self.fim = fim_of(arguments.fim, self.codec)
        self.end_ids = self._end_ids()
        self.decoder = Tier(
            model=self.model,
            arguments=arguments,
            ends=self.end_ids,
            assistant=self.assistant,
        )
        self.stopwatch.compiled = self.decoder.num_compiled

    @staticmethod
    def check_arguments(given: dict[str, Any]) -> None:
        """What can be said of arguments before any weight is read; an error is a `UsageError`."""
        parse("dllm-ar", AutoregressiveArguments, without_none_texts(given), ())

    @property
    def tier(self) -> str:
        """Which way of decoding this is, in words for tables."""
        return self.decoder.name

    def provenance(self) -> dict[str, Any]:
        """The assistant, where there is one."""
        if self.assistant is None:
            return {}
        return {"assistant": {"name": self.assistant.name, "weights": self.assistant.weights}}

    def _end_ids(self) -> tuple[int, ...]:
        published = self.model.generation_config.eos_token_id
        found = published if isinstance(published, list) else [published]
        ends = [self.codec.end_id, *found, *(self.fim.ends if self.fim is not None else ())]
        return tuple(dict.fromkeys(token for token in ends if token is not None))

    @property
    def fim_name(self) -> str:
        """The format of infilling prompts with one gap, "none" where the prefix stands alone."""
        return "none" if self.fim is None else self.fim.layout.name

    def _settings(self) -> str:
        guessed = "" if self.assistant is None else f" assistant {self.assistant.weights}"
        return f"{super()._settings()} fim {self.fim_name}{guessed}"

    def _job(self, request: Instance, identity: Identity) -> GenerationJob:
        keywords = read_keywords(request.args[1], self.settings.temperature)
        gaps = gaps_of(request)
        length = self._answer_length(keywords.max_gen_toks)
        between = ids_between(gaps, self.codec, keywords.until)
        answers = length * (1 + len(between))
        room = self.max_length - answers - sum(len(text) for text in between)
        if room < 1:
            raise UsageError(
                f"{1 + len(between)} answers of {length} tokens and the texts between them leave no"
                f" room for a prompt: the context is {self.max_length} tokens"
            )
        prefix, infill = self._prefix(request, gaps, room)
        seed = content_seed(self.settings.seed, prefix, *between, identity.repeat)
        return GenerationJob(
            identity=identity,
            prompt=Prompt(prefix=prefix, seed=seed),
            length=length,
            until=() if infill == "fim" else keywords.until,
            infill=infill,
            infill_length=None if infill is None else "until_end",
            between=between,
        )

    def _answer_length(self, asked: int | None) -> int:
        limits = [limit for limit in (self.settings.gen_length, asked) if limit is not None]
        return min(limits, default=self.settings.max_gen_toks)

    def _prefix(
        self, request: Instance, gaps: Gaps | None, room: int
    ) -> tuple[tuple[int, ...], Infill | None]:
        if gaps is None or gaps.several or self.fim is None:
            prefix = self.tok_encode(request.args[0]) or [self.prefix_token_id]
            return self._truncated(prefix, room), None if gaps is None else "prefix_only"
        before, after = self.fim.texts(gaps.texts[0], gaps.texts[1])
        room -= len(after) + self.fim.num_tokens
        if room < 1:
            raise UsageError(
                f"an infilling suffix of {len(after)} tokens does not fit into {self.max_length}"
            )
        return self.fim.prompt(self._truncated(before, room), after), "fim"

    def _decode(self, batch: Sequence[GenerationJob]) -> list[Generation]:
        until = batch[0].until
        found = self.decoder.fill(
            [(job.prompt, job.between) for job in batch],
            length=batch[0].length,
            stop=partial(self.codec.ends_with, until=until) if until else None,
            kept=lambda row, visible: kept_ids(visible, batch[row], self.codec),
        )
        return [
            _whole(job.between, answers) if job.between else answers[0]
            for job, answers in zip(batch, found, strict=True)
        ]

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


def _whole(between: Sequence[Ids], answers: Sequence[Generation]) -> Generation:
    """The answers to several gaps as one, with what an assistant's passes cost."""
    whole = joined(between, answers)
    if whole.draft_nfe is None:
        return whole
    return replace(
        whole,
        draft_nfe=sum(answer.draft_nfe or 0 for answer in answers),
        draft_positions=sum(answer.draft_positions or 0 for answer in answers),
    )
