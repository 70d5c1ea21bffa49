"""A server's replies to one request as its record.

Knows jobs and replies; knows no connection and no log. `api_answering.py` calls it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

from dllm_eval.endpoint.ask import Reply
from dllm_eval.records import SHOWN_CHARACTERS, Flag, RequestRecord

from .api_requests import ApiJob
from .gaps import answer_of
from .records import ModelKind

CountTokens = Callable[[str], int]


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What is the same for all requests of a call."""

    model: ModelKind
    in_flight: int
    count_tokens: CountTokens | None = None
    """By a local tokenizer; None leaves counting to the server."""


def cut(text: str, until: Sequence[str]) -> str:
    """The text before the first stop string, as `tokens.Codec.cut` cuts it."""
    places = [place for stop in until if stop and (place := text.find(stop)) >= 0]
    return text[: min(places)] if places else text


def record_of(
    job: ApiJob,
    runs: Sequence[Sequence[Reply]],
    asked: Asked,
    *,
    offered_s: float | None = None,
    in_flight: int | None = None,
) -> RequestRecord:
    """The record of one request. The last repetition's answer is the one that is scored.

    Args:
        job: The request.
        runs: One for each repetition: the replies to its gaps, or the one to the request.
        asked: Of the call.
        offered_s: Of a request under load: when it was offered. Its seconds then count from there.
        in_flight: Of a request under load, else the call's.
    """
    replies = runs[-1]
    texts = [cut(reply.text, job.until) for reply in replies]
    loaded = offered_s is not None
    seconds = [sum(r.whole_s if loaded else r.seconds for r in run) for run in runs]
    prompts = [reply.prompt_tokens for reply in replies]
    written = [_written(reply) for reply in replies]
    reasoning = [reply.reasoning_tokens for reply in replies]
    return RequestRecord(
        key=job.identity.key,
        task=job.identity.task,
        doc_id=job.identity.doc_id,
        index=job.identity.index,
        request_type="generate_until",
        model=asked.model,
        prompt_tokens=_total(prompts),
        visible_tokens=_visible(replies, texts, asked.count_tokens),
        canvas_tokens=_total(written),
        seconds=median(seconds),
        repeat_seconds=seconds,
        batch_size=in_flight or asked.in_flight,
        seed=job.seed,
        stop_reason=_stop_reason(job, replies, texts),
        reasoning_tokens=_total(reasoning),
        served_model=replies[-1].served_model or None,
        first_text_s=replies[0].first_text_s,
        tries=1 + sum(reply.tries - 1 for reply in replies),
        flag=next((flag for r in replies if (flag := _flag(r)) is not None), None),
        offered_s=offered_s,
        prompt_end=job.shown_end,
        suffix_start="" if job.infill == "prefix_only" else job.suffix[:SHOWN_CHARACTERS],
        response=answer_of(texts, several=job.several),
        infill=job.infill,
        infill_length=None if job.infill is None else "until_end",
    )


def _total(counts: Sequence[int | None]) -> int | None:
    """The sum; None where one is not reported."""
    told = [count for count in counts if count is not None]
    return sum(told) if len(told) == len(counts) else None


def _written(reply: Reply) -> int | None:
    """Tokens of the answer as the server wrote it, which may go on behind a stop string."""
    if reply.completion_tokens is None:
        return None
    return max(0, reply.completion_tokens - (reply.reasoning_tokens or 0))


def _visible(
    replies: Sequence[Reply], texts: Sequence[str], count_tokens: CountTokens | None
) -> int | None:
    """Tokens of the answers as scored.

    By a tokenizer where one is known; else the server's count, which may have the end of the text
    in it, where the answer is as it came.
    """
    if count_tokens is not None:
        return sum(count_tokens(text) for text in texts)
    found = [
        _written(reply) if text == reply.text else None if text else 0
        for reply, text in zip(replies, texts, strict=True)
    ]
    return _total(found)


def _flag(reply: Reply) -> Flag | None:
    """What the client says, and a limit that went to reasoning, told from the counts alone."""
    if reply.flag is None and not reply.text and reply.finish_reason == "length":
        return "reasoning_limit" if reply.reasoning_tokens else None
    return reply.flag


def _stop_reason(job: ApiJob, replies: Sequence[Reply], texts: Sequence[str]) -> str:
    """Why the answer ended, in the words of our own models where the server's mean the same.

    A server's "stop" is an end of text or one of the stop strings that it was sent; which of the
    two, it does not say. It stays "stop" where both are possible.
    """
    if any(text != reply.text for reply, text in zip(replies, texts, strict=True)):
        return "stop_string"
    words = {reply.finish_reason for reply in replies}
    if "length" in words:
        return "length"
    word = next((word for word in sorted(words) if word != "stop"), "stop")
    return "eos" if word == "stop" and not job.stop else word
