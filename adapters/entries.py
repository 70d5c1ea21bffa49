"""The entries of a checkpoint's config.json, checked by name before anything is built of them.

Knows entries, the file they stand in, and what is accepted; knows no family, no tokenizer and no
tensor. Family loaders call it with their own tables. An entry that is not there reads as null, so
published defaults go in first. Every error is one line: the file, the entry, its value, and what is
accepted.
"""

import math
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from dllm_eval.checkpoint import read_config
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

_SHOWN = 60
MOST = 2**31 - 1
"""Of a count: no published size is near it, and tensors of more rows cannot be indexed."""
MOST_LAYERS = 10_000
"""Of layers, which are built one by one before a missing tensor can be noticed."""

_ABOVE_ZERO = frozenset(
    {"rms_norm_eps", "layer_norm_eps", "rope_theta", "routed_scaling_factor", "sigma_max"}
    | {"partial_rotary_factor", "score_temp"}
)
"""Entries that are finite numbers above 0, wherever they stand."""
_ABOVE_ZERO_OR_NULL = frozenset({"final_logit_softcapping"})
_COUNTS_OR_NULL = frozenset(
    {"head_dim", "global_head_dim", "n_kv_heads", "rotary_dim", "sliding_window", "mlp_hidden_size"}
    | {"embedding_size", "num_global_key_value_heads", "bd_size", "canvas_length", "block_size"}
)
_COUNTS = frozenset({"max_position_embeddings", "max_sequence_length"})
_FROM_ZERO = frozenset({"first_k_dense_replace"})
_FLAGS_OR_NULL = frozenset(
    {"tie_word_embeddings", "weight_tying", "norm_topk_prob", "qk_norm", "scale_by_sigma"}
    | {"rope_full_precision", "bias", "attention_bias", "use_sliding_window", "cross_attn"}
)
_TEXTS_OR_NULL = frozenset({"model_type", "rope_type", "noise_schedule", "router_dtype"})
_MAPPINGS_OR_NULL = frozenset({"rope_scaling", "rope_parameters", "text_config"})
_SIZES_OR_NULL = re.compile(
    r"(.*_)?(size|dim|length|layers|heads|embeddings|experts|buckets|blocks|group)|num_.*|model_dim"
)
"""Names of sizes; whether 0 will do, a family's own table says."""
_OF_OTHER_MODELS = ("vision_config", "audio_config")
"""Parts that no loader reads."""
_OR_NULL = ", or null"


def read_entries(folder: Path) -> dict[str, Any]:
    """A checkpoint folder's config.json, every entry whose kind is known checked by name.

    Raises:
        UsageError: There is none, or an entry is of another kind than published ones are.
    """
    found = read_config(folder)
    check_kinds(found, folder / "config.json")
    return found


def check_kinds(entries: Entries, path: Path, above: str = "") -> None:
    """Refuses entries of a wrong kind, those within other entries too.

    What is missing, unknown, or checked by a family's own table is passed over.

    Args:
        entries: The published configuration, or a part of it.
        path: The file, for the error.
        above: The entry that it is a part of, with a dot behind.

    Raises:
        UsageError: A number, a text, a list or a mapping is none.
    """
    for name, value in entries.items():
        accepted = _refused(name, value)
        if accepted:
            text = repr(value)
            shown = text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}..."
            raise UsageError(f"{path}: {above}{name} is {shown}, not {accepted}")
        if isinstance(value, Mapping) and name not in _OF_OTHER_MODELS:
            check_kinds(value, path, f"{above}{name}.")


def _refused(name: str, value: object) -> str:
    """What an entry has to be, where it is something else; "" where it may stand."""
    for names, fits, words in _KINDS:
        if name in names:
            silent = value is None and words.endswith(_OR_NULL)
            return "" if silent or fits(value, name) else words
    if value is None or not _SIZES_OR_NULL.fullmatch(name) or _is_whole(value, name):
        return ""
    return f"a whole number{_OR_NULL}"


def _is_positive(value: object, name: str) -> bool:
    del name
    if not isinstance(value, int | float) or isinstance(value, bool):
        return False
    return 0 < value < MOST and math.isfinite(value)


def _is_count(value: object, name: str) -> bool:
    most = MOST_LAYERS if "layers" in name or "blocks" in name else MOST
    return type(value) is int and 1 <= value <= most


def _is_whole(value: object, name: str) -> bool:
    return (type(value) is int and value == 0) or _is_count(value, name)


def _is_a(kind: type) -> Callable[[object, str], bool]:
    return lambda value, name: isinstance(value, kind)  # noqa: ARG005 - a check's shape


def _is_list_of(kind: type) -> Callable[[object, str], bool]:
    """Of exactly this type: true is no whole number here."""
    return lambda value, name: (  # noqa: ARG005 - a check's shape
        isinstance(value, list) and all(type(one) is kind for one in value)
    )


_KINDS: tuple[tuple[frozenset[str], Callable[[object, str], bool], str], ...] = (
    (_ABOVE_ZERO, _is_positive, "a finite number above 0"),
    (_FROM_ZERO, _is_whole, "a whole number"),
    (_COUNTS, _is_count, "a whole number of at least 1"),
    (_ABOVE_ZERO_OR_NULL, _is_positive, f"a finite number above 0{_OR_NULL}"),
    (_COUNTS_OR_NULL, _is_count, f"a whole number of at least 1{_OR_NULL}"),
    (_FLAGS_OR_NULL, _is_a(bool), f"true or false{_OR_NULL}"),
    (_TEXTS_OR_NULL, _is_a(str), f"a text{_OR_NULL}"),
    (_MAPPINGS_OR_NULL, _is_a(Mapping), f"a mapping{_OR_NULL}"),
    (frozenset({"layer_types"}), _is_list_of(str), f"a list of texts{_OR_NULL}"),
    (frozenset({"mlp_only_layers"}), _is_list_of(int), f"a list of whole numbers{_OR_NULL}"),
)
"""Names of entries, what a value of theirs has to be, and how that is said."""


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
        if not _is_count(value, name):
            most = "" if type(value) is not int or value < 1 else ", or too large a one"
            raise UsageError(f"{path}: {name} is {value!r}, not a whole number of at least 1{most}")


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
