"""The document stream: deterministic, disjoint from the test sets, group A never reversed."""

import csv
import json
from collections.abc import Iterable, Iterator

import pytest

from dllm_eval.reference import DATA_DIR, DIFFUSION_DIR, choices, facts
from dllm_eval.reference.corpus import CorpusHash, UpdateDocuments, draw_update, held_out_files

TRAINING_SEED = 0
SAMPLED_UPDATES = range(0, 2800, 7)


def _jsonl(name: str) -> list[dict[str, str]]:
    return [json.loads(line) for line in (DATA_DIR / name).read_text("utf-8").splitlines()]


def _docstring(prompt: str) -> str:
    return prompt.split('"""')[1]


def _held_out_instructions() -> set[str]:
    items = _jsonl("humaneval.jsonl") + _jsonl("infilling.jsonl")
    return {_docstring(item["prompt"]) for item in items}


def _held_out_questions() -> set[str]:
    return {
        row[0]
        for path in (DATA_DIR / "mmlu").rglob("*.csv")
        for row in csv.reader(path.read_text("utf-8").splitlines())
    }


def _check_update(documents: UpdateDocuments, instructions: set[str], questions: set[str]) -> None:
    for document in documents.code:
        assert _docstring(document.prompt) not in instructions
    for document in (*documents.choices_text, *documents.choices_letter):
        assert document.prompt.split("\n", 1)[0] not in questions
    group_a = {fact.name for fact in facts.facts("a")}
    forward = {fact.forward().text for fact in facts.facts("a")}
    for document in documents.facts:
        if any(name in document.text for name in group_a):
            assert document.text in forward
    for document in (*documents.code, *documents.choices_text, *documents.choices_letter):
        assert not any(name in document.text for name in group_a)


def _replay(updates: Iterable[int]) -> Iterator[UpdateDocuments]:
    for update in updates:
        yield draw_update(TRAINING_SEED, update)


def test_sampled_stream_holds_out_every_test_item() -> None:
    instructions, questions = _held_out_instructions(), _held_out_questions()
    for documents in _replay(SAMPLED_UPDATES):
        _check_update(documents, instructions, questions)


@pytest.mark.slow
def test_whole_stream_holds_out_every_test_item_and_has_the_logged_hash() -> None:
    training_log = json.loads((DIFFUSION_DIR / "training.json").read_text("utf-8"))
    instructions, questions = _held_out_instructions(), _held_out_questions()
    corpus = CorpusHash()
    assert training_log["seed"] == TRAINING_SEED
    for documents in _replay(range(training_log["num_updates"])):
        _check_update(documents, instructions, questions)
        corpus.add(documents)
    assert corpus.hexdigest() == training_log["corpus_sha256"]


def test_an_update_is_a_pure_function_of_seed_and_number() -> None:
    assert draw_update(0, 7) == draw_update(0, 7)
    assert draw_update(0, 7) != draw_update(0, 8)
    assert draw_update(0, 7) != draw_update(1, 7)


def test_corpus_hash_depends_on_order() -> None:
    first, second = CorpusHash(), CorpusHash()
    for update in (0, 1):
        first.add(draw_update(0, update))
        second.add(draw_update(0, 1 - update))
    assert first.hexdigest() != second.hexdigest()


def test_corpus_is_the_same_on_every_machine() -> None:
    corpus = CorpusHash()
    corpus.add(draw_update(0, 0))
    assert corpus.hexdigest() == "67825a31522d7b70391a50f8a0ec239ed71949c7a26736f978933ff7f5216ce1"


def test_shipped_data_is_what_the_generator_writes() -> None:
    shipped = {
        path.relative_to(DATA_DIR).as_posix(): path.read_bytes()
        for path in DATA_DIR.rglob("*")
        if path.is_file()
    }
    assert shipped == {name: text.encode() for name, text in held_out_files().items()}


def test_every_fact_has_its_own_name_and_description() -> None:
    everyone = (*facts.facts("a"), *facts.facts("b"))
    assert len({fact.name for fact in everyone}) == len(everyone) == 240
    assert len({fact.description for fact in everyone}) == len(everyone)


@pytest.mark.parametrize("subject", choices.SUBJECTS)
def test_exactly_one_choice_answers_a_shipped_question(subject: choices.Subject) -> None:
    path = DATA_DIR / "mmlu" / "test" / f"{subject}_test.csv"
    rows = list(csv.reader(path.read_text("utf-8").splitlines()))
    assert len(rows) == 50
    for text, *listed, letter in rows:
        assert len(set(listed)) == 4
        right = [choice for choice in listed if _is_right(subject, text, choice)]
        assert right == [listed["ABCD".index(letter)]]


def _is_right(subject: choices.Subject, text: str, choice: str) -> bool:
    if subject == "people":
        asked = text.removeprefix("Who is ").removesuffix("?")
        return facts.Fact(name=choice, description=asked) in facts.facts("b")
    items = text.removeprefix("Which list is ").split(" in ")[0].split()
    return choice.split() == (items[::-1] if subject == "reversing" else sorted(items))


def test_randomized_completions_are_wrong_and_from_the_same_pool() -> None:
    for stem in ("a_forward", "a_reverse", "b_forward", "b_reverse"):
        right = _jsonl(f"reversal/{stem}.jsonl")
        wrong = _jsonl(f"reversal/{stem}_randomized.jsonl")
        pool = {item["completion"] for item in right}
        for true, random in zip(right, wrong, strict=True):
            assert true["prompt"] == random["prompt"]
            assert true["completion"] != random["completion"]
            assert random["completion"] in pool


def test_names_are_infilled_in_the_order_seen_in_training() -> None:
    forward = {fact.forward().text for fact in facts.facts("a")}
    items = _jsonl("reversal/a_infill.jsonl")
    assert {i["prompt"] + i["completion"] + i["suffix"] for i in items} == forward
