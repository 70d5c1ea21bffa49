"""What both of our lm-eval models share: the request log, batching, the clock, the records.

Knows lm-eval's request types and the records; knows neither decoding nor likelihood, which the
two adapters give it as `_decode` and `_score`. A request is written to `log` as soon as its batch
is done, and one that is already there is answered from there.
"""

import logging
from abc import abstractmethod
from collections.abc import Sequence
from importlib import import_module
from typing import Any, ClassVar, Literal

import torch
from lm_eval.api.instance import Instance
from lm_eval.api.model import TemplateLM

from dllm_eval.api import Generation, Likelihood
from dllm_eval.errors import UsageError
from dllm_eval.likelihood.question import Question
from dllm_eval.load import Load
from dllm_eval.loading import resolve_checkpoint, weights_hash
from dllm_eval.records import RequestLog, RequestType

from .arguments import COST_ONLY, Arguments
from .batches import Share
from .decoding import Decoding
from .distributed import launched, open_log, together
from .halving import Halving
from .jobs import (
    GenerationJob,
    Identity,
    Ids,
    Pair,
    RollingText,
    ScoringJob,
    ScoringUnit,
    identities,
)
from .load import answer_under_load, refuse_under_load
from .questions import scoring_units
from .records import answers_of, response_of, score_of, value_of
from .scoring import Scoring
from .timing import Stopwatch
from .tokens import Codec
from .windows import Rolling

logger = logging.getLogger(__name__)


class EvaluationLM(TemplateLM):
    """A model that lm-eval drives and whose every request leaves a record."""

    kind: ClassVar[Literal["diffusion", "autoregressive"]]
    reads_last_target: ClassVar[bool]
    """Whether a target's last token takes a position of its own, as a mask does."""
    load: Load | None = None
    """What is offered instead of all requests at once; a sweep's load cells set it."""

    tokenizer: Any
    _device: Any

    def __init__(
        self,
        arguments: Arguments,
        *,
        tokenizer: Any,  # noqa: ANN401 - transformers has no one typed tokenizer class
        device: torch.device,
        context_length: int,
    ) -> None:
        super().__init__()
        self.arguments = arguments
        self.tokenizer = tokenizer
        self.codec = Codec(tokenizer)
        self._device = device
        self.batch_size = arguments.batch_size
        self.max_length = min(arguments.max_length or context_length, context_length)
        folder = resolve_checkpoint(arguments.pretrained, arguments.revision)
        self.weights = weights_hash(folder)
        self.processes = launched()
        self.log: RequestLog = open_log(arguments.records, self.processes)
        self.share: Share | None = None
        """(index, count) where a call runs a share of its batches only. Requests of other shares
        that the log does not know are then answered with "", (0.0, False) or 0.0."""
        self.stopwatch = Stopwatch(
            device=device, warmup=arguments.warmup, repeats=arguments.timing_repeats
        )
        self.rolling = Rolling(
            tokens=self._window_tokens(),
            context=arguments.rolling_context,
            scored_at_end=self.reads_last_target,
        )
        self.halving = Halving()
        self._warned = False

    @classmethod
    def create_from_arg_string(
        cls, arg_string: str, additional_config: dict[str, Any] | None = None
    ) -> "EvaluationLM":
        """Builds the model from "name=value,name=value", as lm-eval's command line does."""
        parse = import_module("lm_eval.utils").simple_parse_args_string
        return cls.create_from_arg_obj(parse(arg_string), additional_config)

    @classmethod
    def create_from_arg_obj(
        cls, arg_dict: dict[str, Any], additional_config: dict[str, Any] | None = None
    ) -> "EvaluationLM":
        """Builds the model from a dictionary; what it names wins over lm-eval's own flags."""
        flags = {k: v for k, v in (additional_config or {}).items() if v is not None}
        # lm-eval's `run` says cuda:0 where the user said nothing, so only that one may give way.
        if flags.get("device") == "cuda:0" and not torch.cuda.is_available():
            logger.warning("there is no CUDA device: running on the CPU")
            del flags["device"]
        return cls(**(flags | arg_dict))

    @property
    def eot_token_id(self) -> int:
        """The id that ends a text."""
        return self.codec.end_id

    @property
    def prefix_token_id(self) -> int:
        """What a likelihood without context is conditioned on."""
        return self.codec.begin_id

    @property
    def tokenizer_name(self) -> str:
        """Names the tokenizer in lm-eval's caches."""
        return self.arguments.pretrained.replace("/", "__")

    def apply_chat_template(
        self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True
    ) -> str:
        """The conversation as the checkpoint's own template writes it."""
        if self.tokenizer.chat_template is None:
            raise UsageError(f"{self.arguments.pretrained} has no chat template; leave it off")
        return self.codec.conversation(chat_history, answer_follows=add_generation_prompt)

    def tok_encode(
        self, string: str, add_special_tokens: bool | None = None, **_: object
    ) -> list[int]:
        """Token ids, with what the tokenizer itself adds unless told otherwise."""
        return self.codec.encode(string, add_special_tokens=add_special_tokens)

    def generate_until(self, requests: list[Instance], disable_tqdm: bool = False) -> list[str]:
        """One answer per request, cut before its first stop string or end-of-text."""
        jobs = [self._job(r, i) for r, i in zip(requests, self._identities(requests), strict=True)]
        if self.load is not None:
            return answer_under_load(self._decoding(None), self.load, jobs, self.batch_size)
        with together(self.processes, self.log, self.share, jobs) as share:
            hidden = disable_tqdm or self.processes.rank > 0
            self._decoding(share).run(jobs, self.batch_size, hidden=hidden)
        answers = answers_of(self.log, jobs, response_of, absent="", share=self.share)
        self._remember("generate_until", requests, answers)
        return answers

    def loglikelihood(
        self, requests: list[Instance], disable_tqdm: bool = False
    ) -> list[tuple[float, bool]]:
        """(log-likelihood in nats, or its bound; is_greedy, False where not computed).

        The choices of a question (`questions.py`) are scored together.
        """
        jobs = [
            self._scoring_job(identity, (self._pair(*request.args),))
            for request, identity in zip(requests, self._identities(requests), strict=True)
        ]
        self._score_all(scoring_units(requests, jobs), "loglikelihood", disable_tqdm)
        answers = answers_of(self.log, jobs, score_of, absent=(0.0, False), share=self.share)
        self._remember("loglikelihood", requests, answers)
        return answers

    def loglikelihood_rolling(
        self, requests: list[Instance], disable_tqdm: bool = False
    ) -> list[float]:
        """Log-likelihood of whole texts in nats: the sum over windows (`windows.py`).

        Every token is scored once. The first window is conditioned on the token that begins a text,
        each other one on `rolling_context` tokens before it, or more.
        """
        jobs = [
            self._rolling_job(identity, request.args[0])
            for request, identity in zip(requests, self._identities(requests), strict=True)
        ]
        units = [ScoringUnit(jobs=(job,)) for job in jobs]
        self._score_all(units, "loglikelihood_rolling", disable_tqdm)
        answers = answers_of(self.log, jobs, value_of, absent=0.0, share=self.share)
        self._remember("loglikelihood_rolling", requests, answers)
        return answers

    def _loglikelihood_tokens(self, requests: object, **_: object) -> list[tuple[float, bool]]:
        raise NotImplementedError("loglikelihood keeps whole requests and never calls this")

    def _identities(self, requests: list[Instance]) -> list[Identity]:
        return identities(requests, self._settings())

    def _settings(self) -> str:
        """What of weights and arguments may change an answer; `seconds` may depend on all."""
        return f"{self.arguments.model_dump_json(exclude=set(COST_ONLY))} {self.weights}"

    @abstractmethod
    def _job(self, request: Instance, identity: Identity) -> GenerationJob:
        """A generation request as prompt ids and limits."""

    @abstractmethod
    def _decode(self, batch: Sequence[GenerationJob]) -> list[Generation]:
        """Token ids in, token ids out; the only part of a generation that is timed."""

    @abstractmethod
    def _score(
        self, pairs: Sequence[Pair], salts: Sequence[str | None], questions: Sequence[Question]
    ) -> list[Likelihood]:
        """Token ids in, likelihoods out; the only part of a scoring that is timed.

        Args:
            pairs: Token ids of (context, target).
            salts: One per pair; pairs with equal contexts share their noise where it is None.
            questions: Which pairs are compared with each other.
        """

    def _window_tokens(self) -> int:
        """Positions of a full window of a rolling likelihood."""
        return self.max_length

    def _behind_target(self) -> int:
        """Positions of a scored canvas behind its target."""
        return 0

    def _decoding(self, share: Share | None) -> Decoding:
        return Decoding(
            kind=self.kind,
            decode=self._decode,
            codec=self.codec,
            stopwatch=self.stopwatch,
            halving=self.halving,
            log=self.log,
            share=share,
        )

    def _score_all(
        self, units: list[ScoringUnit], request_type: RequestType, disable_tqdm: bool
    ) -> None:
        refuse_under_load(self.load, request_type)
        jobs = [job for unit in units for job in unit.jobs]
        with together(self.processes, self.log, self.share, jobs) as share:
            scoring = Scoring(
                kind=self.kind,
                request_type=request_type,
                score=self._score,
                stopwatch=self.stopwatch,
                log=self.log,
                share=share,
            )
            scoring.run(units, self.batch_size, hidden=disable_tqdm or self.processes.rank > 0)

    def _pair(self, context: str, continuation: str) -> Pair:
        if context:
            # A context of blanks alone has them moved into the continuation: nothing is left of it.
            before, after = self._encode_pair(context, continuation)
            before = before or [self.prefix_token_id]
        else:
            before = [self.prefix_token_id]
            after = self.codec.encode(continuation, add_special_tokens=False)
        if not after:
            raise UsageError(f"nothing to score: {continuation!r} has no tokens behind its context")
        longest = self.max_length if self.reads_last_target else self.max_length + 1
        room = longest - len(after) - self._behind_target()
        if room < 1:
            raise UsageError(
                f"a continuation of {len(after)} tokens does not fit into {self.max_length}"
            )
        return self._truncated(before, room), tuple(after)

    def _scoring_job(
        self, identity: Identity, windows: tuple[Pair, ...], text: RollingText | None = None
    ) -> ScoringJob:
        return ScoringJob(identity=identity, windows=windows, seed=self.arguments.seed, text=text)

    def _rolling_job(self, identity: Identity, text: str) -> ScoringJob:
        ids = self.codec.encode(text, add_special_tokens=False)
        windows = tuple(self.rolling.windows(ids, self.prefix_token_id))
        facts = RollingText(window_tokens=self.rolling.tokens, num_bytes=len(text.encode("utf-8")))
        return self._scoring_job(identity, windows, facts)

    def _truncated(self, ids: Sequence[int], room: int) -> Ids:
        """The last `room` ids; says once per run that something was cut."""
        if len(ids) > room:
            self._warn_once(f"a prompt of {len(ids)} tokens is cut from the left to {room}")
        return tuple(ids[len(ids) - room :]) if len(ids) > room else tuple(ids)

    def _warn_once(self, message: str) -> None:
        if not self._warned:
            logger.warning("%s; further cuts are not announced", message)
        self._warned = True

    def _remember(self, kind: str, requests: list[Instance], answers: Sequence[object]) -> None:
        if self.share is not None:
            return
        for request, answer in zip(requests, answers, strict=True):
            self.cache_hook.add_partial(kind, request.args, answer)
