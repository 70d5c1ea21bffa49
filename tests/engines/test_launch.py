"""Command lines of the engines, letter by letter, as their releases' parsers take them.

The expected words were written from the releases' sources and read by their own parsers, outside
this repository: sglang 0.5.23, vllm 0.33.0, lmdeploy 0.18.0, transformers 5.23.0.
"""

from pathlib import Path

import pytest
import yaml

from dllm_eval.engines.catalogue import ENGINES, engine_of, engines_for, setting_names
from dllm_eval.engines.launch import Launch, request_fields
from dllm_eval.engines.program import Program
from dllm_eval.errors import UsageError

FILE = Path("/logs/settings.yaml")


def launch(name: str, chosen: dict[str, object], **more: object) -> Launch:
    engine = engine_of(name)
    values = {"model": "org/model", **more}
    return Launch(
        engine=engine,
        program=Program(start=("python", "-m", *engine.module), version=engine.version_read),
        chosen=engine.checked(chosen),
        **values,  # type: ignore[arg-type]
    )


COMMANDS = [
    (
        launch("sglang", {"algorithm": "JointThreshold", "threshold": 0.5, "edit_threshold": 0}),
        "python -m sglang.launch_server --model-path org/model --host 127.0.0.1 --port 7 "
        "--served-model-name org/model --dllm-algorithm JointThreshold "
        "--dllm-algorithm-config /logs/settings.yaml",
    ),
    (
        launch("sglang", {"speculation": "ngram"}, revision="abc", dtype="bfloat16"),
        "python -m sglang.launch_server --model-path org/model --host 127.0.0.1 --port 7 "
        "--served-model-name org/model --revision abc --dtype bfloat16 "
        "--speculative-algorithm NGRAM",
    ),
    (
        launch("vllm", {"steps": 8}),
        "python -m vllm.entrypoints.cli.main serve org/model --host 127.0.0.1 --port 7 "
        "--served-model-name org/model",
    ),
    (
        launch("vllm", {"max_denoising_steps": 16, "canvas_length": 256}),
        "python -m vllm.entrypoints.cli.main serve org/model --host 127.0.0.1 --port 7 "
        "--served-model-name org/model --diffusion-config "
        '{"max_denoising_steps": 16, "canvas_length": 256}',
    ),
    (
        launch("vllm", {"speculation": "ngram", "speculative_tokens": 5, "prompt_lookup_max": 4}),
        "python -m vllm.entrypoints.cli.main serve org/model --host 127.0.0.1 --port 7 "
        "--served-model-name org/model --speculative-config "
        '{"method": "ngram", "num_speculative_tokens": 5, "prompt_lookup_max": 4}',
    ),
    (
        launch("lmdeploy", {"strategy": "low_confidence_static", "steps": 2, "block_length": 4}),
        "python -m lmdeploy serve api_server org/model --server-name 127.0.0.1 --server-port 7 "
        "--model-name org/model --dllm-unmasking-strategy low_confidence_static "
        "--dllm-denoising-steps 2 --dllm-block-length 4",
    ),
    (
        launch("transformers", {"compile": True, "continuous_batching": False}, revision="abc"),
        "python -m transformers.cli.transformers serve org/model@abc --host 127.0.0.1 --port 7 "
        "--compile",
    ),
    (
        launch("vllm", {}, flags=("--max-num-seqs", "4")),
        "python -m vllm.entrypoints.cli.main serve org/model --host 127.0.0.1 --port 7 "
        "--served-model-name org/model --max-num-seqs 4",
    ),
]


@pytest.mark.parametrize(("given", "expected"), COMMANDS)
def test_a_command_line_is_what_the_release_takes(given: Launch, expected: str) -> None:
    assert " ".join(given.command(7, FILE)) == expected


def test_the_file_of_sglang_has_its_own_words() -> None:
    joint = launch(
        "sglang",
        {
            "algorithm": "JointThreshold",
            "threshold": 0.5,
            "edit_threshold": 0.9,
            "max_edit_steps": 4,
            "penalty_lambda": 0.1,
            "block_length": 32,
        },
    )
    assert yaml.safe_load(joint.file_text() or "") == {
        "threshold": 0.5,
        "edit_threshold": 0.9,
        "max_post_edit_steps": 4,
        "penalty_lambda": 0.1,
        "block_size": 32,
    }
    gemma = launch("sglang", {"algorithm": "Gemma4Renoise", "steps": 12, "entropy_bound": 0.2})
    assert yaml.safe_load(gemma.file_text() or "") == {
        "max_denoising_steps": 12,
        "sampler_config": {"entropy_bound": 0.2},
    }
    assert launch("sglang", {"algorithm": "LowConfidence"}).file_text() is None


def test_what_goes_with_requests_needs_no_other_server() -> None:
    few, many = launch("vllm", {"steps": 4}), launch("vllm", {"steps": 48})
    assert few.identity() == many.identity()
    assert request_fields(few.engine, few.chosen) == {"vllm_xargs": {"diffusion_max_steps": 4}}
    one, other = (
        launch("sglang", {"algorithm": "LowConfidence", "threshold": t}) for t in (0.8, 0.9)
    )
    assert one.identity() != other.identity()
    assert request_fields(one.engine, one.chosen) == {}


REFUSED = [
    ("sglang", {"threshold": 0.9}, "threshold of engine sglang is read by algorithm=LowConfidence"),
    ("sglang", {"algorithm": "LowConfidence", "edit_threshold": 0.1}, "not by LowConfidence"),
    ("sglang", {"algorithm": "JointThresholdInDel", "penalty_lambda": 1}, "not by JointThreshold"),
    ("sglang", {"algorithm": "LowConfidence", "steps": 8}, "is read by algorithm=Gemma4Renoise"),
    ("sglang", {"algorithm": "Low"}, "accepted: LowConfidence, JointThreshold"),
    ("sglang", {"algorithm": "LowConfidence", "threshold": -1}, "a number of at least 0"),
    ("sglang", {"algorithm": "LowConfidence", "threshold": "high"}, "a number of at least 0"),
    ("sglang", {"algorithm": "LowConfidence", "speculation": "ngram"}, "leave algorithm out"),
    ("sglang", {"canvas_length": 9}, "unknown setting of engine sglang 'canvas_length'"),
    ("vllm", {"steps": 64}, "cuts it to its own most steps, 48"),
    ("vllm", {"max_denoising_steps": 16}, "needs canvas_length beside it"),
    ("vllm", {"speculation": "ngram"}, "needs speculative_tokens beside it"),
    ("vllm", {"prompt_lookup_max": 3}, "needs speculation beside it"),
    ("vllm", {"steps": 2.5}, "a whole number of at least 1"),
    ("vllm", {"steps": 2, "speculation": "ngram", "speculative_tokens": 3}, "leave out steps"),
    ("lmdeploy", {"steps": 2, "block_length": 4}, "not by low_confidence_dynamic"),
    ("lmdeploy", {"strategy": "sequential", "block_length": 4}, "needs the argument steps"),
    ("lmdeploy", {"threshold": 0.9}, "needs the argument block_length"),
    (
        "lmdeploy",
        {"strategy": "sequential", "steps": 8, "block_length": 4},
        "at most block_length=4",
    ),
    ("lmdeploy", {"threshold": 2, "block_length": 4}, "a number of at least 0, at most 1"),
    ("transformers", {"compile": 1}, "true or false"),
    ("transformers", {"steps": 4}, "unknown setting of engine transformers"),
]


@pytest.mark.parametrize(("name", "chosen", "says"), REFUSED)
def test_what_an_engine_would_overlook_or_fail_on_is_one_line(
    name: str, chosen: dict[str, object], says: str
) -> None:
    with pytest.raises(UsageError) as error:
        engine_of(name).checked(chosen)
    assert says in str(error.value)
    assert "\n" not in str(error.value)


def test_a_diffusion_model_needs_what_its_engine_decodes_it_by() -> None:
    with pytest.raises(UsageError, match=r"sglang needs the argument algorithm .*autoregressive"):
        engine_of("sglang").check_needs({}, "sdar")
    engine_of("sglang").check_needs({"algorithm": "LowConfidence"}, "sdar")
    with pytest.raises(UsageError, match=r"vllm 0.33.0 does not serve .*'dream'.*diffusion_gemma"):
        engine_of("vllm").check_needs({}, "dream")
    with pytest.raises(UsageError, match="serves: none"):
        engine_of("transformers").check_needs({}, "llada2")


def test_families_and_their_engines() -> None:
    served = {
        family: [one.name for one in engines_for(family)]
        for family in ("llada", "llada2", "llada21", "sdar", "diffusion_gemma", "dream")
    }
    assert served == {
        "llada": [],
        "llada2": ["sglang"],
        "llada21": ["sglang"],
        "sdar": ["sglang", "lmdeploy"],
        "diffusion_gemma": ["sglang", "vllm"],
        "dream": [],
    }


def test_every_fact_has_a_source_and_every_family_is_one_of_ours() -> None:
    from dllm_eval.registry import FAMILIES

    for engine in ENGINES.values():
        assert engine.version_read
        assert all(setting.source and setting.unset for setting in engine.settings)
        assert set(engine.families) <= set(FAMILIES)
    assert len(setting_names()) == len(set(setting_names()))


def test_an_engine_that_nobody_knows_is_named_with_those_known() -> None:
    with pytest.raises(UsageError, match=r"unknown engine 'vlm' .*vllm.*; known: lmdeploy, sglang"):
        engine_of("vlm")
