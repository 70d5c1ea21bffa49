"""The ids of mask, end of text and padding, where config.json and the tokenizer both have a say.

Knows the two sources and when they contradict each other; knows no family and no tensor. Family
loaders call it with the entries and the token texts that their family published.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dllm_eval.errors import UsageError

from .entries import stated_id
from .tokens import token_id


def mask_id_of(
    tokenizer: Any,  # noqa: ANN401 - transformers has no one typed tokenizer class
    folder: Path,
    *texts: str,
    stated: object = None,
) -> int:
    """The id of the tokenizer's mask, with which config.json has to agree.

    Args:
        tokenizer: What it calls its mask token is looked for first.
        folder: Where both came from, for the errors.
        texts: The published texts of the mask token, where the tokenizer calls none so.
        stated: The `mask_token_id` of config.json; None where it has none.

    Raises:
        UsageError: The tokenizer has no mask token, or config.json states another id.
    """
    names = (tokenizer.mask_token,) if tokenizer.mask_token else texts
    found = {name: number for name in names if (number := token_id(tokenizer, name)) is not None}
    if not found:
        raise UsageError(f"the tokenizer in {folder} has no mask token {names[0]!r}")
    name, number = next(iter(found.items()))
    if stated is not None:
        check_agreement("mask_token_id", stated, tokenizer, name, folder)
    return number


def check_agreement(
    entry: str,
    stated: object,
    tokenizer: Any,  # noqa: ANN401 - transformers has no one typed tokenizer class
    token: str | None,
    folder: Path,
) -> None:
    """Refuses an id of config.json that the tokenizer does not give to its own token.

    Args:
        entry: The entry of config.json, such as "eos_token_id".
        stated: Its value.
        tokenizer: The folder's.
        token: What the tokenizer calls the token; None where it calls none so.
        folder: Where both came from, for the error.

    Raises:
        UsageError: They contradict each other.
    """
    found = None if token is None else token_id(tokenizer, token)
    if stated != found:
        theirs = "names no such token" if token is None else f"gives {token!r} the id {found}"
        raise UsageError(f"{folder}: config.json has {entry} {stated}, but the tokenizer {theirs}")


def end_id_of(
    entries: Mapping[str, Any],
    tokenizer: Any,  # noqa: ANN401 - transformers has no one typed tokenizer class
    folder: Path,
) -> int:
    """The `eos_token_id` of config.json, or the tokenizer's where config.json is silent.

    Raises:
        UsageError: Neither states a token id.
    """
    known = {"eos_token_id": tokenizer.eos_token_id, **entries}
    return stated_id(known, "eos_token_id", folder / "config.json")


def padding_id(entries: Mapping[str, Any], folder: Path, *, mask_id: int, eos_id: int) -> int:
    """What fills unequal rows: the published padding; end of text where there is none, or the mask.

    Raises:
        UsageError: Mask and end of text are one id.
    """
    if mask_id == eos_id:
        path = folder / "config.json"
        raise UsageError(f"{path}: the mask token and eos_token_id are both {mask_id}")
    pad_id: int | None = entries.get("pad_token_id")
    return eos_id if pad_id is None or pad_id == mask_id else pad_id
