"""Diffusion-LM (arXiv 2205.14217): Gaussian noise on word embeddings, rounded back to words.

No checkpoint was published. Loads what `convert/diffusion_lm.py` makes of a training folder:
config.json, safetensors under the training's names, and tokenizer.json. Reached through the
registry alone.
"""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from dllm_eval.attention import positions_of
from dllm_eval.checkpoint import load_weights
from dllm_eval.families import NO_MASK, Family
from dllm_eval.processes.latent_chain import SteppedChain
from dllm_eval.samplers.latent import LatentPrediction

from .bodies.body import from_zero
from .bodies.diffusion_lm import DiffusionLmBody, DiffusionLmShape
from .entries import check_counts, check_multiples, check_values, read_entries, stated_id
from .tokens import load_tokenizer

EXPRESSIBLE: dict[str, tuple[Any, ...]] = {
    "model_arch": ("transformer",),
    "training_mode": ("e2e",),
    "predict_xstart": (True,),
    "learn_sigma": (False,),
    "class_cond": (False,),
    "experiment_mode": ("lm",),
    "logits_mode": (1,),
    "noise_schedule": ("sqrt", "cosine", "linear"),
    "timestep_respacing": ("",),
}
"""The training settings that the native module expresses; the README's two trainings have them."""
KEPT = ("in_channel", "num_channels", "diffusion_steps", "image_size", "vocab_size")
"""Whole numbers that are taken over from training_args.json."""


class DiffusionLmDenoiser:
    """A loaded Diffusion-LM; fulfils `samplers.latent.LatentDenoiser`."""

    holds_prompts = True

    def __init__(
        self,
        *,
        body: DiffusionLmBody,
        chain: SteppedChain,
        family: Family,
        tokenizer: Any,  # noqa: ANN401 - transformers has no one typed tokenizer class
        rescaled: bool,
    ) -> None:
        self.body = body
        self.chain = chain
        self.family = family
        self.tokenizer = tokenizer
        self.rescaled = rescaled
        self.embeddings = body.word_embedding.weight.float()
        self.device = self.embeddings.device
        self.dtype = body.LayerNorm.weight.dtype
        self.vocab_size, self.latent_width = self.embeddings.shape

    def embed(self, token_ids: Tensor) -> Tensor:
        """(...) ids -> (..., latent_width) float32."""
        return self.embeddings[token_ids]

    def read_out(self, latents: Tensor) -> Tensor:
        """(..., latent_width) clean latents -> (..., vocab) logits (`get_logits`)."""
        return latents @ self.embeddings.T + self.body.lm_head_bias.float()

    def predict(
        self,
        token_ids: Tensor,
        *,
        latents: Tensor,
        valid: Tensor | None = None,
        time: Tensor | None = None,
    ) -> Tensor:
        """One forward pass; see `LatentDenoiser`.

        The clean latents are the embedding nearest to the network's answer: the clamping trick
        (section 4.2 of the paper; test_util.py, denoised_fn_round), which text_sample.py and nll.py
        both apply at every step by default.
        """
        del token_ids  # prompts are held by the rule
        if time is None:
            raise TypeError("a Diffusion-LM is told the time")
        positions = from_zero(latents) if valid is None else positions_of(valid)
        step = (time.double() * self.chain.num_steps).round() - 1
        with torch.inference_mode():
            answer = self.body(
                latents.to(self.dtype),
                step=step * (1000.0 / self.chain.num_steps) if self.rescaled else step,
                mask=None if valid is None else valid[:, None, None, :],
                positions=positions,
            ).float()
            near = (self.embeddings**2).sum(dim=-1) - 2 * answer @ self.embeddings.T
            clean = self.embeddings[near.argmin(dim=-1)]
            # An answer that is no number has no nearest embedding.
            clean = torch.where(torch.isfinite(answer), clean, torch.nan)
            return LatentPrediction(
                clean=clean, pull=torch.zeros_like(clean), logits=self.read_out(clean)
            ).packed()


def load(folder: Path, *, dtype: torch.dtype, device: torch.device) -> DiffusionLmDenoiser:
    """Loads a folder that `convert` wrote.

    Raises:
        UsageError: Something in the folder is missing, damaged or not expressible natively.
    """
    path = folder / "config.json"
    config = read_entries(folder)
    check_settings(config, path)
    sizes = tuple(DiffusionLmShape.__dataclass_fields__)
    check_counts(config, (*sizes, *KEPT), path)
    check_multiples(config, [("hidden_size", "num_attention_heads")], path)
    for name in ("eos_token_id", "pad_token_id"):
        stated_id(config, name, path)
    shape = DiffusionLmShape(**{name: config[name] for name in sizes})
    with torch.device("meta"):
        module = DiffusionLmBody(shape).eval()
    load_weights(module, folder, tensor_names(module), dtype=dtype, device=device)
    chain = SteppedChain.build(
        schedule=config["noise_schedule"], num_steps=config["diffusion_steps"], device=device
    )
    return DiffusionLmDenoiser(
        body=module,
        chain=chain,
        family=_family(config),
        tokenizer=load_tokenizer(folder),
        rescaled=config["rescale_timesteps"],
    )


def tensor_names(module: nn.Module) -> dict[str, str]:
    """Native parameter name -> stored name; the published ones but for the head's two tensors."""
    renamed = {"word_embedding.weight": "lm_head.weight", "lm_head_bias": "lm_head.bias"}
    return {name: renamed.get(name, name) for name, _ in module.named_parameters()}


def check_settings(settings: dict[str, Any], path: Path) -> None:
    """Refuses by name what the native module cannot express."""
    check_values(settings, EXPRESSIBLE, path, "Diffusion-LM")


def _family(config: dict[str, Any]) -> Family:
    return Family(
        name="diffusion_lm",
        noise="continuous",
        mask_id=NO_MASK,
        eos_id=config["eos_token_id"],
        pad_id=config["pad_token_id"],
        # A text was always image_size squared words long in training.
        context_length=config["image_size"] ** 2,
        time_conditioned=True,
        likelihood="latent",
        decoding={
            "transition": "ancestral",
            "steps": config["diffusion_steps"],
            "temperature": 1.0,
        },
    )
