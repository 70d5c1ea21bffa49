"""Reads a file of records as a typed table: fast by pyarrow, line by line where that refuses.

Both ways give the same values and know the same errors: a torn last line is left out, any other
damaged line is an error that names it. Knows JSON lines and pydantic's fields; nothing of cells.
`store.py` calls it.
"""

from collections.abc import Iterator
from pathlib import Path
from types import NoneType
from typing import Any, Literal, get_args, get_origin

import pyarrow as pa
import pyarrow.json
from pydantic import BaseModel

from dllm_eval.errors import UsageError
from dllm_eval.files import read_lines

_CHUNK_BYTES = 16 * 2**20
_NOT_FINITE = ("Infinity", "-Infinity", "NaN")
"""How records write these numbers: as strings, which JSON can say."""
_TYPES = {int: pa.int64(), float: pa.float64(), str: pa.string(), bool: pa.bool_()}
_ACCEPTED = {
    pa.int64(): "a whole number",
    pa.float64(): "a number",
    pa.string(): "a text",
    pa.bool_(): "true or false",
}


class _Refused(Exception):  # noqa: N818 - caught in this file
    """The fast reader cannot take a chunk."""


def schema_of(model: type[BaseModel], *, without: frozenset[str] = frozenset()) -> pa.Schema:
    """The columns of a record type; one that a record must have is not nullable.

    Args:
        model: Its fields are numbers, texts and flags, None allowed, and lists.
        without: Fields to leave out; lists must be.
    """
    return pa.schema(
        [
            pa.field(name, _type(field.annotation), nullable=not field.is_required())
            for name, field in model.model_fields.items()
            if name not in without
        ]
    )


def _type(annotation: Any) -> pa.DataType:  # noqa: ANN401 - annotations are anything
    if get_origin(annotation) is Literal:
        return pa.string()
    options = [option for option in get_args(annotation) or (annotation,) if option is not NoneType]
    return _TYPES[options[0]] if options[0] in _TYPES else _type(options[0])


def read_table(path: Path, schema: pa.Schema) -> pa.Table:
    """The whole lines of a file, one row each; columns that a line lacks are null there.

    Args:
        path: Of JSON lines; one that is missing has no rows.
        schema: From `schema_of`. Other keys in the file are not read.

    Raises:
        UsageError: A line is no record, or lacks what every record has.
    """
    try:
        tables = [_fast(chunk, schema) for chunk in _chunks(path)]
    except _Refused:
        tables = [_line_by_line(path, schema)]
    loose = nullable(schema)
    table = pa.concat_tables(tables) if tables else loose.empty_table()
    for field in schema:
        if not field.nullable and table[field.name].null_count:
            number = table[field.name].is_null().index(True).as_py() + 1
            raise UsageError(f"{path}:{number}: a record without {field.name!r}; it is damaged")
    return table


def nullable(schema: pa.Schema) -> pa.Schema:
    """The same columns, each of which may lack values: what a table in memory has."""
    return pa.schema([pa.field(field.name, field.type) for field in schema])


def _chunks(path: Path) -> Iterator[bytes]:
    """The file in pieces of whole lines, without a torn last one."""
    if not path.exists():
        return
    try:
        with path.open("rb") as file:
            while piece := file.read(_CHUNK_BYTES):
                whole = piece if piece.endswith(b"\n") else piece + file.readline()
                if not whole.endswith(b"\n"):
                    whole = whole[: whole.rfind(b"\n") + 1]
                if whole:
                    yield whole
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise UsageError(f"cannot read {str(path)!r}: {reason}") from error


def _fast(chunk: bytes, schema: pa.Schema) -> pa.Table:
    """One chunk by pyarrow.

    Its parser takes a bare Infinity. Only between a key and its value can the quotes stand as they
    are replaced here: within a text every quote follows a backslash.
    """
    try:
        # The parser does not look whether texts are UTF-8.
        if not chunk.isascii():
            pa.array([chunk], pa.binary()).cast(pa.string())
        try:
            table = _parsed(chunk, schema)
        except pa.ArrowInvalid:
            for name in _NOT_FINITE:
                text = name.encode()
                chunk = chunk.replace(b'":"' + text + b'"', b'":' + text)
            table = _parsed(chunk, schema)
    except pa.ArrowInvalid as error:
        raise _Refused from error
    # Empty lines, and several records in a line, are none to it.
    if table.num_rows != chunk.count(b"\n"):
        raise _Refused
    return table


def _parsed(chunk: bytes, schema: pa.Schema) -> pa.Table:
    return pyarrow.json.read_json(
        pa.BufferReader(chunk),
        read_options=pyarrow.json.ReadOptions(use_threads=False, block_size=len(chunk)),
        parse_options=pyarrow.json.ParseOptions(
            explicit_schema=nullable(schema), unexpected_field_behavior="ignore"
        ),
    )


def _line_by_line(path: Path, schema: pa.Schema) -> pa.Table:
    """The whole file by `json`, which names the line that is damaged."""
    rows = [
        {
            field.name: _value(path, number, field, row[field.name])
            for field in schema
            if row.get(field.name) is not None
        }
        for number, (_, row) in enumerate(read_lines(path), start=1)
    ]
    return pa.Table.from_pylist(rows, nullable(schema))


def _value(path: Path, number: int, field: pa.Field, value: object) -> object:
    kind = type(value)
    if kind is bool and field.type == pa.bool_():
        return value
    if field.type == pa.float64() and (kind in (int, float) or value in _NOT_FINITE):
        return float(value)  # type: ignore[arg-type]
    if field.type == pa.int64() and kind in (int, float) and value == int(value):  # type: ignore[call-overload]
        return int(value)  # type: ignore[call-overload]
    if field.type == pa.string() and kind is str:
        return value
    raise UsageError(
        f"{path}:{number}: a record's {field.name!r} is {value!r}, it must be "
        f"{_ACCEPTED[field.type]}; the file is damaged"
    )
