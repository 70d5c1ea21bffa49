"""MMLU (arXiv 2009.03300) by the likelihood of a letter or of a text, or by a written letter.

Every document carries its whole prompt, so that the five examples come from its own subject.
Documents take turns between subjects, so that a limited run is not a run on one subject. Named by
the YAML files.
"""

import re
from collections.abc import Iterable, Sequence
from itertools import chain, zip_longest
from pathlib import Path
from typing import Final

import datasets

from dllm_eval.errors import UsageError

from .data import Row, Source, as_dataset, load_from_hub, local_path, read_csv, read_source

LETTERS: Final = "ABCD"
NUM_SHOTS: Final = 5
_LETTER_ALONE: Final = re.compile(r"(?<!\w)[A-D](?!\w)")


def load_letter(*, data: Row, **_metadata: object) -> dict[str, datasets.Dataset]:
    """Five-shot, the choices listed: the answer is a letter."""
    source = read_source(data)
    test = load_questions(source, split="test")
    shots = _by_subject(load_questions(source, split="dev"))
    _check_shots(test, shots, source)
    docs = [{**question, "prompt": letter_prompt(question, shots)} for question in test]
    return as_dataset(docs, source=source)


def load_letter_no_shots(*, data: Row, **_metadata: object) -> dict[str, datasets.Dataset]:
    """The choices listed, without header and examples."""
    source = read_source(data)
    test = load_questions(source, split="test")
    docs = [{**question, "prompt": list_choices(question)} for question in test]
    return as_dataset(docs, source=source)


def load_continuation(*, data: Row, **_metadata: object) -> dict[str, datasets.Dataset]:
    """The question alone: the answer is a choice's text."""
    source = read_source(data)
    test = load_questions(source, split="test")
    docs = [{**question, "prompt": f"{question['question']}\nAnswer:"} for question in test]
    return as_dataset(docs, source=source)


def score_letter(doc: Row, results: list[str]) -> dict[str, float]:
    """exact_match: the first letter A to D that stands alone in the answer is the right one.

    Alone means that no letter, digit or underscore is beside it; an answer without one is wrong.
    """
    found = _LETTER_ALONE.search(results[0])
    return {"exact_match": float(found is not None and found[0] == LETTERS[doc["answer"]])}


def list_choices(question: Row) -> str:
    """The question with its choices, up to and including "Answer:"."""
    choices = (
        f"{letter}. {text}" for letter, text in zip(LETTERS, question["choices"], strict=True)
    )
    return "\n".join((question["question"], *choices, "Answer:"))


def letter_prompt(question: Row, shots: dict[str, list[Row]]) -> str:
    """Header, five answered examples of the same subject, and the question."""
    subject = question["subject"]
    header = (
        "The following are multiple choice questions (with answers) about "
        f"{subject.replace('_', ' ')}."
    )
    examples = (
        f"{list_choices(shot)} {LETTERS[shot['answer']]}" for shot in shots[subject][:NUM_SHOTS]
    )
    return "\n\n".join((header, *examples, list_choices(question)))


def load_questions(source: Source, *, split: str) -> list[Row]:
    """The questions of a split: subject, question, choices, and the answer as an index."""
    path = local_path(source)
    rows = (
        _from_folder(path / split, suffix=f"_{split}.csv")
        if path is not None
        else _from_hub(source, split=split)
    )
    subjects = _by_subject({**row, "question": row["question"].strip()} for row in rows)
    turns = zip_longest(*(subjects[name] for name in sorted(subjects)))
    return [row for row in chain.from_iterable(turns) if row is not None]


def _from_hub(source: Source, *, split: str) -> Iterable[Row]:
    rows = load_from_hub(source, split=split)
    missing = {"subject", "question", "choices", "answer"} - set(rows.features)
    if missing:
        raise UsageError(f"{source.hub}, split {split}: column {min(missing)!r} is missing")
    return (dict(row) for row in rows)


def _from_folder(folder: Path, *, suffix: str) -> Iterable[Row]:
    files = sorted(folder.glob(f"*{suffix}"))
    if not files:
        raise UsageError(f"no files *{suffix} in {folder}; expected one per subject")
    for file in files:
        for where, row in read_csv(file, num_columns=6):
            if row[5] not in tuple(LETTERS):
                raise UsageError(f"{where}: the answer must be A, B, C or D, got {row[5]!r}")
            yield {
                "subject": file.name.removesuffix(suffix),
                "question": row[0],
                "choices": row[1:5],
                "answer": LETTERS.index(row[5]),
            }


def _by_subject(questions: Iterable[Row]) -> dict[str, list[Row]]:
    subjects: dict[str, list[Row]] = {}
    for question in questions:
        subjects.setdefault(question["subject"], []).append(question)
    return subjects


def _check_shots(test: Sequence[Row], shots: dict[str, list[Row]], source: Source) -> None:
    for subject in sorted({question["subject"] for question in test}):
        num_shots = len(shots.get(subject, ()))
        if num_shots < NUM_SHOTS:
            raise UsageError(
                f"{source.file}: subject {subject!r} has {num_shots} dev examples, not {NUM_SHOTS}"
            )
