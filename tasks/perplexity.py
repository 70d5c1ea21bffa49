"""Whole texts for perplexity: each document is one "text", scored token by token in windows.

Knows where the texts come from; nothing of windows, models or units. Named by the YAML files.
"""

from pathlib import Path

import datasets

from dllm_eval.errors import UsageError

from .data import DATA_FOLDER, Row, as_dataset, load_rows, local_path, read_csv, read_source

STORY_COLUMNS = ["document_id", "text"]


def load_programs(*, data: Row, **_metadata: object) -> dict[str, datasets.Dataset]:
    """HumanEval's prompts with their solutions, one program a document."""
    source = read_source(data)
    rows = load_rows(source, columns=("prompt", "canonical_solution"))
    docs = [{"text": row["prompt"] + row["canonical_solution"]} for row in rows]
    return as_dataset(docs, source=source)


def load_stories(*, data: Row, **_metadata: object) -> dict[str, datasets.Dataset]:
    """FairytaleQA's stories, one CSV file of sentences each, joined by single blanks.

    Raises:
        UsageError: There is no such folder (the hub has the questions alone), or a file of it holds
            something else.
    """
    source = read_source(data)
    folder = local_path(source)
    if folder is None:
        raise UsageError(f"{source.file} is on no hub: set {DATA_FOLDER} to a folder that holds it")
    return as_dataset([_story(path) for path in sorted(folder.glob("*.csv"))], source=source)


def _story(path: Path) -> Row:
    rows = [row for _, row in read_csv(path, num_columns=len(STORY_COLUMNS))]
    if not rows or rows[0] != STORY_COLUMNS:
        found = rows[0] if rows else "nothing"
        raise UsageError(f"{path}, row 1: expected the columns {STORY_COLUMNS}, got {found}")
    return {"title": path.stem, "text": " ".join(sentence.strip() for _, sentence in rows[1:])}
