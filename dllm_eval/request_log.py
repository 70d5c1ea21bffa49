"""The append-only log of finished requests, which makes a run resumable at any request.

Knows `RequestRecord` and one file; knows nothing of models or cells. Adapters put and get.
"""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from pydantic import ValidationError

from dllm_eval.errors import UsageError
from dllm_eval.files import not_written, open_for_appending, read_lines
from dllm_eval.measure.wall import now_s
from dllm_eval.records import RequestRecord

_SYNC_INTERVAL_S = 1.0


class FileLog:
    """A `records.RequestLog` on disk: one JSON line per finished request.

    A line has left this process once `put` returns, so a killed process loses nothing; it is on
    the disk itself within about a second of further work, and after `close`. Where the disk is
    full, the file ends with the last record that had room.

    Args:
        path: The file; a torn last line is cut off on opening.
        also: Logs that are read as well; nothing is written to them.
    """

    def __init__(self, path: Path | str, *, also: Iterable[Path] = ()) -> None:
        self.path = Path(path)
        self._others: dict[str, RequestRecord] = {}
        for other in also:
            self._others |= {record.key: record for _, record in _records(other)}
        self._records: dict[str, RequestRecord] = {}
        self._lines = end = 0
        for end, record in _records(self.path):  # noqa: B007 - used after the loop
            self._records[record.key] = record
            self._lines += 1
        self._file = open_for_appending(self.path)
        self._file.truncate(end)
        self._synced_at = now_s()

    @property
    def repeats(self) -> bool:
        """Whether a request stands in the file twice: two processes took it for theirs."""
        return self._lines > len(self._records)

    def get(self, key: str) -> RequestRecord | None:
        """The finished request with this key, if there is one."""
        return self._records.get(key) or self._others.get(key)

    def put(self, record: RequestRecord) -> None:
        """Appends a finished request.

        Raises:
            DiskFull: There is no room; the file is as it was before.
            UsageError: It cannot be written.
        """
        self._append(record.model_dump_json().encode() + b"\n")
        self._records[record.key] = record
        self._lines += 1
        if now_s() - self._synced_at > _SYNC_INTERVAL_S:
            self._sync()

    def take_others(self) -> None:
        """Appends what only the other logs have, so that this one has everything."""
        for key, record in self._others.items():
            if key not in self._records:
                self.put(record)

    def records(self) -> list[RequestRecord]:
        """Every finished request of the file, in the order in which they finished."""
        return list(self._records.values())

    def close(self) -> None:
        """Puts everything on the disk.

        Raises:
            DiskFull: There is no room; the file may lack its last records.
        """
        try:
            self._sync()
        finally:
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

    def _append(self, line: bytes) -> None:
        written = 0
        try:
            while written < len(line):
                written += self._file.write(line[written:])
        except OSError as error:
            self._file.truncate(os.fstat(self._file.fileno()).st_size - written)
            raise not_written(self.path, error) from error

    def _sync(self) -> None:
        try:
            os.fsync(self._file.fileno())
        except OSError as error:
            raise not_written(self.path, error) from error
        self._synced_at = now_s()


def _records(path: Path) -> Iterator[tuple[int, RequestRecord]]:
    """Each whole line of a log, with the byte offset behind it."""
    for end, value in read_lines(path):
        yield end, _record(path, value)


def _record(path: Path, value: dict[str, object]) -> RequestRecord:
    try:
        return RequestRecord.model_validate(value)
    except ValidationError as error:
        fault = error.errors()[0]
        key = ".".join(str(part) for part in fault["loc"])
        raise UsageError(f"{path}: a record's {key!r} is wrong: {fault['msg']}") from error
