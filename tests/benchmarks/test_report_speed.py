"""The benchmark of the report runs from end to end on a small folder."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


def test_it_makes_a_folder_and_prints_what_its_report_took(
    script: Callable[[str], Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "made"
    options = ["--folder", str(folder), "--settings", "3", "--requests", "8"]
    script("report_speed").main(options)
    lines = capsys.readouterr().out.splitlines()
    records, size, seconds, peak, page = (float(x) for x in lines[2].strip("| ").split(" | "))
    assert records == 5 * 3 * 2 * 8
    assert 1000 < size < 1600
    assert seconds > 0
    assert 0.05 < peak < 2
    assert 0 < page < 5
    assert (folder / "report" / "index.html").is_file()
