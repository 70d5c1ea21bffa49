"""Code items: canonical solutions pass, wrong ones fail, everything fits its length."""

import json
import subprocess
import sys
from random import Random

import pytest

from dllm_eval.reference import DATA_DIR, code
from dllm_eval.reference.batches import GENERATION_LENGTH
from dllm_eval.reference.tokenizer import encode

RUNNER = """
import json, sys
failed = []
for index, (program, entry_point) in enumerate(json.load(sys.stdin)):
    names = {}
    try:
        exec(program, names)
        names["check"](names[entry_point])
    except Exception:
        failed.append(index)
print(json.dumps(failed))
"""


def _items(name: str) -> list[dict[str, str]]:
    return [json.loads(line) for line in (DATA_DIR / name).read_text("utf-8").splitlines()]


def _program(item: dict[str, str], middle: str) -> tuple[str, str]:
    return item["prompt"] + middle + item.get("suffix", "") + item["test"], item["entry_point"]


def _failed(programs: list[tuple[str, str]]) -> list[int]:
    done = subprocess.run(
        [sys.executable, "-c", RUNNER],
        input=json.dumps(programs),
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    failed: list[int] = json.loads(done.stdout)
    return failed


@pytest.mark.parametrize(("name", "count"), [("humaneval.jsonl", 164), ("infilling.jsonl", 120)])
def test_canonical_solutions_pass_their_tests(name: str, count: int) -> None:
    items = _items(name)
    assert len(items) == count
    assert _failed([_program(item, item["canonical_solution"]) for item in items]) == []


def test_solutions_of_other_items_fail() -> None:
    items = _items("humaneval.jsonl")
    rotated = [*items[1:], items[0]]
    programs = [
        _program(item, other["canonical_solution"])
        for item, other in zip(items, rotated, strict=True)
    ]
    assert _failed(programs) == list(range(len(items)))


@pytest.mark.parametrize("form", ["return_last", "return_name", "nested"])
def test_every_form_computes_its_instruction(form: code.Form) -> None:
    rng = Random(3)
    for _ in range(200):
        operations = code.draw_operations(rng, num_operations=3, held_out=False)
        names: dict[str, object] = {}
        exec("def f(x):\n" + code.draw_body(rng, operations, form=form), names)
        for value in (-7, 0, 3):
            assert eval(f"f({value})", names) == code.evaluate(operations, value)


def test_bodies_fit_their_generation_length_with_end_of_text() -> None:
    rng = Random(4)
    for index in range(1000):
        document = code.draw_document(rng, num_operations=3 + index % 2)
        assert len(encode(document.response)) < GENERATION_LENGTH["code"]


def test_infilled_lines_have_at_most_eight_tokens() -> None:
    for item in _items("infilling.jsonl"):
        assert len(encode(item["canonical_solution"])) <= 8


def test_test_items_have_the_fields_of_the_full_size_sets() -> None:
    shared = {"task_id", "prompt", "entry_point", "canonical_solution", "test"}
    assert all(set(item) == shared for item in _items("humaneval.jsonl"))
    assert all(set(item) == {*shared, "suffix"} for item in _items("infilling.jsonl"))
