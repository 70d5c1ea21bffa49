"""The chunks of a streamed answer to its text: pieces are joined, drafts replace each other.

Knows no socket and no bytes. `reading.py` feeds it parsed chunks with the moment each came.

What Mercury streams where `diffusing: true` was asked (iowarp/clio-coder beeac1e,
`src/engine/apis/diffusion-frames.ts:observeDiffusionFrameChunk`, and its tests, "measured against
the live API"): each chunk with text has `diffusion_meta.diffusion_content: true` at its top level,
and its delta's content is the whole text so far. The last one has `diffusion_progress` 1 and a
finish_reason; a closing chunk with an empty delta follows. So no text behind the last draft takes
nothing back, and before it, it is a draft like any other. Inception's OpenAPI description has no
`diffusion_meta`. A stream in which drafts were asked for and nothing marks them may mean either
(replace or append), so it is an error, never a guess.
"""

from collections.abc import Mapping
from typing import Any

from dllm_eval.endpoint.answer import (
    Parts,
    first_choice,
    has_reasoning,
    read_text,
    read_usage,
    word,
)
from dllm_eval.endpoint.faults import FinalError, PassingError


class Assembly:
    """One answer in the making."""

    def __init__(self, *, drafts_asked: bool) -> None:
        self._drafts_asked = drafts_asked
        self._pieces: list[str] = []
        self._first_at_s: float | None = None
        self._draft: str | None = None
        self._draft_since_s = 0.0
        self._is_last_draft = False
        self._found: dict[str, Any] = {}
        self._finish_reason = ""
        self._refused = self._reasoned = False

    @property
    def is_finished(self) -> bool:
        """Whether the server has said why it stopped."""
        return bool(self._finish_reason)

    def take(self, chunk: Mapping[str, Any], at_s: float) -> None:
        """Take one chunk in.

        Args:
            chunk: Its JSON.
            at_s: When it came, by the clock.

        Raises:
            FinalError: If it mixes drafts with text that is none.
        """
        for name in ("model", "system_fingerprint", "warning"):
            if word(chunk.get(name)):
                self._found[name] = chunk[name]
        if isinstance(chunk.get("usage"), dict):
            self._found["usage"] = chunk["usage"]
        choice = first_choice(chunk)
        if choice is None:
            return
        delta = choice.get("delta")
        delta = delta if isinstance(delta, dict) else {}
        self._reasoned = self._reasoned or has_reasoning(delta)
        self._refused = self._refused or bool(word(delta.get("refusal")))
        reason = word(choice.get("finish_reason"))
        self._finish_reason = reason or self._finish_reason
        text = read_text(delta.get("content"))
        text = read_text(choice.get("text")) if text is None else text
        meta = chunk.get("diffusion_meta")
        meta = meta if isinstance(meta, dict) else {}
        is_draft = meta.get("diffusion_content") is True
        if is_draft and text is not None and (text or not self._is_last_draft):
            self._take_draft(text, at_s, progress=meta.get("diffusion_progress"), reason=reason)
        elif text:
            self._take_piece(text, at_s)

    def _take_piece(self, text: str, at_s: float) -> None:
        """Text that follows what stands."""
        self._pieces.append(text)
        if self._draft is not None:
            self._refuse("text that is marked as a draft beside text that is not")
        if self._drafts_asked and len(self._pieces) > 1:
            self._refuse("drafts that nothing marks as such (no diffusion_meta)")
        if self._first_at_s is None and text.strip():
            self._first_at_s = at_s

    def _take_draft(self, text: str, at_s: float, *, progress: object, reason: str) -> None:
        """A whole text that replaces the one before."""
        if self._pieces:
            self._refuse("text that is marked as a draft beside text that is not")
        if text != self._draft:
            self._draft, self._draft_since_s = text, at_s
        unfinished = isinstance(progress, int | float) and progress < 1
        self._is_last_draft = bool(reason) or not unfinished

    def _refuse(self, what: str) -> None:
        """Which text is final cannot be told."""
        raise FinalError(
            f"the stream has {what}: which text is final cannot be told; ask with drafts=false"
        )

    def parts(self) -> Parts:
        """The answer.

        Raises:
            PassingError: If the stream ended with a draft that is not the last.
        """
        text, first_at_s = "".join(self._pieces), self._first_at_s
        if self._draft is not None:
            if not self._is_last_draft:
                raise PassingError("the stream ended before its last draft was final")
            text = self._draft
            first_at_s = self._draft_since_s if text.strip() else None
        return Parts(
            text=text,
            finish_reason=self._finish_reason,
            usage=read_usage(self._found.get("usage")),
            served_model=self._found.get("model", ""),
            fingerprint=self._found.get("system_fingerprint", ""),
            warning=self._found.get("warning", ""),
            refused=self._refused,
            reasoned=self._reasoned,
            first_text_at_s=first_at_s,
        )
