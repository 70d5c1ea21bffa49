"""The Monte-Carlo noise of lm-eval's own result files, found in the records of the run."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from quiz import Floats, Quiz

from dllm_eval.catalogue.cards import Card, card_for
from dllm_eval.records import RequestRecord
from dllm_eval.report.reproduced import Row, compare
from dllm_eval.report.reproduced_text import as_data, reproduced_text
from dllm_eval.report.runs import Measured, read_runs
from dllm_eval.stats.noise import answer_variances

TASK, NUM = "dllm_mmlu_continuation", 60


@pytest.fixture(scope="module")
def quiz() -> Quiz:
    return Quiz.drawn(num=NUM, choices=4, spread=3.0, generator=np.random.default_rng(0))


@pytest.fixture(scope="module")
def values(quiz: Quiz) -> Floats:
    return quiz.run(np.random.default_rng(1))


@pytest.fixture(scope="module")
def chances(quiz: Quiz, values: Floats) -> Floats:
    return quiz.chances(values, np.random.default_rng(2))


def record(doc: int, choice: int, value: float, **more: Any) -> str:
    return RequestRecord(
        key=f"{doc}-{choice}",
        task=TASK,
        doc_id=doc,
        index=choice,
        request_type="loglikelihood",
        model="diffusion",
        prompt_tokens=9,
        visible_tokens=3,
        canvas_tokens=3,
        nfe=8,
        positions=96,
        seconds=0.1,
        batch_size=4,
        seed=0,
        value=value,
        exact=False,
        estimator="monte_carlo",
        quantity="elbo",
        **more,
    ).model_dump_json()


def write_log(path: Path, values: Floats, chances: Floats | None) -> None:
    lines = [
        record(
            doc,
            choice,
            float(values[doc, choice]),
            win_probability=None if chances is None else float(chances[doc, choice]),
        )
        for doc, choice in np.ndindex(values.shape)
    ]
    path.write_text("\n".join(lines) + "\n")


def write_results(folder: Path, quiz: Quiz, values: Floats, **arguments: str) -> None:
    """What lm-eval 0.4.13 writes, its targets as texts."""
    folder.mkdir(parents=True, exist_ok=True)
    scores = quiz.scores(values)
    data = {
        "results": {TASK: {"acc,none": scores.mean(), "acc_stderr,none": "N/A"}},
        "group_subtasks": {},
        "n-shot": {TASK: 5},
        "n-samples": {TASK: {"original": NUM, "effective": NUM}},
        "config": {"model": "dllm", "model_args": {"pretrained": "GSAI-ML/LLaDA-8B-Base"}},
        "date": 1.0,
        "chat_template": None,
    }
    data["config"]["model_args"] |= arguments  # type: ignore[index]
    (folder / "results_T.json").write_text(json.dumps(data))
    samples = [
        {
            "doc_id": doc,
            "target": str(quiz.gold[doc]),
            "resps": [[["-1.0", "False"]]] * 4,
            "filter": "none",
            "metrics": ["acc"],
            "acc": score,
        }
        for doc, score in enumerate(scores)
    ]
    lines = [json.dumps(sample) for sample in samples]
    (folder / f"samples_{TASK}_T.jsonl").write_text("\n".join(lines) + "\n")


def measured(folder: Path) -> Measured:
    (run,) = read_runs([folder])
    return run.measured["acc", "none"]


def expected(quiz: Quiz, chances: Floats) -> float:
    right = np.array([chances[doc, quiz.gold[doc]] for doc in range(NUM)])
    return math.sqrt(answer_variances(right).sum()) / NUM


def test_a_run_finds_its_records_where_it_was_told_to_keep_them(
    tmp_path: Path, quiz: Quiz, values: Floats, chances: Floats
) -> None:
    log = tmp_path / "kept.jsonl"
    write_log(log, values, chances)
    write_results(tmp_path / "out", quiz, values, records=str(log))
    assert measured(tmp_path / "out").monte_carlo == pytest.approx(expected(quiz, chances))


def test_a_cell_of_a_sweep_has_its_records_beside_it(
    tmp_path: Path, quiz: Quiz, values: Floats, chances: Floats
) -> None:
    cell = tmp_path / "cells" / "abc"
    write_results(cell / "lm_eval", quiz, values)
    (cell / "cell.json").write_text('{"purpose": "quality", "apply_chat_template": false}')
    write_log(cell / "requests.jsonl", values, chances)
    assert measured(tmp_path).monte_carlo == pytest.approx(expected(quiz, chances))


def test_without_records_or_chances_nothing_is_known(
    tmp_path: Path, quiz: Quiz, values: Floats
) -> None:
    write_results(tmp_path / "none", quiz, values)
    assert math.isnan(measured(tmp_path / "none").monte_carlo)
    write_results(tmp_path / "gone", quiz, values, records=str(tmp_path / "gone.jsonl"))
    assert math.isnan(measured(tmp_path / "gone").monte_carlo)
    write_log(tmp_path / "old.jsonl", values, None)
    write_results(tmp_path / "old", quiz, values, records=str(tmp_path / "old.jsonl"))
    assert math.isnan(measured(tmp_path / "old").monte_carlo)


def test_a_log_of_two_runs_does_not_say_which_is_meant(
    tmp_path: Path, quiz: Quiz, values: Floats, chances: Floats
) -> None:
    log = tmp_path / "kept.jsonl"
    write_log(log, values, chances)
    both = log.read_text() + log.read_text().replace('"key":"', '"key":"again ')
    log.write_text(both)
    write_results(tmp_path / "out", quiz, values, records=str(log))
    assert math.isnan(measured(tmp_path / "out").monte_carlo)


def llada() -> Card:
    card = card_for("GSAI-ML/LLaDA-8B-Base")
    assert card is not None
    return card


@pytest.mark.parametrize(
    ("noise", "shown", "plain"),
    [(0.0042, ", Monte-Carlo ± 0.42, n = 60", 0.42), (0.0, "), n = 60", 0.0)],
)
def test_a_reproduced_row_says_what_another_seed_changes(
    tmp_path: Path, quiz: Quiz, values: Floats, noise: float, shown: str, plain: float
) -> None:
    write_results(tmp_path, quiz, values)
    (run,) = read_runs([tmp_path])
    found = run.measured["acc", "none"]
    own = Measured(value=found.value, interval=found.interval, monte_carlo=noise)
    first = compare([llada()], [])[0][0]
    row = Row(card=first.card, score=first.score, recipe=first.recipe, run=run, measured=own)
    assert reproduced_text(row).endswith(shown)
    assert as_data([row])[0]["monte_carlo_stderr"] == pytest.approx(plain)
    unknown = Row(card=first.card, score=first.score, recipe=first.recipe, run=run, measured=found)
    assert as_data([unknown])[0]["monte_carlo_stderr"] is None
    assert "Monte-Carlo" not in reproduced_text(unknown)
