"""Every misbehaviour as `dllm-eval run` meets it: the right record, or one line and no record.

The documents of a task are the rows of the table. What is printed and what is written, by us and by
lm-eval, is searched for the key.
"""

import json
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from forked_commands import Commands
from killed_runs import records
from lm_eval.api.instance import Instance
from misbehaviour_cases import ANSWERED, CASES, FAILED, AsTheTextSays, Case
from misbehaviour_table import ANSWER
from protocol_server import KEY, ProtocolServer
from served_suites import model_of

from dllm_eval.errors import UsageError

TASK = """
task: cases
output_type: generate_until
test_split: test
num_fewshot: 0
custom_dataset: !function documents.load
doc_to_text: text
doc_to_target: answer
generation_kwargs: {until: ["never"], max_gen_toks: 20}
metric_list:
  - {metric: exact_match, aggregation: mean, higher_is_better: true}
metadata: {version: 1.0}
"""
DOCUMENTS = '''
"""The prompts of the cases, one a line beside this file."""

from pathlib import Path

from datasets import Dataset


def load(**_):
    lines = Path(__file__).with_name("prompts.txt").read_text().splitlines()
    return {"test": Dataset.from_list([{"text": line, "answer": "ANSWER"} for line in lines])}
'''.replace("ANSWER", ANSWER)
PATIENCE = {"connect_s": 30, "first_byte_s": 60, "idle_s": 60, "whole_s": 90}
IMPATIENCE = {"connect_s": 1.5, "first_byte_s": 1.5, "idle_s": 1.5, "whole_s": 3}


def arguments_of(case: Case) -> tuple[tuple[str, object], ...]:
    """What a model has to be told to meet a case; cases of equal arguments run together."""
    given = {"route": case.route, "stream": case.way == "streamed", "drafts": case.expected.drafts}
    return tuple((given | (IMPATIENCE if case.is_stall else PATIENCE)).items())


@dataclass(frozen=True)
class Runs:
    """What came of all runs."""

    found: dict[str, dict[str, Any]]
    """Prompt -> its record."""
    folder: Path
    codes: list[int]
    sent: dict[str, int]


@pytest.fixture(scope="module")
def commands() -> Iterator[Commands]:
    with Commands() as found:
        yield found


@pytest.fixture(scope="module")
def runs(commands: Commands, tmp_path_factory: pytest.TempPathFactory) -> Runs:
    """One run for each set of arguments, all at the same time."""
    plan, folder = AsTheTextSays(), tmp_path_factory.mktemp("runs")
    groups: dict[tuple[tuple[str, object], ...], list[str]] = {}
    for prompt in ANSWERED:
        # Both routes are met by the client's own test.
        if CASES[prompt].route == CASES[prompt].expected.routes[0]:
            groups.setdefault(arguments_of(CASES[prompt]), []).append(prompt)
    with ProtocolServer(lambda _: ANSWER, misbehave=plan, flavour="vllm") as server:
        started = [
            _started(commands, server, folder / str(number), prompts, dict(group))
            for number, (group, prompts) in enumerate(groups.items())
        ]
        codes = [commands.end(pid) for pid in started]
    found = {r["prompt_end"]: r for log in folder.glob("*/records.jsonl") for r in records(log)}
    return Runs(found, folder, codes, dict(plan.seen))


def _started(
    commands: Commands,
    server: ProtocolServer,
    folder: Path,
    prompts: list[str],
    arguments: dict[str, object],
) -> int:
    folder.mkdir()
    (folder / "cases.yaml").write_text(TASK)
    (folder / "documents.py").write_text(DOCUMENTS)
    (folder / "prompts.txt").write_text("\n".join(prompts))
    own = {"model": "protocol-model", "key_env": "PROTOCOL_KEY", "tries": 2, "batch_size": 24}
    where = {"base_url": server.base_url, "records": folder / "records.jsonl"}
    given = ",".join(f"{name}={value}" for name, value in (own | where | arguments).items())
    task = ["--tasks", "cases", "--include_path", str(folder), "--log_samples"]
    model = ["--model", "dllm-api", "--model_args", given, "--output_path", str(folder / "out")]
    return commands.start(["run", *task, *model], folder / "said.txt", PROTOCOL_KEY=KEY)


def test_every_run_comes_through(runs: Runs) -> None:
    said = [path.read_text() for path in sorted(runs.folder.glob("*/said.txt"))]
    assert runs.codes == [0] * len(said), said
    assert len(runs.found) > len(ANSWERED) // 2


@pytest.mark.parametrize(
    "prompt", [p for p in ANSWERED if CASES[p].route == CASES[p].expected.routes[0]]
)
def test_an_answer_is_one_record(prompt: str, runs: Runs) -> None:
    expected, record = CASES[prompt].expected, runs.found[prompt]
    assert record["response"] == expected.text
    assert record["flag"] == expected.flag
    assert record["tries"] == runs.sent[prompt] == (1 if expected.end == "borne" else 2)
    prompt_tokens, visible = len(prompt.split()), len(ANSWER.split())
    told = [prompt_tokens, visible if expected.text else record["visible_tokens"]]
    counts = [record["prompt_tokens"], record["visible_tokens"]]
    assert counts == (told if expected.counted else [None, None])
    assert record["canvas_tokens"] == (visible if expected.counted else None)
    assert (record["nfe"], record["positions"], record["cache"]) == (None, None, None)
    assert record["seconds"] > 0
    streamed = CASES[prompt].way == "streamed" and bool(expected.text)
    assert (record["first_text_s"] is not None) == streamed


def test_scores_are_lm_evals_of_the_same_answers(runs: Runs) -> None:
    right = sum(record["response"] == ANSWER for record in runs.found.values())
    scored = 0.0
    for path in runs.folder.glob("*/out/**/results_*.json"):
        results = json.loads(path.read_text())
        count = results["n-samples"]["cases"]["effective"]
        scored += results["results"]["cases"]["exact_match,none"] * count
    assert round(scored) == right


def test_the_key_is_in_nothing_that_is_said_or_written(runs: Runs) -> None:
    written = [path for path in runs.folder.rglob("*") if path.is_file()]
    names = {path.name.partition("_")[0] for path in written}
    assert {"said.txt", "records.jsonl", "results", "samples"} <= names
    assert not [path for path in written if KEY in path.read_text(errors="replace")]


@dataclass(frozen=True)
class Failure:
    """What came of a case that cannot be answered."""

    error: UsageError | None
    sent: int
    records: int


@pytest.fixture(scope="module")
def failures() -> dict[str, Failure]:
    """Every case that fails, each by a model of its own, all at the same time."""
    plan = AsTheTextSays()
    with (
        pytest.MonkeyPatch.context() as patch,
        ProtocolServer(lambda _: ANSWER, misbehave=plan, flavour="vllm") as server,
        ThreadPoolExecutor(24) as pool,
    ):
        patch.setenv("PROTOCOL_KEY", KEY)

        def failed(prompt: str) -> Failure:
            arguments = dict(arguments_of(CASES[prompt]))
            own = {"base_url": server.base_url, "model": "protocol-model", "tries": 2}
            lm = model_of("dllm-api", **own, key_env="PROTOCOL_KEY", **arguments)
            keywords = {"until": ["never"], "max_gen_toks": 20}
            request = Instance("generate_until", {}, (prompt, keywords), 0, ("cases", 0, 1))
            error = None
            try:
                lm.generate_until([request], disable_tqdm=True)
            except UsageError as found:
                error = found
            return Failure(error, plan.seen[prompt], len(lm.log.records))

        return dict(zip(FAILED, pool.map(failed, FAILED), strict=True))


@pytest.mark.parametrize("prompt", FAILED)
def test_what_cannot_be_answered_is_one_line_and_no_record(
    prompt: str, failures: dict[str, Failure]
) -> None:
    expected, failure = CASES[prompt].expected, failures[prompt]
    assert failure.error is not None
    line = str(failure.error)
    assert re.search(expected.line, line), line
    assert "\n" not in line
    assert KEY not in line
    assert failure.sent == (1 if expected.end == "refused" else 2)
    assert failure.records == 0
