"""The one page of names. Values are "module:attribute" strings, resolved only when asked for.

The core reaches `adapters/` and `tasks/` through this page alone, so importing it costs nothing.
"""

from importlib import import_module
from pathlib import Path
from typing import Any

from dllm_eval.errors import unknown

LM_EVAL_MODELS = {
    "dllm": "dllm_eval.adapters.diffusion:DiffusionLM",
    "dllm-ar": "dllm_eval.adapters.autoregressive:AutoregressiveLM",
}
"""lm-eval model names. The same two stand in pyproject.toml as entry points; a test compares."""

FAMILIES = {
    "llada": "dllm_eval.adapters.llada:load",
}
"""Family name -> loader(folder, *, dtype, device) -> a model (see `loading.LoadedModel`)."""

MODEL_TYPES = {
    "llada": "llada",
}
"""`model_type` in a checkpoint's config.json -> family name."""

ESTIMATORS = {
    "auto": "dllm_eval.likelihood.auto:auto",
    "single_token": "dllm_eval.likelihood.exact:single_token",
    "enumeration": "dllm_eval.likelihood.exact:enumeration",
    "monte_carlo": "dllm_eval.likelihood.monte_carlo:monte_carlo",
    "control_variate": "dllm_eval.likelihood.control_variate:control_variate",
}
"""Likelihood estimator name -> function of a `Setting`; see `likelihood/plan.py`."""


def resolve(kind: str, table: dict[str, str], name: str) -> Any:  # noqa: ANN401 - any object has a name
    """The object a name stands for; an unknown name is a `UsageError` that lists the known ones."""
    if name not in table:
        raise unknown(kind, name, table)
    module, attribute = table[name].split(":")
    return getattr(import_module(module), attribute)


def tasks_folder() -> Path:
    """The folder of task YAMLs, to go on lm-eval's include path."""
    module = import_module("dllm_eval.tasks")
    return Path(str(module.__file__)).parent


def register_with_lm_eval() -> None:
    """Adds our models to lm-eval's registry; calling it again does nothing.

    lm-eval imports its own models only while its registry is empty, so they are imported first.
    """
    import_module("lm_eval.models")
    model_registry = import_module("lm_eval.api.registry").model_registry
    for name, target in LM_EVAL_MODELS.items():
        if name not in model_registry:
            model_registry.register(name, target=target)
