"""What CUDA graphs ask of compiled code, on a machine without a device.

A graph is recorded once and replayed: it writes its outputs over those of the replay before, it is
not recorded where it writes to an input that is not at a fixed address, holds an operation that
reads the device or a tensor of the host (torch 2.13, _inductor/cudagraph_utils.py:
check_for_mutation, check_multiple_devices_or_any_cpu_nodes; _inductor/utils.py:
get_first_incompatible_cudagraph_node), and every new shape is recorded anew. What torch's compiler
sees of our graphs is checked by its own functions, on a CPU; what replays do to outputs is acted
out on the fake device.
"""

from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch
from fake_cuda import CUDA, fake_cuda, unavailable
from fake_cuda_decoding import check, decode_on_both, loader
from small_causal import small_causal
from torch import Tensor
from torch._dynamo.backends.common import aot_autograd
from torch._guards import TracingContext
from torch._inductor.utils import get_first_incompatible_cudagraph_node

from dllm_eval import compiled
from dllm_eval.api import Prompt
from dllm_eval.samplers import SamplerConfig, generate_batch, late_head
from dllm_eval.samplers.autoregressive import generate_autoregressive
from dllm_eval.samplers.causal_compiled import CompiledSteps
from dllm_eval.shapes import padded_held

WHY_NOT = unavailable()
on_fake_device = pytest.mark.skipif(WHY_NOT is not None, reason=WHY_NOT or "")
COMPILED = ("llada", "dream", "sdar", "fast_dllm_v2", "nbdiff", "wedlm", "mdlm", "bd3lm", "sedd")
TRACED_SOON = ("llada", "sdar", "llama", "sliding qwen2")
"""Tracing takes seconds a shape; the others are slow tests."""
WRITES_A_NUMBER = "fill_"
"""The one operation whose number of the host is read there and is none of the graph's inputs."""
PROMPTS = [Prompt(prefix=(5, 6, 7), seed=1), Prompt(prefix=(8,), seed=2)]


@pytest.fixture(autouse=True)
def _from_scratch() -> Iterator[None]:
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    def write(family: str) -> Path:
        module = import_module(f"checkpoints.{family}")
        folder: Path = module.write(tmp_path_factory.mktemp(family) / "tiny")
        return folder

    return write


class Graphs:
    """A compiler that runs what torch traced as it stands; notes what graphs would trip over."""

    def __init__(self) -> None:
        self.num_static: list[int] = []
        self.faults: list[str] = []
        self.backend = aot_autograd(fw_compiler=self, inference_compiler=self)

    def __call__(self, graph: Any, inputs: Any) -> Any:
        context = TracingContext.get()
        facts = context.fw_metadata
        assert facts is not None
        fixed = set(facts.static_input_indices)
        self.num_static.append(len(fixed))
        for place, info in enumerate(facts.input_info):
            if (info.mutates_data or info.mutates_metadata) and place not in fixed:
                self.faults.append(f"input {place} is written to, and lies at no fixed address")
        self.faults += [f"input {each!r}" for each in inputs if not isinstance(each, Tensor)]
        node = get_first_incompatible_cudagraph_node(graph)
        if node is not None:
            self.faults.append(f"operation {node.target}")
        return graph.forward


def _slow_but(names: tuple[str, ...]) -> list[Any]:
    return [
        name if name in TRACED_SOON else pytest.param(name, marks=pytest.mark.slow)
        for name in names
    ]


@pytest.mark.parametrize("family", _slow_but(COMPILED))
def test_nothing_of_a_body_keeps_it_out_of_a_graph(
    family: str, written: Callable[[str], Path]
) -> None:
    graphs = Graphs()
    model = loader(family, written(family))(torch.device("cpu"))
    traced = model.compiled("default", backend=graphs.backend)
    config = SamplerConfig.from_mapping({"gen_length": 16}, model.family)
    expected = generate_batch(model, PROMPTS, config)
    assert [one.tokens for one in generate_batch(traced, PROMPTS, config)] == [
        one.tokens for one in expected
    ]
    assert graphs.faults == []
    num_weights = len(list(model.body.parameters()))
    # Weights are not copied at every replay.
    assert all(each >= num_weights for each in graphs.num_static)
    assert len(graphs.num_static) == traced.num_shapes


@pytest.mark.parametrize("kind", _slow_but(("llama", "qwen2", "qwen3", "sliding qwen2")))
def test_nothing_of_a_causal_step_keeps_it_out_of_a_graph(kind: str) -> None:
    """The cache is written to, so it has to be at a fixed address."""
    graphs = Graphs()
    model = small_causal(kind)
    steps = CompiledSteps(model, "default", backend=graphs.backend)
    for text in ((3, 4, 5), (7,)):
        generate_autoregressive(
            model, [Prompt(prefix=text)], max_new_tokens=6, eos_ids=[-1], cache=steps
        )
    assert graphs.faults == []
    assert len(graphs.num_static) == 1
    cached = 3 * model.config.num_hidden_layers  # keys, values and a length
    assert graphs.num_static[0] >= cached + len(list(model.parameters()))


def test_a_graph_that_would_be_left_out_is_found() -> None:
    def writes(tensor: Tensor) -> Tensor:
        return tensor.add_(1) * 2

    def by_mask(tensor: Tensor) -> Tensor:
        return tensor.index_put((tensor > 0,), torch.zeros(()))

    for work, said in ((writes, "no fixed address"), (by_mask, "operation aten.index_put")):
        graphs = Graphs()
        with torch.no_grad():
            torch.compile(work, backend=graphs.backend)(torch.ones(3))
        assert [said in fault for fault in graphs.faults] == [True]


class Replays:
    """Stands in for what `torch.compile` gives: each call ruins what the one before handed out."""

    def __init__(self, module: Callable[..., Any], **_: Any) -> None:
        self.module = module
        self.handed_out: list[Tensor] = []
        self.calls = 0

    def __call__(self, *inputs: Any) -> Any:
        for tensor in self.handed_out:
            tensor.fill_(float("nan"))
        out = self.module(*inputs)
        self.handed_out = [one.clone() for one in _tensors(out)]
        fresh = iter(self.handed_out)
        self.calls += 1
        return _replaced(out, fresh)


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    else:
        for one in value:
            yield from _tensors(one)


def _replaced(value: Any, fresh: Iterator[Tensor]) -> Any:
    if isinstance(value, Tensor):
        return next(fresh)
    return type(value)(_replaced(one, fresh) for one in value)


@pytest.mark.filterwarnings("default::DeprecationWarning")  # torch on itself
@on_fake_device
@pytest.mark.parametrize("head", ["all logits", "late head"])
@pytest.mark.parametrize("family", COMPILED)
def test_replays_write_over_nothing_that_is_still_read(
    family: str, head: str, written: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, "compile", Replays)
    if head == "late head":
        monkeypatch.setattr(late_head, "LARGE_VOCABULARY", 8)
    load = loader(family, written(family))

    def graphed(device: torch.device) -> Any:
        model = load(device)
        return model.compiled("reduce-overhead") if device == CUDA else model

    family_facts = load(torch.device("cpu")).family
    check(
        decode_on_both(
            graphed, PROMPTS, SamplerConfig.from_mapping({"gen_length": 16}, family_facts)
        )
    )


@pytest.mark.filterwarnings("default::DeprecationWarning")  # torch on itself
@on_fake_device
def test_held_keys_are_padded_once_a_block(
    written: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, "compile", Replays)
    lengths: list[int] = []

    def counted(cache: Any, shape: Any) -> Any:
        lengths.append(cache.length)
        return padded_held(cache, shape)

    monkeypatch.setattr(compiled, "padded_held", counted)
    with fake_cuda():
        model = loader("sdar", written("sdar"))(CUDA).compiled("reduce-overhead")
        config = SamplerConfig.from_mapping({"gen_length": 16, "stop": "none"}, model.family)
        [alone] = generate_batch(model, PROMPTS[:1], config)
    assert alone.nfe > len(lengths) == len(set(lengths)) > 2


@pytest.mark.filterwarnings("default::DeprecationWarning")  # torch on itself
@on_fake_device
def test_replayed_logits_of_a_causal_step_are_read_before_the_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch, "compile", Replays)
    model = small_causal()
    expected = generate_autoregressive(model, PROMPTS, max_new_tokens=9, eos_ids=[-1])
    with fake_cuda():
        placed = small_causal().to("cuda")
        steps = CompiledSteps(placed, "reduce-overhead")
        found = generate_autoregressive(
            placed, PROMPTS, max_new_tokens=9, eos_ids=[-1], cache=steps
        )
    assert [one.tokens for one in found] == [one.tokens for one in expected]


@on_fake_device
@pytest.mark.parametrize("family", [*COMPILED, "llada2", "d3pm"])
def test_no_number_of_the_host_takes_part_in_a_body(
    family: str, written: Callable[[str], Path]
) -> None:
    """Eager code may mix them in; a graph with one in it is not recorded."""
    with fake_cuda() as device:
        model = loader(family, written(family))(CUDA)
        config = SamplerConfig.from_mapping({"gen_length": 16}, model.family)
        generate_batch(model, PROMPTS, config)
    folder = Path(str(import_module("dllm_eval.adapters.bodies").__file__)).parent
    bodies = {path.name for path in folder.glob("*.py")} | {"attention.py"}
    for each in device.host_numbers:
        operation, _, line = each.partition(" at ")
        file = line.partition(":")[0]
        inside = file in bodies or file.startswith("modeling_")
        assert operation == WRITES_A_NUMBER or not inside, each
