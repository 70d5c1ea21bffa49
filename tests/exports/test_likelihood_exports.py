"""A bound and seconds of a busy machine say so where they leave the tool."""

import json
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import metadata_load
from perplexity_frames import perplexity_frames

from dllm_eval.exports.leaderboard import leaderboard_result
from dllm_eval.exports.model_card import model_card
from dllm_eval.exports.settings import ModelSetting, model_settings
from dllm_eval.sweep.store import FileTexts, Results


def exported(*, busy: tuple[str, ...] = ()) -> dict[str, ModelSetting]:
    """By kind; of diffusion the one of 16 samples."""
    cells, requests, scores = perplexity_frames(timed=True, lead=-1.0, busy=busy)
    results = Results(cells=cells, requests=requests, scores=scores, texts=FileTexts({}))
    found = model_settings(results)
    return {x.kind: x for x in found if x.settings.get("mc_samples") != 4}


def entries(setting: ModelSetting, folder: Path) -> Any:
    path = folder / "card.md"
    path.write_text(model_card(setting), encoding="utf-8")
    front = metadata_load(path)
    assert front is not None
    return front["model-index"][0]["results"][0]


def test_a_card_of_a_perplexity_is_of_no_text_generation(tmp_path: Path) -> None:
    own = entries(exported()["diffusion"], tmp_path)
    assert own["task"]["type"] == "language-modeling"
    quality, latency = own["metrics"]
    assert quality["type"] == "word_perplexity"
    assert quality["name"].startswith("word_perplexity (a bound: an ELBO")
    assert quality["args"]["quantity"] == "bound"
    assert "†" not in latency["name"]


def test_an_exact_value_is_called_no_bound(tmp_path: Path) -> None:
    quality = entries(exported()["autoregressive"], tmp_path)["metrics"][0]
    assert (quality["name"], quality["args"]["quantity"]) == ("word_perplexity", "exact")


def test_busy_seconds_leave_the_tool_with_their_mark(tmp_path: Path) -> None:
    found = exported(busy=("16",))
    latency = entries(found["diffusion"], tmp_path)["metrics"][1]
    assert latency["name"].startswith("† p50 latency")
    assert "nothing is claimed" in latency["name"]
    told = leaderboard_result(found["diffusion"])
    assert told["latency"]["tasks"]["texts"]["machine_busy"] is True
    assert told["quantities"] == {"texts": "bound"}
    idle = leaderboard_result(found["autoregressive"])
    assert "machine_busy" not in json.dumps(idle)


@pytest.mark.parametrize("busy", [(), ("16",)])
def test_seconds_are_those_of_the_records(busy: tuple[str, ...], tmp_path: Path) -> None:
    metrics = entries(exported(busy=busy)["diffusion"], tmp_path)["metrics"]
    assert metrics[1]["value"] == pytest.approx(0.005 * 16 * 1.03, rel=0.01)
