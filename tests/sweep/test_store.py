"""The fast reader of records against a slow one, and what it says of damaged files."""

import json
import math
import random
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from dllm_eval.errors import UsageError
from dllm_eval.records import RequestRecord
from dllm_eval.sweep.record_table import read_table, schema_of
from dllm_eval.sweep.single_records import find_records
from dllm_eval.sweep.store import TEXTS, read_results

ODD_TEXTS = [
    "",
    "Infinity",
    '":"Infinity"',
    '"stderr":"NaN"',
    'line\nbreak \u2028 \\ " é 😀',
    '{"key": "a"}',
]
NUMBERS = [0.0, -1.5, 1e-300, math.inf, -math.inf, math.nan, 0.1 + 0.2, None]


def record(number: int) -> RequestRecord:
    """One whose fields all have values of their kind, odd ones included."""
    draw = random.Random(number)
    floats: dict[str, Any] = {
        name: draw.choice(NUMBERS)
        for name, field in RequestRecord.model_fields.items()
        if field.annotation == float | None
    }
    return RequestRecord(
        key=f"{number:032x}",
        task=draw.choice(["a", "b", "Ω"]),
        doc_id=draw.choice([-1, 0, 2**31 + number]),
        index=number % 4,
        request_type=draw.choice(["generate_until", "loglikelihood"]),
        model=draw.choice(["diffusion", "autoregressive"]),
        prompt_tokens=number,
        visible_tokens=1,
        canvas_tokens=2**40,
        nfe=3,
        positions=4,
        seconds=draw.random(),
        batch_size=1,
        seed=draw.choice([0, 2**62 + 1]),
        cache=draw.choice([None, "exact", "approximate"]),
        prompt_end=draw.choice(ODD_TEXTS),
        response=draw.choice(ODD_TEXTS),
        tokens=[1, 2],
        pieces=ODD_TEXTS,
        reveal_step=[0, 1],
        exact=draw.choice([None, True, False]),
        quantity=draw.choice([None, "elbo"]),
        samples=draw.choice([None, 8]),
        **floats,
    )


def slow(path: Path) -> list[dict[str, Any]]:
    """Line by line: the last record of a key counts, at the place of its first."""
    found: dict[str, dict[str, Any]] = {}
    for line in path.read_text(encoding="utf-8").split("\n")[:-1]:
        row = json.loads(line)
        known = {name: row.get(name) for name in RequestRecord.model_fields if name not in TEXTS}
        floats = {
            name
            for name, field in RequestRecord.model_fields.items()
            if field.annotation in (float, float | None)
        }
        for name in floats & known.keys():
            known[name] = math.nan if known[name] is None else float(known[name])
        found[row["key"]] = known
    return list(found.values())


def folder_of(path: Path, cells: dict[str, str]) -> Path:
    """A results folder with these request files."""
    from dllm_eval.sweep.plan import Cell

    for name, text in cells.items():
        cell = Cell(
            cell_id=name, config_id=name, name="M", model="dllm", kind="diffusion",
            arguments={"steps": 1}, seed=0, takes=(), task="a", suite="A", metric="acc",
            filter=None, chance=0.0, num_fewshot=None, apply_chat_template=False, dial="steps",
            dial_value=1.0, purpose="quality", limit=None, batch_size=1, timing=None,
        )  # fmt: skip
        own = path / "cells" / name
        own.mkdir(parents=True)
        (own / "cell.json").write_text(json.dumps(cell.as_dict()))
        (own / "requests.jsonl").write_text(text, encoding="utf-8")
    (path / "sweep.json").write_text(json.dumps({"schema_version": 1, "cells": list(cells)}))
    return path


def lines(*numbers: int) -> str:
    return "".join(record(number).model_dump_json() + "\n" for number in numbers)


def assert_equal(frame: pd.DataFrame, rows: list[dict[str, Any]]) -> None:
    assert len(frame) == len(rows)
    for name in frame.columns.drop("cell_id"):
        for got, want in zip(frame[name], (row[name] for row in rows), strict=True):
            missing = want is None or want != want
            assert (missing and pd.isna(got)) or got == want, (name, got, want)
            if isinstance(want, float) and want == want:
                assert math.copysign(1.0, got) == math.copysign(1.0, want)


def test_records_of_every_kind_are_read_as_the_slow_reader_reads_them(tmp_path: Path) -> None:
    texts = {f"cell{i}": lines(*range(40 * i, 40 * i + 40)) for i in range(3)}
    found = read_results([folder_of(tmp_path, texts)])
    assert set(found.requests.columns) == {"cell_id", *RequestRecord.model_fields} - TEXTS
    for name in texts:
        own = found.requests[found.requests["cell_id"] == name]
        assert_equal(own, slow(tmp_path / "cells" / name / "requests.jsonl"))


def test_torn_lines_repeats_and_older_records(tmp_path: Path) -> None:
    again = record(1).model_copy(update={"seconds": 9.0}).model_dump_json()
    old = {k: v for k, v in json.loads(lines(2)).items() if k not in ("cache", "win_probability")}
    torn = lines(3)[:-20]
    text = lines(0, 1) + json.dumps(old) + "\n" + again + "\n" + torn
    found = read_results([folder_of(tmp_path, {"cell": text})]).requests
    whole = tmp_path / "whole.jsonl"
    whole.write_text(text[: text.rindex("\n") + 1], encoding="utf-8")
    assert_equal(found, slow(whole))
    assert list(found["seconds"])[1] == 9.0
    assert list(found["key"]) == [record(i).key for i in (0, 1, 2)]


def test_what_the_fast_parser_cannot_take_is_read_all_the_same(tmp_path: Path) -> None:
    path = tmp_path / "requests.jsonl"
    odd = json.loads(lines(5)) | {"nfe": 3.0, "value": 1, "stderr": "Infinity"}
    twice = json.dumps(odd)[:-1] + ', "index": 7}'
    path.write_text(json.dumps(odd) + "\n" + twice + "\n")
    table = read_table(path, schema_of(RequestRecord, without=TEXTS)).to_pylist()
    assert [row["nfe"] for row in table] == [3, 3]
    assert [row["index"] for row in table] == [odd["index"], 7]
    assert table[0]["stderr"] == math.inf


@pytest.mark.parametrize(
    ("bad", "number", "message"),
    [
        ("garbage\n", 2, "not a JSON record; the file is damaged"),
        ("\n", 2, "not a JSON record; the file is damaged"),
        ("[1, 2]\n", 2, "not a JSON record; the file is damaged"),
        (lines(7)[:50] + "\n", 2, "not a JSON record; the file is damaged"),
        (lines(7)[:300] + lines(8), 2, "not a JSON record; the file is damaged"),
        (lines(7)[:-1] + lines(8), 2, "not a JSON record; the file is damaged"),
        ('{"task": "a"}\n', 2, "a record without 'key'; it is damaged"),
        (lines(7).replace('"nfe":3', '"nfe":"x"'), 2, "a record's 'nfe' is 'x', it must be"),
        (lines(7).replace('"nfe":3', '"nfe":3.5'), 2, "a record's 'nfe' is 3.5, it must be"),
        (lines(7).replace('"index":', '"indices":', 1), 2, "a record without 'index'"),
    ],
)
def test_damage_is_named_with_its_line(tmp_path: Path, bad: str, number: int, message: str) -> None:
    folder = folder_of(tmp_path, {"cell": lines(1) + bad + lines(2)})
    path = folder / "cells" / "cell" / "requests.jsonl"
    with pytest.raises(UsageError) as error:
        read_results([folder])
    assert str(error.value).startswith(f"{path}:{number}: {message}")


def test_texts_that_are_not_utf8_are_damage(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, {"cell": lines(1)})
    path = folder / "cells" / "cell" / "requests.jsonl"
    path.write_bytes(path.read_bytes() + lines(2).encode().replace(b"line", b"\xff") + b"{}\n")
    with pytest.raises(UsageError, match=r"requests\.jsonl:2: not a JSON record"):
        read_results([folder])


def test_single_records_are_whole_and_the_last_of_their_key(tmp_path: Path) -> None:
    again = record(1).model_copy(update={"response": record(0).key}).model_dump_json()
    folder = folder_of(tmp_path, {"cell": lines(0, 1, 2) + again + "\n" + lines(2)[:-1]})
    found = read_results([folder]).texts
    keys = [record(i).key for i in (0, 1)]
    got = found.records("cell", [*keys, "nobody"])
    assert list(got) == keys
    assert got[keys[0]] == json.loads(record(0).model_dump_json())
    assert got[keys[1]]["response"] == record(0).key
    assert found.records("other cell", keys) == {}
    # Of a last line that is torn, the whole one before it counts.
    path = folder / "cells" / "cell" / "requests.jsonl"
    third = record(2).key
    assert find_records(path, [third])[third] == json.loads(lines(2))


def test_a_failed_cell_says_why(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, {"one": "", "two": ""})
    (folder / "cells" / "one" / "failed.json").write_text('{"error": "no room", "kind": "memory"}')
    cells = read_results([folder]).cells.set_index("cell_id")
    assert dict(cells["failed"]) == {"one": "no room", "two": ""}
    assert not cells["finished"].any()
