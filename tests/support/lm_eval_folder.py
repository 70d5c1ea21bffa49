"""Writes folders as lm-eval 0.4.13 writes them, and sweeps over the same documents."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lm_eval.utils import hash_string

from dllm_eval.records import RequestRecord
from dllm_eval.sweep.folder import ResultsFolder
from dllm_eval.sweep.plan import plan
from dllm_eval.sweep.spec import Sweep

NUM_DOCUMENTS = 8
DATE = "2026-01-02T03-04-05.678901"


def sample(task: str, number: int, score: float, prompt: str = "prompt") -> dict[str, Any]:
    """A line of a sample file."""
    return {
        "doc_id": number,
        "doc": {"text": f"{task} {number}"},
        "target": "x",
        "arguments": {"gen_args_0": {"arg_0": f"{prompt} {number}", "arg_1": {"until": []}}},
        "resps": [["y"]],
        "filtered_resps": ["y"],
        "filter": "none",
        "metrics": ["exact_match"],
        "doc_hash": hash_string(f"{task} {number}"),
        "prompt_hash": hash_string(f"{prompt} {number}"),
        "target_hash": hash_string("x"),
        "exact_match": score,
    }


def write_run(
    folder: Path,
    scores: Sequence[float],
    *,
    task: str = "facts",
    model: str = "hf",
    arguments: dict[str, Any] | str = "pretrained=org/some-model,dtype=float32",
    version: float = 1.0,
    prompt: str = "prompt",
    log_samples: bool = True,
    date: str = DATE,
) -> Path:
    """A run of one task; returns its results file."""
    mean = sum(scores) / len(scores)
    own = folder / "org__some-model"
    own.mkdir(parents=True, exist_ok=True)
    data = {
        "results": {
            task: {
                "alias": task,
                "exact_match,none": mean,
                "exact_match_stderr,none": 0.1,
                "perplexity,none": 3.0,
            }
        },
        "group_subtasks": {task: []},
        "configs": {task: {"task": task, "output_type": "generate_until"}},
        "versions": {task: version},
        "n-shot": {task: 0},
        "higher_is_better": {task: {"exact_match": True, "perplexity": False}},
        "n-samples": {task: {"original": 100, "effective": len(scores)}},
        "config": {
            "model": model,
            "model_args": arguments,
            "model_dtype": "torch.float32",
            "batch_size": "1",
            "device": "cpu",
            "gen_kwargs": {},
        },
        "date": float(date.removeprefix("2026-01-")[:2]),
        "pretty_env_info": "PyTorch version: 2.13.0+cpu\nCPU:\nModel name:    Some CPU\n",
        "transformers_version": "5.23.0",
        "lm_eval_version": "0.4.13",
        "model_name": "org/some-model",
        "chat_template": None,
    }
    path = own / f"results_{date}.json"
    path.write_text(json.dumps(data))
    if log_samples:
        lines = [sample(task, i, score, prompt) for i, score in enumerate(scores)]
        text = "".join(json.dumps(line) + "\n" for line in lines)
        (own / f"samples_{task}_{date}.jsonl").write_text(text)
    return path


def write_sweep(folder: Path, *, unfinished: bool = False) -> ResultsFolder:
    """A sweep over the same task: two diffusion settings, quality and latency."""
    sweep = Sweep.model_validate(
        {
            "name": "made up",
            "models": [
                {
                    "name": "Swept",
                    "model": "dllm",
                    "args": {"pretrained": "/some/path/swept-model", "revision": "abc"},
                }
            ],
            "suites": [
                {
                    "task": "facts",
                    "title": "Facts",
                    "metric": "exact_match",
                    "sweep": {"steps": [1, 2]},
                }
            ],
            "latency": {"rounds": 1, "requests": NUM_DOCUMENTS},
        }
    )
    accepted = {"pretrained", "revision", "steps", "seed", "batch_size", "warmup"}
    cells = plan(sweep, lambda _model: frozenset(accepted | {"timing_repeats"}))
    found = ResultsFolder(folder)
    found.begin(sweep, cells)
    for number, cell in enumerate(cells):
        files = found.cell(cell.cell_id)
        steps = int(cell.dial_value or 1)
        scores = [float(i % 4 < steps) for i in range(NUM_DOCUMENTS)]
        records = [_record(i, steps, cell.batch_size) for i in range(NUM_DOCUMENTS)]
        files.requests.write_text("".join(x.model_dump_json() + "\n" for x in records))
        if unfinished and number == len(cells) - 1:
            continue
        own = write_run(files.lm_eval, scores).parent
        for path in own.iterdir():
            path.rename(files.lm_eval / path.name)
        own.rmdir()
        lines = [
            {"task": "facts", "doc_id": i, "metric": "exact_match", "filter": "none", "value": x}
            for i, x in enumerate(scores)
        ]
        files.scores.write_text("".join(json.dumps(line) + "\n" for line in lines))
        facts = {"facts": {"version": 1.0, "num_fewshot": 0}}
        provenance = {
            "machine": {"name": "Some CPU", "threads": 1},
            "versions": {"torch": "2.13.0", "transformers": "5.23.0"},
            "weights": "ab" * 32,
            "dtype": "float32",
            "model": {"name": "dllm", "arguments": cell.arguments},
            "tasks": facts,
        }
        files.provenance.write_text(json.dumps(provenance))
        files.done.write_text(json.dumps({"seconds": 1.5, "peak_memory_bytes": 2**33}))
    return found


def _record(number: int, steps: int, batch_size: int) -> RequestRecord:
    return RequestRecord(
        key=f"{number:032x}",
        task="facts",
        doc_id=number,
        index=0,
        request_type="generate_until",
        model="diffusion",
        prompt_tokens=5,
        visible_tokens=3,
        canvas_tokens=8,
        nfe=steps,
        positions=8 * steps,
        seconds=0.01 * steps + number * 1e-4,
        batch_size=batch_size,
        seed=0,
        stop_reason="eos",
        response='a\tb, "c"\n',
        pieces=["a"],
        tokens=[1],
        reveal_step=[0],
    )
