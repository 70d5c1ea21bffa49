"""The request log keeps what was put, whatever the crash left behind."""

import resource
from math import inf
from pathlib import Path

import pytest

from dllm_eval.errors import UsageError
from dllm_eval.files import DiskFull, write_text
from dllm_eval.records import RequestRecord
from dllm_eval.request_log import FileLog


def record(key: str, response: str = "") -> RequestRecord:
    return RequestRecord(
        key=key, task="t", doc_id=0, index=0, request_type="generate_until", model="diffusion",
        prompt_tokens=1, visible_tokens=1, canvas_tokens=1, nfe=1, positions=1, seconds=0.5,
        batch_size=1, seed=0, response=response,
    )  # fmt: skip


def test_records_come_back_in_a_new_process(tmp_path: Path) -> None:
    with FileLog(tmp_path / "log.jsonl") as log:
        log.put(record("a", "é\n"))
        log.put(record("b"))
    again = FileLog(tmp_path / "log.jsonl")
    assert again.get("a") == record("a", "é\n")
    assert again.get("c") is None
    assert [r.key for r in again.records()] == ["a", "b"]
    again.close()


def test_a_line_is_readable_by_others_once_put_returns(tmp_path: Path) -> None:
    log = FileLog(tmp_path / "log.jsonl")
    log.put(record("a"))
    assert RequestRecord.model_validate_json((tmp_path / "log.jsonl").read_text()) == record("a")
    log.close()


def test_a_log_cut_at_any_byte_keeps_its_whole_lines_and_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    lines = [record(key).model_dump_json().encode() + b"\n" for key in ("a", "b")]
    whole = b"".join(lines)
    edges = [len(lines[0]) + offset for offset in (-2, -1, 0, 1)]
    for cut in [0, 1, *range(9, len(whole), 31), *edges, len(whole) - 1, len(whole)]:
        path.write_bytes(whole[:cut])
        with FileLog(path) as log:
            kept = [r.key for r in log.records()]
            log.put(record("z"))
        assert kept == ["a", "b"][: whole[:cut].count(b"\n")]
        assert path.read_bytes() == b"".join(lines[: len(kept)]) + (
            record("z").model_dump_json().encode() + b"\n"
        )


def test_a_full_disk_leaves_whole_lines_and_the_log_goes_on_when_there_is_room(
    tmp_path: Path,
) -> None:
    path = tmp_path / "log.jsonl"
    size = len(record("a").model_dump_json()) + 1
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    with FileLog(path) as log:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size + size // 2, hard))
        try:
            log.put(record("a"))
            with pytest.raises(DiskFull, match=r"cannot write '.*log.jsonl': File too large; make"):
                log.put(record("b"))
            left = path.read_text()
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
        assert left == record("a").model_dump_json() + "\n"
        assert log.get("b") is None
        log.put(record("b"))
    with FileLog(path) as again:
        assert [one.key for one in again.records()] == ["a", "b"]


def test_other_logs_are_read_and_taken_in(tmp_path: Path) -> None:
    own, other = tmp_path / "own.jsonl", tmp_path / "other.jsonl"
    for path, keys in ((own, "ab"), (other, "bc")):
        with FileLog(path) as log:
            for key in keys:
                log.put(record(key, response=path.name))
    with FileLog(own, also=[other]) as log:
        found = log.get("c")
        assert found is not None
        assert (found.response, len(log)) == ("other.jsonl", 2)
        log.take_others()
        assert [one.key for one in log.records()] == ["a", "b", "c"]
        assert not log.repeats
    with FileLog(own) as again:
        assert {one.key: one.response for one in again.records()} == {
            "a": "own.jsonl",
            "b": "own.jsonl",
            "c": "other.jsonl",
        }


def test_a_request_that_stands_there_twice_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    line = record("a").model_dump_json() + "\n"
    path.write_text(line + line)
    with FileLog(path) as log:
        assert log.repeats
        assert len(log) == 1


@pytest.mark.parametrize(("value", "stderr"), [(-inf, inf), (-1.5, inf), (-2.0, 0.0)])
def test_infinite_scores_come_back(value: float, stderr: float, tmp_path: Path) -> None:
    given = record("a").model_copy(update={"value": value, "stderr": stderr})
    with FileLog(tmp_path / "log.jsonl") as log:
        log.put(given)
    with FileLog(tmp_path / "log.jsonl") as again:
        found = again.get("a")
    assert found is not None
    assert (found.value, found.stderr) == (value, stderr)


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("file/log.jsonl", "cannot write '.*file': File exists"),
        ("file/below/log.jsonl", "cannot write '.*below': Not a directory"),
        ("folder", "cannot read '.*folder': Is a directory"),
    ],
)
def test_a_path_that_cannot_be_a_log(path: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()
    with pytest.raises(UsageError, match=message) as caught:
        FileLog(tmp_path / path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("path", ["file/out.json", "file/below/out.json", "folder"])
def test_a_path_that_cannot_be_written(path: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()
    with pytest.raises(
        UsageError, match=r"cannot write .*: (.*; pass a path|it is there and is no)"
    ):
        write_text(tmp_path / path, "x")
    assert (tmp_path / "file").read_text() == ""


@pytest.mark.parametrize("bad", [b"{\n", b"[]\n", b'{"key": "a"}\n'])
def test_damage_before_the_end_is_named(bad: bytes, tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_bytes(bad + record("a").model_dump_json().encode() + b"\n")
    with pytest.raises(UsageError, match=r"log\.jsonl.*(damaged|is wrong)"):
        FileLog(path)
