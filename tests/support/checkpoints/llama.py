"""A tiny random autoregressive Llama checkpoint, as transformers saves them."""

from pathlib import Path

import torch

from checkpoints.common import END, write_tokenizer

FIM = ("<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>")


def write(folder: Path, *, fim: bool = False, seed: int = 0) -> Path:
    """Writes the folder; `fim` gives its tokenizer the infilling tokens."""
    from transformers import LlamaConfig, LlamaForCausalLM

    folder.mkdir(parents=True, exist_ok=True)
    specials = (END, *FIM) if fim else (END,)
    vocabulary = write_tokenizer(folder, specials, eos_token=END, pad_token=END)
    config = LlamaConfig(
        vocab_size=max(vocabulary.values()) + 1,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=256,
        bos_token_id=None,
        eos_token_id=vocabulary[END],
        pad_token_id=vocabulary[END],
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = LlamaForCausalLM(config)
        for parameter in model.parameters():
            torch.nn.init.normal_(parameter, std=0.4 if parameter.dim() > 1 else 1.0)
    model.save_pretrained(folder)
    return folder
