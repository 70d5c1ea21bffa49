"""Writes a file whole or not at all, and reads line files whose last line may be torn.

Knows nothing of what is in them. The results folder and the request log call it.
"""

import errno
import json
import os
from collections.abc import Iterable, Iterator
from io import FileIO
from pathlib import Path
from typing import Any, BinaryIO
from uuid import uuid4

from dllm_eval.errors import UsageError

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""No space left, no quota left, and a file larger than this process may write."""
TEMPORARY = ".tmp"
"""How the name of a file ends that is being written."""


class DiskFull(UsageError):  # noqa: N818 - a state of the disk, and no fault of the caller's
    """A file could not be written for want of space. What was written before it is whole."""


def no_room(error: OSError) -> bool:
    """Whether a file operation failed for want of space."""
    return error.errno in _NO_ROOM


def make_folder(path: Path) -> None:
    """Makes a folder and those above it; one that is there stays as it is.

    Raises:
        UsageError: It cannot be made.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise not_written(path, error) from error


def check_folder_can_be(path: Path) -> None:
    """Looks whether a folder is there or could be made, long before it is; makes nothing.

    Raises:
        UsageError: What is there already is no folder, or cannot be written into.
    """
    there = next((one for one in (path, *path.parents) if one.exists()), path)
    if not there.is_dir() or not os.access(there, os.W_OK):
        raise UsageError(
            f"cannot write into {str(path)!r}: {str(there)!r} is no folder that can be written "
            "into; pass another path"
        )


def open_for_appending(path: Path) -> FileIO:
    """Opens a file to write at its end, without a buffer; it and its folder are made if missing.

    Raises:
        UsageError: It cannot be made or opened.
    """
    make_folder(path.parent)
    try:
        return path.open("ab", buffering=0)
    except OSError as error:
        raise not_written(path, error) from error


def write_text(path: Path, text: str) -> None:
    """Replaces a file's content at one instant; a crash leaves the old content or the new.

    Raises:
        UsageError: The file cannot be written.
    """
    path = path.resolve()  # a link stays one
    if path.exists() and not path.is_file():
        raise UsageError(f"cannot write {path}: it is there and is no regular file")
    make_folder(path.parent)
    # Processes of several machines may share the folder: a process id would not do.
    temporary = path.with_name(f".{path.name}.{uuid4().hex}{TEMPORARY}")
    try:
        with temporary.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise not_written(path, error) from error


def write_json(path: Path, value: object) -> None:
    """Writes JSON that people can read."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def write_lines(path: Path, values: Iterable[object]) -> None:
    """Writes one JSON value a line."""
    write_text(path, "".join(json.dumps(value, ensure_ascii=False) + "\n" for value in values))


def read_json(path: Path) -> Any:  # noqa: ANN401 - JSON holds anything
    """Reads one JSON file.

    Raises:
        UsageError: The file is missing or is not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise UsageError(f"cannot read {str(path)!r}: {error}; it is damaged or missing") from error


def read_mapping(path: Path) -> dict[str, Any]:
    """Reads one JSON file that holds an object.

    Raises:
        UsageError: The file is missing, is not JSON, or holds something else.
    """
    found = read_json(path)
    if not isinstance(found, dict):
        raise UsageError(f"{str(path)!r} holds no JSON object; it is damaged")
    return found


def read_lines(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yields each whole line of a JSON-lines file with the byte offset behind it.

    A last line without its line end was being written when the process died; it is left out.

    Raises:
        UsageError: A line before the last is not a JSON object, or the file cannot be read.
    """
    if not path.exists():
        return
    end = 0
    with _opened(path) as file:
        for number, raw in enumerate(file, start=1):
            if not raw.endswith(b"\n"):
                return
            end += len(raw)
            yield end, _object(path, number, raw)


def _opened(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except OSError as error:
        raise UsageError(f"cannot read {str(path)!r}: {_reason(error)}") from error


def not_written(path: Path, error: OSError) -> UsageError:
    """The error for a file that could not be written; a `DiskFull` where there was no room."""
    if no_room(error):
        return DiskFull(f"cannot write {str(path)!r}: {_reason(error)}; make space there")
    return UsageError(f"cannot write {str(path)!r}: {_reason(error)}; pass a path that can be made")


def _reason(error: OSError) -> str:
    return error.strerror or type(error).__name__


def _object(path: Path, number: int, raw: bytes) -> dict[str, Any]:
    try:
        value = json.loads(raw)
    except ValueError as error:
        raise UsageError(f"{path}:{number}: not a JSON record; the file is damaged") from error
    if not isinstance(value, dict):
        raise UsageError(f"{path}:{number}: not a JSON record; the file is damaged")
    return value
