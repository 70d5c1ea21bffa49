"""Tiny random checkpoints in the published layouts, written once per test session."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import Tensor

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TRANSFORMERS_OFFLINE"] = "1"
os.environ["HF_DATASETS_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"

END = "<|endoftext|>"
MASK = "<|mdm_mask|>"
FIM = ("<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>")

CORPUS = [
    "def add(a, b):\n    return a + b\n",
    "def sub(a, b):\n    result = a - b\n    return result\n",
    "The capital of France is Paris. Question: what? Answer: A B C D\n",
]

LladaWriter = Callable[..., Path]


def build_tokenizer(specials: tuple[str, ...]) -> Tokenizer:
    """A byte-level BPE with a few merges; words carry their leading space, as in real ones."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=300,
        special_tokens=list(specials),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(CORPUS * 3, trainer)
    return tokenizer


def write_tokenizer(folder: Path, specials: tuple[str, ...], **roles: str) -> dict[str, int]:
    tokenizer = build_tokenizer(specials)
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "clean_up_tokenization_spaces": False,
        "model_max_length": 1024,
        **roles,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    vocabulary: dict[str, int] = tokenizer.get_vocab()
    return vocabulary


def llada_tensors(config: dict[str, Any], seed: int) -> dict[str, Tensor]:
    """Random weights under the published names, large enough for the logits to differ."""
    generator = torch.Generator().manual_seed(seed)
    width, inner = config["d_model"], config["mlp_hidden_size"]
    narrow = width // config["n_heads"] * (config["n_kv_heads"] or config["n_heads"])
    rows = config["embedding_size"]

    def matrix(out: int, into: int) -> Tensor:
        return torch.randn(out, into, generator=generator).div(into**0.5)

    def scale() -> Tensor:
        return 1 + 0.1 * torch.randn(width, generator=generator)

    tensors = {"wte": torch.randn(rows, width, generator=generator), "ln_f": scale()}
    if not config["weight_tying"]:
        tensors["ff_out"] = 3 * matrix(rows, width)
    for layer in range(config["n_layers"]):
        shapes = {
            "q_proj": (width, width),
            "k_proj": (narrow, width),
            "v_proj": (narrow, width),
            "attn_out": (width, width),
            "ff_proj": (inner, width),
            "up_proj": (inner, width),
            "ff_out": (width, inner),
        }
        for name, (out, into) in shapes.items():
            tensors[f"blocks.{layer}.{name}"] = matrix(out, into)
        tensors[f"blocks.{layer}.attn_norm"] = scale()
        tensors[f"blocks.{layer}.ff_norm"] = scale()
    return {f"model.transformer.{name}.weight": tensor for name, tensor in tensors.items()}


def llada_config(vocabulary: dict[str, int], **changes: Any) -> dict[str, Any]:
    return {
        "model_type": "llada",
        "architectures": ["LLaDAModelLM"],
        "block_type": "llama",
        "block_group_size": 1,
        "activation_type": "silu",
        "layer_norm_type": "rms",
        "rms_norm_eps": 1e-5,
        "rope": True,
        "rope_theta": 500000.0,
        "rope_full_precision": True,
        "alibi": False,
        "include_bias": False,
        "include_qkv_bias": False,
        "bias_for_layer_norm": False,
        "attention_layer_norm": False,
        "input_emb_norm": False,
        "scale_logits": False,
        "d_model": 32,
        "n_heads": 4,
        "n_kv_heads": 2,
        "n_layers": 2,
        "mlp_hidden_size": 48,
        "vocab_size": 310,
        "embedding_size": 320,
        "max_sequence_length": 256,
        "weight_tying": False,
        "mask_token_id": vocabulary[MASK],
        "eos_token_id": vocabulary[END],
        "pad_token_id": vocabulary[END],
    } | changes


def save_sharded(folder: Path, tensors: dict[str, Tensor], shards: int) -> None:
    if shards == 1:
        save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
        return
    names = sorted(tensors)
    weight_map: dict[str, str] = {}
    for shard in range(shards):
        file = f"model-{shard + 1:05d}-of-{shards:05d}.safetensors"
        part = {name: tensors[name] for name in names[shard::shards]}
        save_file(part, folder / file, metadata={"format": "pt"})
        weight_map |= dict.fromkeys(part, file)
    index = {"metadata": {}, "weight_map": weight_map}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def write_llada(folder: Path, *, shards: int = 1, seed: int = 0, **config: Any) -> Path:
    """Writes a LLaDA-format checkpoint folder; `config` overrides config.json's entries."""
    folder.mkdir(parents=True, exist_ok=True)
    vocabulary = write_tokenizer(folder, (END, MASK), eos_token=END, pad_token=END, mask_token=MASK)
    settings = llada_config(vocabulary, **config)
    (folder / "config.json").write_text(json.dumps(settings))
    save_sharded(folder, llada_tensors(settings, seed), shards)
    return folder


def write_llama(folder: Path, *, fim: bool = False, seed: int = 0) -> Path:
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


@pytest.fixture(scope="session")
def llada_writer() -> LladaWriter:
    """`llada_writer(folder, shards=1, seed=0, **config_entries)` writes a tiny LLaDA folder."""
    return write_llada


@pytest.fixture(scope="session")
def tiny_llada(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny random LLaDA-format checkpoint in one safetensors file."""
    return write_llada(tmp_path_factory.mktemp("llada") / "tiny")


@pytest.fixture(scope="session")
def tiny_llada_sharded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same weights as `tiny_llada`, in three shards with an index."""
    return write_llada(tmp_path_factory.mktemp("llada") / "sharded", shards=3)


@pytest.fixture(scope="session")
def tiny_llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny random autoregressive checkpoint without infilling tokens."""
    return write_llama(tmp_path_factory.mktemp("llama") / "tiny")


@pytest.fixture(scope="session")
def tiny_llama_fim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny random autoregressive checkpoint whose tokenizer has infilling tokens."""
    return write_llama(tmp_path_factory.mktemp("llama") / "fim", fim=True)
