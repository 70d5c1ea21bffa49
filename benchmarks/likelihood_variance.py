"""Variance of the likelihood estimators at equal forwards, over that of LLaDA's published one.

Texts are the reference tasks' own, right and wrong ones: answers, facts, and code cut to length.
Every mask set of a text is evaluated once, however many seeds ask for it, so that hundreds of
seeds cost little. A budget is what an estimator may ask for, its forwards are the different
canvases that it does ask for, and a ratio is that of variance times forwards: first of the sums
over all texts, which those with much variance dominate, then the median over texts. "-" stands
where an estimator needs more than the budget. Where all mask sets are within it, `auto` is exact,
and there is no row.

The second table is of two models without weights: posteriors of a hidden Markov chain, all orders
agreeing but for noise on the logits, and random numbers that no orders agree on.

    python benchmarks/likelihood_variance.py
    python benchmarks/likelihood_variance.py --seeds 300 --texts 12 --long-texts 6
"""

import argparse
import csv
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

import numpy as np
import torch
from _models import REFERENCE, load_pair
from _table import print_machine, print_table
from numpy.typing import NDArray

from dllm_eval.api import Denoiser
from dllm_eval.likelihood.batch import Request
from dllm_eval.likelihood.core import log_prob_tables
from dllm_eval.likelihood.pair import Pair, build_pair
from dllm_eval.likelihood.plan import Estimator, Setting
from dllm_eval.oracle import Answers, HiddenMarkovDenoiser
from dllm_eval.reference import DATA_DIR
from dllm_eval.registry import ESTIMATORS, resolve

PUBLISHED = "llada_mc"
COMPARED = ("monte_carlo", "control_variate", "end_strata", "random_order")
BUDGETS = (16, 32, 64, 128)
LONG_BUDGETS = (32, 128)
LENGTHS = (5, 6, 7, 8, 10, 12)
LONG = 27
NOISE = 0.3
TOKENS_PER_FORWARD = 8192
HEADER = ("texts", "tokens", "budget", f"{PUBLISHED} sd, nats", *COMPARED, "auto")

Rows = NDArray[np.float64]
Ids = list[int]


@dataclass(eq=False)
class Terms:
    """s(S, i) of one text; a mask set is evaluated when first asked for."""

    length: int
    evaluate: Callable[[NDArray[np.bool_]], Rows]
    known: dict[bytes, Rows] = field(default_factory=dict)

    def rows(self, masks: NDArray[np.bool_]) -> Rows:
        """(rows, length), 0 where nothing is masked."""
        keys = [row.tobytes() for row in masks]
        new = {key: row for key, row in zip(keys, masks, strict=True) if key not in self.known}
        if new:
            answers = self.evaluate(np.array(list(new.values())))
            self.known.update(zip(new, answers, strict=True))
        return np.array([self.known[key] for key in keys])


@dataclass(frozen=True, kw_only=True)
class Spread:
    """Of one estimator on one text, over seeds."""

    variance: float
    forwards: float
    ran: str

    @property
    def cost(self) -> float:
        """Variance times forwards: the variance that one forward would leave."""
        return self.variance * self.forwards


def spread(terms: Terms, name: str, samples: int, seeds: int) -> Spread:
    """Runs an estimator with many seeds."""
    estimator: Estimator = resolve("likelihood estimator", ESTIMATORS, name)
    values, forwards, ran = [], [], ""
    for seed in range(seeds):
        plan = estimator(
            Setting(length=terms.length, samples=samples, max_enumeration=6, seed=seed)
        )
        table = terms.rows(plan.masks)
        found = plan.estimate(table if plan.read is None else np.where(plan.read, table, 0.0))
        values.append(found.value)
        forwards.append(len(plan.masks))
        ran = found.estimator
    return Spread(
        variance=float(np.var(values, ddof=1)), forwards=float(np.mean(forwards)), ran=ran
    )


def compare(name: str, texts: Sequence[Terms], samples: int, seeds: int) -> list[str]:
    """One row of the table."""
    base = [spread(terms, PUBLISHED, samples, seeds) for terms in texts]
    cells = [
        name,
        str(texts[0].length),
        str(samples),
        f"{np.mean([each.variance for each in base]) ** 0.5:.2f}",
    ]
    by_name: dict[str, str] = {}
    for estimator in COMPARED:
        found = [spread(terms, estimator, samples, seeds) for terms in texts]
        pooled = sum(each.cost for each in found) / sum(each.cost for each in base)
        ratios = [one.cost / other.cost for one, other in zip(found, base, strict=True)]
        fits = max(each.forwards for each in found) <= samples
        by_name[estimator] = f"{pooled:.2f} / {np.median(ratios):.2f}" if fits else "-"
    chosen = spread(texts[0], "auto", samples, 2).ran
    return [*cells, *by_name.values(), chosen]


def of_pair(denoiser: Denoiser, pair: Pair) -> Terms:
    """A text under a model."""

    def evaluate(masks: NDArray[np.bool_]) -> Rows:
        (answer,) = log_prob_tables(denoiser, [Request(pair=pair, masks=masks)], TOKENS_PER_FORWARD)
        return answer.table

    return Terms(length=pair.target_length, evaluate=evaluate)


def reference_texts(encode: Callable[[str], Ids], length: int, limit: int) -> list[tuple[Ids, Ids]]:
    """Texts of so many tokens, every second one wrong: (context, target)."""
    random = Random(length)
    pools = [list(each) for each in (_answers(encode), _facts(encode), _code(encode, length))]
    found: list[tuple[Ids, Ids]] = []
    for right in (True, False):
        fitting = [
            (context, target)
            for pool in pools
            for context, target, is_right in pool
            if is_right == right and len(target) == length
        ]
        found += random.sample(fitting, min(max(limit // 2, 1), len(fitting)))
    return found


def _answers(encode: Callable[[str], Ids]) -> Iterator[tuple[Ids, Ids, bool]]:
    for path in sorted((DATA_DIR / "mmlu" / "test").glob("*.csv")):
        with path.open(encoding="utf-8") as file:
            for question, *choices, letter in csv.reader(file):
                for index, choice in enumerate(choices):
                    context = encode(f"{question}\nAnswer:")
                    yield context, encode(f" {choice}"), "ABCD"[index] == letter


def _facts(encode: Callable[[str], Ids]) -> Iterator[tuple[Ids, Ids, bool]]:
    for name, right in (("a_forward", True), ("a_forward_randomized", False)):
        for row in _lines(f"reversal/{name}.jsonl"):
            yield encode(row["prompt"]), encode(row["completion"]), right


def _code(encode: Callable[[str], Ids], length: int) -> Iterator[tuple[Ids, Ids, bool]]:
    """The last tokens of a program, its own or another's."""
    rows = list(_lines("humaneval.jsonl"))
    for own, other in zip(rows, [*rows[7:], *rows[:7]], strict=True):
        prompt = encode(own["prompt"])
        for row in (own, other):
            program = encode(row["canonical_solution"])
            if len(program) >= length:
                cut = len(program) - length
                yield prompt + program[:cut], program[cut:], row is own


def _lines(name: str) -> Iterator[dict[str, Any]]:
    for line in (DATA_DIR / name).read_text(encoding="utf-8").splitlines():
        yield json.loads(line)


def noisy_chain(length: int, seed: int) -> Terms:
    """Posteriors of a hidden Markov chain, with normal noise on every logit of every canvas."""
    chain = HiddenMarkovDenoiser.random(seed=seed, answers=Answers(dtype=torch.float64))
    generator = np.random.default_rng(seed)
    text = torch.from_numpy(generator.integers(0, chain.num_symbols, size=length))

    def evaluate(masks: NDArray[np.bool_]) -> Rows:
        where = torch.from_numpy(masks)
        canvases = text.repeat(len(masks), 1)
        canvases[where] = chain.family.mask_id
        logits = chain.logits(canvases)[..., : chain.num_symbols]
        noise = torch.from_numpy(generator.normal(scale=NOISE, size=tuple(logits.shape)))
        terms = (logits + noise).log_softmax(dim=2)[:, torch.arange(length), text]
        return np.where(masks, terms.numpy(), 0.0)

    return Terms(length=length, evaluate=evaluate)


def random_numbers(length: int, seed: int) -> Terms:
    """Exponential numbers, smaller where less is masked."""
    generator = np.random.default_rng(seed)

    def evaluate(masks: NDArray[np.bool_]) -> Rows:
        surer = 0.3 + masks.mean(axis=1, keepdims=True)
        return np.where(masks, -surer * generator.exponential(size=masks.shape), 0.0)

    return Terms(length=length, evaluate=evaluate)


def main() -> None:
    """Prints both tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=60)
    parser.add_argument("--long-seeds", type=int, default=24, help=f"for {LONG} tokens, 0 for none")
    parser.add_argument("--texts", type=int, default=6, help="of each length, half of them wrong")
    parser.add_argument("--long-texts", type=int, default=4)
    parser.add_argument("--threads", type=int, default=1, help="of torch, on a CPU")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    pair = load_pair(REFERENCE, "cpu")
    print_machine(pair, f"{options.seeds} seeds, {options.long_seeds} for {LONG} tokens")
    tokenizer: Any = pair.diffusion.tokenizer

    def encode(text: str) -> Ids:
        ids: Ids = tokenizer.encode(text, add_special_tokens=False)
        return ids

    rows: list[list[str]] = []
    for length in (*LENGTHS, *([LONG] if options.long_seeds else [])):
        limit = options.long_texts if length == LONG else options.texts
        texts = [
            of_pair(pair.diffusion, build_pair(pair.diffusion, index, context, target))
            for index, (context, target) in enumerate(reference_texts(encode, length, limit))
        ]
        seeds = options.long_seeds if length == LONG else options.seeds
        rows += [
            compare("reference", texts, samples, seeds)
            for samples in (LONG_BUDGETS if length == LONG else BUDGETS)
            if 2**length - 1 > samples
        ]
    print_table(HEADER, rows)
    print_table(
        HEADER,
        [
            compare(name, [make(length, seed) for seed in range(3)], samples, options.seeds)
            for name, make in (("noisy chain", noisy_chain), ("random", random_numbers))
            for length in (7, 12)
            for samples in BUDGETS
            if 2**length - 1 > samples
        ],
    )


if __name__ == "__main__":
    main()
