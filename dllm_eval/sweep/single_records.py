"""Finds single records in a file of thousands without reading the others.

Knows JSON lines with a key; nothing of what else is in them. `store.py` calls it for the few
requests that a page shows.
"""

import json
from collections.abc import Collection
from pathlib import Path
from typing import Any

from dllm_eval.errors import UsageError


def find_records(path: Path, keys: Collection[str]) -> dict[str, dict[str, Any]]:
    """Key -> its last record in the file; keys without one are left out.

    Raises:
        UsageError: The file cannot be read.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise UsageError(f"cannot read {str(path)!r}: {reason}") from error
    found = {key: _last(data, key) for key in keys}
    return {key: record for key, record in found.items() if record is not None}


def _last(data: bytes, key: str) -> dict[str, Any] | None:
    """The last whole line whose "key" it is; a text may hold the same characters."""
    wanted, end = json.dumps(key).encode(), len(data)
    while (at := data.rfind(wanted, 0, end)) >= 0:
        start, stop = data.rfind(b"\n", 0, at) + 1, data.find(b"\n", at)
        record = _record(data[start:stop]) if stop >= 0 else None
        if record is not None and record.get("key") == key:
            return record
        end = at
    return None


def _record(line: bytes) -> dict[str, Any] | None:
    try:
        value = json.loads(line)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None
