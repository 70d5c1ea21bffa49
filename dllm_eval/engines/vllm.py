"""vLLM: DiffusionGemma, with its most steps set per request, and autoregressive models.

Facts as data, read in the wheel vllm 0.33.0; calls nothing. DiffusionGemma is the only diffusion
language model in model_executor/models/registry.py.

What the release does, and a reader of its numbers should know: `diffusion_max_steps` of a request
(`vllm_xargs`) is cut to the server's own most steps without a word, and ends a canvas's denoising
there, while the temperature still falls over the server's most steps (add_request and
_denoise_temperature in model_executor/models/diffusion_gemma.py). So a request of 8 steps sees the
first 8 steps of the long schedule, not the schedule in 8 steps, which `max_denoising_steps` of the
server sets. Of the two, the second is what `steps` of `dllm` means. The docs name the request's
field for structured reads only; `adapters/engine.py` therefore checks once whether it does
anything.
"""

from dllm_eval.engines.engine import Chosen, Engine
from dllm_eval.engines.setting import Setting
from dllm_eval.errors import UsageError

_DIFFUSION = "--diffusion-config"
_SPECULATION = "--speculative-config"
_READ_WITH = {
    "max_denoising_steps": "canvas_length",
    "speculation": "speculative_tokens",
    "speculative_tokens": "speculation",
    "prompt_lookup_min": "speculation",
    "prompt_lookup_max": "speculation",
}
"""A configuration of the diffusion without a canvas length leaves the model with none
(config/diffusion.py DiffusionConfig, models/config.py: only a missing one is filled in)."""


def check(chosen: Chosen) -> None:
    """Refuses half a configuration, and steps that the server would cut."""
    for name, other in _READ_WITH.items():
        if name in chosen and other not in chosen:
            raise UsageError(f"argument {name} of engine vllm needs {other} beside it")
    steps, most = chosen.get("steps"), chosen.get("max_denoising_steps", 48)
    if steps is not None and steps > most:  # type: ignore[operator]
        raise UsageError(
            f"argument steps={steps} of engine vllm: the server cuts it to its own most steps, "
            f"{most}; set max_denoising_steps (and canvas_length) to raise that"
        )
    diffusion = chosen.keys() & {"steps", "max_denoising_steps", "canvas_length"}
    if "speculation" in chosen and diffusion:
        raise UsageError(
            f"speculation is for autoregressive models; leave out {', '.join(sorted(diffusion))}"
        )


VLLM = Engine(
    name="vllm",
    package="vllm",
    version_read="0.33.0",
    install="pip install vllm",
    module=("vllm.entrypoints.cli.main", "serve"),
    program=("vllm", "serve"),
    served_name="--served-model-name",
    versions=(("/version", "version"),),
    check=check,
    settings=(
        Setting(
            name="steps",
            kind=int,
            place="request",
            theirs="diffusion_max_steps",
            within="vllm_xargs",
            least=1,
            unset="the server's most steps",
            source="utils/diffusion.py validate_diffusion_sampling_params",
        ),
        Setting(
            name="max_denoising_steps",
            kind=int,
            place="json",
            theirs="max_denoising_steps",
            within=_DIFFUSION,
            least=1,
            unset="the checkpoint's generation_config.json, else 48",
            source="config/diffusion.py; models/diffusion_gemma.py custom_sampler",
        ),
        Setting(
            name="canvas_length",
            kind=int,
            place="json",
            theirs="canvas_length",
            within=_DIFFUSION,
            least=1,
            unset="the checkpoint's config.json, else 256",
            source="config/diffusion.py; models/config.py",
        ),
        Setting(
            name="speculation",
            kind=str,
            place="json",
            theirs="method",
            within=_SPECULATION,
            accepted=("ngram",),
            diffusion=False,
            unset="no speculative decoding",
            source="config/speculative.py SpeculativeConfig.method",
        ),
        Setting(
            name="speculative_tokens",
            kind=int,
            place="json",
            theirs="num_speculative_tokens",
            within=_SPECULATION,
            least=1,
            diffusion=False,
            unset="needed by speculation",
            source="config/speculative.py SpeculativeConfig.num_speculative_tokens",
        ),
        Setting(
            name="prompt_lookup_min",
            kind=int,
            place="json",
            theirs="prompt_lookup_min",
            within=_SPECULATION,
            least=1,
            diffusion=False,
            unset="prompt_lookup_max; 5 where both are missing",
            source="config/speculative.py SpeculativeConfig.__post_init__",
        ),
        Setting(
            name="prompt_lookup_max",
            kind=int,
            place="json",
            theirs="prompt_lookup_max",
            within=_SPECULATION,
            least=1,
            diffusion=False,
            unset="prompt_lookup_min; 5 where both are missing",
            source="config/speculative.py SpeculativeConfig.__post_init__",
        ),
    ),
    families={
        "diffusion_gemma": "DiffusionGemmaForBlockDiffusion (model_executor/models/registry.py)"
    },
    remarks=(
        "At most 8 diffusion requests run at a time unless engine_args has --max-num-seqs.",
        "A request's steps end the server's schedule early; max_denoising_steps shortens it.",
    ),
)
