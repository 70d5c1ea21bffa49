"""The reversal curse: name/description facts (arXiv 2309.12288) and poem lines (arXiv 2502.09992).

Knows how the documents look and how an answer is compared. Named by the YAML files.
"""

from typing import Final

import datasets

from dllm_eval.errors import UsageError

from .data import Row, Source, as_dataset, load_rows, read_source

_POEM_REQUEST: Final = " 直接输出句子即可。"


def load_facts(*, data: Row, **_metadata: object) -> dict[str, datasets.Dataset]:
    """Documents with "prompt" and "completion", as published."""
    source = read_source(data)
    return as_dataset(load_rows(source, columns=("prompt", "completion")), source=source)


def load_fact_choices(*, data: Row, **_metadata: object) -> dict[str, datasets.Dataset]:
    """The true completion beside the one that the `*_randomized` file pairs with the prompt.

    The true one is the first choice of every other document, so that a tie decides nothing.
    """
    source = read_source(data)
    columns = ("prompt", "completion")
    right = load_rows(source, columns=columns)
    wrong = load_rows(_randomized(source), columns=columns)
    if [row["prompt"] for row in right] != [row["prompt"] for row in wrong]:
        raise UsageError(f"{_randomized(source).file} does not ask what {source.file} asks")
    docs = []
    for number, (true, random) in enumerate(zip(right, wrong, strict=True)):
        choices = [true["completion"], random["completion"]]
        answer = number % 2
        docs.append(
            {"prompt": true["prompt"], "choices": choices[:: 1 - 2 * answer], "answer": answer}
        )
    return as_dataset(docs, source=source)


def _randomized(source: Source) -> Source:
    def beside(name: str | None) -> str | None:
        return None if name is None else name.replace(".jsonl", "_randomized.jsonl")

    names = {"file": beside(source.file), "hub_files": beside(source.hub_files)}
    return source.model_copy(update=names)


def load_fact_infilling(*, data: Row, **_metadata: object) -> dict[str, datasets.Dataset]:
    """The same with a "suffix", the answer lying between prompt and suffix."""
    source = read_source(data)
    rows = load_rows(source, columns=("prompt", "suffix", "completion"))
    return as_dataset([{**row, "infill": _infill(row)} for row in rows], source=source)


def _infill(row: Row) -> dict[str, str]:
    return {"prefix": row["prompt"], "suffix": row["suffix"], "middle": row["completion"]}


def load_poems_forward(*, data: Row, **_metadata: object) -> dict[str, datasets.Dataset]:
    """Asks for the line after a poem's line."""
    return _load_poems(data, given="first", asked="second", question="的下一句是什么？")


def load_poems_reverse(*, data: Row, **_metadata: object) -> dict[str, datasets.Dataset]:
    """Asks for the line before a poem's line."""
    return _load_poems(data, given="second", asked="first", question="的上一句是什么？")


def _load_poems(data: Row, *, given: str, asked: str, question: str) -> dict[str, datasets.Dataset]:
    source = read_source(data)
    rows = load_rows(source, columns=("first", "second"))
    docs = [
        {**row, "prompt": row[given] + question + _POEM_REQUEST, "completion": row[asked]}
        for row in rows
    ]
    return as_dataset(docs, source=source)


def normalized(text: str) -> str:
    """Lower case, single spaces, none at the ends."""
    return " ".join(text.lower().split())


def score_fact(doc: Row, results: list[str]) -> dict[str, float]:
    """exact_match: the answer's first line starts with the target, both normalized."""
    lines = results[0].strip().split("\n", maxsplit=1)
    return {"exact_match": float(normalized(lines[0]).startswith(normalized(doc["completion"])))}


def score_poem(doc: Row, results: list[str]) -> dict[str, float]:
    """acc: the asked-for line occurs in the output, as published."""
    return {"acc": float(doc["completion"] in results[0])}
