"""A tokenizer published as vocab.json and merges.txt, for checkpoints that have no tokenizer.json.

The Dream checkpoints publish Qwen's byte pairs under a tokenizer class of their own, in Python,
which is never run: its text is normalised, split and merged as Qwen2's. Knows tokenizer files;
nothing of models. Family loaders of such checkpoints call `load_byte_pairs`.
"""

from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers
from transformers import PreTrainedTokenizerFast
from transformers.models.qwen2.tokenization_qwen2 import PRETOKENIZE_REGEX

from dllm_eval.checkpoint import read_json
from dllm_eval.errors import UsageError

from ..tokens import load_tokenizer

FILES = ("vocab.json", "merges.txt", "tokenizer_config.json")
ROLES = ("bos_token", "eos_token", "pad_token", "mask_token", "unk_token")


def load_byte_pairs(folder: Path) -> Any:  # noqa: ANN401 - transformers has no one typed class
    """The tokenizer of a folder in Qwen's byte-pair layout; a tokenizer.json is preferred.

    Raises:
        UsageError: A file is missing or damaged, or a special token cannot have its id.
    """
    if (folder / "tokenizer.json").is_file():
        return load_tokenizer(folder)
    for name in FILES:
        if not (folder / name).is_file():
            raise UsageError(
                f"{folder} has no {name}; accepted: a tokenizer.json, or {', '.join(FILES)}"
            )
    config = read_json(folder / "tokenizer_config.json")
    try:
        tokenizer = _byte_pairs(read_json(folder / "vocab.json"), folder / "merges.txt")
        _add(tokenizer, config.get("added_tokens_decoder") or {}, folder)
        wrap: Any = PreTrainedTokenizerFast
        return wrap(
            tokenizer_object=tokenizer,
            clean_up_tokenization_spaces=False,
            chat_template=_chat_template(config, folder),
            **{role: _text(config[role]) for role in ROLES if config.get(role) is not None},
        )
    except UsageError:
        raise
    except Exception as error:  # the tokenizers library raises bare Exception
        raise UsageError(f"the tokenizer in {folder} cannot be read: {error}") from error


def _byte_pairs(vocabulary: dict[str, int], merges: Path) -> Tokenizer:
    lines = merges.read_text(encoding="utf-8").split("\n")
    pairs = [line.split() for line in lines if line.strip() and not line.startswith("#version:")]
    tokenizer = Tokenizer(
        models.BPE(vocab=vocabulary, merges=[(first, second) for first, second in pairs])
    )
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PRETOKENIZE_REGEX), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def _add(tokenizer: Tokenizer, added: dict[str, dict[str, Any]], folder: Path) -> None:
    """Gives the added tokens the ids that the checkpoint's embedding has rows for."""
    for place, entry in sorted(added.items(), key=lambda item: int(item[0])):
        token = AddedToken(
            entry["content"],
            lstrip=bool(entry.get("lstrip")),
            rstrip=bool(entry.get("rstrip")),
            single_word=bool(entry.get("single_word")),
            normalized=bool(entry.get("normalized")),
            special=bool(entry.get("special")),
        )
        tokenizer.add_tokens([token])
        found = tokenizer.token_to_id(entry["content"])
        if found != int(place):
            raise UsageError(
                f"{folder / 'tokenizer_config.json'} gives {entry['content']!r} the id {place}, "
                f"but behind vocab.json it gets {found}"
            )


def _chat_template(config: dict[str, Any], folder: Path) -> str | None:
    path = folder / "chat_template.jinja"
    if path.is_file():
        return path.read_text(encoding="utf-8")
    template: str | None = config.get("chat_template")
    return template


def _text(token: Any) -> str:  # noqa: ANN401 - a JSON value
    """A role's token: its text, or an entry that has it as content."""
    return str(token["content"] if isinstance(token, dict) else token)
