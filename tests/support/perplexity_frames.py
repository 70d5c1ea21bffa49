"""Perplexities of two models, as made-up results: a diffusion model's bounds beside an AR model."""

import math
from typing import Any

import numpy as np
import pandas as pd

from dllm_eval.stats.analysis import TaskAnalysis, analyse
from dllm_eval.stats.tables import task_tables

NUM_TEXTS = 40
WORDS = 20
SAMPLES = (4, 16)


def cell(name: str, purpose: str) -> dict[str, Any]:
    """One of the AR model ("ar"), or of a number of samples."""
    autoregressive = name == "ar"
    return {
        "cell_id": f"{name}-{purpose}",
        "config_id": name,
        "model": "Made-up AR" if autoregressive else "Made-up diffusion",
        "kind": "autoregressive" if autoregressive else "diffusion",
        "task": "texts",
        "suite": "Perplexity",
        "metric": "word_perplexity",
        "filter": "none",
        "chance": 0.0,
        "purpose": purpose,
        "dial": "" if autoregressive else "samples",
        "dial_value": math.nan if autoregressive else float(name),
        "settings": {} if autoregressive else {"mc_samples": int(name)},
        "batch_size": 1,
        "seed": 0,
        "machine": "laptop",
        "stack": "torch",
        "provenance": {"machine": {"threads": 1}},
        "done": {},
        "finished": True,
        "failed": "",
        "folder": "",
        "variant": "",
        "lower_is_better": True,
    }


def perplexity_frames(
    *, timed: bool, lead: float, quantity: str = "elbo", busy: tuple[str, ...] = ()
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Cells, requests and scores.

    Args:
        timed: Whether there are latency cells.
        lead: Nats per word by which diffusion's best is better than AR; negative where worse.
        quantity: What diffusion's values are.
        busy: The settings that were timed on a busy machine.
    """
    cells, requests, scores = [], [], []
    for name in ("ar", *map(str, SAMPLES)):
        nats = 2.0 - (0.0 if name == "ar" else lead - 0.1 * (name == "4"))
        noise = np.random.default_rng(len(name)).normal(scale=0.05, size=NUM_TEXTS)
        own = [cell(name, x) for x in ("quality", *(("latency",) if timed else ()))]
        cells += own
        seconds = 0.02 if name == "ar" else 0.005 * int(name)
        for one in own:
            requests += [
                {
                    "cell_id": one["cell_id"],
                    "key": str(number),
                    "task": "texts",
                    "doc_id": number,
                    "index": 0,
                    "request_type": "loglikelihood_rolling",
                    "visible_tokens": 25,
                    "canvas_tokens": 25,
                    "nfe": 1 if name == "ar" else int(name),
                    "positions": 100,
                    "seconds": seconds * (1 + 0.01 * (number % 7)),
                    "cpu_seconds": seconds * (0.3 if name in busy else 1.0),
                    "estimator": "exact" if name == "ar" else "monte_carlo",
                    "quantity": "log_likelihood" if name == "ar" else quantity,
                    "infill": None,
                    "infill_length": None,
                    "value": -WORDS * (nats + noise[number]),
                    "stderr": 0.0,
                    "exact": name == "ar",
                }
                for number in range(NUM_TEXTS)
            ]
        scores += [
            {
                "cell_id": f"{name}-quality",
                "task": "texts",
                "doc_id": number,
                "metric": "word_perplexity",
                "filter": "none",
                "value": math.exp(nats + noise[number]),
                "weight": float(WORDS),
            }
            for number in range(NUM_TEXTS)
        ]
    return pd.DataFrame(cells), pd.DataFrame(requests), pd.DataFrame(scores)


def perplexities(
    *, timed: bool, lead: float, quantity: str = "elbo", busy: tuple[str, ...] = ()
) -> TaskAnalysis:
    """The same, analysed."""
    (table,) = task_tables(*perplexity_frames(timed=timed, lead=lead, quantity=quantity, busy=busy))
    return analyse(table, replicates=300)
