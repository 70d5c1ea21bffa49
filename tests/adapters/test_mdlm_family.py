"""MDLM checkpoints in their published layout: architecture, tokenizer, refusals."""

import json
from itertools import product
from pathlib import Path

import huggingface_hub
import numpy as np
import pytest
import torch
from checkpoints import mdlm
from checkpoints.common import END
from dit_oracle import SlowDit
from safetensors.torch import load_file, save_file

from dllm_eval.errors import UsageError
from dllm_eval.likelihood.score import log_likelihood
from dllm_eval.loading import load_model


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return mdlm.write(tmp_path_factory.mktemp("mdlm") / "tiny")


def test_the_facts_are_the_checkpoints(folder: Path) -> None:
    family = load_model(str(folder)).family
    assert (family.name, family.mask_id, family.context_length) == ("mdlm", 300, 128)
    assert (family.attention, family.likelihood, family.time_conditioned) == (
        "full",
        "masked",
        False,
    )
    assert family.decoding["transition"] == "ancestral"


def test_logits_are_the_published_architecture(folder: Path) -> None:
    model = load_model(str(folder), dtype="float32")
    slow = SlowDit(load_file(folder / "model.safetensors"), prefix="backbone.", heads=4)
    mask = model.family.mask_id
    token_ids = [0, 17, 250, mask, mask, 31, mask, 299, mask]
    found = model.logits(torch.tensor([token_ids]))[0, :, :mask]
    expected = torch.from_numpy(slow.logits(token_ids)[:, :mask])
    torch.testing.assert_close(found.double(), expected, atol=1e-5, rtol=0)


def test_the_mask_is_never_predicted(folder: Path) -> None:
    model = load_model(str(folder), dtype="float32")
    logits = model.logits(torch.full((1, 4), model.family.mask_id))
    assert (logits.softmax(-1)[..., model.family.mask_id] == 0).all()
    assert logits.isfinite().all()


def test_a_row_does_not_depend_on_its_batch(folder: Path) -> None:
    model = load_model(str(folder), dtype="float32")
    alone = torch.tensor([[5, 300, 7]])
    padded = torch.tensor([[0, 0, 5, 300, 7], [9, 8, 300, 300, 6]])
    valid = torch.tensor([[False, False, True, True, True], [True] * 5])
    together = model.logits(padded, valid=valid, rows=slice(2, 5))[0]
    torch.testing.assert_close(together, model.logits(alone)[0], atol=1e-5, rtol=0)


def test_shards_hold_the_same_model(folder: Path, tmp_path: Path) -> None:
    sharded = mdlm.write(tmp_path / "sharded", shards=3)
    token_ids = torch.tensor([[0, 300, 12, 300]])
    one, three = (load_model(str(path)).logits(token_ids) for path in (folder, sharded))
    assert torch.equal(one, three)


def test_bfloat16_weights_stay_close_to_float32(folder: Path) -> None:
    token_ids = torch.tensor([[0, 300, 12, 300]])
    narrow = load_model(str(folder), dtype="bfloat16").logits(token_ids)
    wide = load_model(str(folder), dtype="float32").logits(token_ids)
    assert narrow.dtype == torch.bfloat16
    assert (narrow.float() - wide)[..., :300].abs().mean() < 0.05


def test_a_text_begins_with_end_of_text_as_in_training(folder: Path) -> None:
    tokenizer = load_model(str(folder)).tokenizer
    assert tokenizer.encode("def")[0] == tokenizer.convert_tokens_to_ids(END)
    assert tokenizer.encode("def", add_special_tokens=False) == tokenizer.encode("def")[1:]


def test_gpt2s_tokenizer_is_fetched_where_none_is_published(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bare = mdlm.write(tmp_path / "bare")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (bare / name).unlink()
    asked = []

    def download(hub_id: str, name: str) -> str:
        asked.append((hub_id, name))
        return str(folder / name)

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    assert load_model(str(bare)).tokenizer.eos_token == END
    assert asked == [
        ("openai-community/gpt2", "tokenizer.json"),
        ("openai-community/gpt2", "tokenizer_config.json"),
    ]


def test_no_tokenizer_anywhere_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bare = mdlm.write(tmp_path / "bare")
    (bare / "tokenizer.json").unlink()

    def download(_hub_id: str, _name: str) -> str:
        raise OSError("no network")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    with pytest.raises(
        UsageError, match=r"put tokenizer.json and .* of openai-community/gpt2 into"
    ):
        load_model(str(bare))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"time_conditioning": True}, "time_conditioning is True; the native MDLM module knows Fa"),
        ({"hidden_dim": "wide"}, "hidden_dim is 'wide', not a whole number"),
        ({"n_heads": 5}, "a width of 32 does not divide into 5 heads of even width"),
        ({"vocab_size": 400}, "knows 300 tokens, config.json asks for 399 beside the mask"),
        ({"n_blocks": 3}, r"lacks the tensor backbone\.blocks\.2\..* \(10 missing in all\)"),
        ({"n_blocks": 1}, r"holds the tensor backbone\.blocks\.1\..*, which the model has no use"),
        ({"cond_dim": 20}, r"has shape .*, config.json asks for"),
    ],
)
def test_what_does_not_fit_is_one_line(
    changes: dict[str, object], message: str, tmp_path: Path
) -> None:
    folder = mdlm.write(tmp_path / "odd")
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    with pytest.raises(UsageError, match=message) as caught:
        load_model(str(folder))
    assert "\n" not in str(caught.value)


def test_a_missing_tensor_is_named(tmp_path: Path) -> None:
    folder = mdlm.write(tmp_path / "damaged")
    tensors = load_file(folder / "model.safetensors")
    del tensors["backbone.blocks.1.attn_qkv.weight"]
    save_file(tensors, folder / "model.safetensors")
    with pytest.raises(UsageError, match=r"lacks the tensor backbone\.blocks\.1\.attn_qkv\.weight"):
        load_model(str(folder))


@pytest.mark.parametrize("length", [1, 2, 3])
def test_the_exact_bound_is_the_published_integral_over_time(length: int, folder: Path) -> None:
    """`_forward_pass_diffusion`: nll of masked tokens times dsigma / expm1(sigma), t in [0, 1].

    Time 1 leaves a token unmasked with probability 1e-3; the rest of the integral, over the masked
    share from there to 1, is what the exact bound has beyond it.
    """
    model = load_model(str(folder), dtype="float32")
    context, target = [0, 41, 7], [17, 250, 8][:length]
    points, weights = np.polynomial.legendre.leggauss(12)
    nll = {}
    for hidden in product([False, True], repeat=length):
        canvas = [300 if one else token for one, token in zip(hidden, target, strict=True)]
        log_p = model.logits(torch.tensor([[*context, *canvas]]))[0, 3:].double().log_softmax(-1)
        nll[hidden] = sum(-float(log_p[i, token]) for i, token in enumerate(target) if hidden[i])

    def expected_nll(masked: float) -> float:
        return sum(
            value * float(np.prod([masked if one else 1 - masked for one in hidden]))
            for hidden, value in nll.items()
        )

    published, rest = 0.0, 0.0
    for time, weight in zip((points + 1) / 2, weights / 2, strict=True):
        sigma = -np.log1p(-(1 - 1e-3) * time)
        slope = (1 - 1e-3) / (1 - (1 - 1e-3) * time)
        published += weight * slope / np.expm1(sigma) * expected_nll(-np.expm1(-sigma))
        masked = 1 - 1e-3 * (1 - time)
        rest += weight * 1e-3 / masked * expected_nll(masked)
    found = log_likelihood(model, context, target, estimator="enumeration")
    assert found.value == pytest.approx(-(published + rest), abs=1e-5)
    assert rest < 2e-3 * published * length
