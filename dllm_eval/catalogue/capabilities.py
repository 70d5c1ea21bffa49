"""What each family can be asked to do: the one table behind `dllm-eval models`.

Plain data; knows no model and imports neither torch nor lm-eval. Every yes and every no is shown by
a test on a tiny checkpoint in the family's published format, run through lm-eval's own evaluate.
"""

from dataclasses import dataclass
from typing import Literal

Likelihood = Literal["exact", "bound", "none"]


@dataclass(frozen=True, kw_only=True)
class Capabilities:
    """What a family supports, whichever of its checkpoints is loaded."""

    generate: bool
    infill: bool
    """Whether a gap between a prefix and a suffix can be filled."""
    log_likelihood: bool
    rolling: bool
    """Whether whole documents can be scored (perplexity)."""
    batch: bool
    cache: bool
    """Whether finished blocks keep their keys and values, without changing any answer."""
    likelihood: Likelihood
    """What a likelihood of the family is: the model's own, a lower bound, or nothing."""
    title: str
    """The family as its authors write it."""

    def __post_init__(self) -> None:
        scored = self.log_likelihood or self.rolling
        if scored != (self.likelihood != "none"):
            raise ValueError(f"{self.title}: a family is scored exactly where it has a likelihood")


def _full_attention(title: str) -> Capabilities:
    return Capabilities(
        generate=True,
        infill=True,
        log_likelihood=True,
        rolling=True,
        batch=True,
        cache=False,
        likelihood="bound",
        title=title,
    )


def _blocks(title: str, likelihood: Likelihood = "bound") -> Capabilities:
    scored = likelihood != "none"
    return Capabilities(
        generate=True,
        infill=False,
        log_likelihood=scored,
        rolling=scored,
        batch=True,
        cache=True,
        likelihood=likelihood,
        title=title,
    )


CAPABILITIES: dict[str, Capabilities] = {
    "llada": _full_attention("LLaDA 1.0, 1.5 and iLLaDA"),
    "dream": _full_attention("Dream and Dream-Coder"),
    "dreamon": _full_attention("DreamOn, which chooses its own length"),
    "sdar": _blocks("SDAR"),
    "llada2": _blocks("LLaDA2.0"),
    "llada21": _blocks("LLaDA2.1, which edits tokens"),
    "fast_dllm_v2": _blocks("Fast-dLLM v2"),
    "nbdiff": _blocks("NBDiff"),
    "bd3lm": _blocks("BD3-LM"),
    "wedlm": _blocks("WeDLM", likelihood="exact"),
    "diffusion_gemma": _blocks("DiffusionGemma", likelihood="none"),
    "mdlm": _full_attention("MDLM"),
    "sedd": _full_attention("SEDD"),
    "d3pm": _full_attention("D3PM"),
    "plaid": _full_attention("Plaid"),
    "diffusion_lm": _full_attention("Diffusion-LM"),
}
"""Family name -> what it supports, in the order `dllm-eval models` lists them."""
