"""What may be passed to `dllm-engine`, and what is said before anything is started."""

import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from fake_engine import lay

from dllm_eval.errors import UsageError

EngineLM: Any = import_module("dllm_eval.adapters.engine").EngineLM
parts: Any = import_module("dllm_eval.adapters.engine_arguments")
launch_of, tier_of = parts.launch_of, parts.tier_of


@pytest.fixture
def engines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All three engines that cannot be installed without an accelerator."""
    for name in ("sglang", "vllm", "lmdeploy"):
        folder = tmp_path / name
        folder.mkdir()
        lay(name, folder, monkeypatch)


def arguments(**given: object) -> Any:
    return EngineLM.parsed({"pretrained": "org/model", **given})


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"engine": "vlm"}, "unknown engine 'vlm' (did you mean 'vllm'?)"),
    ({}, "dllm-engine needs the argument engine"),
    ({"engine": "vllm", "pretrained": ""}, "needs the argument pretrained"),
    ({"engine": "sglang", "treshold": 0.9}, "unknown argument of dllm-engine 'treshold'"),
    ({"engine": "sglang", "kind": "diffusion"}, "needs the argument algorithm"),
    (
        {"engine": "sglang", "kind": "autoregressive", "algorithm": "LowConfidence"},
        "argument algorithm of engine sglang is not for autoregressive models",
    ),
    (
        {"engine": "vllm", "kind": "diffusion", "speculation": "ngram", "speculative_tokens": 3},
        "argument speculation of engine vllm is not for diffusion models",
    ),
    ({"engine": "vllm", "engine_args": "--api-key abc"}, "engine_args with --api-key"),
    ({"engine": "vllm", "engine_args": "--api_key=abc"}, "engine_args with --api-key"),
    ({"engine": "sglang", "engine_args": "--api-ke abc"}, "engine_args with --api-ke"),
    ({"engine": "vllm", "engine_args": "--served_model_name m"}, "sets it; the settings of vllm"),
    ({"engine": "vllm", "engine_args": "--port=8000"}, "an argument of dllm-engine sets it"),
    ({"engine": "sglang", "engine_args": "--dllm-algorithm X"}, "sets it; the settings of sglang"),
    ({"engine": "vllm", "engine_args": "--a 'b"}, "No closing quotation"),
    (
        {"engine": "vllm", "engine_args": "--tp 2", "base_url": "http://127.0.0.1:1/v1"},
        "engine_args='--tp 2' cannot be set: the server at http://127.0.0.1:1/v1 runs already",
    ),
    ({"engine": "vllm", "api_key": "secret-word"}, "looks like a key"),
    (
        {"engine": "vllm", "pretrained": "/no such dir"},
        "pretrained='/no such dir' is no folder here; accepted: a folder with a checkpoint, a hub",
    ),
    ({"engine": "vllm", "pretrained": "./nowhere"}, "pretrained='./nowhere' is no folder here"),
    ({"engine": "vllm", "pretrained": __file__}, "is no folder here"),
    ({"engine": "vllm", "pretrained": str(Path(__file__).parent)}, "has no config.json; accepted"),
    (
        {"engine": "sglang", "algorithm": "LowConfidence", "threshold": float("nan")},
        "argument threshold=nan of dllm-engine: Input should be a finite number",
    ),
    ({"engine": "sglang", "threshold": float("inf")}, "argument threshold=inf of dllm-engine"),
    ({"engine": "vllm", "start_s": 0}, "argument start_s=0 of dllm-engine"),
    ({"engine": "vllm", "engine_python": "/nowhere/python"}, "is no Python interpreter that runs"),
]


@pytest.mark.usefixtures("engines")
@pytest.mark.parametrize(("given", "says"), REFUSED)
def test_bad_arguments_are_one_line_before_anything_starts(
    given: dict[str, Any], says: str
) -> None:
    with pytest.raises(UsageError) as error:
        EngineLM.check_arguments({"pretrained": "org/model", **given})
    assert says in str(error.value)
    assert "\n" not in str(error.value)
    assert "abc" not in str(error.value)
    assert "secret-word" not in str(error.value)


def test_an_engine_that_is_not_installed_is_named_with_its_command() -> None:
    with pytest.raises(UsageError) as error:
        EngineLM.check_arguments({"engine": "lmdeploy", "pretrained": "org/model"})
    text = str(error.value)
    assert "engine lmdeploy is not installed" in text
    assert "pip install lmdeploy" in text
    assert "engine_python=PATH" in text


def test_one_on_the_path_alone_is_started_from_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = tmp_path / "vllm"
    script.write_text("#!/bin/sh\n")
    script.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    launch = launch_of(arguments(engine="vllm"))
    assert launch.command(7, tmp_path)[:3] == [str(script), "serve", "org/model"]
    assert launch.program.version is None


@pytest.mark.usefixtures("engines")
def test_another_environment_is_asked_what_it_has() -> None:
    launch = launch_of(arguments(engine="vllm", engine_python=sys.executable))
    assert launch.program.start[:2] == (sys.executable, "-m")
    assert launch.program.version == "0.33.0"


def test_a_folder_of_the_name_is_no_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "vllm").mkdir()
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(UsageError, match="vllm is not installed"):
        launch_of(arguments(engine="vllm"))


def test_a_running_server_needs_no_engine_here() -> None:
    EngineLM.check_arguments(
        {"engine": "vllm", "pretrained": "org/model", "base_url": "http://127.0.0.1:1/v1"}
    )


def test_a_local_family_that_the_engine_does_not_serve(tiny_llada: Path) -> None:
    given = {"engine": "transformers", "pretrained": str(tiny_llada)}
    with pytest.raises(UsageError, match="does not serve the diffusion family 'llada'"):
        EngineLM.check_arguments(given)
    assert EngineLM.parsed(given).model_kind == "diffusion"


def test_a_shipped_model_is_told_to_the_engine_as_its_folder(tmp_path: Path) -> None:
    launch = launch_of(arguments(engine="transformers", pretrained="reference-ar"))
    assert Path(launch.model).is_dir()
    assert str(launch.model) in launch.command(7, tmp_path)


KINDS = [
    ({"engine": "sglang"}, "autoregressive"),
    ({"engine": "sglang", "algorithm": "LowConfidence"}, "diffusion"),
    ({"engine": "vllm", "steps": 8}, "diffusion"),
    ({"engine": "vllm", "pretrained": "google/diffusiongemma-26B-A4B-it"}, "diffusion"),
    ({"engine": "vllm", "kind": "diffusion"}, "diffusion"),
    ({"engine": "vllm", "speculation": "ngram", "speculative_tokens": 3}, "autoregressive"),
    ({"engine": "transformers", "pretrained": "reference-ar"}, "autoregressive"),
]


@pytest.mark.parametrize(("given", "kind"), KINDS)
def test_the_kind_of_model(given: dict[str, Any], kind: str) -> None:
    assert arguments(**given).model_kind == kind


TIERS: list[tuple[dict[str, Any], str]] = [
    ({"engine": "transformers"}, "transformers serve, default flags"),
    ({"engine": "transformers", "compile": True}, "transformers serve, compiled"),
    (
        {"engine": "transformers", "continuous_batching": True},
        "transformers serve, continuous batching",
    ),
    ({"engine": "vllm"}, "vllm, default flags"),
    (
        {"engine": "vllm", "speculation": "ngram", "speculative_tokens": 5},
        "vllm, n-gram speculation",
    ),
    ({"engine": "vllm", "engine_args": "--max-num-seqs 4"}, "vllm, flags given"),
    ({"engine": "vllm", "base_url": "http://127.0.0.1:1/v1"}, "vllm, default flags, attached"),
    ({"engine": "sglang", "algorithm": "LowConfidence"}, "sglang, LowConfidence"),
    ({"engine": "vllm", "steps": 8}, "vllm, default flags"),
]


@pytest.mark.parametrize(("given", "tier"), TIERS)
def test_the_tier_names_how_it_is_served(given: dict[str, Any], tier: str) -> None:
    assert tier_of(arguments(**given)) == tier


def test_cells_of_one_server_have_one_key() -> None:
    def key(**more: object) -> tuple[object, ...]:
        given = {"engine": "vllm", "pretrained": "org/model", **more}
        found: tuple[object, ...] = EngineLM.weights_key(given)
        return found

    assert key(steps=4) == key(steps=48, batch_size=8, gen_length=64) == key()
    others = [key(dtype="bfloat16"), key(revision="a"), key(engine_args="--tp 2")]
    others += [key(max_denoising_steps=8, canvas_length=256), key(pretrained="org/other")]
    assert len({key(), *others}) == 6


def test_what_only_concerns_the_process_changes_no_answer() -> None:
    plain = arguments(engine="vllm").model_dump_json()
    patient = arguments(engine="vllm", start_s=5, stop_s=1, server_logs="x", engine_python="/p")
    assert patient.model_dump_json() == plain
    assert arguments(engine="vllm", dtype="float16").model_dump_json() != plain
