"""Compiled autoregressive steps against eager ones: same tokens, same counts, few shapes.

Most tests trace with torch's compiler and run what it traced as it stands, which needs no C++
compiler; they count how often it was asked. One, marked slow, goes through the whole compiler.
"""

import gc
import shutil
import weakref
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch
from small_causal import slow_greedy, small_causal

from dllm_eval.api import Generation, Prompt
from dllm_eval.errors import UsageError
from dllm_eval.samplers.autoregressive import fill_gaps, generate_autoregressive
from dllm_eval.samplers.causal_compiled import CompiledSteps, columns_around

PROMPTS = [(5, 9, 200), (7,), (3, 3, 3, 8, 1, 250, 30), tuple(range(10, 40))]
NEW = 36


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


def prompts_of(texts: list[tuple[int, ...]]) -> list[Prompt]:
    return [Prompt(prefix=text, seed=sum(text)) for text in texts]


def decoded(model: Any, texts: list[tuple[int, ...]], **options: Any) -> list[Generation]:
    settings: dict[str, Any] = {"max_new_tokens": NEW, "eos_ids": [-1]} | options
    return generate_autoregressive(model, prompts_of(texts), **settings)


@pytest.mark.parametrize("kind", ["llama", "sliding qwen2"])
def test_answers_and_costs_are_the_eager_ones(kind: str) -> None:
    model = small_causal(kind)
    steps = CompiledSteps(model, "default", backend=Counting())
    end = slow_greedy(model, PROMPTS[3], NEW)[NEW // 2]
    for options in ({"eos_ids": [end]}, {"temperature": 0.8}):
        found = decoded(model, PROMPTS, cache=steps, **options)
        assert found == decoded(model, PROMPTS, **options)


def test_one_request_alone() -> None:
    model = small_causal()
    steps = CompiledSteps(model, "default", backend=Counting())
    end = slow_greedy(model, PROMPTS[3], NEW)[NEW // 2]
    [alone] = decoded(model, [PROMPTS[3]], cache=steps, eos_ids=[end])
    assert list(alone.tokens) == slow_greedy(model, PROMPTS[3], NEW, end)
    assert (alone.nfe, alone.host_syncs) == (len(alone.tokens), len(alone.tokens))


def test_several_gaps_run_on_one_cache() -> None:
    model = small_causal()
    steps = CompiledSteps(model, "default", backend=Counting())
    requests = [
        (prompt, ((4, 4, 8), (), (30, 2)[: place % 3]))
        for place, prompt in enumerate(prompts_of(PROMPTS))
    ]
    settings: dict[str, Any] = {"max_new_tokens": 5, "eos_ids": [-1]}
    settings["kept"] = lambda row, visible: visible[: 1 + row]
    expected = fill_gaps(model, requests, **settings)
    assert fill_gaps(model, requests, cache=steps, **settings) == expected


def test_one_graph_per_shape_and_none_when_it_is_met_again() -> None:
    model, counting = small_causal(), Counting()
    steps = CompiledSteps(model, "default", backend=counting)
    for texts, shapes in (
        ([PROMPTS[1]], 1),
        ([PROMPTS[0]], 1),
        ([PROMPTS[3]], 2),  # 30 + 40 columns: more than 64
        (PROMPTS[:2], 3),
    ):
        decoded(model, texts, cache=steps)
        assert (counting.count, steps.num_shapes) == (shapes, shapes)
    before = torch._dynamo.utils.counters["stats"]["unique_graphs"]
    for texts in ([PROMPTS[0]], [PROMPTS[3]], PROMPTS[1::-1]):
        decoded(model, texts, cache=steps, temperature=0.5)
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == before
    assert counting.count == steps.num_shapes == 3


def test_a_shape_is_ready_before_its_first_token() -> None:
    """So that a request which ends with its first token leaves nothing to compile to the next."""
    model, counting = small_causal(), Counting()
    steps = CompiledSteps(model, "default", backend=counting)
    first = slow_greedy(model, PROMPTS[0], 1)[0]
    [short] = decoded(model, [PROMPTS[0]], cache=steps, eos_ids=[first])
    assert (short.nfe, counting.count) == (1, 1)
    decoded(model, [PROMPTS[0]], cache=steps)
    assert counting.count == 1


def test_a_request_sees_nothing_of_the_one_before() -> None:
    model = small_causal()
    steps = CompiledSteps(model, "default", backend=Counting())
    [expected] = decoded(model, [PROMPTS[1]], cache=steps)
    broken = replace(prompts_of([PROMPTS[0]])[0], seed=1)
    cache: Any = steps.cache(1, 64)
    for layer in cache.layers:
        layer.keys.fill_(float("nan"))
        layer.values.fill_(float("nan"))
    generate_autoregressive(model, [broken], max_new_tokens=NEW, eos_ids=[-1], cache=steps)
    assert decoded(model, [PROMPTS[1]], cache=steps) == [expected]


@pytest.mark.parametrize(
    ("asked", "length"),
    [
        (1, 64),
        (64, 64),
        (65, 128),
        (500, 512),
        (513, 640),
        (1000, 1024),
        (1025, 1280),
        (9000, 10240),
    ],
)
def test_caches_have_room_and_little_more(asked: int, length: int) -> None:
    assert columns_around(asked) == length


def test_steps_stay_with_their_model_and_go_with_it() -> None:
    model = small_causal()
    steps = CompiledSteps.of(model, "default")
    assert CompiledSteps.of(model, "default") is steps
    assert CompiledSteps.of(model, "reduce-overhead") is not steps
    assert CompiledSteps.of(small_causal(), "default") is not steps
    gone = weakref.ref(steps)
    del model, steps
    gc.collect()
    assert gone() is None


def test_what_cannot_be_compiled_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(graph: Any, inputs: Any) -> Any:
        del graph, inputs
        raise ValueError("no such instruction\nand more")

    model = small_causal()
    with pytest.raises(
        UsageError, match=r"compile is 'default', and this .* pass compile=none"
    ) as e:
        decoded(model, [PROMPTS[0]], cache=CompiledSteps(model, "default", backend=fails))
    assert "\n" not in str(e.value)
    module = "dllm_eval.samplers.causal_compiled.StaticLayer"
    monkeypatch.setattr(module, type("Other", (), {}))
    with pytest.raises(UsageError, match=r"static cache of keys and values .* StaticLayer; pass"):
        decoded(model, [PROMPTS[0]], cache=CompiledSteps(model, "default", backend=Counting()))


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch's compiler needs g++")
@pytest.mark.parametrize("kind", ["llama", "qwen2", "qwen3"])
def test_the_same_through_the_whole_compiler(kind: str) -> None:
    model = small_causal(kind)
    steps = CompiledSteps(model, "default")
    for texts in ([PROMPTS[0]], PROMPTS):
        assert decoded(model, texts, cache=steps) == decoded(model, texts)


@pytest.mark.gpu
@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("mode", ["default", "reduce-overhead"])
@pytest.mark.parametrize("kind", ["llama", "qwen2", "qwen3"])
def test_the_same_on_the_device(kind: str, mode: Any) -> None:
    model = small_causal(kind).cuda()
    steps = CompiledSteps(model, mode)
    for texts in ([PROMPTS[0]], [PROMPTS[1]], PROMPTS, [PROMPTS[0]]):
        found = decoded(model, texts, cache=steps)
        for one, other in zip(found, decoded(model, texts), strict=True):
            assert one.tokens == other.tokens
            assert (one.nfe, one.positions) == (other.nfe, other.positions)
