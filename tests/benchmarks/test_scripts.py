"""Each benchmark runs from end to end in a tiny setting and prints well-formed tables."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Script = Callable[[str], Any]
CELL = re.compile(r"|[a-z][a-z_+ ]*|-?[\d.]+%?( \[-?[\d.]+, -?[\d.]+\]| of \d+)?")
"""Nothing, a name, or a number that may have an interval or a total."""
TINY = ["--shape", "tiny", "--rounds", "3"]

RUNS: dict[str, tuple[list[str], int]] = {
    "step_time": ([*TINY, "--canvas", "8", "16", "--steps", "4"], 2),
    "graphs": ([*TINY, "--canvas", "8", "32", "--steps", "4", "--backend", "eager"], 2),
    "host_syncs": ([*TINY, "--canvas", "8", "--steps", "4", "--sampler", "entropy", "klass"], 2),
    "ar_tiers": ([*TINY, "--prompt", "8", "--tokens", "6", "--backend", "eager"], 4),
    "batch": ([*TINY, "--canvas", "8", "--steps", "2", "--batch", "1", "3"], 2),
    "packing": (
        [*TINY, "--canvas", "8", "--steps", "2", "--batch", "3", "--prompts", "2", "9"],
        5,
    ),
    "break_even": ([*TINY, "--canvas", "16", "--steps", "4", "--requests", "2"], 5),
    "caches": ([*TINY, "--canvas", "8", "--block", "4", "--steps", "8", "--answers", "2"], 4),
    "plain_loop": ([*TINY, "--canvas", "8", "--block", "8", "4", "--steps", "4"], 12),
    "likelihood_letters": ([*TINY, "--context", "8", "16"], 2),
    "length": ([*TINY, "--length", "8", "16", "32", "--steps", "8", "16"], 3),
}
"""Script -> its options, and how many rows its tables have together."""


def tables(text: str) -> list[list[list[str]]]:
    """The cells of every Markdown table, header first; fails where one is not well formed."""
    found: list[list[list[str]]] = []
    inside = False
    for line in text.splitlines():
        if not line.startswith("|"):
            inside = False
            continue
        assert line.endswith(" |")
        cells = [cell.strip() for cell in line.strip("|").split(" | ")]
        if not inside:
            found.append([])
        inside = True
        found[-1].append(cells)
    for header, dashes, *rows in found:
        assert set(dashes) == {"---"}
        assert {len(row) for row in rows} == {len(header)} == {len(dashes)}
    return [[table[0], *table[2:]] for table in found]


@pytest.mark.parametrize("name", RUNS)
def test_a_script_prints_its_tables(
    name: str, script: Script, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    options, num_rows = RUNS[name]
    figures = ["--figures", str(tmp_path)] if name == "length" else []
    script(name).main([*options, *figures])
    printed = capsys.readouterr().out
    assert "tiny (2 layers, width 32, vocabulary 300, float32) on " in printed
    assert ", 1 thread, torch " in printed
    found = tables(printed)
    assert sum(len(table) - 1 for table in found) == num_rows
    for table in found:
        for row in table[1:]:
            assert all(CELL.fullmatch(cell) for cell in row), row
            assert any(cell[:1].isdigit() for cell in row)
    if name == "length":
        assert "diffusion, 8 steps: from 8 to 32 tokens (4 times) latency grows " in printed
        assert "diffusion, 16 steps: from 16 to 32 tokens (2 times) latency grows " in printed
        assert (tmp_path / "length_tiny_cpu.png").read_bytes().startswith(b"\x89PNG")
        assert "<svg" in (tmp_path / "length_tiny_cpu.svg").read_text(encoding="utf-8")


def test_the_step_is_measured_by_sampler(
    script: Script, capsys: pytest.CaptureFixture[str]
) -> None:
    names = ["low_confidence", "remdm_loop", "threshold", "adablock", "guided"]
    script("step_time").main([*TINY, "--canvas", "8", "--steps", "4", "--sampler", *names])
    (header, *rows), *others = tables(capsys.readouterr().out)
    assert others == []
    assert header[:3] == ["sampler", "canvas", "steps"]
    assert [row[0] for row in rows] == names
    steps = {row[0]: int(row[2]) for row in rows}
    # A guided step is two passes; a threshold reveals one token a step at least.
    assert (steps["low_confidence"], steps["remdm_loop"], steps["guided"]) == (4, 4, 8)
    assert 1 <= steps["threshold"] <= 8
    assert all(float(row[4]) > 0 and float(row[5]) > 0 for row in rows)
    errors = script("dllm_eval.errors")
    with pytest.raises(errors.UsageError, match="sampler"):
        script("step_time").main([*TINY, "--sampler", "best"])


def test_the_gpu_command_runs_on_a_cpu_and_judges_every_aim(
    script: Script, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    gpu = script("gpu")
    gpu.main(["--shape", "tiny", "--device", "cpu", "--quick", "--figures", str(tmp_path)])
    header, *aims = tables(capsys.readouterr().out)[-1]
    assert header == ["aim", "measured", ""]
    assert {verdict for _, _, verdict in aims} <= {"met", "**not met**"}
    said = " ".join(aim for aim, _, _ in aims)
    for word in ("bare forward", "plain loop", "synchronisation", "block-cached", "peak memory"):
        assert word in said
    # What does not hang on the machine.
    verdicts = {aim: verdict for aim, _, verdict in aims}
    assert verdicts["peak memory at most weights + 1.5 GB, canvas 32"] == "met"
    assert verdicts["no host synchronisation in the loop beyond counted stop checks"] == "met"


def test_an_unknown_shape_is_refused(script: Script) -> None:
    errors = script("dllm_eval.errors")
    with pytest.raises(errors.UsageError, match="shape"):
        script("_models").load_pair("llada-9b", "cpu")
