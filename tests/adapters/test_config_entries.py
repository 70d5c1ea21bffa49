"""An entry of config.json of a wrong kind is one line: file, entry, value, what is accepted."""

import json
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from dllm_eval import load_model
from dllm_eval.errors import UsageError
from dllm_eval.loading import load_autoregressive

entries: Any = import_module("dllm_eval.adapters.entries")

WRITERS = (
    *("llada", "dream", "sdar", "sdar_moe", "llada2", "fast_dllm_v2", "nbdiff", "bd3lm", "wedlm"),
    *("diffusion_gemma", "mdlm", "sedd", "d3pm", "plaid", "diffusion_lm"),
)
FAMILY = {"sedd": "sedd", "llada2": "llada2"}


def write(writer: str, folder: Path) -> dict[str, Any]:
    import_module(f"checkpoints.{writer}").write(folder)
    published: dict[str, Any] = json.loads((folder / "config.json").read_text())
    return published


def places(value: dict[str, Any], above: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for name, inner in value.items():
        yield (*above, name)
        if isinstance(inner, dict):
            yield from places(inner, (*above, name))


def changed(published: dict[str, Any], place: tuple[str, ...], value: object) -> dict[str, Any]:
    copy: dict[str, Any] = json.loads(json.dumps(published))
    inner = copy
    for name in place[:-1]:
        inner = inner[name]
    inner[place[-1]] = value
    return copy


@pytest.mark.parametrize("writer", WRITERS)
def test_what_is_published_passes(writer: str, tmp_path: Path) -> None:
    published = write(writer, tmp_path / "tiny")
    assert entries.read_entries(tmp_path / "tiny") == published


NUMBERS = ("rms_norm_eps", "rope_theta", "routed_scaling_factor", "partial_rotary_factor")


@pytest.mark.parametrize("writer", WRITERS)
def test_numbers_sizes_flags_and_texts_are_told_by_their_names(writer: str, tmp_path: Path) -> None:
    """Every entry of a published kind, of every family; which those are, the values say."""
    published, path = write(writer, tmp_path / "tiny"), tmp_path / "tiny" / "config.json"
    asked = 0
    for place in places(published):
        inner: Any = published
        for name in place:
            inner = inner[name]
        wrong: list[Any]
        if place[-1] in NUMBERS:
            wrong = ["a", None, [1], -1, 0, float("nan"), float("inf"), True, {}, 10**400]
        elif place[-1].startswith("num_") or place[-1].endswith(("_size", "_dim", "_heads")):
            wrong = ["a", [1], -1, float("nan"), float("inf"), True, 1.5, {}, 10**30]
        elif place[-1] in ("tie_word_embeddings", "weight_tying", "norm_topk_prob"):
            wrong = ["a", [1], -1, 0, float("nan"), 1.5, {}]
        elif place[-1] in ("model_type", "rope_type", "noise_schedule"):
            wrong = [[1], -1, 0, float("nan"), True, {}]
        else:
            continue
        if place[0] == "vision_config":
            continue
        for value in wrong:
            asked += 1
            with pytest.raises(UsageError) as caught:
                entries.check_kinds(changed(published, place, value), path)
            line = str(caught.value)
            assert line.startswith(f"{path}: {'.'.join(place)} is "), line
            assert ", not " in line
            assert "\n" not in line
            assert len(line) < len(str(path)) + 200
    assert asked > 10


@pytest.mark.parametrize(
    ("writer", "place", "value", "says"),
    [
        ("llada", ("rms_norm_eps",), "a", "rms_norm_eps is 'a', not a finite number above 0"),
        ("llada", ("rope_theta",), None, "rope_theta is None, not a finite number above 0"),
        ("llada", ("n_kv_heads",), [1], "n_kv_heads is [1], not a whole number of at least 1, or"),
        ("llada", ("n_layers",), 10**30, "n_layers is 1000000000000000000000000000000, not a"),
        ("llada", ("max_sequence_length",), {}, "max_sequence_length is {}, not a whole number"),
        ("llada", ("model_type",), [1], "model_type is [1], not a text"),
        ("sdar", ("head_dim",), "x", "head_dim is 'x', not a whole number of at least 1, or null"),
        ("sdar_moe", ("num_experts",), 1.5, "num_experts is 1.5, not a whole number, or null"),
        ("sdar_moe", ("mlp_only_layers",), ["a"], "is ['a'], not a list of whole numbers, or null"),
        ("wedlm", ("layer_types",), 3, "layer_types is 3, not a list of texts, or null"),
        ("dream", ("max_position_embeddings",), None, "is None, not a whole number of at least 1"),
        ("dream", ("rope_scaling",), [1], "rope_scaling is [1], not a mapping, or null"),
        ("nbdiff", ("rms_norm_eps",), float("nan"), "rms_norm_eps is nan, not a finite number"),
        (
            "diffusion_gemma",
            ("text_config", "hidden_activation"),
            "a",
            "hidden_activation is 'a'; the",
        ),
        (
            "diffusion_gemma",
            ("text_config", "rope_parameters", "full_attention", "rope_type"),
            "a",
            "rope_type is 'a'; the native DiffusionGemma module knows 'default' or 'proportional'",
        ),
        (
            "diffusion_gemma",
            ("text_config", "rope_parameters", "full_attention", "rope_theta"),
            "a",
            "text_config.rope_parameters.full_attention.rope_theta is 'a', not a finite number",
        ),
    ],
)
def test_a_checkpoint_with_a_wrong_entry_is_one_line(
    writer: str, place: tuple[str, ...], value: object, says: str, tmp_path: Path
) -> None:
    published, folder = write(writer, tmp_path / "tiny"), tmp_path / "tiny"
    (folder / "config.json").write_text(json.dumps(changed(published, place, value)))
    with pytest.raises(UsageError) as caught:
        load_model(str(folder), family=FAMILY.get(writer, "auto"), device="cpu")
    assert says in str(caught.value)
    assert str(folder / "config.json") in str(caught.value)
    assert "\n" not in str(caught.value)


def test_json_with_a_number_of_thousands_of_digits_is_one_line(tmp_path: Path) -> None:
    write("llada", tmp_path / "tiny")
    (tmp_path / "tiny" / "config.json").write_text(f'{{"vocab_size": {"9" * 5000}}}')
    with pytest.raises(UsageError, match=r"config\.json is not valid JSON: Exceeds the limit"):
        load_model(str(tmp_path / "tiny"), device="cpu")


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("rms_norm_eps", "a", "Validation error for field 'rms_norm_eps': TypeError: Field 'rms_"),
        ("num_hidden_layers", 1.5, "Validation error for field 'num_hidden_layers'"),
        ("model_type", [1], "config.json: model_type is [1], not a text"),
    ],
)
def test_a_wrong_entry_of_an_autoregressive_checkpoint(
    name: str, value: object, says: str, tmp_path: Path
) -> None:
    """Transformers loads those, and names the entry; the line goes on to what it may be."""
    published, folder = write("llama", tmp_path / "tiny"), tmp_path / "tiny"
    (folder / "config.json").write_text(json.dumps(changed(published, (name,), value)))
    with pytest.raises(UsageError) as caught:
        load_autoregressive(str(folder), device="cpu")
    assert says in str(caught.value)
    assert str(folder) in str(caught.value)
    assert "\n" not in str(caught.value)
