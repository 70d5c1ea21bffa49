"""DiffusionGemma: the native path against the architecture written out slowly.

Decoding is in test_diffusion_gemma_family_decoding.py, the rule alone in
tests/samplers/test_diffusion_gemma_rule.py.
"""

import json
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from checkpoints import diffusion_gemma
from diffusion_gemma_oracle import Oracle
from safetensors.torch import load_file, save_file
from torch import Tensor

from dllm_eval.attention import KeyValues
from dllm_eval.errors import UsageError
from dllm_eval.loading import load_model
from dllm_eval.samplers import SamplerConfig

NATIVE = find_spec("transformers.models.diffusion_gemma") is not None
native = pytest.mark.skipif(not NATIVE, reason="needs transformers >= 5.11")
CANVAS = [9, 280, 17, 99, 1, 42, 3, 200]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return diffusion_gemma.write(tmp_path_factory.mktemp("diffusion_gemma") / "tiny")


def transformers_model(folder: Path) -> Any:
    from transformers import DiffusionGemmaForBlockDiffusion

    return DiffusionGemmaForBlockDiffusion.from_pretrained(folder)


def prompt_of(length: int) -> list[int]:
    return [(7 + 31 * i * i) % 310 for i in range(length)]


def on_canvas(model: Any, prompt: list[int], **options: Any) -> Tensor:
    rows = slice(len(prompt), len(prompt) + len(CANVAS))
    logits: Tensor = model.logits(torch.tensor([prompt + CANVAS]), rows=rows, **options)
    return logits[0]


@native
@pytest.mark.parametrize("length", [0, 1, 7, 8, 19])
def test_logits_equal_the_written_out_architecture(length: int, folder: Path) -> None:
    model, oracle, prompt = load_model(str(folder)), Oracle(folder), prompt_of(length)
    before = 3 * torch.randn(1, 8, 310, generator=torch.Generator().manual_seed(length))
    for conditioning in (None, before):
        found = on_canvas(model, prompt, self_conditioning=conditioning).double()
        expected = oracle.logits(prompt, CANVAS, None if conditioning is None else conditioning[0])
        assert found.shape == (8, 310)
        assert (found - expected).abs().max() < 1e-5


@native
@pytest.mark.parametrize("length", [1, 7, 8, 19])
def test_logits_equal_transformers_own_class(length: int, folder: Path) -> None:
    model, theirs = load_model(str(folder)), transformers_model(folder)
    before = 3 * torch.randn(1, 8, 310, generator=torch.Generator().manual_seed(length))
    prompt = prompt_of(length)
    for conditioning in (None, before):
        with torch.inference_mode():
            expected = theirs(
                input_ids=torch.tensor([prompt]),
                decoder_input_ids=torch.tensor([CANVAS]),
                self_conditioning_logits=conditioning,
            ).logits[0]
        found = on_canvas(model, prompt, self_conditioning=conditioning)
        assert (found - expected).abs().max() < 1e-5


@native
def test_padding_is_hidden_and_moves_no_position(folder: Path) -> None:
    model = load_model(str(folder))
    for length in (0, 3, 12):
        prompt = prompt_of(length)
        expected = on_canvas(model, prompt)
        row, other = [11] * 5 + prompt + CANVAS, prompt_of(5 + length) + CANVAS
        valid = torch.tensor([[i >= 5 for i in range(len(row))], [True] * len(row)])
        rows = slice(len(row) - 8, len(row))
        found = model.logits(torch.tensor([row, other]), valid=valid, rows=rows)
        assert (found[0] - expected).abs().max() < 1e-5
        assert (found[1] - on_canvas(model, prompt_of(5 + length))).abs().max() < 1e-5


@native
def test_a_cache_holds_the_text_before_the_canvas_and_nothing_of_it(folder: Path) -> None:
    model, cache = load_model(str(folder)), KeyValues(29)
    text = torch.tensor([prompt_of(29)])
    for start in (5, 13, 21):
        rows = slice(start, start + 8)
        for noise in (17, 40):
            canvas = text.clone()
            canvas[:, rows] = (canvas[:, rows] + noise) % 310
            cached = model.logits(canvas, rows=rows, cache=cache)
            assert cache.length == start
            assert (cached - model.logits(canvas, rows=rows)).abs().max() < 1e-5
    with pytest.raises(ValueError, match="21 columns are held, the canvas begins at 5"):
        model.logits(text, rows=slice(5, 13), cache=cache)


@native
def test_shards_and_one_file_give_the_same_model(folder: Path, tmp_path: Path) -> None:
    many = diffusion_gemma.write(tmp_path / "many", shards=3)
    one = on_canvas(load_model(str(folder)), [5, 6])
    assert torch.equal(one, on_canvas(load_model(str(many)), [5, 6]))


@native
def test_encoder_and_decoder_are_one_set_of_weights(folder: Path) -> None:
    model: Any = load_model(str(folder), dtype="bfloat16")
    shared = dict(model.decoder.named_parameters())
    for name, parameter in model.encoder.named_parameters():
        assert parameter.dtype == torch.bfloat16
        same = parameter.data_ptr() == shared[name].data_ptr()
        assert same != name.endswith("layer_scalar")


@native
def test_facts_come_from_the_checkpoint(folder: Path, tmp_path: Path) -> None:
    family = load_model(str(folder)).family
    assert (family.name, family.noise, family.mask_id) == ("diffusion_gemma", "uniform", -1)
    assert (family.end_ids, family.pad_id, family.context_length) == ((1, 3, 4), 0, 512)
    assert (family.attention, family.logits_shift, family.block_length) == ("causal_context", 0, 8)
    assert family.likelihood is None
    config = SamplerConfig.from_mapping({"gen_length": 16}, family)
    assert (config.entropy_bound, config.stop_entropy, config.stable_steps) == (0.1, 0.005, 1)
    assert (config.temperature, config.final_temperature, config.stop) == (0.8, 0.4, "eos")
    assert (config.block, config.steps_per_block) == (8, 6)

    silent = diffusion_gemma.write(tmp_path / "silent")
    (silent / "generation_config.json").unlink()
    family = load_model(str(silent)).family
    assert family.end_ids == (1, 3)
    assert family.decoding["steps_per_block"] == 48


@native
@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"tie_word_embeddings": False}, "tie_word_embeddings is False"),
        ({"use_bidirectional_attention": "all"}, "use_bidirectional_attention is 'all'"),
        ({"eos_token_id": [7]}, r"'<eos>' has the id 1.*eos_token_id \[7\]"),
        ({"sampler_config": {"entropy_bound": None}}, "entropy_bound None, not a number"),
        ({"text_config": None}, "has no text_config"),
        ({"hidden_size": "wide"}, "hidden_size"),
        ({"num_experts": None}, "num_experts is None, not a whole number"),
        ({"final_logit_softcapping": None}, "softcapping is None, not a number"),
    ],
    ids=str,
)
def test_what_cannot_be_expressed_is_refused_by_name(
    changes: dict[str, Any], line: str, tmp_path: Path
) -> None:
    made = diffusion_gemma.write(tmp_path / "model")
    for name in ("config.json", "generation_config.json"):
        settings = json.loads((made / name).read_text())
        inner = settings.get("text_config", settings)
        for key, value in changes.items():
            (inner if key in inner else settings)[key] = value
        (made / name).write_text(json.dumps(settings))
    with pytest.raises(UsageError, match=line) as caught:
        load_model(str(made))
    assert "\n" not in str(caught.value)


@native
@pytest.mark.parametrize(
    "name",
    ["model.encoder.language_model.layers.1.layer_scalar", "model.decoder.layers.0.router.scale"],
)
def test_a_missing_tensor_is_named(name: str, tmp_path: Path) -> None:
    made = diffusion_gemma.write(tmp_path / "model")
    tensors = load_file(made / "model.safetensors")
    del tensors[name]
    save_file(tensors, made / "model.safetensors")
    with pytest.raises(UsageError, match=f"lacks the tensor {name}"):
        load_model(str(made))


@native
def test_a_text_only_copy_loads_too(folder: Path, tmp_path: Path) -> None:
    made = diffusion_gemma.write(tmp_path / "model")
    tensors = load_file(made / "model.safetensors")
    text = {name: t for name, t in tensors.items() if "vision" not in name}
    assert len(text) < len(tensors)
    save_file(text, made / "model.safetensors")
    whole = on_canvas(load_model(str(folder)), [5, 6])
    assert torch.equal(on_canvas(load_model(str(made)), [5, 6]), whole)


@pytest.fixture
def old_transformers(monkeypatch: pytest.MonkeyPatch) -> None:
    if NATIVE:
        monkeypatch.setitem(sys.modules, "transformers.models.diffusion_gemma", None)


@pytest.mark.usefixtures("old_transformers")
def test_a_transformers_without_the_classes_is_one_clear_line(tmp_path: Path) -> None:
    made = diffusion_gemma.write(tmp_path / "model")
    with pytest.raises(UsageError, match=r"needs transformers >= 5\.11; installed: 5\.\d+"):
        load_model(str(made))
