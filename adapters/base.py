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
from lm_eval.utils import get_rolling_token_windows, make_disjoint_window

from dllm_eval.api import Generation, Likelihood
from dllm_eval.errors import UsageError
from dllm_eval.loading import resolve_checkpoint, weights_hash
from dllm_eval.records import RequestLog, RequestRecord, RequestType
from dllm_eval.request_log import FileLog

from .arguments import COST_ONLY, Arguments
from .batches import batches, progress
from .jobs import GenerationJob, Identity, ScoringJob, identities
from .records import BatchFacts, MemoryLog, generation_record, scoring_record
from .timing import Stopwatch
from .tokens import Codec

logger = logging.getLogger(__name__)

Ids = tuple[int, ...]
Pair = tuple[Ids, Ids]


class EvaluationLM(TemplateLM):
    """A model that lm-eval drives and whose every request leaves a record."""

    kind: ClassVar[Literal["diffusion", "autoregressive"]]
    rolling_margin: ClassVar[int]
    """Positions a window needs beyond lm-eval's count: 1 where the last target is an input too."""

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
        self.log: RequestLog = _open_log(arguments.records)
        self.stopwatch = Stopwatch(
            device=device, warmup=arguments.warmup, repeats=arguments.timing_repeats
        )
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
        text: str = self.tokenizer.apply_chat_template(
            chat_history,
            tokenize=False,
            add_generation_prompt=add_generation_prompt,
            continue_final_message=not add_generation_prompt,
        )
        return text

    def tok_encode(
        self, string: str, add_special_tokens: bool | None = None, **_: object
    ) -> list[int]:
        """Token ids, with what the tokenizer itself adds unless told otherwise."""
        return self.codec.encode(string, add_special_tokens=add_special_tokens)

    def generate_until(self, requests: list[Instance], disable_tqdm: bool = False) -> list[str]:
        """One answer per request, cut before its first stop string or end-of-text."""
        jobs = [self._job(r, i) for r, i in zip(requests, self._identities(requests), strict=True)]
        pending = [job for job in jobs if self.log.get(job.identity.key) is None]
        with progress(len(jobs), len(pending), "generate_until", hidden=disable_tqdm) as bar:
            # Like lengths side by side need little padding; the longest first shows the time left.
            pending.sort(key=lambda job: -job.prompt_tokens)
            for batch in batches(pending, self.batch_size):
                self._generate(batch)
                bar.update(len(batch))
        answers = [self._logged(job.identity.key).response for job in jobs]
        self._remember("generate_until", requests, answers)
        return answers

    def loglikelihood(
        self, requests: list[Instance], disable_tqdm: bool = False
    ) -> list[tuple[float, bool]]:
        """(log-likelihood in nats, or its bound; is_greedy, False where not computed)."""
        jobs = [
            self._scoring_job(identity, [self._pair(*request.args)])
            for request, identity in zip(requests, self._identities(requests), strict=True)
        ]
        records = self._score_all(jobs, "loglikelihood", disable_tqdm)
        answers = [(_value(row), bool(row.is_greedy)) for row in records]
        self._remember("loglikelihood", requests, answers)
        return answers

    def loglikelihood_rolling(
        self, requests: list[Instance], disable_tqdm: bool = False
    ) -> list[float]:
        """Log-likelihood of whole texts: the sum over lm-eval's windows.

        A text longer than the context is cut into windows of `max_length` positions, every token
        is scored once, and each window is conditioned on the one token before it.
        """
        jobs = [
            self._scoring_job(identity, self._windows(request.args[0]), rolling=True)
            for request, identity in zip(requests, self._identities(requests), strict=True)
        ]
        records = self._score_all(jobs, "loglikelihood_rolling", disable_tqdm)
        answers = [_value(row) for row in records]
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
    def _score(self, pairs: Sequence[Pair], salts: Sequence[str | None]) -> list[Likelihood]:
        """Token ids in, likelihoods out; the only part of a scoring that is timed.

        Args:
            pairs: Token ids of (context, target).
            salts: One per pair; pairs with equal contexts share their noise where it is None.
        """

    def _generate(self, batch: Sequence[GenerationJob]) -> None:
        timed = self.stopwatch.time(
            lambda: self._decode(batch),
            kind="generate",
            batch_size=len(batch),
            length=max(job.prompt_tokens + job.length for job in batch),
        )
        facts = BatchFacts.of(self.kind, timed, len(batch))
        for job, generation in zip(batch, timed.result, strict=True):
            self.log.put(generation_record(job, generation, self.codec, facts))

    def _score_all(
        self, jobs: list[ScoringJob], request_type: RequestType, disable_tqdm: bool
    ) -> list[RequestRecord]:
        pending = [job for job in jobs if self.log.get(job.identity.key) is None]
        with progress(len(jobs), len(pending), request_type, hidden=disable_tqdm) as bar:
            for batch in batches(pending, self.batch_size):
                self._score_batch(batch, request_type)
                bar.update(len(batch))
        return [self._logged(job.identity.key) for job in jobs]

    def _score_batch(self, batch: Sequence[ScoringJob], request_type: RequestType) -> None:
        pairs = [pair for job in batch for pair in job.windows]
        salts = [salt for job in batch for salt in job.salts]
        timed = self.stopwatch.time(
            lambda: self._score(pairs, salts),
            kind="score",
            batch_size=len(batch),
            length=max((len(context) + len(target) for context, target in pairs), default=0),
        )
        facts = BatchFacts.of(self.kind, timed, len(batch))
        results = iter(timed.result)
        for job in batch:
            parts = [next(results) for _ in job.windows]
            self.log.put(scoring_record(job, parts, request_type, facts))

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
        room = self.max_length - len(after) + 1 - self.rolling_margin
        if room < 1:
            raise UsageError(
                f"a continuation of {len(after)} tokens does not fit into {self.max_length}"
            )
        return self._truncated(before, room), tuple(after)

    def _windows(self, text: str) -> list[Pair]:
        windows = get_rolling_token_windows(
            token_list=self.codec.encode(text, add_special_tokens=False),
            prefix_token=self.prefix_token_id,
            max_seq_len=self.max_length - self.rolling_margin,
            context_len=1,
        )
        pairs = [make_disjoint_window(window) for window in windows]
        return [(tuple(context), tuple(target)) for context, target in pairs]

    def _scoring_job(
        self, identity: Identity, windows: list[Pair], *, rolling: bool = False
    ) -> ScoringJob:
        return ScoringJob(
            identity=identity, windows=tuple(windows), seed=self.arguments.seed, rolling=rolling
        )

    def _truncated(self, ids: Sequence[int], room: int) -> Ids:
        """The last `room` ids; says once per run that something was cut."""
        if len(ids) > room:
            self._warn_once(f"a prompt of {len(ids)} tokens is cut from the left to {room}")
        return tuple(ids[len(ids) - room :]) if len(ids) > room else tuple(ids)

    def _warn_once(self, message: str) -> None:
        if not self._warned:
            logger.warning("%s; further cuts are not announced", message)
        self._warned = True

    def _logged(self, key: str) -> RequestRecord:
        record = self.log.get(key)
        if record is None:
            raise RuntimeError(f"the request log lost the request {key}")
        return record

    def _remember(self, kind: str, requests: list[Instance], answers: Sequence[object]) -> None:
        for request, answer in zip(requests, answers, strict=True):
            self.cache_hook.add_partial(kind, request.args, answer)


def _value(record: RequestRecord) -> float:
    if record.value is None:
        raise UsageError(f"the request log's record {record.key} has no value; remove that line")
    return record.value


def _open_log(path: str | None) -> RequestLog:
    return MemoryLog() if path is None else FileLog(path)
