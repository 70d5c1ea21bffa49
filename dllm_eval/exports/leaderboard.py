"""Result files as Hugging Face's leaderboards read them, one per model and setting.

The keys `config` (model_name, model_dtype, model_sha) and `results` (task, metric, value) are those
of Hugging Face's leaderboard template, whose reader takes them from any JSON file below the results
folder: README.md and src/leaderboard/read_evals.py (EvalResult.init_from_json_file) as
finos-labs/Open-Financial-LLMs-Leaderboard 002172c carries them. The reader leaves other keys alone;
`versions`, `n-samples` and stderr keys are named as lm-eval names them. `write.py` calls it.
"""

import math
from importlib.metadata import version
from pathlib import Path
from typing import Any

from dllm_eval.exports.settings import ModelSetting, Score, model_settings, plain
from dllm_eval.files import write_json
from dllm_eval.sweep.store import Results


def write_leaderboard(results: Results, folder: Path) -> list[Path]:
    """One file per model and setting, in a folder per model.

    Raises:
        UsageError: Nothing is finished, or a file cannot be written.
    """
    paths = []
    for setting in model_settings(results):
        paths.append(folder / plain(setting.model) / f"results_{setting.file_name}.json")
        write_json(paths[-1], leaderboard_result(setting))
    return paths


def leaderboard_result(setting: ModelSetting) -> dict[str, Any]:
    """The content of one file; scores are as lm-eval gives them, mostly shares of 1."""
    values: dict[str, dict[str, float]] = {}
    for score in setting.scores:
        own = values.setdefault(score.task, {})
        own[score.metric_name] = score.value
        if not math.isnan(score.stderr):
            own[_stderr_name(score)] = score.stderr
    return {
        "config": {
            "model_name": setting.checkpoint,
            "model_dtype": f"torch.{setting.dtype}" if setting.dtype else "",
            "model_sha": setting.revision,
            "model_kind": setting.kind,
            "weights_hash": setting.weights,
            "settings": dict(setting.settings),
            "protocol": setting.protocol,
        },
        "results": values,
        "versions": {score.task: score.version for score in setting.scores},
        "n-samples": {score.task: score.num_documents for score in setting.scores},
        "quantities": {x.task: x.likelihood for x in setting.scores if x.likelihood},
        "protocols": {score.task: dict(score.facts) for score in setting.scores},
        "latency": _latency(setting),
        "source": f"dllm-eval {version('dllm-eval')}",
    }


def _busy(score: Score) -> dict[str, bool]:
    """Seconds of a busy machine say so; those of an idle one are as the reader knows them."""
    return {"machine_busy": True} if score.busy else {}


def _stderr_name(score: Score) -> str:
    metric, comma, kind = score.metric_name.partition(",")
    return f"{metric}_stderr{comma}{kind}"


def _latency(setting: ModelSetting) -> dict[str, Any]:
    """p50 seconds at batch size 1, with the machine without which they mean nothing."""
    timed = {
        score.task: {"p50_s": score.latency_s, "of": f"one {score.unit}", **_busy(score)}
        for score in setting.scores
        if not math.isnan(score.latency_s)
    }
    where = {"machine": setting.machine, "stack": setting.stack}
    # Old records name no tier, and everything ran in process then.
    told = {"tier": setting.tier} if setting.tier else {}
    ran = {"placement": setting.placement} if setting.placement != "local" else {}
    return {**where, **ran, **told, "tasks": timed} if timed else {}
