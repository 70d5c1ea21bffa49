"""HumanEval and HumanEval-Infilling: from a completion to a program, and its verdict.

Nothing of a completion is repaired: the extraction rules are the two functions below, and each
task's metadata names its rule. Programs run in the sandbox, never here. Named by the YAML files.
"""

from typing import Final

import datasets

from dllm_eval.sandbox import run_program

from .data import Row, as_dataset, load_rows, read_source

TIMEOUT_S: Final = 3.0
STOP_STRINGS: Final = ("\nclass", "\ndef", "\n#", "\nif", "\nprint", "\n```")
_COLUMNS: Final = ("task_id", "prompt", "entry_point", "canonical_solution", "test")


def load_completion(*, data: Row, **_metadata: object) -> dict[str, datasets.Dataset]:
    """HumanEval's documents as published; lm-eval passes the YAML's metadata too."""
    source = read_source(data)
    return as_dataset(load_rows(source, columns=_COLUMNS), source=source)


def load_infilling(*, data: Row, **_metadata: object) -> dict[str, datasets.Dataset]:
    """HumanEval-Infilling's documents, with what an infilling model needs under "infill"."""
    source = read_source(data)
    rows = load_rows(source, columns=(*_COLUMNS, "suffix"))
    return as_dataset([{**row, "infill": _infill(row)} for row in rows], source=source)


def _infill(row: Row) -> dict[str, str]:
    return {
        "prefix": row["prompt"],
        "suffix": row["suffix"],
        "middle": row["canonical_solution"],
    }


def until_stop(completion: str) -> str:
    """The completion up to the first stop string."""
    ends = [completion.find(stop) for stop in STOP_STRINGS]
    return completion[: min((end for end in ends if end >= 0), default=len(completion))]


def first_line(completion: str) -> str:
    """The completion's first line with its newline, which the suffix starts after."""
    return completion.split("\n", maxsplit=1)[0] + "\n"


def score_completion(doc: Row, results: list[str]) -> dict[str, float]:
    """pass@1 of prompt + completion up to the first stop string."""
    return _score(doc, doc["prompt"] + until_stop(results[0]))


def score_single_line(doc: Row, results: list[str]) -> dict[str, float]:
    """pass@1 of prompt + the completion's first line + suffix."""
    return _score(doc, doc["prompt"] + first_line(results[0]) + doc["suffix"])


def score_span(doc: Row, results: list[str]) -> dict[str, float]:
    """pass@1 of prompt + completion + suffix."""
    return _score(doc, doc["prompt"] + results[0] + doc["suffix"])


def _score(doc: Row, program: str) -> dict[str, float]:
    source = f"{program}\n{doc['test']}\ncheck({doc['entry_point']})\n"
    return {"pass@1": float(run_program(source, timeout_s=TIMEOUT_S).passed)}
