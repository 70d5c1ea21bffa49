"""What an answer says before it is timed: `Parts`, read from a whole body.

Knows no socket and no clock. `assembly.py` makes the same of a stream; `exchange.py` adds times.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dllm_eval.endpoint.faults import PassingError
from dllm_eval.records import Flag


@dataclass(frozen=True, kw_only=True)
class Usage:
    """Tokens as a server counts them; None where it does not say, or says what is no count."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    """Reasoning included."""
    reasoning_tokens: int | None = None


@dataclass(frozen=True, kw_only=True)
class Parts:
    """One answer."""

    text: str
    finish_reason: str = ""
    usage: Usage = Usage()
    served_model: str = ""
    fingerprint: str = ""
    warning: str = ""
    """What the server remarks of its answer, for example that it has reset the temperature."""
    refused: bool = False
    """The server says that the model refused to answer."""
    reasoned: bool = False
    """Reasoning stood in the answer beside its text."""
    first_text_at_s: float | None = None
    """The reading of the clock at the first visible text that stayed."""


def read_answer(found: Mapping[str, Any]) -> Parts:
    """A whole answer's parts.

    Raises:
        PassingError: If it has no choice to read.
    """
    choice = first_choice(found)
    if choice is None:
        raise PassingError("the answer has no choices[0]")
    message = choice.get("message")
    message = message if isinstance(message, dict) else {}
    text = choice.get("text")
    if text is None and "content" not in message:
        raise PassingError("choices[0] of the answer has no text")
    return Parts(
        text=read_text(message.get("content")) or read_text(text) or "",
        finish_reason=word(choice.get("finish_reason")),
        usage=read_usage(found.get("usage")),
        served_model=word(found.get("model")),
        fingerprint=word(found.get("system_fingerprint")),
        warning=word(found.get("warning")),
        refused=bool(word(message.get("refusal"))),
        reasoned=has_reasoning(message),
    )


def first_choice(found: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The choice of index 0; None where there is none."""
    choices = found.get("choices")
    for choice in choices if isinstance(choices, list) else []:
        if isinstance(choice, dict) and choice.get("index", 0) in (0, None):
            return choice
    return None


def read_text(content: object) -> str | None:
    """The text of a content field: a string, or a list of parts of which some are text.

    None is no text: servers write null where all was reasoning or a refusal.

    Raises:
        PassingError: If it is something else.
    """
    if content is None or isinstance(content, str):
        return content
    if not isinstance(content, list):
        raise PassingError("the text of the answer is no text")
    parts = [part.get("text") for part in content if isinstance(part, dict)]
    return "".join(part for part in parts if isinstance(part, str))


def has_reasoning(message: Mapping[str, Any]) -> bool:
    """Whether a message or delta carries reasoning beside its text, by the two names in use."""
    return any(word(message.get(name)) for name in ("reasoning_content", "reasoning"))


def readable(text: str) -> str:
    """A text that can be written down.

    JSON may hold half of a surrogate pair, which no file takes: a stream cuts a pair in two, which
    belong together again, and what is left alone becomes a replacement character.
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


def word(value: object) -> str:
    """A string field; "" where it is absent or something else."""
    return value if isinstance(value, str) else ""


def read_usage(found: object) -> Usage:
    """The token counts of an answer.

    Reasoning stands in `completion_tokens_details` (OpenAI) or beside the rest
    (Inception); where `total_tokens` shows that completion tokens leave it out, it is added.
    """
    if not isinstance(found, dict):
        return Usage()
    prompt, completion = count(found.get("prompt_tokens")), count(found.get("completion_tokens"))
    details = found.get("completion_tokens_details")
    details = details if isinstance(details, dict) else {}
    reasoning = count(details.get("reasoning_tokens"))
    if reasoning is None:
        reasoning = count(found.get("reasoning_tokens"))
    if prompt is not None and completion is not None and reasoning:
        total = count(found.get("total_tokens"))
        completion += reasoning if total == prompt + completion + reasoning else 0
    return Usage(prompt_tokens=prompt, completion_tokens=completion, reasoning_tokens=reasoning)


def count(value: object) -> int | None:
    """A count of tokens; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        return None
    return value


def flag_of(parts: Parts) -> Flag | None:
    """Why an answer says little about the model.

    Reasoning has used up the limit where the server stopped for length, no visible text came, and
    reasoning was counted or seen; without that sign an empty answer is the model's own.
    """
    if parts.finish_reason == "content_filter":
        return "content_filter"
    if parts.refused or parts.finish_reason == "refusal":
        return "refusal"
    reasoned = parts.reasoned or bool(parts.usage.reasoning_tokens)
    if parts.finish_reason == "length" and not parts.text.strip() and reasoned:
        return "reasoning_limit"
    return None
