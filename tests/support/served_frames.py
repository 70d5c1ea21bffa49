"""Made-up results of one machine, its engines and an API, side by side, with a story that is known.

On "laptop" a diffusion model and an AR model in several tiers run in process, and two engines were
started by the harness; Mercury answers over an API by its reasoning effort and reports neither
forward passes nor canvases. Everybody knows the same documents but for a few: speed decides.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from served_rows import API as API
from served_rows import API_STACK as API_STACK
from served_rows import AUTOREGRESSIVE as AUTOREGRESSIVE
from served_rows import COMPILED as COMPILED
from served_rows import DIFFUSION as DIFFUSION
from served_rows import EAGER as EAGER
from served_rows import EFFORTS as EFFORTS
from served_rows import LAPTOP as LAPTOP
from served_rows import LOCAL_STACK as LOCAL_STACK
from served_rows import LOOKUP as LOOKUP
from served_rows import MERCURY as MERCURY
from served_rows import SGLANG_STACK as SGLANG_STACK
from served_rows import SGLANG_TIER as SGLANG_TIER
from served_rows import STATIC as STATIC
from served_rows import STEPS as STEPS
from served_rows import TIER_SECONDS as TIER_SECONDS
from served_rows import TIER_SETTINGS as TIER_SETTINGS
from served_rows import VLLM_STACK as VLLM_STACK
from served_rows import VLLM_TIER as VLLM_TIER
from served_rows import Placed as Placed
from served_rows import api_rows as api_rows
from served_rows import engine_autoregressive as engine_autoregressive
from served_rows import engine_diffusion as engine_diffusion
from served_rows import everything as everything
from served_rows import local_autoregressive as local_autoregressive
from served_rows import local_diffusion as local_diffusion


@dataclass(kw_only=True)
class ServedFrames:
    """Grows row by row; `frames` are what a report is made from."""

    documents: int = 60
    timed: int = 30
    task: str = "made_code"
    suite: str = "Code, made up"
    cells: list[dict[str, Any]] = field(default_factory=list)
    requests: list[dict[str, Any]] = field(default_factory=list)
    scores: list[dict[str, Any]] = field(default_factory=list)
    generator: np.random.Generator = field(default_factory=lambda: np.random.default_rng(11))

    def add(self, placed: Placed) -> str:
        """The quality and latency cell of one setting; returns the quality cell's id."""
        told = "-".join(f"{k}={v}" for k, v in sorted(placed.settings.items()))
        config = f"{placed.model}-{placed.placement}-{told}".replace(" ", "_")
        for purpose in ("quality", "latency") if placed.timed else ("quality",):
            cell = self._cell(placed, config, purpose)
            self.cells.append(cell)
            for doc in range(self.documents if purpose == "quality" else self.timed):
                self.requests.append(self._request(placed, cell, doc))
                if purpose == "quality":
                    self.scores.append(self._score(placed, cell, doc))
        return f"{config}-quality"

    def _cell(self, placed: Placed, config: str, purpose: str) -> dict[str, Any]:
        return {
            "cell_id": f"{config}-{purpose}",
            "config_id": config,
            "folder": "results",
            "model": placed.model,
            "kind": placed.kind,
            "task": self.task,
            "suite": self.suite,
            "metric": "pass@1",
            "filter": "none",
            "chance": 0.0,
            "purpose": purpose,
            "dial": placed.dial,
            "dial_value": float(placed.settings.get(placed.dial, "nan")),
            "settings": placed.settings,
            "limit": self.documents,
            "batch_size": 1 if purpose == "latency" else 8,
            "seed": 0,
            "num_fewshot": None,
            "apply_chat_template": False,
            "placement": placed.placement,
            "tier": placed.tier,
            "load_in_flight": float("nan"),
            "load_arrivals_per_s": float("nan"),
            "machine": placed.machine,
            "stack": placed.stack,
            "provenance": provenance(placed),
            "done": {"seconds": 1.0},
            "finished": True,
            "failed": "",
            "imported": False,
            "variant": "",
        }

    def _request(self, placed: Placed, cell: dict[str, Any], doc: int) -> dict[str, Any]:
        diffusion, visible = placed.kind == "diffusion", 6 + doc % 9
        forwards = int(placed.settings.get("steps", visible))
        served = placed.placement != "local"
        tokens = [] if served else list(range(visible))
        counts = {
            "visible_tokens": visible,
            "canvas_tokens": 32 if diffusion else visible,
            "nfe": forwards if diffusion else visible,
            "positions": 40 * forwards,
        }
        return {
            "cell_id": cell["cell_id"],
            "key": f"{self.task}-{doc}",
            "task": self.task,
            "doc_id": doc,
            "index": 0,
            "request_type": "generate_until",
            "model": placed.kind,
            "prompt_tokens": 9 if placed.reported else None,
            **(counts if placed.reported else dict.fromkeys(counts)),
            "seconds": placed.seconds * float(self.generator.uniform(0.95, 1.05)),
            "cpu_seconds": None,
            "repeat_seconds": [],
            "batch_size": cell["batch_size"],
            "seed": 0,
            "stop_reason": "stop",
            "host_syncs": 0,
            "cache": None,
            "draft_nfe": None,
            "draft_positions": None,
            "reasoning_tokens": 40 if placed.placement == "api" else None,
            "first_text_s": 0.4 * placed.seconds if served else None,
            "tries": 1 + (doc % 10 == 9) if served else None,
            "flag": "reasoning_limit" if placed.placement == "api" and doc % 20 == 7 else None,
            "offered_s": None,
            "prompt_end": f"prompt {doc}",
            "suffix_start": "",
            "response": f"answer {doc}",
            "tokens": tokens,
            "pieces": [f" w{i}" for i in tokens],
            "reveal_step": [i % forwards for i in tokens],
            "infill": None,
            "infill_length": None,
            "value": None,
            "stderr": None,
            "exact": None,
            "quantity": None,
            "estimator": None,
            "samples": None,
            "is_greedy": None,
        }

    def _score(self, placed: Placed, cell: dict[str, Any], doc: int) -> dict[str, Any]:
        # The first documents are the easy ones, for everybody.
        return {
            "cell_id": cell["cell_id"],
            "task": self.task,
            "doc_id": doc,
            "metric": "pass@1",
            "filter": "none",
            "value": float(doc < round(placed.quality * self.documents)),
        }

    @property
    def frames(self) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
        """Cells, requests, scores; what a server does not report is NaN, as from a file."""
        requests = pd.DataFrame(self.requests)
        numbers = ["prompt_tokens", "visible_tokens", "canvas_tokens", "nfe", "positions"]
        numbers += ["first_text_s", "tries", "reasoning_tokens", "draft_nfe", "draft_positions"]
        numbers += ["offered_s", "cpu_seconds"]
        requests = requests.assign(
            **{x: pd.to_numeric(requests[x], errors="coerce") for x in numbers}
        )
        return pd.DataFrame(self.cells), requests, pd.DataFrame(self.scores)


def served_frames(
    rows: Sequence[Placed], *, documents: int = 60, timed: int = 30
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """The frames of these settings on one suite."""
    build = ServedFrames(documents=documents, timed=timed)
    for row in rows:
        build.add(row)
    return build.frames


def provenance(placed: Placed) -> dict[str, Any]:
    """What a cell says of its origin, as SEAM's keys have it."""
    engine = {"local": None, "api": None, "engine": placed.stack}[placed.placement]
    at: dict[str, Any] = {"kind": placed.placement}
    if placed.placement != "local":
        host = placed.machine if placed.placement == "api" else "127.0.0.1:30000"
        at |= {"engine": engine, "host": host, "started_here": placed.started_here}
    api = placed.placement == "api"
    prices = {"input_usd_per_million": 0.25, "output_usd_per_million": 0.75, "source": "made up"}
    return {
        "versions": {"torch": "2.13.0", "transformers": "5.23.0"},
        "machine": {"name": placed.machine},
        "placement": at,
        "stack": placed.stack,
        "tier": placed.tier or None,
        "prices": prices if api else None,
        "served_model": "mercury-2" if api else None,
        "fingerprint": "fp_made_up" if api else None,
        "model": {"name": "dllm-api" if api else "dllm", "arguments": dict(placed.settings)},
        "tasks": {"made_code": {"version": 1.0, "num_fewshot": 0, "metadata": {}}},
    }
