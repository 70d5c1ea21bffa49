"""Whole texts in windows: which tokens stand in which, what is summed, and in which units."""

from importlib import import_module
from math import log
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from checkpoints import bd3lm, sdar

from dllm_eval.errors import UsageError
from dllm_eval.families import Family

windows = import_module("dllm_eval.adapters.windows")

BEGIN = 99
TEXT = "def add(a, b):\n    return a + b\n" * 4


def slow_windows(
    ids: list[int], positions: int, context: int, *, mask_at_end: bool
) -> list[tuple[list[int], list[int]]]:
    """Each window as the ids it lays out: as many new ones as fit behind its context."""
    room = positions if mask_at_end else positions + 1
    text = [BEGIN, *ids]
    found = []
    done = 1
    while done < len(text):
        before = 1 if done == 1 else context
        stop = min(len(text), done + room - before)
        start = 0 if done == 1 else stop - room
        found.append((text[start:done], text[done:stop]))
        done = stop
    return found


@pytest.mark.parametrize("mask_at_end", [True, False])
@pytest.mark.parametrize("context", [1, 2, 5, 7])
@pytest.mark.parametrize("length", [1, 7, 8, 9, 15, 40])
def test_every_token_is_scored_once_behind_its_own_text(
    length: int, context: int, mask_at_end: bool
) -> None:
    cut = windows.Rolling(tokens=8, context=context, scored_at_end=mask_at_end)
    ids = list(range(length))
    found = cut.windows(ids, BEGIN)
    expected = slow_windows(ids, 8, context, mask_at_end=mask_at_end)
    assert found == [(tuple(before), tuple(target)) for before, target in expected]
    assert [token for _, target in found for token in target] == ids
    assert all(len(before) >= context for before, _ in found[1:])
    longest = max(len(before) + len(target) for before, target in found)
    assert longest <= 8 + (not mask_at_end)


@pytest.mark.parametrize(("tokens", "context"), [(8, 0), (8, 8), (8, 20)])
def test_a_window_needs_room_to_score(tokens: int, context: int) -> None:
    with pytest.raises(UsageError, match=f"rolling_context is {context}, and a window has 8 posi"):
        windows.Rolling(tokens=tokens, context=context, scored_at_end=True)


def family(**facts: Any) -> Family:
    return Family(name="f", mask_id=1, eos_id=0, pad_id=0, context_length=64, **facts)


@pytest.mark.parametrize(
    ("facts", "tokens", "context", "expected"),
    [
        ({"attention": "full"}, 18, 1, 18),
        ({"attention": "block_causal", "block_length": 4}, 18, 1, 16),
        ({"attention": "block_causal", "block_length": 4}, 16, 5, 16),
        ({"attention": "block_causal", "block_length": 32}, 18, 1, 18),
        ({"attention": "causal_context", "block_length": 4}, 18, 1, 17),
        ({"attention": "causal_context", "block_length": 4}, 18, 3, 15),
        ({"attention": "reordered"}, 18, 1, 18),
    ],
)
def test_a_window_ends_where_a_block_does(
    facts: dict[str, Any], tokens: int, context: int, expected: int
) -> None:
    assert windows.whole_blocks(tokens, context, family(**facts)) == expected


def one_text(tasks: Any, text: str = TEXT) -> list[Any]:
    task = tasks("loglikelihood_rolling", [{"q": "", "a": text}], doc_to_target="{{a}}")
    task.build_all_requests()
    found: list[Any] = task.instances
    return found


@pytest.fixture(params=["llada", "sdar", "bd3lm", "llama"])
def model(
    request: pytest.FixtureRequest, tiny_llada: Path, tiny_llama: Path, tmp_path: Path,
    make_model: Any,
) -> Any:  # fmt: skip
    """One of each kind: masked, two with attention by blocks, and an autoregressive one."""
    folder = {
        "llada": lambda: tiny_llada,
        "sdar": lambda: sdar.write(tmp_path / "sdar"),
        "bd3lm": lambda: bd3lm.write(tmp_path / "bd3lm"),
        "llama": lambda: tiny_llama,
    }[request.param]()
    name = "dllm-ar" if request.param == "llama" else "dllm"
    return make_model(name, pretrained=folder, max_length=18, rolling_context=3)


def test_a_record_states_windows_units_and_quantity(
    model: Any, tasks: Any, evaluate: Any, records_of: Any
) -> None:
    metrics = ["word_perplexity", "byte_perplexity", "bits_per_byte"]
    task = tasks(
        "loglikelihood_rolling",
        [{"q": "", "a": TEXT}, {"q": "", "a": "def sub"}],
        doc_to_target="{{a}}",
        metric_list=[{"metric": metric} for metric in metrics],
    )
    samples = evaluate(model, task)
    for sample, text in zip(samples, (TEXT, "def sub"), strict=True):
        (row,) = [row for row in records_of(model).values() if row.doc_id == sample["doc_id"]]
        ids = model.codec.encode(text, add_special_tokens=False)
        assert row.visible_tokens == len(ids)
        assert row.target_bytes == len(text.encode())
        assert row.windows == len(model.rolling.windows(ids, model.prefix_token_id))
        assert (row.windows > 2) == (text == TEXT)
        assert row.window_tokens == model.rolling.tokens
        assert row.value is not None
        assert sample["bits_per_byte"] == (row.value, len(text.encode()))
        assert row.bits_per_byte == pytest.approx(-row.value / log(2) / len(text.encode()))
        assert row.nats_per_token == pytest.approx(-row.value / len(ids))
        if model.kind == "autoregressive":
            assert (row.quantity, row.exact, row.stderr) == ("log_likelihood", True, 0.0)
            assert row.window_tokens == 18
        else:
            assert row.quantity == "elbo"
            assert row.exact == (row.stderr == 0)
            full = model.family.block_length is None
            assert row.window_tokens == (18 if full else 16)


def test_the_value_is_the_sum_of_the_windows_scored_alone(
    model: Any, tasks: Any, records_of: Any
) -> None:
    """Windows are laid out by the slow rule above, and scored one by one."""
    (total,) = model.loglikelihood_rolling(one_text(tasks), disable_tqdm=True)
    ids = model.codec.encode(TEXT, add_special_tokens=False)
    cut = slow_windows(ids, model.rolling.tokens, 3, mask_at_end=model.kind == "diffusion")
    begin = model.prefix_token_id
    pairs = [
        (tuple(begin if token == BEGIN else token for token in before), tuple(target))
        for before, target in cut
    ]
    identity = model._identities(one_text(tasks))[0]
    salts = model._rolling_job(identity, TEXT).salts
    alone = [model._score([p], [s], ())[0] for p, s in zip(pairs, salts, strict=True)]
    assert total == pytest.approx(sum(part.value for part in alone), abs=1e-3)
    (row,) = records_of(model).values()
    assert row.stderr == pytest.approx(sum(part.stderr**2 for part in alone) ** 0.5, abs=1e-4)
    assert row.nfe == sum(part.nfe for part in alone)


def test_the_first_token_is_predicted_behind_the_one_that_begins_a_text(
    tiny_llada: Path, make_model: Any, tasks: Any
) -> None:
    model = make_model("dllm", pretrained=tiny_llada)
    (value,) = model.loglikelihood_rolling(one_text(tasks, "x"), disable_tqdm=True)
    canvas = torch.tensor([[model.prefix_token_id, model.family.mask_id]])
    logits = model.denoiser.logits(canvas)[0, 1].double().log_softmax(dim=0)
    (token,) = model.tok_encode("x")
    assert value == pytest.approx(float(logits[token]), abs=1e-5)


def test_an_empty_text_is_certain_and_has_no_rate(model: Any, tasks: Any, records_of: Any) -> None:
    assert model.loglikelihood_rolling(one_text(tasks, ""), disable_tqdm=True) == [0.0]
    (row,) = records_of(model).values()
    assert (row.estimator, row.windows, row.bits_per_byte) == ("empty_text", 0, None)


def test_a_long_window_is_an_estimate_with_its_error(
    tiny_llada: Path, make_model: Any, tasks: Any, records_of: Any
) -> None:
    model = make_model("dllm", pretrained=tiny_llada, max_length=64)
    model.loglikelihood_rolling(one_text(tasks), disable_tqdm=True)
    (row,) = records_of(model).values()
    assert row.windows == -(-len(model.tok_encode(TEXT)) // 63)
    assert row.samples == 128 * row.windows
    assert row.stderr > 0
    assert np.isfinite(row.degrees)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"likelihood": "enumeration"}, "estimator 'enumeration' was given a target of"),
        ({"likelihood": "single_token"}, "estimator 'single_token' was given a target of"),
    ],
)
def test_a_window_that_an_estimator_does_not_take(
    settings: dict[str, Any], message: str, tiny_llada: Path, make_model: Any, tasks: Any
) -> None:
    model = make_model("dllm", pretrained=tiny_llada, **settings)
    with pytest.raises(UsageError, match=message):
        model.loglikelihood_rolling(one_text(tasks), disable_tqdm=True)


@pytest.mark.parametrize("name", ["dllm", "dllm-ar"])
@pytest.mark.parametrize(
    ("context", "message"),
    [
        (0, "argument rolling_context=0 of dllm"),
        (16, "rolling_context is 16, and a window has 16 positions; accepted: 1 to 15"),
    ],
)
def test_a_context_out_of_range(
    name: str, context: int, message: str, tiny_llada: Path, tiny_llama: Path, make_model: Any
) -> None:
    folder = tiny_llada if name == "dllm" else tiny_llama
    with pytest.raises(UsageError, match=message):
        make_model(name, pretrained=folder, max_length=16, rolling_context=context)
