"""Shared fixtures: the training log of each shipped model."""

import json
from typing import Any

import pytest

from dllm_eval.reference import AR_DIR, DIFFUSION_DIR


@pytest.fixture(params=[DIFFUSION_DIR, AR_DIR], ids=["diffusion", "ar"])
def training_log(request: pytest.FixtureRequest) -> dict[str, Any]:
    """The ``training.json`` of one model, with its folder under ``folder``."""
    log: dict[str, Any] = json.loads((request.param / "training.json").read_text("utf-8"))
    return {**log, "folder": request.param}
