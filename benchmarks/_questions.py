"""Multiple-choice questions for the benchmarks of likelihood: the reference pair's, and simulated.

Knows lm-eval's tasks, token ids and chains of given draws; scores nothing. `likelihood_racing.py`
and `likelihood_flips.py` call it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from lm_eval.tasks import TaskManager
from numpy.typing import NDArray

from dllm_eval.denoiser import ModelDenoiser
from dllm_eval.likelihood.chain import Chain
from dllm_eval.likelihood.config import LikelihoodConfig
from dllm_eval.likelihood.core import Scored
from dllm_eval.likelihood.pair import Pair
from dllm_eval.likelihood.plan import Estimate, Plan, Sampling, Table
from dllm_eval.likelihood.question import Question
from dllm_eval.likelihood.race import first_round, going_on, next_round
from dllm_eval.registry import tasks_folder

Values = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Choices:
    """One question of a task."""

    pairs: tuple[tuple[list[int], list[int]], ...]
    """Token ids of (context, target), one for each choice."""
    characters: tuple[float, ...]
    right: int


def questions_of(task_name: str, model: ModelDenoiser) -> list[Choices]:
    """All questions of one of our tasks, as lm-eval asks them."""
    manager = TaskManager(include_path=str(tasks_folder()), include_defaults=False)
    task: Any = manager.load([task_name])["tasks"][task_name]
    task.build_all_requests()
    by_document: dict[int, list[tuple[str, str]]] = {}
    for request in task.instances:
        by_document.setdefault(request.doc_id, []).append(request.args)
    out = []
    for number, asked in by_document.items():
        doc = task.eval_docs[number]
        out.append(
            Choices(
                pairs=tuple(_ids(model, *texts) for texts in asked),
                characters=tuple(float(len(choice)) for choice in task.doc_to_choice(doc)),
                right=int(task.doc_to_target(doc)),
            )
        )
    return out


def _ids(model: ModelDenoiser, context: str, continuation: str) -> tuple[list[int], list[int]]:
    tokenizer: Any = model.tokenizer
    before = tokenizer.encode(context, add_special_tokens=False)
    whole = tokenizer.encode(context + continuation, add_special_tokens=False)
    return before, whole[len(before) :]


def raced(choices: Values, config: LikelihoodConfig) -> tuple[int, int]:
    """Answer and draws of a race among choices whose draws are given, (choices, draws)."""
    chains = [_unread(values) for values in choices]
    question = Question(pairs=tuple(range(len(chains))))
    wanted = [first_round(chain, config) for chain in chains]
    going = [True] * len(chains)
    while any(going):
        for index, chain in enumerate(chains):
            if going[index]:
                rows = choices[index, chain.num_draws : wanted[index], None]
                chain.receive([Scored(table=rows, nfe=len(rows), positions=0)])
        going = going_on(question, chains, config)
        wanted = [next_round(chain) for chain in chains]
    answer = int(np.argmax([chain.estimate().value for chain in chains]))
    return answer, sum(chain.num_draws for chain in chains)


def drawn_chain(values: Values) -> Chain:
    """A choice that has made all of these draws."""
    chain = _unread(values)
    rows = values[:, None]
    chain.receive([Scored(table=rows, nfe=len(rows), positions=0)])
    return chain


def _unread(values: Sequence[float] | Values) -> Chain:
    num_draws = len(values)
    sampling = Sampling(rows_after=np.arange(1, num_draws + 1), draws=lambda table: table[:, 0])
    plan = Plan(masks=np.ones((num_draws, 1), dtype=np.bool_), estimate=_mean, sampling=sampling)
    pair = Pair(token_ids=np.zeros(2, dtype=np.int64), target_length=1)
    return Chain(parts=[pair], plans=[plan], group=0, question=0)


def _mean(table: Table) -> Estimate:
    error = float(table.std(ddof=1)) / len(table) ** 0.5 if len(table) > 1 else float("inf")
    return Estimate(
        value=float(table.mean()), stderr=error, exact=False, quantity="elbo", estimator="given"
    )
