"""How an answer is cut out and compared."""

from importlib import import_module

import pytest

programs = import_module("dllm_eval.tasks.programs")
reversal = import_module("dllm_eval.tasks.reversal")

CODE = {
    "prompt": "def f(x):\n",
    "entry_point": "f",
    "test": "def check(candidate):\n    assert candidate(2) == 4\n",
}


@pytest.mark.parametrize(
    ("completion", "score"),
    [
        ("    return x * 2\n", 1.0),
        ("    return x * 2", 1.0),
        ("    return x * 2\nprint(f(", 1.0),
        ("    return x * 2\n```\nThat is it.", 1.0),
        ("    return x * 2\ndef check(c): pass\nassert False", 1.0),
        ("    return x + 3\n", 0.0),
        ("    return None\n", 0.0),
        ("", 0.0),
        ("return x * 2\n", 0.0),
        ("    exit()\n", 0.0),
        ("    raise SystemExit\n", 0.0),
        ("    return x * 2\nimport os; os._exit(0)\n", 0.0),
    ],
)
def test_a_completion_passes_by_running(completion: str, score: float) -> None:
    assert programs.score_completion(CODE, [completion]) == {"pass@1": score}


@pytest.mark.parametrize(
    ("completion", "score"),
    [
        ("    y = x * 2\n", 1.0),
        ("    y = x * 2", 1.0),
        ("    y = x * 2\n    y = 0\n", 1.0),
        ("\n    y = x * 2\n", 0.0),
        ("    y = 0\n", 0.0),
        ("", 0.0),
    ],
)
def test_a_single_line_is_the_first_line(completion: str, score: float) -> None:
    doc = {**CODE, "suffix": "    return y\n"}
    assert programs.score_single_line(doc, [completion]) == {"pass@1": score}


@pytest.mark.parametrize(
    ("completion", "score"), [("x * 2\n    return", 1.0), ("x * 2\n    return 1 +", 0.0), ("", 0.0)]
)
def test_a_span_is_taken_whole(completion: str, score: float) -> None:
    doc = {**CODE, "prompt": "def f(x):\n    y = ", "suffix": " y\n"}
    assert programs.score_span(doc, [completion]) == {"pass@1": score}


@pytest.mark.parametrize(
    ("answer", "score"),
    [
        (" Uriah Hawthorne", 1.0),
        ("uriah  hawthorne, of course", 1.0),
        ("\n Uriah Hawthorne\nor not", 1.0),
        ("Uriah", 0.0),
        ("the famous Uriah Hawthorne", 0.0),
        ("someone\nUriah Hawthorne", 0.0),
        ("", 0.0),
    ],
)
def test_a_fact_starts_the_answer(answer: str, score: float) -> None:
    doc = {"completion": " Uriah Hawthorne"}
    assert reversal.score_fact(doc, [answer]) == {"exact_match": score}


def test_a_poem_line_occurs_anywhere() -> None:
    doc = {"completion": "君子好逑"}
    assert reversal.score_poem(doc, ["下一句是：君子好逑。"]) == {"acc": 1.0}
    assert reversal.score_poem(doc, ["君子"]) == {"acc": 0.0}
