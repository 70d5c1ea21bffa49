"""How fast an autoregressive model is made to decode: its tier, and what the tier needs.

Knows `dllm-ar`'s arguments and the ways of decoding; nothing of lm-eval, of tasks and of
the clock. `autoregressive.py` calls it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dllm_eval.api import Generation, Prompt
from dllm_eval.errors import UsageError
from dllm_eval.loading import SHIPPED, load_autoregressive, resolve_checkpoint, weights_hash
from dllm_eval.samplers.autoregressive import Kept, fill_gaps
from dllm_eval.samplers.causal_compiled import CompiledSteps
from dllm_eval.samplers.causal_rows import Stop
from dllm_eval.samplers.causal_steps import CacheKind, Ids
from dllm_eval.samplers.speculative import fill_gaps_by_drafts
from dllm_eval.samplers.speculative_drafts import Assistant, Drafter, PromptLookup
from dllm_eval.samplers.speculative_steps import check_takes_back

from .arguments import AutoregressiveArguments

LOOKUP_NGRAM = 2
"""Where `lookup_ngram` is not set; transformers' own."""


@dataclass(frozen=True, kw_only=True)
class AssistantModel:
    """A smaller model that guesses."""

    name: str
    model: Any
    weights: str
    """Their hash."""


def load_assistant(
    arguments: AutoregressiveArguments,
    tokenizer: Any,  # noqa: ANN401 - transformers has no one typed tokenizer class
    device: str,
) -> AssistantModel | None:
    """The model that `assistant` names, if any.

    Raises:
        UsageError: It cannot be loaded, or has another vocabulary than the model.
    """
    named = arguments.assistant
    if named is None:
        return None
    model, other = load_autoregressive(named, dtype=arguments.dtype, device=device)
    own, theirs = tokenizer.get_vocab(), other.get_vocab()
    if own != theirs:
        differing = len(own.items() ^ theirs.items())
        raise UsageError(
            f"assistant={named} has another tokenizer than {arguments.pretrained} "
            f"({differing} entries differ): what it guesses are other tokens; name one of the same "
            "family, or use speculative=prompt_lookup"
        )
    folder = resolve_checkpoint(named)
    name = named if named in SHIPPED or not Path(named).is_dir() else folder.name
    return AssistantModel(name=name, model=model, weights=weights_hash(folder))


@dataclass(kw_only=True)
class Tier:
    """One way of decoding one model."""

    model: Any
    """A transformers causal model."""
    arguments: AutoregressiveArguments
    ends: tuple[int, ...]
    assistant: AssistantModel | None
    compiled: CompiledSteps | None = field(init=False)

    def __post_init__(self) -> None:
        mode = self.arguments.compile
        self.compiled = None if mode == "none" else CompiledSteps.of(self.model, mode)
        if self.arguments.speculative != "none":
            check_takes_back(self.model, batch=1)

    @property
    def name(self) -> str:
        """In a few words that stand in a table."""
        if self.assistant is not None:
            return f"assisted by {self.assistant.name}, dynamic cache"
        if self.arguments.speculative == "prompt_lookup":
            return "prompt lookup, dynamic cache"
        if self.compiled is not None:
            return "compiled, static cache"
        return f"eager, {self.cache} cache"

    @property
    def cache(self) -> CacheKind:
        """What `cache` comes to where nothing is compiled."""
        return "static" if self.arguments.cache == "static" else "dynamic"

    def num_compiled(self) -> int:
        """How many shapes have been compiled by now."""
        return 0 if self.compiled is None else self.compiled.num_compiled

    def fill(
        self,
        requests: Sequence[tuple[Prompt, Sequence[Ids]]],
        *,
        length: int,
        stop: Stop | None,
        kept: Kept,
    ) -> list[list[Generation]]:
        """Every gap of every request, as `samplers.autoregressive.fill_gaps` has it."""
        temperature = self.arguments.temperature
        if self.arguments.speculative != "none":
            return fill_gaps_by_drafts(
                self.model,
                requests,
                drafter=self._drafter(len(requests)),
                max_new_tokens=length,
                eos_ids=self.ends,
                temperature=temperature,
                stop=stop,
                kept=kept,
            )
        return fill_gaps(
            self.model,
            requests,
            max_new_tokens=length,
            eos_ids=self.ends,
            temperature=temperature,
            cache=self.compiled or self.cache,
            stop=stop,
            kept=kept,
        )

    def _drafter(self, batch: int) -> Drafter:
        arguments = self.arguments
        if self.assistant is None:
            return PromptLookup(
                draft_tokens=arguments.most_drafted,
                ngram=arguments.lookup_ngram or LOOKUP_NGRAM,
                ends=frozenset(self.ends),
            )
        return Assistant(
            self.assistant.model,
            batch,
            draft_tokens=arguments.most_drafted,
            vocab_size=self.model.config.get_text_config().vocab_size,
            temperature=arguments.temperature,
        )
