"""`dllm-ar` at every tier: the same answers, honest records, and no compiling inside a second."""

import shutil
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch
from checkpoints import llama

from dllm_eval.errors import UsageError
from dllm_eval.measure.work import Request

arguments: Any = import_module("dllm_eval.adapters.arguments")
forecast: Any = import_module("dllm_eval.adapters.forecast")
tiers: Any = import_module("dllm_eval.adapters.autoregressive_tiers")
timing: Any = import_module("dllm_eval.adapters.timing")
compiled_steps: Any = import_module("dllm_eval.samplers.causal_compiled")

MOST = 12
ASKED = {"until": ["\n"], "max_gen_toks": MOST}


@pytest.fixture
def smaller(tmp_path: Path) -> Path:
    """Other weights than `tiny_llama`, the same tokenizer."""
    return llama.write(tmp_path / "smaller", seed=4)


@pytest.fixture
def traced(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Compiling without a C++ compiler: what was traced runs as it stands."""

    def of(cls: Any, model: Any, mode: Any) -> Any:
        return cls(model, mode, backend=lambda graph, _: graph.forward)

    monkeypatch.setattr(compiled_steps.CompiledSteps, "of", classmethod(of))
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


def answered(model: Any, tasks: Any) -> list[Any]:
    task = tasks("generate_until", generation_kwargs=ASKED)
    task.build_all_requests()
    answers = model.generate_until(task.instances, disable_tqdm=True)
    records = sorted(model.log.records.values(), key=lambda record: record.doc_id)
    assert answers == [record.response for record in records]
    return records


@pytest.mark.parametrize("batch_size", [1, 4])
def test_every_tier_gives_the_same_answers(
    make_model: Any, tasks: Any, tiny_llama: Path, smaller: Path, traced: None, batch_size: int
) -> None:
    del traced
    plain = make_model("dllm-ar", pretrained=tiny_llama, batch_size=batch_size)
    expected = answered(plain, tasks)
    assert plain.tier == "eager, dynamic cache"
    assert plain.provenance() == {}
    for settings, tier in (
        ({"cache": "static"}, "eager, static cache"),
        ({"compile": "default"}, "compiled, static cache"),
        ({"speculative": "prompt_lookup"}, "prompt lookup, dynamic cache"),
        (
            {"speculative": "assisted", "assistant": smaller},
            "assisted by smaller, dynamic cache",
        ),
    ):
        model = make_model("dllm-ar", pretrained=tiny_llama, batch_size=batch_size, **settings)
        assert model.tier == tier
        for record, same in zip(answered(model, tasks), expected, strict=True):
            assert record.tokens == same.tokens
            assert record.response == same.response
            assert record.stop_reason == same.stop_reason
            assert record.visible_tokens == same.visible_tokens
            assert record.nfe <= same.nfe
            assert record.key != same.key
            guessed = "assistant" in settings
            assert (record.draft_nfe is not None) == guessed
            assert (record.draft_positions is not None) == guessed
            if guessed:
                told = model.provenance()["assistant"]
                assert (told["name"], told["weights"] != plain.weights) == ("smaller", True)
            if "speculative" not in settings:
                assert (record.nfe, record.positions) == (same.nfe, same.positions)


def test_gaps_in_turn_add_up_what_the_assistant_did(
    make_model: Any, tasks: Any, tiny_llama: Path, smaller: Path
) -> None:
    texts = ["def add(a, b):\n    result", " a", "\n    return result\n"]
    docs = [{"q": texts[0], "a": " = + b", "infill": {"texts": texts, "middles": [" =", " + b"]}}]
    task = tasks("generate_until", docs, generation_kwargs=ASKED)
    task.build_all_requests()
    found = []
    for settings in ({}, {"speculative": "assisted", "assistant": smaller}):
        model = make_model("dllm-ar", pretrained=tiny_llama, **settings)
        model.generate_until(task.instances, disable_tqdm=True)
        found.extend(model.log.records.values())
    plain, guessed = found
    assert (plain.tokens, plain.response) == (guessed.tokens, guessed.response)
    assert plain.draft_nfe is None
    # Each pass but the last of a gap follows a guess of one to four passes.
    assert guessed.nfe - 2 <= guessed.draft_nfe <= 4 * guessed.nfe


def test_nothing_is_compiled_in_a_second_that_counts(
    make_model: Any, tasks: Any, tiny_llama: Path, traced: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    del traced
    timed: list[int] = []
    timing = import_module("dllm_eval.adapters.timing")

    class Watching(timing.Timer):  # type: ignore[name-defined, misc]
        def __enter__(self) -> Any:
            self.before = _graphs()
            return super().__enter__()

        def __exit__(self, *error: Any) -> None:
            super().__exit__(*error)
            timed.append(_graphs() - self.before)

    monkeypatch.setattr(timing, "Timer", Watching)
    model = make_model(
        "dllm-ar", pretrained=tiny_llama, compile="default", warmup=0, timing_repeats=2
    )
    records = answered(model, tasks)
    compiling = [place for place, graphs in enumerate(timed) if graphs]
    # One shape: the first repetition compiled, so both were timed anew.
    assert (compiling, len(timed)) == ([0], 2 * len(records) + 2)
    assert all(len(record.repeat_seconds) == 2 for record in records)


def _graphs() -> int:
    return int(torch._dynamo.utils.counters["stats"]["unique_graphs"])


def test_a_batch_is_timed_anew_until_nothing_was_compiled() -> None:
    compiled = [0]
    left = [2]

    def run() -> str:
        if left[0]:
            left[0] -= 1
            compiled[0] += 1
        return "answer"

    stopwatch = timing.Stopwatch(
        device=torch.device("cpu"), warmup=0, repeats=1, compiled=lambda: compiled[0]
    )
    timed = stopwatch.time(run, kind="generate", batch_size=1, length=64)
    assert (timed.result, len(timed.seconds), left, compiled) == ("answer", 1, [0], [2])


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ({"compile": "yes"}, "argument compile='yes' of dllm-ar"),
        ({"compile": "default", "cache": "dynamic"}, "it needs a static cache; leave cache unset"),
        ({"speculative": "lookup"}, "argument speculative='lookup' of dllm-ar"),
        ({"speculative": "assisted"}, "name the smaller model: assistant=FOLDER or a hub id"),
        ({"assistant": "x"}, "assistant is read with speculative=assisted alone"),
        ({"draft_tokens": 3}, "draft_tokens is read with speculative=prompt_lookup or assisted"),
        (
            {"speculative": "assisted", "assistant": "x", "lookup_ngram": 2},
            "lookup_ngram is read with speculative=prompt_lookup alone",
        ),
        ({"speculative": "prompt_lookup", "draft_tokens": 0}, "argument draft_tokens=0"),
        (
            {"speculative": "prompt_lookup", "compile": "default"},
            "takes tokens back: set compile=none and cache=dynamic",
        ),
        (
            {"speculative": "prompt_lookup", "cache": "static"},
            "takes tokens back: set compile=none and cache=dynamic",
        ),
    ],
)
def test_settings_that_do_not_go_together_are_one_line(given: dict[str, Any], line: str) -> None:
    model = import_module("dllm_eval.adapters.autoregressive").AutoregressiveLM
    with pytest.raises(UsageError) as error:
        model.check_arguments({"pretrained": "reference-ar", **given})
    assert line in str(error.value)
    assert "\n" not in str(error.value)


def test_an_assistant_with_another_tokenizer_is_one_line(
    make_model: Any, tiny_llama: Path, tiny_llama_fim: Path
) -> None:
    with pytest.raises(UsageError, match=r"assistant=.*fim has another tokenizer than .*\(\d+ ent"):
        make_model(
            "dllm-ar", pretrained=tiny_llama, speculative="assisted", assistant=tiny_llama_fim
        )
    with pytest.raises(UsageError, match="no model 'nowhere'"):
        make_model("dllm-ar", pretrained=tiny_llama, speculative="assisted", assistant="nowhere")


def test_none_is_the_name_of_a_choice() -> None:
    given = arguments.without_none_texts(
        {"pretrained": "x", "compile": "none", "speculative": "none", "fim": "none"}
    )
    found = arguments.parse("dllm-ar", arguments.AutoregressiveArguments, given, ())
    assert (found.compile, found.speculative, found.fim) == ("none", "none", "none")
    assert found.most_drafted == 0


@pytest.mark.parametrize("draft_tokens", [1, 3, 30])
def test_the_forecast_bounds_what_guesses_cost(
    make_model: Any, tasks: Any, tiny_llama: Path, smaller: Path, draft_tokens: int
) -> None:
    for more in ({"speculative": "prompt_lookup"}, {"speculative": "assisted"}):
        given = {"pretrained": tiny_llama, "draft_tokens": draft_tokens, **more}
        if more["speculative"] == "assisted":
            given["assistant"] = smaller
        records = answered(make_model("dllm-ar", **given), tasks)
        told = forecast.autoregressive(
            {name: str(value) for name, value in given.items()}, tiny_llama
        )
        for record, doc in zip(records, tasks("generate_until").eval_docs, strict=True):
            work = told(
                Request(
                    request_type="generate_until",
                    prompt=doc["q"],
                    most_tokens=MOST,
                )
            )
            assert work.at_most
            assert work.forwards >= record.nfe
            assert work.positions >= record.positions


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch's compiler needs g++")
@pytest.mark.parametrize("mode", ["default", "reduce-overhead"])
def test_compiled_answers_through_the_whole_compiler(
    make_model: Any, tasks: Any, tiny_llama: Path, mode: str
) -> None:
    plain = answered(make_model("dllm-ar", pretrained=tiny_llama), tasks)
    model = make_model("dllm-ar", pretrained=tiny_llama, compile=mode, warmup=1)
    for record, same in zip(answered(model, tasks), plain, strict=True):
        assert record.tokens == same.tokens
    before = _graphs()
    again = make_model("dllm-ar", pretrained=tiny_llama, compile=mode)
    answered(again, tasks)
    assert _graphs() == before  # the next cell finds the steps that the model has
