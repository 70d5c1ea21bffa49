"""What a server has to say to one request, and how each route writes it: whole, or as a stream.

Knows OpenAI's shapes and Inception's (public OpenAPI files of the repository api-evangelist/
inception, commit 2f784396: usage with `reasoning_tokens` at its top, `warning`, edit.completion);
knows no socket. `protocol_server.py` sends what is made here.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

Body = Mapping[str, Any]
CREATED = 1795334400
"""The answers' date, which nobody reads."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """One request's answer."""

    text: str | None
    finish_reason: str = "stop"
    prompt_tokens: int = 0
    completion_tokens: int = 0
    """Reasoning included, as servers count."""
    reasoning_tokens: int = 0
    drafts: tuple[str, ...] = ()
    """Whole earlier states of the text, streamed where the request says `diffusing`."""
    warning: str | None = None

    @property
    def pieces(self) -> list[str]:
        """The text as a stream cuts it: a word and the blanks behind it at a time."""
        return re.findall(r"\S+\s*|\s+", self.text or "")


@dataclass(frozen=True, kw_only=True)
class Wording:
    """How an answer is written down, misbehaviours included."""

    route: str
    """"chat", "completions", "fim" or "edit"."""
    model: str
    answer_id: str
    usage: Any = None
    """What stands under "usage"; None leaves it out."""
    usage_chunk: bool = True
    """Whether a stream ends with a chunk of usage alone, as `stream_options` asks for."""
    diffusing: bool = False
    fingerprint: str | None = "fp_protocol"

    def whole(self, answer: Answer) -> dict[str, Any]:
        """The answer to a request without `stream`."""
        messages = self.route in ("chat", "edit")
        content: dict[str, Any] = {"text": answer.text}
        if messages:
            content = {"message": {"role": "assistant", "content": answer.text}}
        kinds = {"chat": "chat.completion", "edit": "edit.completion"}
        choice = {"index": 0, **content, "finish_reason": answer.finish_reason}
        return {
            **self._head(kinds.get(self.route, "text_completion")),
            "choices": [choice],
            **({"usage": self.usage} if self.usage is not None else {}),
            **({"warning": answer.warning} if answer.warning is not None else {}),
        }

    def chunks(self, answer: Answer) -> Iterator[dict[str, Any]]:
        """The same as the events of a stream, in order.

        Where the request says `diffusing`, every content is a whole state of the text and carries
        how far it has come, as Inception streams it (iowarp/clio-coder, commit beeac1e,
        src/engine/apis/diffusion-frames.ts, measured against the live service); else contents
        follow one another.
        """
        if self.diffusing:
            yield from self._frames([*answer.drafts, answer.text or ""])
        else:
            if self.route == "chat":
                yield self._chunk({"role": "assistant", "content": ""})
            yield from (self._chunk({"content": piece}) for piece in answer.pieces)
        yield self._chunk({}, answer.finish_reason)
        if self.usage is not None and self.usage_chunk:
            yield {**self._chunk({}), "choices": [], "usage": self.usage}

    def _frames(self, states: Sequence[str]) -> Iterator[dict[str, Any]]:
        for number, state in enumerate(states, 1):
            progress = number / len(states)
            meta = {"diffusion_content": True, "diffusion_progress": progress}
            chunk = self._chunk({"content": state}, "stop" if progress == 1 else None)
            yield {**chunk, "diffusion_meta": meta}

    def _chunk(self, delta: dict[str, str], finish_reason: str | None = None) -> dict[str, Any]:
        if self.route == "chat":
            choice: dict[str, Any] = {"index": 0, "delta": delta}
            kind = "chat.completion.chunk"
        else:
            choice = {"index": 0, "text": delta.get("content", "")}
            kind = "text_completion"
        return {**self._head(kind), "choices": [{**choice, "finish_reason": finish_reason}]}

    def _head(self, kind: str) -> dict[str, Any]:
        head = {"id": self.answer_id, "object": kind, "created": CREATED, "model": self.model}
        return (
            head if self.fingerprint is None else {**head, "system_fingerprint": self.fingerprint}
        )


def usage_of(answer: Answer, *, nested: bool) -> dict[str, Any]:
    """What a server says that an answer cost.

    Args:
        answer: The answer.
        nested: Whether reasoning tokens stand in `completion_tokens_details`, as OpenAI writes
            them, or at the top, as Inception does.
    """
    usage: dict[str, Any] = {
        "prompt_tokens": answer.prompt_tokens,
        "completion_tokens": answer.completion_tokens,
        "total_tokens": answer.prompt_tokens + answer.completion_tokens,
    }
    if nested:
        details = {"reasoning_tokens": answer.reasoning_tokens}
        return {**usage, "completion_tokens_details": details} if answer.reasoning_tokens else usage
    return {**usage, "reasoning_tokens": answer.reasoning_tokens, "cached_input_tokens": 0}


def text_of(body: Body) -> str:
    """What a request asks to be continued: its prompt, or its messages' contents one by one."""
    if "messages" in body:
        return "\n".join(str(message["content"]) for message in body["messages"])
    return str(body.get("prompt", ""))


def counted(found: str | Answer, body: Body) -> Answer:
    """A text as an answer, words counted for tokens, cut before stop strings and at the limit."""
    if isinstance(found, Answer):
        return found
    places = [place for stop in stops_of(body) if stop and (place := found.find(stop)) >= 0]
    cut = found[: min(places)] if places else found
    answer = Answer(text=cut, prompt_tokens=len(text_of(body).split()))
    limit = body.get("max_tokens")
    if limit is not None and len(answer.pieces) > limit:
        kept = answer.pieces[:limit]
        answer = replace(answer, text="".join(kept), finish_reason="length")
    return replace(answer, completion_tokens=len(answer.pieces))


def stops_of(body: Body) -> list[str]:
    """The stop strings of a request: none, one or a list of them."""
    stop = body.get("stop") or []
    return [stop] if isinstance(stop, str) else list(stop)


def with_reasoning(answer: Answer, body: Body, tokens_by_effort: Mapping[str, int]) -> Answer:
    """The answer of a model that thinks first, out of the same `max_tokens`.

    Where thinking takes all of them, the content is empty and the reason "length"; where it leaves
    less than the answer takes, the answer is cut.
    """
    thought = tokens_by_effort[str(body.get("reasoning_effort", "medium"))]
    limit = body.get("max_tokens")
    whole = thought + answer.completion_tokens
    if limit is None or whole <= limit:
        return replace(answer, reasoning_tokens=thought, completion_tokens=whole)
    room = max(0, limit - thought)
    return replace(
        answer,
        text="".join(answer.pieces[:room]),
        finish_reason="length",
        reasoning_tokens=min(thought, limit),
        completion_tokens=limit,
        drafts=() if not room else answer.drafts,
    )
