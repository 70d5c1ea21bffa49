"""SEDD checkpoints in their published layout: architecture, noise level, refusals."""

from math import expm1, log
from pathlib import Path
from typing import Any

import pytest
import torch
from checkpoints import sedd
from dit_oracle import SlowDit, sigma_of
from safetensors.torch import load_file

from dllm_eval.denoiser import ModelDenoiser
from dllm_eval.errors import UsageError
from dllm_eval.loading import load_model


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return sedd.write(tmp_path_factory.mktemp("sedd") / "tiny")


def load(folder: Path) -> ModelDenoiser:
    model = load_model(str(folder), family="sedd", dtype="float32")
    assert isinstance(model, ModelDenoiser)
    return model


def test_the_facts_are_the_checkpoints(folder: Path) -> None:
    family = load(folder).family
    assert (family.name, family.mask_id, family.context_length) == ("sedd", 300, 128)
    assert (family.likelihood, family.time_conditioned) == ("score_entropy", True)


@pytest.mark.parametrize("time", [1e-5, 0.3, 1.0])
def test_logits_are_the_published_scores_without_sigma(time: float, folder: Path) -> None:
    """Score: log s_j = output_j - log(exp(sigma) - 1) - log(vocab - 1) in the released forward."""
    model = load(folder)
    slow = SlowDit(load_file(folder / "model.safetensors"), prefix="", heads=4)
    token_ids = [0, 17, 300, 250, 300, 300, 299]
    masked = [index for index, token in enumerate(token_ids) if token == 300]
    released = slow.logits(token_ids, sigma=sigma_of(time)) - log(expm1(sigma_of(time))) - log(300)
    found = model.logits(torch.tensor([token_ids]), time=torch.tensor([time]))[0].double()
    found -= log(expm1(sigma_of(time)))
    expected = torch.from_numpy(released[masked, :300])
    torch.testing.assert_close(found[masked, :300], expected, atol=1e-5, rtol=0)


def test_rows_of_a_batch_have_their_own_noise_level(folder: Path) -> None:
    model = load(folder)
    token_ids = torch.tensor([[5, 300, 7, 300]]).expand(2, -1)
    times = torch.tensor([0.2, 0.9])
    together = model.logits(token_ids, time=times)
    for row in range(2):
        alone = model.logits(token_ids[:1], time=times[row : row + 1])[0]
        torch.testing.assert_close(together[row], alone, atol=1e-5, rtol=0)
    assert (together[0] - together[1])[..., :300].abs().max() > 0.1


def test_a_model_that_is_told_no_noise_level_says_so(folder: Path) -> None:
    with pytest.raises(UsageError, match="has to be told how much noise is left"):
        load(folder).logits(torch.tensor([[5, 300]]))


def test_nothing_is_put_in_front_of_a_text(folder: Path) -> None:
    tokenizer = load(folder).tokenizer
    assert tokenizer.encode("def") == tokenizer.encode("def", add_special_tokens=False)


def test_shards_hold_the_same_model(folder: Path, tmp_path: Path) -> None:
    sharded = sedd.write(tmp_path / "sharded", shards=2)
    token_ids, time = torch.tensor([[0, 300, 12]]), torch.tensor([0.5])
    one, two = (load(path).logits(token_ids, time=time) for path in (folder, sharded))
    assert torch.equal(one, two)


def test_a_config_without_a_model_type_needs_the_familys_name(folder: Path) -> None:
    with pytest.raises(UsageError, match=r"has model_type None; .* pass family=NAME .*sedd"):
        load_model(str(folder))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"graph": {"type": "uniform"}},
            "graph.type is 'uniform'; the native SEDD module knows 'a",
        ),
        ({"noise": {"type": "geometric"}}, "noise.type is 'geometric'; .* knows 'loglinear' only"),
        ({"model": {"scale_by_sigma": False}}, "model.scale_by_sigma is False; .* knows True only"),
        ({"model": {"length": 0}}, "model.length is 0, not a whole number of at least 1"),
        ({"graph": None}, "has no section 'graph', as SEDD's have"),
    ],
)
def test_what_does_not_fit_is_one_line(
    changes: dict[str, Any], message: str, tmp_path: Path
) -> None:
    folder = sedd.write(tmp_path / "odd", **changes)
    with pytest.raises(UsageError, match=message) as caught:
        load(folder)
    assert "\n" not in str(caught.value)


def test_the_published_pickle_is_never_opened(tmp_path: Path) -> None:
    folder = sedd.write(tmp_path / "pickled")
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(b"anything")
    with pytest.raises(UsageError, match=r"pytorch_model.bin is a pickle, which is never opened"):
        load(folder)
