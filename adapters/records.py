"""Finished requests as records, and the log that keeps them in memory.

Knows jobs, generations and likelihoods; knows no model and no file. `base.py` calls it.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from dataclasses import fields as dataclass_fields
from statistics import median
from typing import Any, Literal, Self, TypeVar

from dllm_eval.api import Generation, Likelihood
from dllm_eval.errors import UsageError
from dllm_eval.likelihood.blocks import combined
from dllm_eval.likelihood.plan import Estimate
from dllm_eval.records import SHOWN_CHARACTERS, RequestLog, RequestRecord, RequestType
from dllm_eval.samplers.given import GIVEN_STEP

from .batches import Share
from .boundaries import answer
from .gaps import answer_of
from .jobs import GenerationJob, Identity, ScoringJob, ScoringUnit
from .timing import Timed
from .tokens import Codec

EMPTY_TEXT = Estimate(
    value=0.0, stderr=0.0, exact=True, quantity="log_likelihood", estimator="empty_text"
)
"""A text without tokens has probability 1: nothing is said of where a text ends."""

Answer = TypeVar("Answer")

ModelKind = Literal["diffusion", "autoregressive"]


class MemoryLog:
    """A request log that lasts as long as the process."""

    def __init__(self) -> None:
        self.records: dict[str, RequestRecord] = {}

    def get(self, key: str) -> RequestRecord | None:
        """The finished request with this key, if there is one."""
        return self.records.get(key)

    def put(self, record: RequestRecord) -> None:
        """Keeps a finished request."""
        self.records[record.key] = record


def finished(log: RequestLog, key: str) -> RequestRecord:
    """The record of a request that has been answered by now."""
    record = log.get(key)
    if record is None:
        raise RuntimeError(f"the request log lost the request {key}")
    return record


def answers_of(
    log: RequestLog,
    jobs: Sequence[GenerationJob | ScoringJob],
    read: Callable[[RequestRecord], Answer],
    *,
    absent: Answer,
    share: Share | None,
) -> list[Answer]:
    """What the log says of each job.

    Args:
        log: Where the call's requests are.
        jobs: In lm-eval's order.
        read: The answer in a record.
        absent: Stands for what the log lacks, which are requests of other shares.
        share: Which one was run; None if it was all, so that the log has all.
    """
    if share is None:
        return [read(finished(log, job.identity.key)) for job in jobs]
    records = [log.get(job.identity.key) for job in jobs]
    return [absent if record is None else read(record) for record in records]


def response_of(record: RequestRecord) -> str:
    """A generation's answer."""
    return record.response


def score_of(record: RequestRecord) -> tuple[float, bool]:
    """A likelihood's answer: the value, and whether greedy decoding gives it."""
    return value_of(record), bool(record.is_greedy)


def value_of(record: RequestRecord) -> float:
    """The score of a record; one without is a `UsageError`."""
    if record.value is None:
        raise UsageError(f"the request log's record {record.key} has no value; remove that line")
    return record.value


@dataclass(frozen=True, kw_only=True)
class BatchFacts:
    """What the requests of one batch share."""

    model: ModelKind
    batch_size: int
    shares_s: list[float]
    """Seconds of every repetition, divided by the requests of the batch."""
    cpu_share_s: float | None

    @classmethod
    def of(cls, model: ModelKind, timed: Timed[Any], batch_size: int) -> Self:
        """The facts of a batch and its repetitions."""
        return cls(
            model=model,
            batch_size=batch_size,
            shares_s=[seconds / batch_size for seconds in timed.seconds],
            cpu_share_s=median(timed.cpu_seconds) / batch_size if timed.cpu_seconds else None,
        )

    def fields(self, identity: Identity) -> dict[str, Any]:
        """The record fields that every kind of request has."""
        return {
            "key": identity.key,
            "task": identity.task,
            "doc_id": identity.doc_id,
            "index": identity.index,
            "model": self.model,
            "batch_size": self.batch_size,
            "seconds": median(self.shares_s),
            "cpu_seconds": self.cpu_share_s,
            "repeat_seconds": self.shares_s,
        }


def generation_record(
    job: GenerationJob, generation: Generation, codec: Codec, facts: BatchFacts
) -> RequestRecord:
    """The record of one answer; its text ends at a stop string, an end id or the task's limit.

    Of several gaps each has an answer of its own that ends so, and the text is a JSON list of them.
    """
    answers = [generation.visible]
    if job.several and generation.spans is not None:
        answers = [generation.tokens[first:last] for first, last in generation.spans]
    cuts = [codec.cut(ids[: job.limit], job.until) for ids in answers]
    stopped = any(
        kept < len(ids[: job.limit]) for ids, (_, kept) in zip(answers, cuts, strict=True)
    )
    texts = _texts(job, generation, cuts, codec)
    given = generation.reveal_step.count(GIVEN_STEP)
    return RequestRecord(
        **facts.fields(job.identity),
        request_type="generate_until",
        prompt_tokens=job.prompt_tokens,
        visible_tokens=sum(kept for _, kept in cuts),
        canvas_tokens=len(generation.tokens) - given,
        nfe=generation.nfe,
        positions=generation.positions,
        draft_nfe=generation.draft_nfe,
        draft_positions=generation.draft_positions,
        seed=job.prompt.seed,
        stop_reason="stop_string" if stopped else generation.stop_reason,
        host_syncs=generation.host_syncs,
        cache=generation.cache,
        prompt_end=codec.decode(job.prompt.prefix[-SHOWN_CHARACTERS:])[-SHOWN_CHARACTERS:],
        suffix_start=codec.decode(job.prompt.suffix[:SHOWN_CHARACTERS])[:SHOWN_CHARACTERS],
        response=answer_of(texts, several=job.several),
        tokens=list(generation.tokens),
        pieces=codec.pieces(generation.tokens),
        reveal_step=list(generation.reveal_step),
        infill=job.infill,
        infill_length=job.infill_length,
    )


def _texts(
    job: GenerationJob, generation: Generation, cuts: Sequence[tuple[str, int]], codec: Codec
) -> list[str]:
    """The answers' texts; a gap's begins and ends where the texts around it do."""
    if not job.borders:
        return [text for text, _ in cuts]
    spans = generation.spans or ((0, len(generation.visible)),)
    texts = []
    for number, ((first, last), borders) in enumerate(zip(spans, job.borders, strict=True)):
        whole = last - first == _gap_tokens(job, generation, number)
        texts.append(answer(codec, generation.tokens[first:last], borders, whole=whole))
    return texts


def _gap_tokens(job: GenerationJob, generation: Generation, number: int) -> int:
    if job.gaps and not job.candidates:
        first, last = job.gaps[number]
        return last - first
    # One gap is the whole canvas, and gaps whose length the model has chosen are equally long.
    written = len(generation.tokens) - generation.reveal_step.count(GIVEN_STEP)
    return written // len(job.borders)


def scoring_records(
    unit: ScoringUnit, parts: Sequence[Likelihood], request_type: RequestType, facts: BatchFacts
) -> list[RequestRecord]:
    """The records of what was scored together.

    Args:
        unit: One request, or the choices of one question.
        parts: One for each window of each of its requests.
        request_type: What lm-eval asked.
        facts: Of the batch.
    """
    windows = iter(parts)
    own = [[next(windows) for _ in job.windows] for job in unit.jobs]
    question: dict[str, Any] = {}
    if len(unit.jobs) > 1:
        values = [choice.value for choice in parts]
        chances = [choice.win_probability for choice in parts]
        question["flip_probability"] = _flip(values, chances)
        if unit.divisors is not None:
            normalised = [v / d for v, d in zip(values, unit.divisors, strict=True)]
            chances = [choice.win_probability_normalised for choice in parts]
            question["flip_probability_normalised"] = _flip(normalised, chances)
    return [
        RequestRecord(
            **facts.fields(job.identity),
            **_scored(job, of_job),
            **question,
            request_type=request_type,
        )
        for job, of_job in zip(unit.jobs, own, strict=True)
    ]


def _flip(values: Sequence[float], chances: Sequence[float | None]) -> float | None:
    """That another seed gives another answer than the highest value, the first of equal ones."""
    chance = chances[max(range(len(values)), key=lambda choice: values[choice])]
    return None if chance is None else 1.0 - chance


def _scored(job: ScoringJob, parts: Sequence[Likelihood]) -> dict[str, Any]:
    """The fields of one score: the sum over its windows, whose errors are independent."""
    targets = sum(len(target) for _, target in job.windows)
    greedy = [part.is_greedy for part in parts]
    whole = parts[0] if len(parts) == 1 else None
    fields = {
        "prompt_tokens": sum(len(context) for context, _ in job.windows),
        "visible_tokens": targets,
        "canvas_tokens": targets,
        "nfe": sum(part.nfe for part in parts),
        "positions": sum(part.positions for part in parts),
        "seed": job.seed,
        "is_greedy": None if None in greedy else all(greedy),
        "win_probability": whole and whole.win_probability,
        "win_probability_normalised": whole and whole.win_probability_normalised,
        **asdict(_sum(parts)),
    }
    if job.text is not None:
        fields["windows"] = len(job.windows)
        fields["window_tokens"] = job.text.window_tokens
        fields["target_bytes"] = job.text.num_bytes
    return fields


def _sum(parts: Sequence[Likelihood]) -> Estimate:
    """Windows are parts of a text as blocks are of a window; no windows are an empty text."""
    if not parts:
        return EMPTY_TEXT
    names = [field.name for field in dataclass_fields(Estimate)]
    return combined([Estimate(**{name: getattr(part, name) for name in names}) for part in parts])
