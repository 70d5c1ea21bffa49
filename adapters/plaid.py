"""Plaid (arXiv 2305.18619), a likelihood-trained diffusion of token embeddings.

Loads what `convert/plaid.py` makes of the released weights: config.json, safetensors under the
released names behind the released file's name, and tokenizer.json. Reached through the registry
alone.
"""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from dllm_eval.attention import positions_of
from dllm_eval.checkpoint import load_weights
from dllm_eval.errors import UsageError
from dllm_eval.families import NO_MASK, Family
from dllm_eval.processes.latent_chain import LearnedChain, levels
from dllm_eval.samplers.latent import LatentPrediction

from .bodies.body import from_zero
from .bodies.plaid import PlaidBody, PlaidShape
from .entries import check_counts, read_entries, stated_id
from .tokens import load_tokenizer

GUIDANCE_WEIGHT = 2.0
"""Of a prompt's tokens (sample.py, guidance_weight)."""

RELEASED: dict[str, Any] = {
    "vocab_size": 32768,
    "embed_dim": 16,
    "dim": 2048,
    "n_blocks": 24,
    "n_heads": 32,
    "seq_len": 1024,
    "sampling_timesteps": 4096,
    "score_temp": 0.9,
    "noise_width": 1024,
}
"""Where config.json is silent: sample.py with the README's options for Plaid 1B."""
COUNTS = tuple(name for name in RELEASED if name != "score_temp")


class PlaidDenoiser:
    """A loaded Plaid; fulfils `samplers.latent.LatentDenoiser`."""

    holds_prompts = False

    def __init__(
        self,
        *,
        body: PlaidBody,
        matrix: Tensor,
        chain: LearnedChain,
        family: Family,
        tokenizer: Any,  # noqa: ANN401 - transformers has no one typed tokenizer class
    ) -> None:
        self.body = body
        self.chain = chain
        self.family = family
        self.tokenizer = tokenizer
        self.embeddings = matrix / (matrix.norm(dim=1, keepdim=True) + 1e-8)
        self.device = matrix.device
        self.vocab_size, self.latent_width = matrix.shape
        self.dtype = body.block_dtype

    def embed(self, token_ids: Tensor) -> Tensor:
        """(...) ids -> (..., latent_width) float32."""
        out: Tensor = self.embeddings[token_ids]
        return out

    def predict(
        self,
        token_ids: Tensor,
        *,
        latents: Tensor,
        valid: Tensor | None = None,
        time: Tensor | None = None,
    ) -> Tensor:
        """One forward pass, and where tokens are given a backward pass; see `LatentDenoiser`.

        Prompts are given by token guidance (sample.py, generate_samples): the clean latents are
        pulled along the gradient, by z_t, of the weighted log-probabilities that the model gives
        to the prompt's tokens at their places.
        """
        if time is None:
            raise TypeError("a Plaid model is told the time")
        told = token_ids != NO_MASK
        if valid is not None:
            told = told & valid
        if not bool(told.any()):
            with torch.inference_mode():
                logits, clean = self._pass(latents, valid, time)
                pull = torch.zeros_like(clean)
                return LatentPrediction(clean=clean, pull=pull, logits=logits).packed()
        # Clones made here are no inference tensors, so that a gradient can pass through them.
        with torch.inference_mode(False), torch.enable_grad():
            shown, seen, at = (
                latents.clone(),
                None if valid is None else valid.clone(),
                time.clone(),
            )
            given, tokens = told.clone(), token_ids.clone().clamp(min=0)
            shown.requires_grad_()
            logits, clean = self._pass(shown, seen, at)
            likely = logits.log_softmax(dim=-1).gather(-1, tokens[..., None])[..., 0]
            wanted = GUIDANCE_WEIGHT * torch.where(given, likely, 0.0).sum()
            gradient = torch.autograd.grad(wanted, shown)[0][..., : self.latent_width]
        alpha, sigma = levels(self.chain.gamma(time)[:, None, None])
        pull = (gradient.double() * sigma**2 / alpha).to(clean.dtype)
        return LatentPrediction(clean=clean.detach(), pull=pull, logits=logits.detach()).packed()

    def _pass(self, latents: Tensor, valid: Tensor | None, time: Tensor) -> tuple[Tensor, Tensor]:
        noisy, predicted = latents.float().chunk(2, dim=-1)
        positions = from_zero(latents) if valid is None else positions_of(valid)
        logits, clean = self.body(
            noisy,
            predicted,
            gamma=self.chain.gamma(time).float(),
            embeddings=self.embeddings,
            mask=None if valid is None else valid[:, None, None, :],
            positions=positions,
        )
        return logits, clean


class _Plaid(nn.Module):
    """Everything that is stored, under one roof."""

    def __init__(self, config: dict[str, Any], device: torch.device) -> None:
        super().__init__()
        shape = PlaidShape(**{name: config[name] for name in PlaidShape.__dataclass_fields__})
        self.body = PlaidBody(shape, device)
        with torch.device("meta"):
            self.noise_schedule = nn.ParameterDict(
                {
                    "W1": torch.empty(config["noise_width"], 1),
                    "b1": torch.empty(config["noise_width"]),
                    "W2": torch.empty(1, config["noise_width"]),
                }
            )
            self.gamma_bounds = nn.ParameterDict(
                {"gamma_0": torch.empty(()), "gamma_1": torch.empty(())}
            )
            self.matrix = nn.Parameter(torch.empty(shape.vocab_size, shape.embed_dim))


def load(folder: Path, *, dtype: torch.dtype, device: torch.device) -> PlaidDenoiser:
    """Loads a folder that `convert` wrote.

    The blocks take `dtype`; all around them stays float32, as in the released code's autocast.

    Raises:
        UsageError: Something in the folder is missing, damaged or not expressible natively.
    """
    path = folder / "config.json"
    config = RELEASED | read_entries(folder)
    _check(config, path)
    module = _Plaid(config, device).eval()
    # Native parameter -> stored tensor, file name first; the body is the file "model".
    names = {name: name.replace("body.", "model.", 1) for name, _ in module.named_parameters()}
    names["matrix"] = "embedding_matrix.matrix"
    load_weights(
        module,
        folder,
        names,
        dtype=torch.float32,
        device=device,
        unused=("model.rotary_emb.",),
    )
    module.body.blocks.to(dtype)
    module.body.block_dtype = dtype
    schedule, bounds = module.noise_schedule, module.gamma_bounds
    chain = LearnedChain(
        slopes=schedule["W1"][:, 0],
        offsets=schedule["b1"],
        heights=schedule["W2"][0],
        gamma_0=bounds["gamma_0"],
        gamma_1=bounds["gamma_1"],
    )
    return PlaidDenoiser(
        body=module.body,
        matrix=module.matrix.data,
        chain=chain,
        family=_family(config),
        tokenizer=load_tokenizer(folder),
    )


def _check(config: dict[str, Any], path: Path) -> None:
    check_counts(config, COUNTS, path)
    stated_id(config, "eos_token_id", path)
    if config["dim"] % (2 * config["n_heads"]):
        raise UsageError(
            f"{path}: dim {config['dim']} does not divide into n_heads {config['n_heads']} heads "
            "of even width"
        )


def _family(config: dict[str, Any]) -> Family:
    return Family(
        name="plaid",
        noise="continuous",
        mask_id=NO_MASK,
        eos_id=config["eos_token_id"],
        pad_id=config["eos_token_id"],
        context_length=config["seq_len"],
        time_conditioned=True,
        self_conditioned=True,
        likelihood="latent",
        decoding={
            "transition": "ancestral",
            "steps": config["sampling_timesteps"],
            "temperature": config["score_temp"],
        },
    )
