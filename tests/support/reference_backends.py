"""The shipped reference models as what a server answers with, decoded in process.

Knows the package's public loading and decoding; knows no HTTP. `protocol_server.py` calls a backend
with a request's body. The text is what `dllm` or `dllm-ar` writes for the same prompt, so an answer
over HTTP has to equal the one in process.
"""

from importlib import import_module
from threading import Lock
from typing import Any

from protocol_answer import Answer, Body, stops_of, text_of

from dllm_eval import Prompt, generate, load_model
from dllm_eval.loading import load_autoregressive
from dllm_eval.samplers.autoregressive import generate_autoregressive

ADAPTERS = "dllm_eval.adapters"


class ReferenceAR:
    """The autoregressive model, greedy; a request with a suffix is put by its infilling tokens."""

    def __init__(self, pretrained: str = "reference-ar") -> None:
        self.model, tokenizer = load_autoregressive(pretrained, device="cpu")
        self.codec = import_module(f"{ADAPTERS}.tokens").Codec(tokenizer)
        self.fim = import_module(f"{ADAPTERS}.fim").fim_of("auto", self.codec)
        self._lock = Lock()

    def __call__(self, body: dict[str, Any]) -> Answer:
        stops = stops_of(body)
        ends = [self.codec.end_id, *(self.fim.ends if self.fim is not None else ())]
        prefix = self._prefix(body)
        with self._lock:
            (found,) = generate_autoregressive(
                self.model,
                [Prompt(prefix=prefix)],
                max_new_tokens=body.get("max_tokens", 256),
                eos_ids=ends,
                stop=(lambda ids: self.codec.ends_with(ids, stops)) if stops else None,
            )
        text, _ = self.codec.cut(found.visible, stops)
        return Answer(
            text=text,
            finish_reason="length" if found.stop_reason == "length" else "stop",
            prompt_tokens=len(prefix),
            completion_tokens=len(found.tokens),
        )

    def _prefix(self, body: Body) -> tuple[int, ...]:
        if body.get("suffix") is None or self.fim is None:
            return tuple(self.codec.encode(text_of(body)))
        texts = self.fim.texts(body["prompt"], body["suffix"])
        return tuple(self.fim.prompt(*texts))


class ReferenceDiffusion:
    """The diffusion model on a canvas of the server's own length, as engines set it at their start.

    Its drafts are the visible text after each step, masks left out.
    """

    def __init__(
        self, pretrained: str = "reference-diffusion", *, drafts: int = 3, **settings: Any
    ) -> None:
        self.model = load_model(pretrained, device="cpu")
        self.codec = import_module(f"{ADAPTERS}.tokens").Codec(self.model.tokenizer)
        self.settings = {"gen_length": 32, "steps": 8, **settings}
        self.drafts = drafts
        self._lock = Lock()

    def __call__(self, body: dict[str, Any]) -> Answer:
        prefix = self.codec.encode(text_of(body))
        with self._lock:
            found = generate(self.model, prefix, **self._settings(body), **self._behind(body))
        limit = body.get("max_tokens", len(found.visible))
        kept, stops = found.visible[:limit], stops_of(body)
        text, visible = self.codec.cut(kept, stops)
        ended = visible < len(kept) or len(kept) < limit
        return Answer(
            text=text,
            finish_reason="stop" if ended else "length",
            prompt_tokens=len(prefix),
            completion_tokens=len(kept),
            drafts=tuple(self._drafts(kept, found.reveal_step, stops)),
        )

    def _settings(self, body: Body) -> dict[str, Any]:
        """The server's own; a request may bring its steps as to vLLM, and its gap's length."""
        more = body.get("vllm_xargs") or {}
        found = {**self.settings, "steps": more.get("diffusion_max_steps", self.settings["steps"])}
        if body.get("suffix") is None:
            return found
        length = body["max_tokens"]
        return {**found, "gen_length": length, "steps": length, "block_length": length}

    def _behind(self, body: Body) -> dict[str, Any]:
        suffix = body.get("suffix")
        if suffix is None:
            return {}
        return {"suffix_ids": self.codec.encode(suffix, add_special_tokens=False)}

    def _drafts(self, ids: tuple[int, ...], order: tuple[int, ...], stops: list[str]) -> list[str]:
        steps = sorted(set(order))[: self.drafts]
        shown = [[i for i, step in zip(ids, order, strict=False) if step <= at] for at in steps]
        return [self.codec.cut(kept, stops)[0] for kept in shown]
