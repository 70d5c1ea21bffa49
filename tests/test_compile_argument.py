"""The setting `compile`, from argument to loaded model: who shares weights, what is refused."""

from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from dllm_eval.denoiser import ModelDenoiser
from dllm_eval.errors import UsageError
from dllm_eval.loading import load_model
from dllm_eval.registry import LM_EVAL_MODELS, resolve


@pytest.fixture
def load(tmp_path: Path) -> Any:
    def build(name: str, **options: Any) -> Any:
        folder = tmp_path / name
        if not folder.exists():
            import_module(f"checkpoints.{name}").write(folder)
        return load_model(str(folder), dtype="float32", **options)

    return build


@pytest.mark.parametrize(
    ("name", "mode", "says"),
    [
        ("llada", "reduce-overhead", "means CUDA graphs, and the device is 'cpu'"),
        ("llada", "max", "compile"),
        ("plaid", "default", "family 'plaid' has no body of a kind that can be compiled"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(name: str, mode: str, says: str, load: Any) -> None:
    with pytest.raises(UsageError, match=says) as caught:
        load(name, compile=mode, device="cpu")
    assert "\n" not in str(caught.value)


def test_loading_gives_the_same_compiled_model_twice_beside_the_eager_one(load: Any) -> None:
    models = [load("llada", compile=mode) for mode in (None, "none", "default", "default")]
    assert models[0] is models[1]
    assert models[2] is models[3]
    assert isinstance(models[2], ModelDenoiser)
    assert models[2] is not models[0]


@pytest.fixture
def adapter(tmp_path: Path) -> Any:
    """`adapter(compile=...)`: the lm-eval model on a tiny LLaDA."""
    folder = import_module("checkpoints.llada").write(tmp_path / "llada")

    def build(**arguments: Any) -> Any:
        model = resolve("model", LM_EVAL_MODELS, "dllm")
        return model.create_from_arg_obj({"pretrained": str(folder), "device": "cpu"} | arguments)

    return build


def test_the_argument_reaches_the_model_and_the_settings_that_name_an_answer(adapter: Any) -> None:
    models = {mode: adapter(compile=mode) for mode in ("none", "default")}
    assert models["none"].denoiser is adapter().denoiser
    assert models["default"].denoiser is not models["none"].denoiser
    assert models["default"].denoiser.body is models["none"].denoiser.body
    assert models["default"]._settings() != models["none"]._settings() == adapter()._settings()


@pytest.mark.parametrize("mode", ["max-autotune", "reduce-overhead"])
def test_an_argument_that_cannot_be_is_one_line(mode: str, adapter: Any) -> None:
    with pytest.raises(UsageError, match="compile") as caught:
        adapter(compile=mode)
    assert "\n" not in str(caught.value)
