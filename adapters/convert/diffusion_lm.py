"""A Diffusion-LM training folder, made into a folder that `diffusion_lm.py` loads.

The training script of github.com/XiangLi1999/Diffusion-LM writes ema_*.pt, training_args.json and
vocab.json into one folder. Once per training, the user types

    python -m dllm_eval.adapters.convert.diffusion_lm diffusion_models/diff_e2e-tgt_... e2e-lm

and passes the folder e2e-lm from then on.

The words are those of a spaCy tokenizer, joined with blanks. Here text is split at white space, so
a task has to hand it over already split into such words, as the repository's data files are. Line
ends are white space too, and are lost.
"""

from pathlib import Path

from tokenizers import Tokenizer, models, pre_tokenizers
from torch import Tensor

from dllm_eval.checkpoint import read_json
from dllm_eval.errors import UsageError

from ..diffusion_lm import EXPRESSIBLE, KEPT, check_settings
from .pickled import read_state, run_converter, write_folder

HEAD_WIDTH = 64
"""Of bert-base-uncased, whose configuration the training takes; no tensor tells it."""
START, END, UNKNOWN, PAD = "START", "END", "UNK", "PAD"
"""The special words of vocab.json (text_datasets.py, get_corpus_rocstory)."""


def convert(
    source: Path, target: Path, checkpoint: str | None = None, n_heads: int | None = None
) -> None:
    """Writes a folder for the harness from a training folder.

    The embedding is tied to the head, but an ema_*.pt holds two versions of it: the averaged one as
    word_embedding.weight, and as lm_head.weight the one that was being trained, which
    `_master_params_to_state_dict` does not replace. `load_state_dict` writes the latter last, so
    that is what the released code samples with, and what is taken here.

    Args:
        source: Holds training_args.json, vocab.json and the checkpoint.
        target: A new folder.
        checkpoint: A file name; None takes the last ema_*.pt by name, as batch_decode.py does.
        n_heads: None takes heads 64 wide, as bert-base-uncased has them.

    Raises:
        UsageError: A file is missing, is more than tensors, or a setting has no native form.
    """
    arguments, vocabulary = (
        read_json(source / name) for name in ("training_args.json", "vocab.json")
    )
    check_settings(arguments, source / "training_args.json")
    names = sorted(path.name for path in source.glob("ema*.pt"))
    if checkpoint is None and not names:
        raise UsageError(f"{source} has no ema_*.pt; name another with --checkpoint")
    tensors = read_state(source / (checkpoint or names[-1]))
    missing = [word for word in (START, END, UNKNOWN, PAD) if word not in vocabulary]
    if missing:
        raise UsageError(f"{source / 'vocab.json'} has no word {missing[0]!r}")
    config = {
        "model_type": "diffusion_lm",
        **{name: arguments.get(name) for name in (*EXPRESSIBLE, *KEPT)},
        "rescale_timesteps": bool(arguments.get("rescale_timesteps", True)),
        **_bert_sizes(tensors, source, n_heads),
        "bos_token_id": vocabulary[START],
        "eos_token_id": vocabulary[END],
        "pad_token_id": vocabulary[PAD],
        "bos_token": START,
        "eos_token": END,
        "pad_token": PAD,
    }
    kept = {
        name: tensor
        for name, tensor in tensors.items()
        if name not in ("position_ids", "word_embedding.weight")
    }
    write_folder(target, config=config, tensors=kept, tokenizer=_tokenizer(vocabulary))


def _bert_sizes(tensors: dict[str, Tensor], source: Path, n_heads: int | None) -> dict[str, int]:
    layer = "input_transformers.layer."
    try:
        hidden = len(tensors["input_up_proj.0.weight"])
        inner = len(tensors[f"{layer}0.intermediate.dense.weight"])
        places = len(tensors["position_embeddings.weight"])
    except KeyError as error:
        raise UsageError(f"the checkpoint in {source} lacks the tensor {error}") from error
    return {
        "hidden_size": hidden,
        "intermediate_size": inner,
        "num_hidden_layers": len({n.split(".")[2] for n in tensors if n.startswith(layer)}),
        "num_attention_heads": n_heads or hidden // HEAD_WIDTH,
        "max_position_embeddings": places,
    }


def _tokenizer(vocabulary: dict[str, int]) -> str:
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=UNKNOWN))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.add_special_tokens([START, END, PAD])
    return str(tokenizer.to_str())


if __name__ == "__main__":
    run_converter(convert)
