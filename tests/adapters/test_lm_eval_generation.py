"""Generation through lm-eval: answers, records, batches, resuming."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file

from dllm_eval.errors import UsageError

GENERATE = {"generation_kwargs": {"until": ["\n"], "max_gen_toks": 12, "do_sample": False}}
SAMPLED = {"sampler": "random", "temperature": 0.7, "steps": 6}


@pytest.fixture(params=["dllm", "dllm-ar"])
def setup(
    request: pytest.FixtureRequest, tiny_llada: Path, tiny_llama: Path
) -> tuple[str, dict[str, Any]]:
    if request.param == "dllm":
        return "dllm", {"pretrained": tiny_llada, "gen_length": 12, **SAMPLED}
    return "dllm-ar", {"pretrained": tiny_llama, "temperature": 0.7}


def texts(samples: list[dict[str, Any]]) -> list[str]:
    return [sample["resps"][0][0] for sample in samples]


def forwards(model: Any) -> Callable[[], int]:
    """Counts forward passes of the network itself from now on."""
    calls: list[int] = []
    network = model.denoiser.body if hasattr(model, "denoiser") else model.model
    hook = network.register_forward_pre_hook(lambda *_: calls.append(1))

    def stop() -> int:
        hook.remove()
        return len(calls)

    return stop


def test_batch_size_and_order_change_nothing(
    setup: Any, make_model: Any, evaluate: Any, tasks: Any, records_of: Any
) -> None:
    name, arguments = setup
    one, four = make_model(name, **arguments), make_model(name, batch_size=4, **arguments)
    answers = texts(evaluate(one, tasks("generate_until", **GENERATE)))
    assert texts(evaluate(four, tasks("generate_until", **GENERATE))) == answers
    assert len(set(answers)) > 1
    for place, record in records_of(four).items():
        alone = records_of(one)[place]
        assert record.tokens == alone.tokens
        assert (record.nfe, record.positions, record.seed, record.key) == (
            alone.nfe,
            alone.positions,
            alone.seed,
            alone.key,
        )
        assert alone.batch_size == 1
    assert {record.batch_size for record in records_of(four).values()} == {1, 4}

    backwards = make_model(name, batch_size=2, **arguments)
    task = tasks("generate_until", **GENERATE)
    task.build_all_requests()
    assert backwards.generate_until(task.instances[::-1], disable_tqdm=True)[::-1] == answers


def test_another_seed_gives_other_answers(
    setup: Any, make_model: Any, evaluate: Any, tasks: Any
) -> None:
    name, arguments = setup
    first, second = (
        texts(
            evaluate(make_model(name, seed=seed, **arguments), tasks("generate_until", **GENERATE))
        )
        for seed in (1, 2)
    )
    assert first != second


def test_records_count_the_answer_and_never_the_prompt(
    setup: Any, make_model: Any, evaluate: Any, tasks: Any, records_of: Any
) -> None:
    name, arguments = setup
    model = make_model(name, batch_size=3, timing_repeats=3, warmup=1, **arguments)
    samples = evaluate(model, tasks("generate_until", **GENERATE))
    records = records_of(model)
    assert len(records) == len(samples)
    for sample in samples:
        record = records[sample["doc_id"], 0]
        prompt = model.tok_encode(sample["arguments"][0][0])
        assert record.prompt_tokens == len(prompt)
        assert record.visible_tokens <= record.canvas_tokens == len(record.tokens) <= 12
        assert len(record.pieces) == len(record.reveal_step) == record.canvas_tokens
        visible = model.codec.decode(record.tokens[: record.visible_tokens])
        assert visible.startswith(record.response)
        assert "\n" not in record.response
        assert record.response == sample["resps"][0][0]
        if record.stop_reason == "stop_string":
            assert "\n" in model.codec.decode(record.tokens)
        assert len(record.repeat_seconds) == 3
        assert record.seconds == sorted(record.repeat_seconds)[1] > 0


def test_diffusion_records_say_what_was_spent(
    tiny_llada: Path, make_model: Any, evaluate: Any, tasks: Any, records_of: Any
) -> None:
    model = make_model("dllm", pretrained=tiny_llada, gen_length=12, steps=4, block_length=6)
    evaluate(model, tasks("generate_until", **GENERATE))
    for record in records_of(model).values():
        assert record.canvas_tokens == 12
        assert record.nfe == 4
        assert record.positions == 4 * (record.prompt_tokens + 12)
        assert max(record.reveal_step) == 3
        assert model.denoiser.family.mask_id not in record.tokens


def test_max_gen_toks_caps_the_answer_and_not_the_canvas(
    tiny_llada: Path, make_model: Any, evaluate: Any, tasks: Any, records_of: Any
) -> None:
    model = make_model("dllm", pretrained=tiny_llada, gen_length=12, steps=4, eos_policy="forbid")
    evaluate(model, tasks("generate_until", generation_kwargs={"until": [], "max_gen_toks": 5}))
    assert {(r.visible_tokens, r.canvas_tokens) for r in records_of(model).values()} == {(5, 12)}


def test_warm_up_runs_once_per_shape(tiny_llada: Path, make_model: Any, tasks: Any) -> None:
    model = make_model(
        "dllm", pretrained=tiny_llada, gen_length=8, steps=2, warmup=2, timing_repeats=3
    )
    task = tasks("generate_until", **GENERATE)
    task.build_all_requests()
    count = forwards(model)
    model.generate_until(task.instances, disable_tqdm=True)
    # Every canvas is shorter than 64 positions: one shape.
    assert count() == 2 * (2 + 3 * len(task.instances))


def test_resuming_runs_nothing_twice(
    setup: Any, make_model: Any, evaluate: Any, tasks: Any, tmp_path: Path
) -> None:
    name, arguments = setup
    log = tmp_path / "requests.jsonl"
    first = make_model(name, records=log, **arguments)
    task = tasks("generate_until", **GENERATE)
    task.build_all_requests()
    early = first.generate_until(task.instances[:2], disable_tqdm=True)
    first.log.close()
    lines = log.read_text().splitlines()
    assert len(lines) == 2

    again = make_model(name, records=log, **arguments)
    count = forwards(again)
    answers = texts(evaluate(again, tasks("generate_until", **GENERATE)))
    assert answers[:2] == early
    assert log.read_text().splitlines()[:2] == lines
    new = [record for record in again.log.records() if record.doc_id >= 2]
    assert count() == sum(record.nfe for record in new) > 0
    again.log.close()

    done = make_model(name, records=log, **arguments)
    count = forwards(done)
    assert texts(evaluate(done, tasks("generate_until", **GENERATE))) == answers
    assert count() == 0
    done.log.close()

    other = make_model(name, records=log, **(arguments | {"temperature": 0.0}))
    count = forwards(other)
    evaluate(other, tasks("generate_until", **GENERATE))
    assert count() > 0, "answers under other settings were taken from the log"
    other.log.close()


@pytest.mark.parametrize(
    "change", ["model.safetensors", "generation_config.json", "tokenizer_config.json"]
)
def test_a_log_of_other_weights_answers_nothing(
    setup: Any, make_model: Any, tasks: Any, tmp_path: Path, change: str
) -> None:
    """The same folder name and settings, but a file in it was written anew in between."""
    name, arguments = setup
    copy = shutil.copytree(arguments["pretrained"], tmp_path / "model")
    arguments = arguments | {"pretrained": copy, "records": tmp_path / "requests.jsonl"}
    task = tasks("generate_until", **GENERATE)
    task.build_all_requests()
    first = make_model(name, **arguments)
    before = first.generate_until(task.instances, disable_tqdm=True)
    first.log.close()
    if change == "model.safetensors":
        tensors = load_file(copy / change)
        scaled = {key: value * 1.5 for key, value in tensors.items()}
        save_file(scaled, copy / change, metadata={"format": "pt"})
    else:
        path = copy / change
        path.write_text((path.read_text() if path.exists() else "{}") + "\n")
    second = make_model(name, **arguments)
    count = forwards(second)
    after = second.generate_until(task.instances, disable_tqdm=True)
    assert count() > 0
    assert (after != before) == (change == "model.safetensors")
    assert len(second.log.records()) == 2 * len(task.instances)
    second.log.close()


def test_repeats_of_one_request_are_kept_apart(
    tiny_llama: Path, make_model: Any, evaluate: Any, tasks: Any
) -> None:
    model = make_model("dllm-ar", pretrained=tiny_llama, temperature=1.0)
    samples = evaluate(model, tasks("generate_until", repeats=3, **GENERATE))
    assert len(model.log.records) == 3 * len(samples)
    assert any(len(set(sample["resps"][0])) > 1 for sample in samples)


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"until": [], "top_pp": 0.9}, "unknown generation keyword 'top_pp'"),
        ({"until": [], "do_sample": True}, "pass temperature as a model argument"),
        ({"until": [], "temperature": 0.5}, "temperature 0.5, the model decodes at 0"),
        ({"until": [], "temperature": "x"}, "keyword temperature is 'x'; accepted: a number"),
        ({"until": [], "max_gen_toks": "abc"}, "keyword max_gen_toks is 'abc'; accepted: a whole"),
        (
            {"until": [], "max_gen_toks": 0},
            "keyword max_gen_toks is 0; accepted: a whole number of",
        ),
        ({"until": 5}, "keyword until is 5; accepted: a text or a list of them"),
        ({"until": ["\n", 5]}, "keyword until is .*5.*; accepted: a text or a list of them"),
    ],
)
@pytest.mark.parametrize("name", ["dllm", "dllm-ar"])
def test_generation_keywords_that_nobody_obeys_are_refused(
    tiny_llada: Path,
    tiny_llama: Path,
    make_model: Any,
    tasks: Any,
    name: str,
    keywords: Any,
    message: str,
) -> None:
    model = make_model(name, pretrained=tiny_llada if name == "dllm" else tiny_llama)
    task = tasks("generate_until", generation_kwargs={"until": []})
    task.build_all_requests()
    request = replace(task.instances[0], arguments=("x", keywords))
    with pytest.raises(UsageError, match=message):
        model.generate_until([request], disable_tqdm=True)


def test_a_long_prompt_is_cut_from_the_left_and_said_once(
    tiny_llada: Path, make_model: Any, tasks: Any, records_of: Any, caplog: pytest.LogCaptureFixture
) -> None:
    model = make_model("dllm", pretrained=tiny_llada, gen_length=8, steps=2, max_length=20)
    docs = [{"q": "def add(a, b): " * 9 + end, "a": ""} for end in ("x", "y")]
    task = tasks("generate_until", docs, **GENERATE)
    task.build_all_requests()
    model.generate_until(task.instances, disable_tqdm=True)
    assert {record.prompt_tokens for record in records_of(model).values()} == {12}
    assert [r.message for r in caplog.records if "cut from the left to 12" in r.message] != []
    assert sum("is cut from" in record.message for record in caplog.records) == 1


def test_a_canvas_that_does_not_fit(
    tiny_llada: Path, make_model: Any, evaluate: Any, tasks: Any
) -> None:
    model = make_model("dllm", pretrained=tiny_llada, gen_length=256, steps=2)
    with pytest.raises(UsageError, match="canvas of 256 tokens leaves no room"):
        evaluate(model, tasks("generate_until", **GENERATE))
