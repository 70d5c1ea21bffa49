"""The model-index block of a Hugging Face model card, one card per model and setting.

Built and checked by huggingface_hub (`EvalResult`, `ModelCardData`), whose `metadata_update` and
whose hub read it. `write.py` calls it.
"""

import math
from importlib.metadata import version
from pathlib import Path

from huggingface_hub import EvalResult, ModelCardData

from dllm_eval.exports.settings import ModelSetting, Score, model_settings
from dllm_eval.files import write_text
from dllm_eval.stats.contention import MARK
from dllm_eval.sweep.store import Results

BUSY = "timed while the machine was busy: nothing is claimed of it"
TASKS = {
    "loglikelihood": ("multiple-choice", "Multiple Choice"),
    "loglikelihood_rolling": ("language-modeling", "Language Modeling"),
}
"""What was asked for -> a task's type and name; everything that is written is text generation."""
QUANTITIES = {
    "bound": " (a bound: an ELBO, so the true value is at least as good)",
    "neither": " (no likelihood)",
}
HARNESS = "https://github.com/EleutherAI/lm-evaluation-harness"
"""Where the tasks come from; huggingface_hub takes a source's name with an address only."""


def write_model_cards(results: Results, folder: Path) -> list[Path]:
    """One markdown file per model and setting; its front matter is the block.

    Raises:
        UsageError: Nothing is finished, or a file cannot be written.
    """
    paths = []
    for setting in model_settings(results):
        paths.append(folder / f"{setting.file_name}.md")
        write_text(paths[-1], model_card(setting))
    return paths


def model_card(setting: ModelSetting) -> str:
    """A card of nothing but the block, to be merged into the model's own."""
    entries = [entry for score in setting.scores for entry in _entries(setting, score)]
    data = ModelCardData(model_name=setting.checkpoint, eval_results=entries)
    told = ", ".join(f"{key} {value}" for key, value in setting.settings.items())
    return (
        f"---\n{data.to_yaml()}\n---\n\nMeasured by {_source()} with {told or 'no settings'}; "
        f"{setting.protocol}; {setting.machine}, {setting.stack}.\n"
    )


def _source() -> str:
    return f"dllm-eval {version('dllm-eval')}, on lm-evaluation-harness"


def _entries(setting: ModelSetting, score: Score) -> list[EvalResult]:
    metric = score.metric + QUANTITIES.get(score.likelihood or "", "")
    quality = _entry(setting, score, score.metric_name, metric, score.value)
    if math.isnan(score.latency_s):
        return [quality]
    name = f"p50 latency of one {score.unit} in seconds, on {setting.machine}, {setting.stack}"
    if score.busy:
        name = f"{MARK} {name}; {BUSY}"
    return [quality, _entry(setting, score, "latency_p50_s", name, score.latency_s)]


def _entry(
    setting: ModelSetting, score: Score, metric_type: str, metric_name: str, value: float
) -> EvalResult:
    facts = {
        "settings": dict(setting.settings),
        "protocol": setting.protocol,
        "documents": score.num_documents,
        "task_version": score.version,
        **({"quantity": score.likelihood} if score.likelihood else {}),
        **({"asked": dict(score.facts)} if score.facts else {}),
    }
    task_type, task_name = TASKS.get(score.request_type, ("text-generation", "Text Generation"))
    of_quality = metric_type == score.metric_name and not math.isnan(score.stderr)
    return EvalResult(
        task_type=task_type,
        task_name=task_name,
        dataset_type=score.task,
        dataset_name=score.suite,
        metric_type=metric_type,
        metric_name=metric_name,
        metric_value=value,
        metric_args={**facts, "stderr": score.stderr} if of_quality else facts,
        source_name=_source(),
        source_url=HARNESS,
    )
