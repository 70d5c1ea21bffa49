"""A tiny random Dream checkpoint, as Dream-org publishes Dream, Dream-Coder and look-alikes."""

import json
from pathlib import Path
from typing import Any

from checkpoints.byte_pairs import write_byte_pairs
from checkpoints.common import END, save_sharded
from checkpoints.qwen_shape import qwen_tensors

BEGIN, MASK = "<|beginoftext|>", "<|mask|>"
TURN, END_OF_TURN = "<|im_start|>", "<|im_end|>"
SPECIALS = (END, TURN, END_OF_TURN, BEGIN, MASK)
CHAT = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def dream_config(vocabulary: dict[str, int], **changes: Any) -> dict[str, Any]:
    return {
        "architectures": ["DreamModel"],
        "attention_dropout": 0.0,
        "auto_map": {
            "AutoConfig": "configuration_dream.DreamConfig",
            "AutoModel": "modeling_dream.DreamModel",
        },
        "bos_token_id": vocabulary[END],  # as published; the tokenizer's is <|beginoftext|>
        "eos_token_id": vocabulary[END],
        "hidden_act": "silu",
        "hidden_size": 32,
        "initializer_range": 0.02,
        "intermediate_size": 48,
        "mask_token_id": vocabulary[MASK],
        "max_position_embeddings": 512,
        "max_window_layers": 28,
        "model_type": "Dream",
        "num_attention_heads": 4,
        "num_hidden_layers": 2,
        "num_key_value_heads": 2,
        "pad_token_id": vocabulary[END],
        "rms_norm_eps": 1e-6,
        "rope_scaling": None,
        "rope_theta": 1000000.0,
        "sliding_window": None,
        "tie_word_embeddings": False,
        "torch_dtype": "bfloat16",
        "transformers_version": "4.46.2",
        "use_cache": False,
        "use_mrope": False,
        "use_sliding_window": False,
        "vocab_size": 320,
    } | changes


GENERATION = {
    "_from_model_config": True,
    "alg": "origin",
    "alg_temp": None,
    "eps": 0.001,
    "mask_token_id": None,
    "output_history": False,
    "steps": 512,
    "temperature": 0.0,
    "top_k": None,
    "top_p": None,
    "transformers_version": "4.46.2",
}


def write(
    folder: Path,
    *,
    seed: int = 0,
    shards: int = 1,
    specials: tuple[str, ...] = SPECIALS,
    **config_changes: Any,
) -> Path:
    """Writes a Dream-format checkpoint folder; keywords override config.json's entries."""
    folder.mkdir(parents=True, exist_ok=True)
    vocabulary = write_byte_pairs(
        folder,
        specials,
        additional_special_tokens=[BEGIN, MASK],
        auto_map={"AutoTokenizer": ["tokenization_dream.DreamTokenizer", None]},
        bos_token=BEGIN,
        chat_template=CHAT,
        eos_token=END,
        mask_token=MASK,
        pad_token=END,
        tokenizer_class="DreamTokenizer",
        unk_token=None,
    )
    config = dream_config(vocabulary, **config_changes)
    (folder / "config.json").write_text(json.dumps(config))
    ends = {f"{role}_token_id": vocabulary[END] for role in ("bos", "eos", "pad")}
    (folder / "generation_config.json").write_text(json.dumps(GENERATION | ends))
    save_sharded(folder, qwen_tensors(config, seed, biased=True, normed=False), shards)
    return folder
