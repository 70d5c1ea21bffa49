"""The client's benchmark runs from end to end, and both clients read what was sent."""

import re
from collections.abc import Callable
from typing import Any

import pytest

Script = Callable[[str], Any]


def test_the_script_prints_its_table(script: Script, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--rounds", "2", "--requests", "4", "--in-flight", "1", "3", "--chunks", "5"]
    script("client_overhead").main(options)
    printed = capsys.readouterr().out
    assert ", 4 requests a round, load " in printed
    rows = [line.split(" | ") for line in printed.splitlines() if re.match(r"\| (whole|5 p)", line)]
    assert [row[:3] for row in rows] == [
        ["| whole", "1", "2"],
        ["| whole", "3", "2"],
        ["| 5 pieces", "1", "2"],
        ["| 5 pieces", "3", "2"],
    ]
    for row in rows:
        assert all(float(cell.split()[0]) > 0 for cell in row[3:])
