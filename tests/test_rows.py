"""The last layer at the rows that are wanted, against all of its rows, for every family.

The oracle runs the network without rows, as its family's own tests know it, and picks afterwards,
position by position. What was spared is counted at the networks' inner modules.
"""

from collections.abc import Callable, Iterator
from functools import cache, partial
from importlib import import_module
from typing import Any

import pytest
import torch
from small_transformer import MASK, TOKENS, VOCAB, slow_log_probs, small_model
from torch import Tensor, nn

from dllm_eval.api import Prompt
from dllm_eval.attention import KeyValues, attention_mask, positions_of
from dllm_eval.denoiser import ModelDenoiser
from dllm_eval.loading import load_model
from dllm_eval.samplers import SamplerConfig, generate_batch, late_head

FAMILIES = {
    "llada": "llada",
    "dream": "dream",
    "dreamon": "dreamon",
    "sdar": "sdar",
    "sdar_moe": "sdar",
    "llada2": "llada2",
    "llada21": "llada21",
    "fast_dllm_v2": "fast_dllm_v2",
    "nbdiff": "nbdiff",
    "bd3lm": "bd3lm",
    "wedlm": "wedlm",
    "mdlm": "mdlm",
    "sedd": "sedd",
    "d3pm": "d3pm",
    "d3pm_uniform": "d3pm",
}
"""Writers of tests/support/checkpoints whose network lies under a `ModelDenoiser`."""

LOOKS_BACK = ("sdar", "llada2", "fast_dllm_v2", "nbdiff", "bd3lm", "wedlm")
LENGTH = 12
SLICES = [slice(0, 1), slice(11, 12), slice(4, 5), slice(3, 9), slice(0, 12)]
INDICES = [
    torch.tensor([[0, 3, 7], [11, 4, 4], [2, 1, 0]]),
    torch.tensor([[5], [0], [11]]),
    torch.tensor([[8, 2, 10]]),
]
WANTED: list[slice | Tensor] = [*SLICES, *INDICES]


@pytest.fixture(scope="module")
def load(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Any]:
    """`load("sdar")`: a tiny random model of that writer, loaded once."""

    @cache
    def build(writer: str) -> Any:
        folder = tmp_path_factory.mktemp(writer) / "tiny"
        import_module(f"checkpoints.{writer}").write(folder)
        return load_model(str(folder), family=FAMILIES[writer], dtype="float32", device="cpu")

    return build


@pytest.fixture(autouse=True)
def _without_gradients() -> Iterator[None]:
    with torch.inference_mode():
        yield


def texts(model: ModelDenoiser, seed: int = 0) -> Tensor:
    """(3, LENGTH) ids, every other one masked where the family has masks."""
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(4, model.vocab_size - 8, (3, LENGTH), generator=generator)
    if model.family.mask_id >= 0:
        ids[:, 1::2] = model.family.mask_id
    return ids


def paddings() -> Iterator[Tensor | None]:
    """(3, LENGTH) bool: nothing padded; on the left, nowhere and on the right."""
    yield None
    valid = torch.ones(3, LENGTH, dtype=torch.bool)
    valid[0, :3] = False
    valid[2, 9:] = False
    yield valid


def told(model: ModelDenoiser) -> Tensor | None:
    """(3,) noise levels for a family that is told them."""
    return torch.tensor([0.2, 0.9, 0.5]) if model.family.time_conditioned else None


def picked(hidden: Tensor, rows: slice | Tensor) -> Tensor:
    """(batch, rows, width), one state at a time."""
    batch = range(len(hidden))
    if isinstance(rows, slice):
        return torch.stack(
            [torch.stack([hidden[row, at] for at in range(rows.start, rows.stop)]) for row in batch]
        )
    own = rows.expand(len(hidden), -1).tolist()
    return torch.stack([torch.stack([hidden[row, at] for at in own[row]]) for row in batch])


@pytest.mark.parametrize("writer", FAMILIES)
def test_states_at_rows_are_all_states_at_these_rows(writer: str, load: Any) -> None:
    model = load(writer)
    assert model.body.narrows
    ids, everything = texts(model), slice(0, LENGTH)
    for valid in paddings():
        mask = attention_mask(
            model.family, ids, valid=valid, columns=everything, rows=slice(4, LENGTH)
        )
        positions = None if valid is None else positions_of(valid)
        given = {"mask": mask, "positions": positions, "time": told(model)}
        whole = model.body(ids, **given)
        for rows in WANTED:
            found = model.body(ids, **given, rows=rows)
            torch.testing.assert_close(found, picked(whole, rows), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("writer", LOOKS_BACK)
def test_the_same_behind_held_columns(writer: str, load: Any) -> None:
    """A pass over columns 4 to 11 behind four that are held; all of its keys are written."""
    model = load(writer)
    ids, own = texts(model), slice(4, LENGTH)
    for rows in (slice(0, 1), slice(7, 8), slice(4, 8), INDICES[1].clamp(max=7)):
        caches = [KeyValues(LENGTH), KeyValues(LENGTH)]
        states = []
        for held, wanted in zip(caches, (None, rows), strict=True):
            model.body(ids[:, :4], mask=None, positions=None, cache=held)
            held.keep = 4
            held.advance()
            mask = attention_mask(model.family, ids, valid=None, columns=own, rows=own)
            positions = torch.arange(4, LENGTH)[None]
            given = {"mask": mask, "positions": positions, "cache": held}
            states.append(model.body(ids[:, own], **given, rows=wanted))
            held.keep = LENGTH
            held.advance()
        torch.testing.assert_close(states[1], picked(states[0], rows), atol=1e-5, rtol=1e-5)
        for one, other in zip(caches[0].held(), caches[1].held(), strict=True):
            torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)


def slow_states(
    model: ModelDenoiser, ids: Tensor, valid: Tensor | None, rows: slice, at: list[list[int]]
) -> Tensor:
    """(batch, reads, width): the un-narrowed network, read at each position's left neighbour."""
    everything = slice(0, LENGTH)
    mask = attention_mask(model.family, ids, valid=valid, columns=everything, rows=rows)
    positions = None if valid is None else positions_of(valid)
    hidden = model.body(ids, mask=mask, positions=positions, time=told(model))
    found = []
    for row, places in enumerate(at):
        own = []
        for place in places:
            source = max(place - model.family.logits_shift, 0)
            if valid is not None and not valid[row, source]:
                source = place
            own.append(hidden[row, source])
        found.append(torch.stack(own))
    return torch.stack(found)


@pytest.mark.parametrize("writer", FAMILIES)
def test_the_denoiser_reads_every_position_where_it_should(writer: str, load: Any) -> None:
    model = load(writer)
    ids = texts(model, seed=1)
    spans = [slice(0, LENGTH), slice(4, LENGTH), slice(11, LENGTH)]
    if not model.family.looks_back:  # else what lies behind the rows is not processed
        spans += [slice(0, 1), slice(3, 4), slice(3, 9)]
    for valid in paddings():
        for rows in spans:
            all_of_them = [list(range(rows.start, rows.stop))] * 3
            expected = slow_states(model, ids, valid, rows, all_of_them)
            found = model.states(ids, valid=valid, rows=rows, time=told(model))
            torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
            logits = model.logits(ids, valid=valid, rows=rows, time=told(model))
            torch.testing.assert_close(logits, model.head(expected), atol=1e-4, rtol=1e-4)
        rows = slice(3, LENGTH)
        some = [[3, 8], [11, 4], [5, 3]]
        expected = slow_states(model, ids, valid, rows, some)
        found = model.states(ids, valid=valid, rows=rows, time=told(model), at=torch.tensor(some))
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


INNER = ("mlp", "mlp_in", "mlp_out", "wi", "wo", "o_proj", "dense", "attention_out", "out", "gate")
"""Modules of a layer through which only what leaves it goes, whatever a network calls them."""


def positions_given(model: ModelDenoiser, run: Callable[[], object]) -> dict[int, set[int]]:
    """Layer -> how many positions those of its modules were given."""
    layers = next(part for name, part in model.body.named_modules() if name.endswith("layers"))
    assert isinstance(layers, nn.ModuleList)
    seen: dict[int, set[int]] = {number: set() for number in range(len(layers))}
    hooks = []
    for number, layer in enumerate(layers):

        def note(_module: object, given: Any, number: int = number) -> None:
            seen[number].add(given[0].numel() // given[0].shape[-1])

        for name, part in layer.named_modules():
            if name.rsplit(".", 1)[-1] in INNER:
                hooks.append(part.register_forward_pre_hook(note))
    run()
    for hook in hooks:
        hook.remove()
    return seen


@pytest.mark.parametrize("writer", FAMILIES)
def test_the_last_layer_is_given_the_wanted_rows_alone(writer: str, load: Any) -> None:
    model = load(writer)
    ids, time = texts(model), told(model)
    rows = slice(8, LENGTH)  # whatever the pattern, every column is processed
    for at, wanted in ((None, {3 * 4}), (torch.tensor([[8, 9]] * 3), {3 * 2})):
        seen = positions_given(model, partial(model.states, ids, rows=rows, time=time, at=at))
        last = seen.pop(max(seen))
        assert last == wanted
        assert seen
        assert all(counts == {3 * LENGTH} for counts in seen.values())


def test_a_network_of_ones_own_that_takes_no_rows_goes_on_working() -> None:
    for shift in (0, 1):
        model = small_model("full", logits_shift=shift)
        assert not hasattr(model.body, "narrows")
        canvas = [0, 1, MASK, 2, MASK, MASK, 3]
        slow = slow_log_probs(model, canvas, 0)
        ids = torch.tensor([canvas])
        for rows in (slice(2, 3), slice(4, 6), slice(0, 7)):
            found = model.logits(ids, rows=rows)[0].double().log_softmax(dim=1)
            torch.testing.assert_close(found, slow[rows], atol=1e-5, rtol=1e-5)
        states = model.states(ids, rows=slice(1, 7), at=torch.tensor([[5, 2, 2]]))
        found = model.head(states)[0].double().log_softmax(dim=1)
        torch.testing.assert_close(found, slow[[5, 2, 2]], atol=1e-5, rtol=1e-5)
    assert TOKENS < VOCAB


class Whole(nn.Module):
    """The same network, which does not say that it narrows."""

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body

    def forward(self, input_ids: Tensor, **given: Any) -> Tensor:
        assert "rows" not in given
        hidden: Tensor = self.body(input_ids, **given)
        return hidden


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("writer", ["llada", "dream", "sdar", "sdar_moe", "llada2", "bd3lm"])
def test_answers_are_those_of_the_whole_network(
    writer: str, late: bool, load: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    if late:
        monkeypatch.setattr(late_head, "LARGE_VOCABULARY", 1)
    model = load(writer)
    whole = ModelDenoiser(body=Whole(model.body), head=model.head, family=model.family)
    length = 2 * (model.family.block_length or 8)
    prompts = [
        Prompt(prefix=(5, 6, 7, 20, 30), seed=1),
        Prompt(prefix=(9, 11), seed=2, given=((1, 40),) if model.family.looks_ahead else ()),
        Prompt(prefix=tuple(range(40, 60)), seed=3),
    ]
    several: list[dict[str, Any]] = [{"steps": 4}, {"steps": 4, "temperature": 0.7}]
    several.append({"threshold": 0.02})
    if model.family.attention == "full":
        several += [{"steps": 16, "cache": name} for name in ("prefix", "dual", "delayed")]
    for settings in several:
        given = {"gen_length": length, "block_length": length // 2, **settings}
        config = SamplerConfig.from_mapping(given, model.family)
        assert generate_batch(model, prompts, config) == generate_batch(whole, prompts, config)
