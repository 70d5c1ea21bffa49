"""MMLU in its three protocols, through lm-eval, on the reference pair and a few small questions."""

import logging
from importlib import import_module
from pathlib import Path
from typing import Any

import lm_eval
import pytest
import torch
from lm_eval.api.model import LM
from lm_eval.tasks import TaskManager

from dllm_eval.records import RequestRecord
from dllm_eval.registry import LM_EVAL_MODELS, resolve, tasks_folder

mmlu = import_module("dllm_eval.tasks.mmlu")

TASKS = ["dllm_mmlu", "dllm_mmlu_continuation", "dllm_mmlu_generation"]
WINDOW = 96


@pytest.mark.parametrize(
    ("written", "letter"),
    [
        (" B", "B"),
        ("B.", "B"),
        ("(C) because A is wrong", "C"),
        ("The answer is **D**, not A.", "D"),
        ("A good answer is C", "A"),
        ("ABCD", None),
        ("a b c", None),
        ("A_1 B2 Che", None),
        ("Bob\nD", "D"),
        ("E", None),
        ("", None),
    ],
)
def test_the_first_letter_alone_is_the_answer(written: str, letter: str | None) -> None:
    for answer, right in enumerate("ABCD"):
        expected = {"exact_match": float(letter == right)}
        doc = {"answer": answer, "letters": list("ABCD")}
        assert mmlu.score_letter(doc, [written]) == expected


@pytest.fixture
def questions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two subjects in MMLU's published layout; five examples exceed the window."""
    monkeypatch.setenv("DLLM_EVAL_DATA", str(tmp_path))
    names = {"dev": 5, "test": 1}
    for split, number in names.items():
        folder = tmp_path / "mmlu" / "data" / split
        folder.mkdir(parents=True)
        for subject in ("sorting", "people"):
            rows = (
                f"Which list of {subject} is sorted ({row})?,1 2,2 1,1 2 3,3 2 1,{'ABCD'[row % 4]}"
                for row in range(number)
            )
            (folder / f"{subject}_{split}.csv").write_text("\n".join(rows) + "\n")


def build(name: str, **arguments: Any) -> Any:
    folder = "reference-diffusion" if name == "dllm" else "reference-ar"
    given = {"pretrained": folder, "device": "cpu", "max_length": WINDOW, **arguments}
    return resolve("model", LM_EVAL_MODELS, name).create_from_arg_obj(given)


def run(model: Any, names: list[str]) -> Any:
    manager = TaskManager(include_path=str(tasks_folder()), include_defaults=False)
    return lm_eval.simple_evaluate(
        model=model, tasks=names, task_manager=manager, log_samples=True, bootstrap_iters=0
    )


def rows_of(model: Any, task: str) -> list[RequestRecord]:
    rows = [row for row in model.log.records.values() if row.task == task]
    return sorted(rows, key=lambda row: (row.doc_id, row.index))


@pytest.mark.usefixtures("questions")
@pytest.mark.parametrize("name", ["dllm", "dllm-ar"])
def test_three_protocols_from_end_to_end(
    name: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A report about this machine takes lm-eval longer than the questions.
    monkeypatch.setattr("lm_eval.evaluator.add_env_info", lambda _: None)
    settings = {"gen_length": 4, "steps": 4, "mc_samples": 8} if name == "dllm" else {}
    model = build(name, **settings)
    with caplog.at_level(logging.WARNING, logger="dllm_eval"):
        out = run(model, TASKS)
    letter, text, generated = (rows_of(model, task) for task in TASKS)
    cuts = [line for line in caplog.messages if "is cut from the left to" in line]
    assert len(cuts) == 1

    samples = sorted(out["samples"]["dllm_mmlu"], key=lambda sample: int(sample["doc_id"]))
    for sample in samples:
        own = [row for row in letter if row.doc_id == sample["doc_id"]]
        values = [float(row.value or 0.0) for row in own]
        assert values == pytest.approx(letter_values(model, sample["doc"]["prompt"]), abs=1e-4)
        right = values.index(max(values)) == sample["doc"]["answer"]
        assert sample["acc"] == float(right)
        assert sum(row.nfe or 0 for row in own) == 1, "four letters are one forward pass"
    read = {(row.prompt_tokens or 0) + (row.visible_tokens or 0) for row in letter}
    assert read == {WINDOW + (name == "dllm-ar")}
    assert all(row.exact for row in letter)

    assert {row.quantity for row in text} == ({"log_likelihood"} if name == "dllm-ar" else {"elbo"})
    assert set(out["results"]["dllm_mmlu_continuation"]) > {"acc,none", "acc_norm,none"}

    for sample in out["samples"]["dllm_mmlu_generation"]:
        (row,) = [row for row in generated if row.doc_id == sample["doc_id"]]
        assert sample["resps"] == [[row.response]]
        assert [sample["exact_match"]] == list(
            mmlu.score_letter(sample["doc"], [row.response]).values()
        )
        room = WINDOW - (4 if name == "dllm" else 16)
        assert row.prompt_tokens == room
        assert "\n\n" not in row.response


class Writer(LM):
    """Writes the right letter, or the one after it, in a sentence."""

    def __init__(self, *, right: bool) -> None:
        super().__init__()
        self.shift = 0 if right else 1
        self.seen: list[Any] = []

    def generate_until(self, requests: list[Any], *_: object, **__: object) -> list[str]:
        self.seen += requests
        letters = ["ABCDA"[request.doc["answer"] + self.shift] for request in requests]
        return [f" It is ({letter})." for letter in letters]

    def loglikelihood(self, requests: list[Any], *_: object, **__: object) -> Any:
        raise NotImplementedError

    def loglikelihood_rolling(self, requests: list[Any], *_: object, **__: object) -> Any:
        raise NotImplementedError


@pytest.mark.parametrize("right", [True, False])
def test_the_embedded_questions_are_answered_in_writing(
    right: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lm_eval.evaluator.add_env_info", lambda _: None)
    model = Writer(right=right)
    out = run(model, ["ref_mmlu_generation"])
    assert out["results"]["ref_mmlu_generation"]["exact_match,none"] == float(right)
    assert len(model.seen) == 150
    prompt, settings = model.seen[0].args
    assert prompt == mmlu.list_choices(model.seen[0].doc)
    assert settings == {"until": ["\n\n"], "max_gen_toks": 16, "do_sample": False}


def letter_values(model: Any, prompt: str) -> list[float]:
    """Of " A" to " D", behind as much of the prompt's end as the window holds, by hand."""
    before = model.tok_encode(prompt)
    letters = [model.tok_encode(prompt + f" {letter}")[len(before) :] for letter in "ABCD"]
    assert [len(ids) for ids in letters] == [1] * 4
    with torch.inference_mode():
        if model.kind == "diffusion":
            canvas = torch.tensor([[*before[-(WINDOW - 1) :], model.family.mask_id]])
            logits = model.denoiser.logits(canvas)[0, -1]
        else:
            logits = model.model(torch.tensor([before[-WINDOW:]])).logits[0, -1]
    values = logits.double().log_softmax(dim=0)
    return [float(values[ids[0]]) for ids in letters]
