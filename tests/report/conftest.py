"""Made-up results frames with a known story: two models, five suites, seven step counts."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pytest

STEPS = (1, 2, 4, 8, 12, 17, 32)
CHOICES = 4
SUITES = {
    "ref_humaneval": ("Code by instruction", "pass@1", 0.0),
    "ref_infilling": ("Infilling", "pass@1", 0.0),
    "ref_reversal": ("Reversal curse", "exact_match", 0.0),
    "ref_reversal_forward": ("Facts, trained direction", "exact_match", 0.0),
    "ref_mmlu": ("Multiple choice", "acc", 0.25),
}
CEILING = {"ref_humaneval": 0.9, "ref_infilling": 0.95, "ref_reversal": 0.55, "ref_mmlu": 0.6}
WORDS = ["def", " solve", "(", "x", ")", ":", "\n", "    return", " x", " +", " 1", "\n"]


@dataclass(frozen=True, kw_only=True)
class Frames:
    cells: pd.DataFrame
    requests: pd.DataFrame
    scores: pd.DataFrame


def quality_of(task: str, kind: str, steps: int) -> float:
    if task == "ref_mmlu":
        return 0.58 + 0.02 * (kind == "autoregressive") - 0.1 / steps
    if kind == "autoregressive":
        return 0.02 if task == "ref_reversal" else 0.97
    return CEILING.get(task, 0.98) * (1 - math.exp(-steps / 6))


def seconds_of(kind: str, steps: int) -> float:
    return 0.040 if kind == "autoregressive" else 0.002 + 0.0019 * steps


class Builder:
    def __init__(self, documents: int, seed: int) -> None:
        self.documents = documents
        self.generator = np.random.default_rng(seed)
        self.difficulty = {task: self.generator.random(documents) for task in SUITES}
        self.cells: list[dict[str, Any]] = []
        self.requests: list[dict[str, Any]] = []
        self.scores: list[dict[str, Any]] = []

    def setting(self, task: str, kind: str, steps: int, machine: str) -> None:
        model = "reference-diffusion" if kind == "diffusion" else "reference-ar"
        title, metric, chance = SUITES[task]
        dial = ("samples" if task == "ref_mmlu" else "steps") if kind == "diffusion" else ""
        config = f"{task}-{model}-{steps}-{machine}"
        turned = {"samples": "mc_samples"}.get(dial, dial)
        settings = {"sampler": "low_confidence", turned: steps, "gen_length": 32}
        for purpose in ("quality", "latency"):
            cell = {
                "cell_id": f"{config}-{purpose}",
                "config_id": config,
                "folder": "results",
                "model": model,
                "kind": kind,
                "task": task,
                "suite": title,
                "metric": metric,
                "filter": "none",
                "chance": chance,
                "purpose": purpose,
                "dial": dial,
                "dial_value": float(steps) if dial else float("nan"),
                "settings": settings if dial else {"cache": "dynamic"},
                "limit": self.documents,
                "batch_size": 1 if purpose == "latency" else 16,
                "seed": 0,
                "machine": machine,
                "stack": "transformers 5.23 eager float32",
                "provenance": {"torch": "2.13.0", "weights_hash": "abc123", "machine": machine},
                "finished": True,
            }
            self.cells.append(cell)
            documents = 24 if purpose == "latency" else self.documents
            for doc in range(documents):
                spread = float(self.generator.normal(1, 0.04))
                seconds = seconds_of(kind, steps) * max(spread, 0.5)
                choices = CHOICES if task == "ref_mmlu" else 1
                for index in range(choices):
                    self.request(cell, doc, index, steps, seconds / choices)
                if purpose == "quality":
                    self.score(cell, doc, steps)

    def right(self, cell: dict[str, Any], doc: int, steps: int) -> bool:
        task = cell["task"]
        return bool(self.difficulty[task][doc] < quality_of(task, cell["kind"], steps))

    def request(
        self, cell: dict[str, Any], doc: int, index: int, steps: int, seconds: float
    ) -> None:
        task, kind = cell["task"], cell["kind"]
        likelihood = task == "ref_mmlu"
        diffusion = kind == "diffusion"
        right = self.right(cell, doc, steps)
        visible = 0 if likelihood else 18 + doc % 5
        canvas = 0 if likelihood else (32 if diffusion else visible)
        pieces = [] if likelihood else [WORDS[i % len(WORDS)] for i in range(canvas)]
        self.requests.append(
            {
                "cell_id": cell["cell_id"],
                "key": f"{task}-{doc}-{index}",
                "task": task,
                "doc_id": doc,
                "index": index,
                "request_type": "loglikelihood" if likelihood else "generate_until",
                "model": kind,
                "prompt_tokens": 7777,
                "visible_tokens": visible,
                "canvas_tokens": canvas,
                "nfe": steps if diffusion else max(canvas, 1),
                "positions": 48 * steps if diffusion else canvas + 16,
                "seconds": seconds,
                "repeat_seconds": [],
                "batch_size": cell["batch_size"],
                "seed": 0,
                "stop_reason": "" if likelihood else "eos",
                "host_syncs": 0,
                "response": "".join(pieces[:visible]) + ("" if right else " <script>oops"),
                "tokens": list(range(canvas)),
                "pieces": pieces,
                "reveal_step": [(i * 7) % steps if diffusion else i for i in range(canvas)],
                "infill": None,
                "infill_length": None,
                "value": -1.0 if likelihood else None,
                "stderr": (0.3 / steps if diffusion else 0.0) if likelihood else None,
                "exact": (not diffusion) if likelihood else None,
                "quantity": ("elbo" if diffusion else "log_likelihood") if likelihood else None,
                "estimator": ("monte_carlo" if diffusion else "causal") if likelihood else None,
                "samples": steps if likelihood else None,
                "is_greedy": None,
            }
        )

    def score(self, cell: dict[str, Any], doc: int, steps: int) -> None:
        self.scores.append(
            {
                "cell_id": cell["cell_id"],
                "task": cell["task"],
                "doc_id": doc,
                "metric": cell["metric"],
                "filter": "none",
                "value": float(self.right(cell, doc, steps)),
            }
        )

    def frames(self) -> Frames:
        return Frames(
            cells=pd.DataFrame(self.cells),
            requests=pd.DataFrame(self.requests),
            scores=pd.DataFrame(self.scores),
        )


def synthetic(
    *,
    documents: int = 100,
    machines: tuple[str, ...] = ("cpu, 2 threads",),
    seed: int = 3,
    suites: tuple[str, ...] = tuple(SUITES),
) -> Frames:
    builder = Builder(documents, seed)
    for task in suites:
        for machine in machines:
            for steps in STEPS:
                builder.setting(task, "diffusion", steps, machine)
            builder.setting(task, "autoregressive", 1, machine)
    return builder.frames()


@pytest.fixture(scope="session")
def frames() -> Frames:
    return synthetic(suites=("ref_humaneval", "ref_reversal", "ref_mmlu"))


@pytest.fixture(scope="session")
def two_machines() -> Frames:
    return synthetic(machines=("cpu, 2 threads", "H200"), suites=("ref_humaneval",), documents=30)


@pytest.fixture(scope="session")
def one_suite() -> Frames:
    return synthetic(suites=("ref_humaneval",), documents=30)
