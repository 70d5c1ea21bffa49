"""The one page of names. Values are "module:attribute" strings, resolved only when asked for.

The core reaches `adapters/` and `tasks/` through this page alone, so importing it costs nothing.
"""

import sys
from importlib import import_module
from pathlib import Path
from typing import Any

from dllm_eval.errors import UsageError, unknown

LM_EVAL_MODELS = {
    "dllm": "dllm_eval.adapters.diffusion:DiffusionLM",
    "dllm-ar": "dllm_eval.adapters.autoregressive:AutoregressiveLM",
    "dllm-api": "dllm_eval.adapters.api:ApiLM",
    "dllm-engine": "dllm_eval.adapters.engine:EngineLM",
}
"""lm-eval model names. The same stand in pyproject.toml as entry points; a test compares."""

FORECASTS = {
    "dllm": "dllm_eval.adapters.forecast:diffusion",
    "dllm-ar": "dllm_eval.adapters.forecast:autoregressive",
    "dllm-api": "dllm_eval.adapters.api_forecast:forwards",
    "dllm-engine": "dllm_eval.adapters.engine_forecast:forwards",
}
"""lm-eval model name -> function of its arguments that tells what a request will cost."""

ARGUMENTS = {
    "dllm": "dllm_eval.adapters.argument_groups:diffusion",
    "dllm-ar": "dllm_eval.adapters.argument_groups:autoregressive",
    "dllm-api": "dllm_eval.adapters.argument_groups:api",
    "dllm-engine": "dllm_eval.adapters.argument_groups:engine",
}
"""lm-eval model name -> function that tells its arguments by subject, for the documentation."""

COSTS = {"dllm-api": "dllm_eval.adapters.api_forecast:dollars"}
"""lm-eval model name -> function of its arguments that tells what a request is billed at most."""

LENGTHS = {
    "readable": "dllm_eval.adapters.lengths:readable",
    "chat_template": "dllm_eval.adapters.lengths:chat_template",
}
"""What is asked of a checkpoint folder's tokenizer before anything is loaded."""

TASK_DATA = {"places": "dllm_eval.tasks.places:places_of"}
"""What is asked of a task's YAML about its data before anything is read."""

FAMILIES = {
    "llada": "dllm_eval.adapters.llada:load",
    "llada2": "dllm_eval.adapters.llada2:load",
    "llada21": "dllm_eval.adapters.llada2:load_editing",
    "nbdiff": "dllm_eval.adapters.nbdiff:load",
    "dream": "dllm_eval.adapters.dream:load",
    "dreamon": "dllm_eval.adapters.dream:load_dreamon",
    "wedlm": "dllm_eval.adapters.wedlm:load",
    "sdar": "dllm_eval.adapters.sdar:load",
    "fast_dllm_v2": "dllm_eval.adapters.fast_dllm_v2:load",
    "mdlm": "dllm_eval.adapters.mdlm:load",
    "sedd": "dllm_eval.adapters.sedd:load",
    "bd3lm": "dllm_eval.adapters.bd3lm:load",
    "d3pm": "dllm_eval.adapters.d3pm:load",
    "plaid": "dllm_eval.adapters.plaid:load",
    "diffusion_lm": "dllm_eval.adapters.diffusion_lm:load",
    "diffusion_gemma": "dllm_eval.adapters.diffusion_gemma:load",
}
"""Family name -> loader(folder, *, dtype, device) -> a model (see `loading.LoadedModel`)."""

MODEL_TYPES = {
    "llada": "llada",
    "llada2_moe": "llada2",
    "llada21_moe": "llada21",
    "PanguEmbedded": "nbdiff",
    "Dream": "dream",
    "wedlm": "wedlm",
    "sdar": "sdar",
    "sdar_moe": "sdar",
    "Fast_dLLM_Qwen": "fast_dllm_v2",
    "mdlm": "mdlm",
    "bd3lm": "bd3lm",
    "d3pm": "d3pm",
    "plaid": "plaid",
    "diffusion_lm": "diffusion_lm",
    "diffusion_gemma": "diffusion_gemma",
}
"""`model_type` in a checkpoint's config.json -> family name."""

TRAINABLE = {
    "llada": "dllm_eval.adapters.weight_names:llada_names",
    "dream": "dllm_eval.adapters.weight_names:dream_names",
}
"""Family name -> function of a folder that names its tensors, of families with a training rule."""

SHARED_MODEL_TYPES = {"llada2_moe": ("llada2", "llada21")}
"""`model_type` -> the families that publish it alike, between which a checkpoint does not say."""

ESTIMATORS = {
    "auto": "dllm_eval.likelihood.auto:auto",
    "single_token": "dllm_eval.likelihood.exact:single_token",
    "enumeration": "dllm_eval.likelihood.exact:enumeration",
    "monte_carlo": "dllm_eval.likelihood.monte_carlo:monte_carlo",
    "control_variate": "dllm_eval.likelihood.control_variate:control_variate",
    "end_strata": "dllm_eval.likelihood.end_strata:end_strata",
    "random_order": "dllm_eval.likelihood.random_order:random_order",
    "left_to_right": "dllm_eval.likelihood.left_to_right:left_to_right",
    "right_to_left": "dllm_eval.likelihood.left_to_right:right_to_left",
    "policy": "dllm_eval.likelihood.policy:policy",
    "importance_bound": "dllm_eval.likelihood.random_order:importance_bound",
    "upper_bound": "dllm_eval.likelihood.random_order:upper_bound",
    "bernoulli_time": "dllm_eval.likelihood.bernoulli_time:bernoulli_time",
    "llada_mc": "dllm_eval.likelihood.published:llada_mc",
    "dream_mc": "dllm_eval.likelihood.published:dream_mc",
    "pseudo_likelihood": "dllm_eval.likelihood.no_likelihood:pseudo_likelihood",
    "one_step": "dllm_eval.likelihood.no_likelihood:one_step",
    "score_entropy": "dllm_eval.likelihood.score_entropy:score_entropy",
    "discrete_time": "dllm_eval.likelihood.discrete_time:discrete_time",
    "latent_bound": "dllm_eval.likelihood.latent_bound:latent_bound",
}
"""Likelihood estimator name -> function of a `Setting`, see `likelihood/plan.py`; the bounds that
are no functional of mask sets are functions of (denoiser, pairs, seeds, config)."""


def resolve(kind: str, table: dict[str, str], name: str) -> Any:  # noqa: ANN401 - any object has a name
    """The object a name stands for; an unknown name is a `UsageError` that lists the known ones."""
    if name not in table:
        raise unknown(kind, name, table)
    module, attribute = table[name].split(":")
    return getattr(import_module(module), attribute)


def family_loader(name: str) -> Any:  # noqa: ANN401 - a loader, see `FAMILIES`
    """The loader of a family, by its name here or as "module:function" of anybody's own.

    The module may lie in the current folder, which a command does not search by itself.

    Raises:
        UsageError: No such family, module or function.
    """
    if ":" not in name:
        return resolve("family", FAMILIES, name)
    module, _, attribute = name.partition(":")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)
    try:
        return getattr(import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise UsageError(
            f"family {name!r} is not a function that can be imported: {error}"
        ) from error


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
