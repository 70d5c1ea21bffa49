"""Compiled bodies against eager ones: same answers, same counts, and few shapes.

Most tests trace with torch's compiler and run what it traced as it stands, which needs no C++
compiler and takes no minute; they count how often it was asked. One, marked slow, goes through the
whole compiler.
"""

import logging
import shutil
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch
from small_transformer import TOKENS, small_model
from torch import Tensor, nn

from dllm_eval.api import Prompt
from dllm_eval.attention import KeyValues
from dllm_eval.compiled import CompiledBody
from dllm_eval.errors import UsageError
from dllm_eval.likelihood import LikelihoodConfig, score
from dllm_eval.loading import load_model
from dllm_eval.samplers import SamplerConfig, generate_batch
from dllm_eval.shapes import Shape

PROMPTS = [
    Prompt(prefix=(5, 6, 7, 20, 30)),
    Prompt(prefix=(9, 11)),
    Prompt(prefix=tuple(range(40, 60))),
]
FAMILIES = ("llada", "dream", "sdar")


class Counting:
    """A compiler that leaves graphs as they are and counts them."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, graph: Any, inputs: Any) -> Any:
        del inputs
        self.count += 1
        return graph.forward


@pytest.fixture(autouse=True)
def _from_scratch() -> Iterator[None]:
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


@pytest.fixture
def load(tmp_path: Path) -> Any:
    def build(name: str, **options: Any) -> Any:
        folder = tmp_path / name
        if not folder.exists():
            import_module(f"checkpoints.{name}").write(folder)
        return load_model(str(folder), dtype="float32", **options)

    return build


@pytest.mark.parametrize(
    ("name", "cache"), [("llada", "none"), ("dream", "none"), ("sdar", "auto"), ("sdar", "none")]
)
def test_answers_and_counts_are_the_eager_ones(name: str, cache: str, load: Any) -> None:
    eager, counting = load(name), Counting()
    model = eager.compiled("default", backend=counting)
    config = SamplerConfig.from_mapping({"gen_length": 8, "cache": cache}, eager.family)
    expected = generate_batch(eager, PROMPTS, config)
    assert generate_batch(model, PROMPTS, config) == expected
    compiled = counting.count
    assert 0 < compiled <= 4
    assert generate_batch(model, PROMPTS, config) == expected
    assert counting.count == compiled


def test_as_many_graphs_as_shapes_and_no_more() -> None:
    eager, counting = small_model("full"), Counting()
    model = eager.compiled("default", backend=counting)
    met = set()
    for length in (2, 3, 7, 8, 9, 12, 16, 17, 30, 31, 32, 33, 64):
        for batch in (1, 3, 4):
            ids = torch.zeros(batch, length, dtype=torch.int64)
            assert torch.allclose(model.logits(ids), eager.logits(ids), atol=1e-5)
            shape = Shape.around(batch, length, 0)
            met.add((shape, shape.columns > length))
    # Columns 8, 16, 32, 64; batches 1 and 4; and whether columns are padded.
    assert counting.count == len(met) == 4 * 2 * 2


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (Shape.around(1, 1, 0), (1, 8, 0)),
        (Shape.around(3, 33, 1), (4, 64, 64)),
        (Shape.around(5, 65, 65), (8, 128, 128)),
        (Shape.around(8, 128, 128), (8, 128, 128)),
        (Shape.around(1, 700, 300), (1, 704, 512)),
    ],
)
def test_shapes_have_room_and_little_more(found: Shape, expected: tuple[int, int, int]) -> None:
    assert (found.batch, found.columns, found.held) == expected


@pytest.mark.parametrize(("batch", "padded"), [(1, False), (3, True)])
@pytest.mark.parametrize("attention", ["full", "block_causal", "causal_context", "reordered"])
def test_padding_is_not_seen_whatever_the_pattern(attention: Any, batch: int, padded: bool) -> None:
    eager = small_model(attention, block_length=4, logits_shift=1)
    model = eager.compiled("default", backend=Counting())
    generator = torch.Generator().manual_seed(batch)
    ids = torch.randint(0, TOKENS + 1, (batch, 12), generator=generator)
    valid = None
    if padded:
        valid = torch.ones(batch, 12, dtype=torch.bool)
        valid[0, :4] = False
    for rows in (slice(0, 12), slice(4, 8)):
        found = model.logits(ids, valid=valid, rows=rows)
        torch.testing.assert_close(found, eager.logits(ids, valid=valid, rows=rows))


@pytest.mark.parametrize(("batch", "shift"), [(1, 0), (3, 1)])
def test_held_columns_are_seen_and_their_padding_is_not(shift: int, batch: int) -> None:
    eager = small_model("block_causal", block_length=4, logits_shift=shift)
    model = eager.compiled("default", backend=Counting())
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(0, TOKENS + 1, (batch, 20), generator=generator)
    valid = torch.ones(batch, 20, dtype=torch.bool)
    valid[0, :4] = False
    caches = [KeyValues(20), KeyValues(20)]
    for start in (8, 8, 12):
        rows = slice(start, start + 4)
        found = []
        for one, cache in zip((model, eager), caches, strict=True):
            cache.keep = start - shift
            found.append(one.logits(ids, valid=valid, rows=rows, cache=cache))
        torch.testing.assert_close(found[0], found[1])
        torch.testing.assert_close(found[0], eager.logits(ids, valid=valid, rows=rows))


@pytest.mark.parametrize("name", ["llada", "dream", "mdlm", "d3pm"])
def test_one_graph_narrows_to_blocks_wherever_they_lie(name: str, load: Any) -> None:
    eager, counting = load(name), Counting()
    model = eager.compiled("default", backend=counting)
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(4, 40, (2, 40), generator=generator)
    valid = torch.ones(2, 40, dtype=torch.bool)
    valid[0, :3] = False
    time = torch.tensor([0.25, 0.75]) if eager.family.time_conditioned else None
    for start in (8, 16, 24, 33, 37):
        rows = slice(start, min(start + 8, 40))
        given: dict[str, Any] = {"valid": valid, "rows": rows, "time": time}
        torch.testing.assert_close(
            model.logits(ids, **given), eager.logits(ids, **given), atol=1e-4, rtol=1e-4
        )
        at = torch.tensor([[start, start + 2], [start + 1, start]])
        torch.testing.assert_close(
            model.states(ids, **given, at=at), eager.states(ids, **given, at=at)
        )
    # Where logits are shifted, a block of eight is read at nine columns, which have room for 16.
    assert counting.count == (2 if eager.family.logits_shift else 1)


class Recording(nn.Module):
    """Says which shapes it was given; every state is its token's id."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1), requires_grad=False)
        self.shapes: list[Any] = []

    def forward(self, input_ids: Tensor, *, mask: Tensor | None, **_: object) -> Tensor:
        self.shapes.append((tuple(input_ids.shape), None if mask is None else tuple(mask.shape)))
        return input_ids[..., None] * self.weight


def test_the_network_sees_whole_shapes_and_the_caller_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch, "compile", lambda function, **_: function)
    network = Recording()
    body = CompiledBody(network, "default")
    for shape in ((1, 5), (3, 64), (4, 65)):
        ids = torch.arange(shape[0] * shape[1]).view(shape)
        hidden = body(ids, mask=None, positions=None, cache=None, time=None)
        assert torch.equal(hidden[..., 0], ids.float())
    assert network.shapes == [
        ((1, 8), (1, 1, 1, 8)),
        ((4, 64), None),
        ((4, 128), (1, 1, 1, 128)),
    ]


class Narrowing(Recording):
    """One that narrows, and says to which columns."""

    def forward(
        self, input_ids: Tensor, *, mask: Tensor | None, rows: Any = None, **_: object
    ) -> Tensor:
        self.shapes.append(None if rows is None else rows.tolist())
        hidden = super().forward(input_ids, mask=mask)
        self.shapes.pop()
        return hidden if rows is None else hidden[:, rows[0]]


def test_wanted_rows_go_in_as_an_index_of_a_few_lengths(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "compile", lambda function, **_: function)
    network = Narrowing()
    body = CompiledBody(network, "default")
    ids = torch.arange(30)[None]  # padded to 32
    for rows in (slice(3, 8), slice(10, 18), slice(28, 30), slice(0, 20)):
        hidden = body(ids, mask=None, positions=None, cache=None, time=None, rows=rows)
        assert hidden[0, :, 0].tolist() == list(range(rows.start, rows.stop))
    body(ids, mask=None, positions=None, cache=None, time=None)
    assert network.shapes == [
        [[*range(3, 11)]],
        [[*range(10, 18)]],
        [[28, 29, 30, 31, 31, 31, 31, 31]],
        [[*range(32)]],
        None,
    ]


def test_scoring_behind_shared_prefixes_runs_eagerly_and_says_so(
    load: Any, caplog: pytest.LogCaptureFixture
) -> None:
    eager = load("sdar")
    model = eager.compiled("default", backend=Counting())
    pairs = [((5, 6, 7, 20, 30), (8, 9)), ((9, 11, 4, 17, 50, 60), (12, 13, 14))]
    config = LikelihoodConfig(samples=4)
    with caplog.at_level(logging.WARNING, logger="dllm_eval.compiled"):
        found = score(model, pairs, config)
    assert [record.message for record in caplog.records] == [
        "compile=default: passes behind shared prefixes, as in scoring, run eagerly"
    ]
    for one, other in zip(found, score(eager, pairs, config), strict=True):
        assert one.value == pytest.approx(other.value, abs=1e-4)
        assert (one.nfe, one.positions) == (other.nfe, other.positions)


def test_the_weights_are_shared_and_the_eager_model_stays_eager(load: Any) -> None:
    eager = load("llada")
    counting = Counting()
    model = eager.compiled("default", backend=counting)
    assert model.body is eager.body
    assert model.head is eager.head
    eager.logits(torch.tensor([[5]]))
    assert counting.count == 0


def test_a_network_that_cannot_be_compiled_is_refused(load: Any) -> None:
    model = load("llada2", family="llada2").compiled("default", backend=Counting())
    with pytest.raises(UsageError, match="compile is 'default', and this network cannot be"):
        generate_batch(model, PROMPTS, SamplerConfig(gen_length=64))


def test_approximate_caches_are_refused(load: Any) -> None:
    model = load("llada").compiled("default", backend=Counting())
    settings = {"gen_length": 8, "block_length": 4, "steps": 8, "cache": "dual"}
    with pytest.raises(UsageError, match="no place for approximate caches") as caught:
        generate_batch(model, PROMPTS, SamplerConfig.from_mapping(settings))
    assert "\n" not in str(caught.value)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch compiles for a CPU by way of g++")
@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("name", FAMILIES)
def test_the_whole_compiler_gives_the_same_tokens(name: str, load: Any) -> None:
    eager = load(name)
    config = SamplerConfig.from_mapping({"gen_length": 8}, eager.family)
    expected = generate_batch(eager, PROMPTS, config)
    found = generate_batch(load(name, compile="default"), PROMPTS, config)
    assert [out.tokens for out in found] == [out.tokens for out in expected]
    assert [out.positions for out in found] == [out.positions for out in expected]


@pytest.mark.gpu
@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("mode", ["default", "reduce-overhead"])
@pytest.mark.parametrize("name", FAMILIES)
def test_the_same_on_the_device(name: str, mode: str, load: Any) -> None:
    eager = load(name, device="cuda")
    config = SamplerConfig.from_mapping({"gen_length": 8}, eager.family)
    expected = generate_batch(eager, PROMPTS, config)
    model = load(name, device="cuda", compile=mode)
    for _ in range(3):  # graphs are recorded after the first pass
        found = generate_batch(model, PROMPTS, config)
        assert [out.tokens for out in found] == [out.tokens for out in expected]
