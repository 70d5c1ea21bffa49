"""The shape of the two networks: one small Llama, causal or with full attention.

Knows nothing about training or files. Called by ``train`` and ``export``.
"""

from typing import Final

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from dllm_eval.reference.tokenizer import EOS, MAX_LENGTH, vocabulary

WIDTH: Final = 128
NUM_LAYERS: Final = 4
NUM_HEADS: Final = 4
MLP_WIDTH: Final = 384
ROPE_THETA: Final = 500000.0
RMS_NORM_EPS: Final = 1e-5
# About 1 / sqrt(WIDTH): the usual 0.02 is for wide models and leaves a narrow one slow to start.
INITIAL_STD: Final = 0.08


def llama_config() -> LlamaConfig:
    """The configuration both models share."""
    eos = vocabulary()[EOS]
    return LlamaConfig(
        vocab_size=len(vocabulary()),
        hidden_size=WIDTH,
        intermediate_size=MLP_WIDTH,
        num_hidden_layers=NUM_LAYERS,
        num_attention_heads=NUM_HEADS,
        num_key_value_heads=NUM_HEADS,
        max_position_embeddings=MAX_LENGTH,
        rms_norm_eps=RMS_NORM_EPS,
        rope_parameters={"rope_type": "default", "rope_theta": ROPE_THETA},
        initializer_range=INITIAL_STD,
        tie_word_embeddings=False,
        bos_token_id=None,
        eos_token_id=eos,
        pad_token_id=eos,
    )


def build_model(seed: int, *, causal: bool) -> LlamaForCausalLM:
    """A freshly initialised network; ``causal=False`` lets every position see every other.

    With SDPA and no attention mask, transformers decides by ``is_causal`` of each layer alone.
    """
    torch.manual_seed(seed)  # LlamaForCausalLM initialises from the global generator only.
    model = LlamaForCausalLM(llama_config())
    if not causal:
        make_bidirectional(model)
    return model


def make_bidirectional(model: LlamaForCausalLM) -> None:
    """Turn off the causal mask of every layer, for calls that pass no attention mask."""
    for layer in model.model.layers:
        layer.self_attn.is_causal = False
