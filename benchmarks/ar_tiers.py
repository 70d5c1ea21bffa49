"""How fast an autoregressive model decodes at each tier, and how our loops compare with generate.

One prompt, greedy, batch 1, `--tokens` tokens that no end id cuts short; all tiers take their turns
in one run. "generate" is transformers' own `generate` at the same setting, for comparison; it has
to give as many tokens. Compiling is done before the clock starts, and its seconds are printed.
Prompt lookup depends on what the text repeats: passes per token says how often its guesses held
here; with random weights that says nothing about a trained model. Compiled arithmetic rounds
otherwise: "tokens equal" says how many tokens of the answer are those of the eager, dynamic tier.

    python benchmarks/ar_tiers.py                                     # the reference model, CPU
    python benchmarks/ar_tiers.py --shape small-32k --prompt 64 --tokens 64
    python benchmarks/ar_tiers.py --device cuda --shape llada-8b --mode reduce-overhead
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, get_args

import torch
from _models import REFERENCE, Pair, load_pair, prompt_of
from _table import options_parser, print_machine, print_table
from _turns import in_turns
from transformers.utils import logging

from dllm_eval.api import Generation, Prompt
from dllm_eval.compiled import CompileMode
from dllm_eval.loading import load_autoregressive
from dllm_eval.measure.clock import Timer
from dllm_eval.samplers.autoregressive import generate_autoregressive
from dllm_eval.samplers.causal_compiled import CompiledSteps
from dllm_eval.samplers.speculative import fill_gaps_by_drafts
from dllm_eval.samplers.speculative_drafts import PromptLookup

HEADER = (
    "tier",
    "rounds",
    "ms per token",
    "passes per token",
    "positions per token",
    "eager dynamic / this",
    "generate / this",
    "tokens equal",
)
EAGER = "eager dynamic"
TEXT = 'def f(x):\n    """double, then add 3"""\n    return x * 2 + 3\n\n\n'
"""In the reference model's language; a prompt repeats it."""

Decode = Callable[[], Generation]
SAME: Mapping[str, Mapping[str, Any]] = {
    EAGER: {},
    "eager static": {"cache_implementation": "static", "disable_compile": True},
    "prompt lookup dynamic": {"prompt_lookup_num_tokens": 10},
}
"""Tier -> what transformers' generate is given for it. It compiles static caches on CUDA alone."""


def our_tiers(model: Any, prompt: Prompt, tokens: int, steps: CompiledSteps) -> dict[str, Decode]:  # noqa: ANN401
    """Our ways to decode, by name."""

    def plain(cache: Any) -> Generation:  # noqa: ANN401
        return generate_autoregressive(
            model, [prompt], max_new_tokens=tokens, eos_ids=[], cache=cache
        )[0]

    def lookup() -> Generation:
        drafter = PromptLookup(draft_tokens=10, ngram=2, ends=frozenset())
        [[found]] = fill_gaps_by_drafts(
            model, [(prompt, ())], drafter=drafter, max_new_tokens=tokens, eos_ids=[]
        )
        return found

    return {
        EAGER: lambda: plain("dynamic"),
        "eager static": lambda: plain("static"),
        "compiled static": lambda: plain(steps),
        "prompt lookup dynamic": lookup,
    }


def generate(model: Any, prompt: Prompt, tokens: int, more: Mapping[str, Any]) -> list[int]:  # noqa: ANN401
    """The answer of transformers' own loop."""
    ids = torch.tensor([prompt.prefix], device=model.device)
    out = model.generate(
        ids,
        attention_mask=torch.ones_like(ids),
        max_new_tokens=tokens,
        do_sample=False,
        eos_token_id=-1,
        pad_token_id=0,
        **more,
    )
    found: list[int] = out[0, len(prompt.prefix) :].tolist()
    if len(found) != tokens:
        raise RuntimeError(f"generate gave {len(found)} tokens, not {tokens}")
    return found


def measure(
    pair: Pair, prompt: Prompt, steps: CompiledSteps, *, tokens: int, rounds: int, limit_s: float
) -> list[list[str]]:
    """A row per tier, and prints how long compiling took."""
    model = pair.autoregressive
    ours = our_tiers(model, prompt, tokens, steps)
    with Timer(pair.device) as compiling:
        ours["compiled static"]()
    print(f"compiling, and recording where asked for: {compiling.seconds:.1f} s\n")
    answers = {name: decode() for name, decode in ours.items()}
    theirs = {
        f"generate: {name}": partial(generate, model, prompt, tokens, more)
        for name, more in SAME.items()
    }
    found = in_turns({**ours, **theirs}, device=pair.device, rounds=rounds, limit_s=limit_s)
    rows = []
    for name, answer in answers.items():
        same = zip(answer.tokens, answers[EAGER].tokens, strict=True)
        other = f"generate: {name}"
        rows.append(
            [
                name,
                str(found.middle(name).rounds),
                f"{found.middle(name).times(1e3 / tokens).median:.3f}",
                f"{answer.nfe / tokens:.2f}",
                f"{answer.positions / tokens:.2f}",
                found.ratio(EAGER, name).text(2),
                found.ratio(other, name).text(2) if other in theirs else "",
                f"{sum(one == two for one, two in same) / tokens:.3f}",
            ]
        )
    return rows


def prompt_for(pair: Pair, length: int) -> Prompt:
    """Text of the reference model's kind, or any ids for random weights."""
    if pair.name != REFERENCE:
        return prompt_of(length)
    _, tokenizer = load_autoregressive("reference-ar")
    ids = tokenizer.encode(TEXT)
    return Prompt(prefix=tuple((ids * (1 + length // len(ids)))[:length]))


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints one table row per tier."""
    parser = options_parser(__doc__, rounds=10)
    parser.add_argument("--prompt", type=int, default=64, help="prompt tokens")
    parser.add_argument("--tokens", type=int, default=64, help="tokens of the answer")
    parser.add_argument("--mode", choices=get_args(CompileMode), default="reduce-overhead")
    parser.add_argument("--backend", default="inductor", help="what torch.compile goes through")
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    pair = load_pair(options.shape, options.device)
    setting = f"batch 1, prompt {options.prompt}, {options.tokens} tokens, compile={options.mode}"
    print_machine(pair, setting)
    rows = measure(
        pair,
        prompt_for(pair, options.prompt),
        CompiledSteps(pair.autoregressive, options.mode, backend=options.backend),
        tokens=options.tokens,
        rounds=options.rounds,
        limit_s=options.limit,
    )
    print_table(HEADER, rows)


if __name__ == "__main__":
    main()
