"""The entries of a checkpoint's config.json, checked by name before anything is built of them.

Knows entries, the file they stand in, and what is accepted; knows no family, no tokenizer and no
tensor. Family loaders call it with their own tables. An entry that is not there reads as null, so
published defaults go in first. Every error is one line: the file, the entry, its value, and what is
accepted.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from dllm_eval.errors import UsageError

Entries = Mapping[str, Any]

TRANSFORMER_SIZES = (
    "vocab_size",
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "max_position_embeddings",
)
"""The counts that a decoder's config.json has, in transformers' words."""


def check_values(
    entries: Entries, expressible: Mapping[str, tuple[Any, ...]], path: Path, module: str
) -> None:
    """Refuses by name a value that a native module cannot express.

    Args:
        entries: The published configuration.
        expressible: Entry -> the values known; None among them where the entry may be missing.
        path: The file, for the error.
        module: What the native module is called, for the error.

    Raises:
        UsageError: An entry has another value.
    """
    for name, known in expressible.items():
        value = entries.get(name)
        if value not in known:
            shown = [repr(one) for one in known if one is not None] or ["None"]
            raise UsageError(
                f"{path}: {name} is {value!r}; the native {module} module knows "
                f"{' or '.join(shown)} only"
            )


def check_counts(entries: Entries, names: Iterable[str], path: Path) -> None:
    """Refuses an entry that is not a whole number of at least 1.

    Raises:
        UsageError: An entry is missing, or no such number.
    """
    for name in names:
        value = entries.get(name)
        if type(value) is not int or value < 1:
            raise UsageError(f"{path}: {name} is {value!r}, not a whole number of at least 1")


def check_flags(entries: Entries, names: Iterable[str], path: Path) -> None:
    """Refuses an entry that is neither true nor false, such as 1.

    Raises:
        UsageError: An entry is missing, or no such value.
    """
    for name in names:
        value = entries.get(name)
        if not isinstance(value, bool):
            raise UsageError(f"{path}: {name} is {value!r}, not true or false")


def check_multiples(entries: Entries, pairs: Iterable[tuple[str, str]], path: Path) -> None:
    """Refuses a size that is not a whole multiple of another; both are known to be counts.

    Args:
        entries: The published configuration.
        pairs: (the size, what has to divide it).
        path: The file, for the error.

    Raises:
        UsageError: A pair has a remainder.
    """
    for whole, part in pairs:
        if entries[whole] % entries[part]:
            raise UsageError(
                f"{path}: {whole} {entries[whole]} is not a multiple of {part} {entries[part]}"
            )


def stated_id(entries: Entries, name: str, path: Path, *, vocab_size: int | None = None) -> int:
    """The token id that an entry has to state.

    Args:
        entries: The published configuration.
        name: The entry, such as "eos_token_id".
        path: The file, for the error.
        vocab_size: The id has to lie below; None leaves that open.

    Raises:
        UsageError: The entry is missing, or no token id.
    """
    value = entries.get(name)
    known = "" if vocab_size is None else f" below vocab_size {vocab_size}"
    if type(value) is not int or value < 0 or (vocab_size is not None and value >= vocab_size):
        raise UsageError(f"{path}: {name} is {value!r}, not a token id{known}")
    return value
