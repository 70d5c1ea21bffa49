"""One lm-eval request as what it asks: ids, key, seed, limits.

Knows lm-eval's Instance and generation keywords; knows no model. `base.py` and the two adapters
build and read these.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lm_eval.api.instance import Instance

from dllm_eval.api import Prompt
from dllm_eval.errors import UsageError, unknown
from dllm_eval.records import Infill

KNOWN_KEYWORDS = ("until", "max_gen_toks", "do_sample", "temperature")


@dataclass(frozen=True, kw_only=True)
class Identity:
    """Which request of which document of which task."""

    key: str
    task: str
    doc_id: int
    index: int
    repeat: int
    """How many equal requests came before it in the same call (lm-eval's `repeats`)."""


@dataclass(frozen=True, kw_only=True)
class GenerationJob:
    """A generation request, ready for a model."""

    identity: Identity
    prompt: Prompt
    length: int
    """Canvas length, or the most tokens of an autoregressive answer."""
    until: tuple[str, ...] = ()
    limit: int | None = None
    """Most visible tokens, where the task asks for fewer than the canvas holds."""
    infill: Infill | None = None
    infill_length: str | None = None
    held_back: str = ""
    """Blanks moved from the end of the prompt into the canvas; taken off the answer again."""

    @property
    def prompt_tokens(self) -> int:
        """Tokens the model is given, on both sides of the canvas."""
        return len(self.prompt.prefix) + len(self.prompt.suffix)


@dataclass(frozen=True, kw_only=True)
class ScoringJob:
    """A likelihood request: windows of (context, target), one unless it is a rolling one."""

    identity: Identity
    windows: tuple[tuple[tuple[int, ...], tuple[int, ...]], ...]
    seed: int


@dataclass(frozen=True, kw_only=True)
class GenerationKeywords:
    """What a task may ask of a generation."""

    until: tuple[str, ...]
    max_gen_toks: int | None


def identities(requests: list[Instance], settings: str) -> list[Identity]:
    """One identity per request; equal requests are numbered, so that every key is unique.

    Args:
        requests: One call's requests.
        settings: Everything of the model that may change an answer, so that a log written under
            other settings is never taken for an answer.
    """
    seen: Counter[str] = Counter()
    found = []
    for request in requests:
        content = _digest(settings, *_content(request))
        found.append(
            Identity(
                key=_digest(content, seen[content])[:32],
                task=str(request.task_name),
                doc_id=-1 if request.doc_id is None else int(request.doc_id),
                index=request.idx,
                repeat=seen[content],
            )
        )
        seen[content] += 1
    return found


def _content(request: Instance) -> tuple[object, ...]:
    return (
        request.task_name,
        request.doc_id,
        request.doc,
        request.idx,
        request.request_type,
        request.args,
    )


def content_seed(base_seed: int, *content: object) -> int:
    """A seed that depends on the base seed and the content alone, in [0, 2**63)."""
    return int(_digest(base_seed, *content)[:16], 16) >> 1


def _digest(*content: object) -> str:
    text = json.dumps(content, sort_keys=True, default=repr, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def read_keywords(keywords: Mapping[str, Any], temperature: float) -> GenerationKeywords:
    """Checks a task's generation keywords against what our models do.

    Args:
        keywords: `generation_kwargs` of the task.
        temperature: The model's own; a task may repeat it but not change it.

    Raises:
        UsageError: An unknown keyword, or sampling that the model was not told to do.
    """
    for name in keywords:
        if name not in KNOWN_KEYWORDS:
            raise unknown("generation keyword", name, KNOWN_KEYWORDS)
    asked = float(keywords.get("temperature") or 0.0)
    if asked not in (0.0, temperature) or (keywords.get("do_sample") and temperature == 0):
        raise UsageError(
            f"the task asks for sampling at temperature {asked:g}, the model decodes at "
            f"{temperature:g}; pass temperature as a model argument"
        )
    until = keywords.get("until") or ()
    limit = keywords.get("max_gen_toks")
    return GenerationKeywords(
        until=(until,) if isinstance(until, str) else tuple(until),
        max_gen_toks=None if limit is None else int(limit),
    )


def infill_of(request: Instance) -> dict[str, str] | None:
    """The prefix, suffix and middle of an infilling document, else None."""
    parts = request.doc.get("infill")
    if parts is None:
        return None
    lacking = [name for name in ("prefix", "suffix", "middle") if name not in parts]
    if lacking:
        raise UsageError(f"doc['infill'] of task {request.task_name} lacks {lacking[0]!r}")
    return dict(parts)
