"""What the output head at masked positions keeps in memory, and what it must not be given."""

from typing import Any

import pytest
import torch
from mixing_model import MASK, PROMPTS, model_of
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from dllm_eval.denoiser import ModelDenoiser
from dllm_eval.errors import UsageError
from dllm_eval.samplers import SamplerConfig, generate_batch, head_tiles, late_head
from dllm_eval.samplers.canvas import Canvas
from dllm_eval.samplers.loop import denoise


@pytest.fixture(autouse=True)
def _always(monkeypatch: pytest.MonkeyPatch) -> None:
    """At every vocabulary, and few rows at once; what was computed has to have been asked for."""
    monkeypatch.setattr(late_head, "LARGE_VOCABULARY", 1)
    monkeypatch.setattr(late_head, "CHUNK_ELEMENTS", {"cpu": 16 * 29, "cuda": 16 * 29})
    monkeypatch.setattr(head_tiles, "TILE_COLUMNS", 12)
    monkeypatch.setattr(head_tiles, "TILE_ROWS", 7)


class Largest(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Remembers how many numbers the largest tensor has that any operation gave."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.numel = 0
        self.reads: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        del types
        found = func(*args, **(kwargs or {}))
        for each in found if isinstance(found, (tuple, list)) else (found,):
            # A view of the weights is not new.
            if isinstance(each, Tensor) and "aten.t." not in str(func):
                self.numel = max(self.numel, each.numel())
        if func.__name__.split(".")[0] in ("_local_scalar_dense", "nonzero"):
            self.reads.append(func.__name__)
        return found


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"sampler": "entropy"},
        {"sampler": "margin", "block_length": 16},
        {"cfg_scale": 1.0},
        {"temperature": 1.0},
        {"temperature": 1.0, "top_k": 5, "eos_policy": "last"},
    ],
    ids=str,
)
def test_no_tensor_grows_with_canvas_times_vocabulary(
    settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    vocab, rows = 3000, 8
    elements = rows * vocab
    monkeypatch.setattr(late_head, "CHUNK_ELEMENTS", {"cpu": elements, "cuda": elements})
    monkeypatch.setattr(head_tiles, "TILE_ROWS", elements // 700)
    monkeypatch.setattr(head_tiles, "TILE_COLUMNS", 700)
    model = model_of(vocab)
    largest = []
    for length in (32, 64):
        config = SamplerConfig(gen_length=length, steps=4, **settings)
        canvas = Canvas.build(
            PROMPTS,
            family=model.family,
            vocab_size=vocab,
            gen_length=length,
            device=model.device,
        )
        with torch.no_grad(), Largest() as seen:
            denoise(model, canvas, config)
        largest.append(seen.numel)
        assert seen.reads == []  # nor does the host wait
    assert max(largest) <= elements
    assert largest[0] == largest[1]


def test_a_model_that_gives_no_numbers_is_an_error_here_too() -> None:
    model = model_of()
    bias = torch.zeros(29)
    bias[7] = torch.nan
    model.head.load_state_dict({"bias": bias}, strict=False)
    config = SamplerConfig(gen_length=8, steps=4)
    with pytest.raises(UsageError, match="NaN or infinite"):
        generate_batch(model, PROMPTS, config)


def test_half_precision_is_read_as_it_is() -> None:
    model = model_of()
    model.head.bfloat16()
    for parameter in model.body.parameters():
        parameter.data = parameter.data.bfloat16()
    config = SamplerConfig(gen_length=8, steps=4, sampler="entropy")
    for out in generate_batch(model, PROMPTS, config):
        assert MASK not in out.tokens


def test_a_small_vocabulary_keeps_to_the_simple_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    model = model_of()
    assert not late_head.applies(model, SamplerConfig())
    assert late_head.applies(model_of(late_head.LARGE_VOCABULARY), SamplerConfig())


@pytest.mark.gpu
@pytest.mark.filterwarnings("ignore:TRITON_DEFAULT_FP_FUSION")  # Triton 3.9 on its next version
@pytest.mark.parametrize("sampler", ["low_confidence", "entropy", "margin"])
def test_the_host_does_not_wait_on_the_device(
    sampler: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(late_head, "CHUNK_ELEMENTS", {"cpu": 2**16, "cuda": 2**16})
    model, config = model_of(9001), SamplerConfig(gen_length=16, steps=4, sampler=sampler)
    on_cpu = generate_batch(model, PROMPTS, config)
    moved = ModelDenoiser(body=model.body.cuda(), head=model.head.cuda(), family=model.family)
    canvas = Canvas.build(
        PROMPTS, family=model.family, vocab_size=9001, gen_length=16, device=moved.device
    )
    assert generate_batch(moved, PROMPTS, config) == on_cpu  # compiles the kernel, too
    torch.cuda.set_sync_debug_mode("error")
    try:
        with torch.inference_mode():
            assert denoise(moved, canvas, config) == 0
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert canvas.finish(host_syncs=0) == on_cpu
