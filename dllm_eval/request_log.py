"""The append-only log of finished requests, which makes a run resumable at any request.

Knows `RequestRecord` and one file; knows nothing of models or cells. Adapters put and get.
"""

import os
from pathlib import Path
from types import TracebackType
from typing import Self

from pydantic import ValidationError

from dllm_eval.errors import UsageError
from dllm_eval.files import open_for_appending, read_lines
from dllm_eval.measure.wall import now_s
from dllm_eval.records import RequestRecord

_SYNC_INTERVAL_S = 1.0


class FileLog:
    """A `records.RequestLog` on disk: one JSON line per finished request.

    A line has left this process once `put` returns, so a killed process loses nothing; it is on
    the disk itself within about a second of further work, and after `close`.

    Args:
        path: The file; a torn last line is cut off on opening.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self._records: dict[str, RequestRecord] = {}
        end = 0
        for end, value in read_lines(self.path):  # noqa: B007 - used after the loop
            record = _record(self.path, value)
            self._records[record.key] = record
        self._file = open_for_appending(self.path)
        self._file.truncate(end)
        self._synced_at = now_s()

    def get(self, key: str) -> RequestRecord | None:
        """The finished request with this key, if there is one."""
        return self._records.get(key)

    def put(self, record: RequestRecord) -> None:
        """Appends a finished request."""
        self._file.write(record.model_dump_json().encode() + b"\n")
        self._file.flush()
        self._records[record.key] = record
        if now_s() - self._synced_at > _SYNC_INTERVAL_S:
            self._sync()

    def records(self) -> list[RequestRecord]:
        """Every finished request, in the order in which they finished."""
        return list(self._records.values())

    def close(self) -> None:
        """Puts everything on the disk."""
        self._sync()
        self._file.close()

    def __len__(self) -> int:
        return len(self._records)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _sync(self) -> None:
        os.fsync(self._file.fileno())
        self._synced_at = now_s()


def _record(path: Path, value: dict[str, object]) -> RequestRecord:
    try:
        return RequestRecord.model_validate(value)
    except ValidationError as error:
        fault = error.errors()[0]
        key = ".".join(str(part) for part in fault["loc"])
        raise UsageError(f"{path}: a record's {key!r} is wrong: {fault['msg']}") from error
