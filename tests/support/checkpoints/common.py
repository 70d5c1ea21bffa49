"""What every tiny checkpoint needs: a tokenizer of a few hundred tokens and safetensors files."""

import json
from pathlib import Path

from safetensors.torch import save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import Tensor

END = "<|endoftext|>"

CORPUS = [
    "def add(a, b):\n    return a + b\n",
    "def sub(a, b):\n    result = a - b\n    return result\n",
    "The capital of France is Paris. Question: what? Answer: A B C D\n",
]


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
    """Writes tokenizer.json and tokenizer_config.json; returns token -> id."""
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


def save_sharded(folder: Path, tensors: dict[str, Tensor], shards: int) -> None:
    """Writes one safetensors file, or several and their index."""
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
