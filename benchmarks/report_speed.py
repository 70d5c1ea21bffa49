"""How long `dllm-eval report` takes on a million records, and how much memory it holds.

Writes a results folder of made-up records that are as long as real ones, then runs the report on it
as a process of its own, from start to end. Aim: a million records in 20 s and 2 GiB.

    python benchmarks/report_speed.py --folder /tmp/million
    python benchmarks/report_speed.py --folder /tmp/small --settings 4 --requests 100
"""

import argparse
import json
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dllm_eval.files import write_json
from dllm_eval.measure.wall import now_s
from dllm_eval.records import RequestRecord
from dllm_eval.sweep.folder import CellFolder, ResultsFolder
from dllm_eval.sweep.plan import Cell, plan
from dllm_eval.sweep.spec import Sweep

GENERATION = ("speed_code", "speed_math", "speed_facts", "speed_gaps")
CHOICE = "speed_choice"
NUM_CHOICES = 4
CANVAS = 32
WORDS = ("def", " solve", "(", "x", ")", ":", "\n", "    return", " x", " +", " \u00e9", " 1")


def sweep_of(settings: int, requests: int) -> Sweep:
    """Five suites of `settings` settings each, one of them autoregressive."""
    dials = list(range(1, settings))
    suites: list[dict[str, Any]] = [
        {"task": task, "metric": "exact_match", "limit": requests, "sweep": {"steps": dials}}
        for task in GENERATION
    ]
    choice = {"task": CHOICE, "metric": "acc", "chance": 0.25, "limit": requests // NUM_CHOICES}
    return Sweep.model_validate(
        {
            "name": "speed",
            "models": [
                {"name": "made-up diffusion", "model": "dllm"},
                {"name": "made-up AR", "model": "dllm-ar"},
            ],
            "suites": [*suites, {**choice, "sweep": {"mc_samples": dials}}],
            "latency": {"requests": requests, "rounds": 1, "min_seconds": 0.0},
        }
    )


def accepts(_model: str) -> frozenset[str]:
    """The arguments that the made-up models take."""
    return frozenset({"steps", "mc_samples", "seed", "batch_size", "warmup", "timing_repeats"})


def make_folder(path: Path, *, settings: int, requests: int) -> int:
    """Writes the folder; returns how many records it has."""
    sweep = sweep_of(settings, requests)
    cells = plan(sweep, accepts)
    folder = ResultsFolder(path)
    folder.begin(sweep, cells)
    for number, cell in enumerate(cells):
        _write_cell(cell, folder.cell(cell.cell_id), requests, random.Random(number))
    return len(cells) * requests


def _write_cell(cell: Cell, files: CellFolder, requests: int, draw: random.Random) -> None:
    with files.requests.open("w", encoding="utf-8") as file:
        file.writelines(
            record.model_dump_json() + "\n" for record in _records(cell, requests, draw)
        )
    if cell.purpose == "quality":
        with files.scores.open("w", encoding="utf-8") as file:
            file.writelines(json.dumps(score) + "\n" for score in _scores(cell, requests, draw))
    machine = {"name": "made-up machine", "threads": 1}
    versions = {"torch": "2.13.0", "transformers": "5.23.0"}
    write_json(files.provenance, {"machine": machine, "versions": versions})
    write_json(files.done, {"seconds": 1.0, "requests": requests})


def _passes(cell: Cell) -> int:
    return int(cell.dial_value or CANVAS)


def _records(cell: Cell, requests: int, draw: random.Random) -> Iterator[RequestRecord]:
    passes, scored = _passes(cell), cell.task == CHOICE
    pieces = [WORDS[i % len(WORDS)] for i in range(CANVAS)]
    for number in range(requests):
        visible = 16 + number % 16
        reveal = [(i * 7 + number) % passes for i in range(CANVAS)]
        common: dict[str, Any] = {
            "key": f"{draw.getrandbits(128):032x}",
            "task": cell.task,
            "doc_id": number // NUM_CHOICES if scored else number,
            "index": number % NUM_CHOICES if scored else 0,
            "model": cell.kind,
            "prompt_tokens": 120,
            "visible_tokens": visible,
            "nfe": passes,
            "positions": passes * CANVAS,
            "seconds": 0.002 * passes * draw.uniform(0.9, 1.2),
            "cpu_seconds": 0.002 * passes,
            "repeat_seconds": [0.002 * passes],
            "batch_size": cell.batch_size,
            "seed": cell.seed,
        }
        yield RequestRecord.model_construct(
            **common, **(_score(draw) if scored else _answer(draw, pieces, reveal, visible))
        )


def _answer(
    draw: random.Random, pieces: list[str], reveal: list[int], visible: int
) -> dict[str, Any]:
    text = "".join(pieces[:visible])
    return {
        "request_type": "generate_until",
        "canvas_tokens": CANVAS,
        "stop_reason": "eos",
        "cache": "none",
        "prompt_end": text,
        "response": text,
        "tokens": [draw.randrange(30_000) for _ in pieces],
        "pieces": pieces,
        "reveal_step": reveal,
    }


def _score(draw: random.Random) -> dict[str, Any]:
    return {
        "request_type": "loglikelihood",
        "canvas_tokens": 8,
        "value": -draw.expovariate(0.2),
        "stderr": float("inf") if draw.random() < 0.001 else 0.1,
        "exact": False,
        "quantity": "elbo",
        "estimator": "monte_carlo",
        "samples": 8,
        "win_probability": draw.random(),
        "win_probability_normalised": draw.random(),
        "flip_probability": draw.random() / 2,
        "flip_probability_normalised": draw.random() / 2,
    }


def _scores(cell: Cell, requests: int, draw: random.Random) -> Iterator[dict[str, Any]]:
    scored = cell.task == CHOICE
    chance = 0.9 * _passes(cell) / (_passes(cell) + 4)
    for document in range(requests // NUM_CHOICES if scored else requests):
        yield {
            "task": cell.task,
            "doc_id": document,
            "metric": cell.metric,
            "filter": "none",
            "value": float(draw.random() < chance),
            "gold": document % NUM_CHOICES if scored else None,
        }


def report(folder: Path) -> tuple[float, int]:
    """Seconds and peak resident bytes of `dllm-eval report` as a process of its own."""
    command = [sys.executable, "-m", "dllm_eval", "report", str(folder)]
    started = now_s()
    with (folder / "report.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    seconds = now_s() - started
    if process.returncode:
        raise SystemExit(f"the report failed; see {folder / 'report.log'}")
    return seconds, used.ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def main(arguments: list[str] | None = None) -> None:
    """Prints one line of a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", type=Path, required=True, help="made where it is missing")
    parser.add_argument("--settings", type=int, default=20, help="of each of the five suites")
    parser.add_argument("--requests", type=int, default=5000, help="of each of their two cells")
    options = parser.parse_args(arguments)
    if not (options.folder / "sweep.json").exists():
        make_folder(options.folder, settings=options.settings, requests=options.requests)
    logs = list(options.folder.glob("cells/*/requests.jsonl"))
    size = sum(path.stat().st_size for path in logs)
    num_records = len(logs) * options.requests
    seconds, peak = report(options.folder)
    page = (options.folder / "report" / "index.html").stat().st_size
    print("| records | bytes a record | report s | peak GiB | page MB |")
    print("| --- | --- | --- | --- | --- |")
    print(
        f"| {num_records} | {size / num_records:.0f} | {seconds:.1f} | {peak / 2**30:.2f} | "
        f"{page / 1e6:.2f} |"
    )


if __name__ == "__main__":
    main()
