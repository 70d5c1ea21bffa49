"""What requests will cost, told without weights, against what their records say they did cost."""

from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch

from dllm_eval.api import Prompt
from dllm_eval.catalogue.capabilities import CAPABILITIES
from dllm_eval.catalogue.cards import load_cards
from dllm_eval.errors import UsageError
from dllm_eval.loading import load_model, resolve_checkpoint
from dllm_eval.measure.work import Request, Work
from dllm_eval.samplers import SamplerConfig, generate_batch
from dllm_eval.sweep.models import accepted_arguments
from dllm_eval.sweep.plan import plan
from dllm_eval.sweep.spec_file import load_spec

forecast: Any = import_module("dllm_eval.adapters.forecast")
arguments: Any = import_module("dllm_eval.adapters.arguments")

PROMPTS = ['def f(x):\n    """double"""\n', 'def f(x):\n    """add 3, then negate"""\n', "x"]
CANNOT_BE_TOLD = {"dreamon", "wedlm", "d3pm", "plaid", "diffusion_lm"}
"""Their canvases grow or slide, or their chains have their own length."""
NO_TOKENIZER = {"mdlm", "sedd", "bd3lm", "nbdiff"}
"""Theirs is no tokenizer.json, or not that alone: the loader adds what it lacks."""


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def reference() -> Path:
    return resolve_checkpoint("reference-diffusion")


def requests_of(task: Any) -> list[Request]:
    rows = task.eval_docs
    most = (task.config.generation_kwargs or {}).get("max_gen_toks")
    return [Request(request_type="generate_until", prompt=r["q"], most_tokens=most) for r in rows]


def agrees(work: Work | None, record: Any) -> bool:
    assert work is not None
    if work.at_most:
        return bool(work.forwards >= record.nfe and work.positions >= record.positions)
    return (work.forwards, work.positions) == (record.nfe, record.positions)


def sampler_cells() -> list[Any]:
    cells = plan(load_spec(Path("samplers")), accepted_arguments)
    of_code = [c for c in cells if c.kind == "diffusion" and c.task == "ref_humaneval"]
    chosen = {(c.settings["sampler"], c.settings.get("cache")): c for c in of_code}
    return list(chosen.values())


@pytest.mark.parametrize(
    "cell", sampler_cells(), ids=lambda cell: "-".join(cell.label.split()[3:5])
)
def test_every_way_of_decoding_in_the_shipped_sweep(cell: Any, reference: Path) -> None:
    settings = {name: value for name, value in cell.settings.items() if name != "infill_length"}
    settings |= {"gen_length": 16} | ({"steps": 8} if "steps" in settings else {})
    tell = forecast.diffusion({"pretrained": "reference-diffusion", **settings}, reference)
    assert tell is not None
    model = load_model("reference-diffusion", device="cpu")
    config = SamplerConfig.from_mapping(settings, model.family)
    ids = [tuple(model.tokenizer.encode(prompt)) for prompt in PROMPTS]
    made = generate_batch(model, [Prompt(prefix=each, seed=0) for each in ids], config)
    for prompt, generation in zip(PROMPTS, made, strict=True):
        work = tell(Request(request_type="generate_until", prompt=prompt))
        if settings["sampler"] == "daedal":  # its canvas grows
            assert work is None
            return
        assert agrees(work, generation), (work, generation.nfe, generation.positions)
    work = tell(Request(request_type="generate_until", prompt=PROMPTS[0]))
    plain = {"low_confidence", "margin", "entropy", "random", "dilated", "p2", "remdm_conf"}
    assert work is not None
    assert work.at_most == (
        settings["sampler"] not in plain or settings.get("cache", "none") != "none"
    )


@pytest.mark.parametrize("name", sorted(CAPABILITIES))
def test_every_family_by_its_own_facts(
    name: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    make_model: Any,
    evaluate: Any,
    tasks: Any,
    records_of: Any,
) -> None:
    folder = import_module(f"checkpoints.{name}").write(tmp_path / "tiny")
    given = {"pretrained": str(folder), "gen_length": 16, "family": name}
    model = make_model("dllm", **given)
    task = tasks("generate_until", generation_kwargs={"until": []})
    evaluate(model, task)
    monkeypatch.setattr(forecast, "family_of", lambda *_: model.family)
    tell = forecast.diffusion(given, folder)
    records = sorted(records_of(model).values(), key=lambda record: record.doc_id)
    nearly = forecast.diffusion(given, None)
    assert tell is not None
    assert nearly is not None
    for request, record in zip(requests_of(task), records, strict=True):
        work, told = tell(request), nearly(request)
        if name in CANNOT_BE_TOLD:
            assert work is None
            assert told is None
            continue
        assert work is not None
        assert (work.positions is None) == (name in NO_TOKENIZER)
        if work.positions is not None:
            assert agrees(work, record), (work, record.nfe)
        # Without a checkpoint the forwards are told all the same, but for a prompt's tail.
        assert told is not None
        assert told.positions is None
        assert told.forwards >= record.nfe
        assert told.at_most or told.forwards == record.nfe


def test_estimators_keep_to_their_budget_of_canvases() -> None:
    for name in forecast.WITHIN_BUDGET:
        for length in (1, 2, 3, 5, 8, 13):
            for samples in (1, 2, 4, 7, 16, 64):
                if samples == 1 and name in ("control_variate", "end_strata"):
                    continue  # they ask for two
                for raced in (False, True):
                    asked = forecast._num_mask_sets(name, length, samples, 6, raced)
                    assert asked <= samples, (name, length, samples, raced)


@pytest.mark.parametrize(
    ("estimator", "samples"),
    [
        *(("auto", samples) for samples in (1, 4, 16)),
        *(("monte_carlo", samples) for samples in (1, 4, 16)),
        *(("end_strata", 16), ("random_order", 16)),
    ],
)
def test_scoring_never_takes_more_than_was_told(
    estimator: str,
    samples: int,
    reference: Path,
    make_model: Any,
    evaluate: Any,
    tasks: Any,
    records_of: Any,
) -> None:
    docs = [{"q": "Today the ranger is", "a": " Edric Dunmore"}, {"q": "x =", "a": " 3"}]
    task = tasks("loglikelihood", docs)
    given = {"pretrained": "reference-diffusion", "likelihood": estimator, "mc_samples": samples}
    model = make_model("dllm", **given)
    evaluate(model, task)
    tell = forecast.diffusion(given, reference)
    assert tell is not None
    records = sorted(records_of(model).values(), key=lambda record: record.doc_id)
    for doc, record in zip(docs, records, strict=True):
        asked = Request(request_type="loglikelihood", prompt=doc["q"], answer=doc["a"])
        work = tell(asked)
        assert work is not None
        assert work.at_most
        assert record.nfe <= work.forwards <= 2 ** (record.visible_tokens) - 1
        assert record.positions <= work.positions
        per_canvas = record.prompt_tokens + record.visible_tokens
        assert work.positions == work.forwards * per_canvas


def test_an_autoregressive_model_writes_at_most_what_the_task_asks_for(
    make_model: Any, evaluate: Any, tasks: Any, records_of: Any
) -> None:
    folder = resolve_checkpoint("reference-ar")
    docs = [{"q": prompt, "a": ""} for prompt in PROMPTS]
    task = tasks("generate_until", docs, generation_kwargs={"until": [], "max_gen_toks": 6})
    model = make_model("dllm-ar", pretrained="reference-ar")
    evaluate(model, task)
    tell = forecast.autoregressive({"pretrained": "reference-ar"}, folder)
    records = sorted(records_of(model).values(), key=lambda record: record.doc_id)
    for request, record in zip(requests_of(task), records, strict=True):
        work = tell(request)
        assert agrees(work, record)
        assert work == Work(forwards=6, positions=record.prompt_tokens + 5, at_most=True)
    shorter = forecast.autoregressive({"pretrained": "reference-ar", "gen_length": 4}, folder)
    assert shorter(requests_of(task)[-1]).forwards == 4
    scored = tell(Request(request_type="loglikelihood", prompt="x =", answer=" 3"))
    assert scored is not None
    assert scored.forwards == 1


def test_settings_that_the_family_refuses_are_refused_here_too(reference: Path) -> None:
    base = {"pretrained": "reference-diffusion", "gen_length": 32}
    for given, line in (
        ({"steps": 64}, "steps 64 is more than one per canvas position"),
        ({"block_length": 5}, "block_length 5 does not divide gen_length 32"),
        ({"sampler": "klas"}, "did you mean 'klass'"),
        ({"likelihood": "guess"}, "unknown likelihood estimator 'guess'"),
        ({"edit_threshold": 2}, "edit_threshold"),
    ):
        with pytest.raises(UsageError, match=line):
            forecast.diffusion({**base, **given}, reference)


def test_facts_come_from_cards_and_never_from_another_checkpoints_blocks(tmp_path: Path) -> None:
    named = {card.name: card for card in load_cards() if card.kind == "checkpoint"}
    for name in ("LLaDA-8B-Instruct", "LLaDA2.0-mini", "SDAR-4B-Chat"):
        found = forecast.family_of(arguments.DiffusionArguments(pretrained=name), tmp_path)
        assert found is not None
        assert found.attention == named[name].attention
        assert found.decoding == named[name].decoding.sampler_settings()
    own = import_module("checkpoints.sdar").write(tmp_path / "mine")
    assert forecast.family_of(arguments.DiffusionArguments(pretrained=str(own)), own) is None
    assert forecast.diffusion({"pretrained": str(own)}, own) is None


LONG = "the ranger is in the forest and the smith is at home. " * 6


@pytest.mark.parametrize("more", [{}, {"max_length": 24}, {"max_length": 24, "rolling_context": 9}])
@pytest.mark.parametrize("name", ["dllm", "dllm-ar"])
def test_windows_of_a_rolling_likelihood_are_counted(
    name: str, more: dict[str, Any], make_model: Any, evaluate: Any, tasks: Any, records_of: Any
) -> None:
    diffusion = name == "dllm"
    given = {"pretrained": "reference-diffusion" if diffusion else "reference-ar", **more}
    given |= {"mc_samples": 3, "likelihood": "monte_carlo"} if diffusion else {}
    task = tasks("loglikelihood_rolling", [{"q": "", "a": LONG}, {"q": "", "a": "x ="}])
    model = make_model(name, **given)
    evaluate(model, task)
    tell = (forecast.diffusion if diffusion else forecast.autoregressive)(
        given, resolve_checkpoint(given["pretrained"])
    )
    records = sorted(records_of(model).values(), key=lambda record: record.doc_id)
    works = []
    for record in records:
        text = task.eval_docs[record.doc_id]["a"]
        works.append(tell(Request(request_type="loglikelihood_rolling", prompt=text)))
        assert agrees(works[-1], record)
        assert works[-1].at_most == diffusion
    # One pass a window; three canvases of each window that has three mask sets or more.
    assert (works[0].forwards > 3 * diffusion + 1) == bool(more)


def test_windows_are_not_known_without_a_tokenizer() -> None:
    asked = Request(request_type="loglikelihood_rolling", prompt=LONG)
    assert forecast.autoregressive({"pretrained": "nobody/nothing"}, None)(asked) is None
    far = forecast.diffusion({"pretrained": "GSAI-ML/LLaDA-8B-Instruct"}, None)
    assert far(asked) is None
