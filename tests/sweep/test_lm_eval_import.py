"""Folders that lm-eval itself wrote are points of a report, paired only with what is the same."""

import json
import math
from pathlib import Path

import pytest
from lm_eval_folder import NUM_DOCUMENTS, write_run, write_sweep

from dllm_eval.errors import UsageError
from dllm_eval.records import RequestRecord
from dllm_eval.report import write_report
from dllm_eval.stats.tables import task_tables
from dllm_eval.sweep.store import Results, read_results

SCORES = [1.0, 0.0, 1.0, 1.0, 0.0, 1.0, 1.0, 1.0]


def tables(results: Results) -> dict[str, list[str]]:
    """Suite -> models in its table."""
    found = task_tables(results.cells, results.requests, results.scores, results.texts)
    return {table.suite: sorted({x.model for x in table.configurations}) for table in found}


def test_an_imported_run_is_paired_with_a_sweep_by_document(tmp_path: Path) -> None:
    write_sweep(tmp_path / "sweep")
    write_run(tmp_path / "imported", SCORES)
    # The order of the folders makes no difference to what is paired.
    results = read_results([tmp_path / "imported", tmp_path / "sweep"])
    assert results.notes == ()
    assert tables(results) == {"Facts": ["Swept", "some-model (imported)"]}
    (table,) = task_tables(results.cells, results.requests, results.scores, results.texts)
    assert table.documents == tuple(("facts", i) for i in range(NUM_DOCUMENTS))
    row = next(i for i, x in enumerate(table.configurations) if "imported" in x.model)
    assert list(table.quality[row]) == SCORES
    found = table.configurations[row]
    assert (found.kind, found.machine) == ("autoregressive", "Some CPU")
    assert found.stack == "transformers 5.23, torch 2.13, float32"
    assert len(table.latencies_s[row]) == 0
    cell = results.cells[results.cells["imported"]].iloc[0]
    assert cell["suite"] == "Facts"


def test_the_protocol_of_an_imported_run_is_what_its_file_says(tmp_path: Path) -> None:
    path = write_run(tmp_path, SCORES)
    data = json.loads(path.read_text())
    facts = {"suite": "Facts", "template": "published", "shots": None}
    metadata = {"version": 1.0, "facts": facts, "config_source": "/home/somebody/facts.yaml"}
    data["configs"]["facts"]["metadata"] = metadata
    data |= {
        "n-shot": {"facts": 5},
        "task_hashes": {"facts": "ab" * 32},
        "git_hash": "v1-2-gabc",
        "chat_template_sha": "cd" * 32,
    }
    path.write_text(json.dumps(data))
    results = read_results([tmp_path])
    provenance = results.cells["provenance"].iloc[0]
    assert provenance["git_commit"] == "v1-2-gabc"
    assert provenance["chat_template_sha"] == "cd" * 32
    assert provenance["tasks"]["facts"] == {
        "version": 1.0,
        "num_fewshot": 5,
        "documents": NUM_DOCUMENTS,
        "metadata": {"version": 1.0, "facts": facts},
        "prompts_hash": "ab" * 32,
    }
    (table,) = task_tables(results.cells, results.requests, results.scores, results.texts)
    (protocol,) = table.protocols
    assert protocol.values["shots"] == "5"
    assert protocol.values["template"] == "published"
    assert protocol.values["version"] == "1.0"


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"version": 2.0}, "task version 2.0 instead of 1.0"),
        ({"prompt": "Q:"}, "other documents or prompts (8 of 8 differ)"),
    ],
)
def test_what_is_not_the_same_stays_apart_and_a_line_says_so(
    tmp_path: Path, changed: dict[str, float | str], why: str
) -> None:
    write_sweep(tmp_path / "sweep")
    path = write_run(tmp_path / "imported", SCORES, **changed)  # type: ignore[arg-type]
    results = read_results([tmp_path / "sweep", tmp_path / "imported"])
    assert results.notes == (
        f"{path}: 'facts' is not compared with the other cells of that task: {why}",
    )
    found = tables(results)
    assert found["Facts"] == ["Swept"]
    (apart,) = (suite for suite in found if suite != "Facts")
    assert why in apart
    assert found[apart] == ["some-model (imported)"]


def test_our_diffusion_model_with_its_request_log_is_timed(tmp_path: Path) -> None:
    log = tmp_path / "moved" / "log.jsonl"
    log.parent.mkdir()
    arguments = {"pretrained": "x", "steps": 4, "records": "/gone/log.jsonl", "seed": 3}
    write_run(tmp_path / "moved", SCORES, model="dllm", arguments=arguments)
    lost = read_results([tmp_path / "moved"])
    assert "its request log /gone/log.jsonl is not there" in lost.notes[0]
    assert list(lost.cells["purpose"]) == ["quality"]
    sweep = write_sweep(tmp_path / "sweep")
    log.write_text(sweep.cell(sweep.cells()[0].cell_id).requests.read_text().replace(
        '"batch_size":16', '"batch_size":1'
    ))  # fmt: skip
    results = read_results([tmp_path / "moved"])
    assert results.notes == ()
    assert list(results.cells["purpose"]) == ["quality", "latency"]
    assert set(results.cells["kind"]) == {"diffusion"}
    assert results.cells["settings"].iloc[0] == {"steps": 4}
    assert results.cells["seed"].iloc[0] == 3
    (table,) = task_tables(results.cells, results.requests, results.scores, results.texts)
    assert len(table.latencies_s[0]) == NUM_DOCUMENTS
    cell, key = results.cells["cell_id"].iloc[0], results.requests["key"].iloc[0]
    RequestRecord.model_validate(results.texts.records(cell, [key])[key])


def test_a_score_without_samples_stands_alone_with_its_interval(tmp_path: Path) -> None:
    write_sweep(tmp_path / "sweep")
    path = write_run(tmp_path / "imported", SCORES, log_samples=False)
    results = read_results([tmp_path / "sweep", tmp_path / "imported"])
    (score,) = results.aggregates  # not the perplexity, which is better where it is lower
    assert (score.metric, score.value, score.stderr) == ("exact_match", 0.75, 0.1)
    assert score.num_documents == 8
    assert results.notes[0].startswith(f"{path}: no samples of 'facts' were logged")
    paths = write_report([tmp_path / "sweep", tmp_path / "imported"], tmp_path / "report")
    text = paths.leaderboard_md.read_text(encoding="utf-8")
    line = "| some-model (imported) | facts | exact_match | 8 | 75.0 % | 55.4 to 94.6 |"
    assert line in text.splitlines()
    assert "run it again with --log_samples" in text
    half = 1.959963984540054 * 0.1
    assert math.isclose(0.75 - half, 0.554, abs_tol=5e-4)
    with pytest.raises(UsageError, match=r"nothing to compare: .* without their documents"):
        write_report([tmp_path / "imported"], tmp_path / "other")


def test_of_the_same_run_twice_the_newest_counts(tmp_path: Path) -> None:
    write_run(tmp_path, [0.0] * 8, date="2026-01-01T00-00-00.000000")
    write_run(tmp_path, SCORES, date="2026-01-02T00-00-00.000000")
    results = read_results([tmp_path])
    assert len(results.cells) == 1
    assert list(results.scores["value"]) == SCORES
    assert "1 older results" in results.notes[0]


def test_a_number_that_is_no_share_is_left_out_and_a_line_says_so(tmp_path: Path) -> None:
    write_run(tmp_path, SCORES)
    write_run(tmp_path / "other", [3.0] * 8, task="nats")
    results = read_results([tmp_path])
    assert list(results.cells["task"]) == ["facts"]
    assert "'exact_match' of 'nats' is left out: it is no share" in " ".join(results.notes)


def test_a_group_is_one_suite_of_all_its_tasks(tmp_path: Path) -> None:
    first = write_run(tmp_path, SCORES, task="one")
    data = json.loads(first.read_text())
    second = json.loads(write_run(tmp_path / "other", [1.0] * 8, task="two").read_text())
    for key in ("results", "versions", "n-shot", "n-samples", "higher_is_better", "configs"):
        data[key] |= second[key]
    data["results"]["pair"] = {"alias": "pair", "exact_match,none": 0.875}
    data["group_subtasks"] = {"pair": ["one", "two"]}
    first.write_text(json.dumps(data))
    name = next((tmp_path / "other").rglob("samples_two_*")).name
    next((tmp_path / "other").rglob("samples_two_*")).rename(first.with_name(name))
    next((tmp_path / "other").rglob("results_*")).unlink()
    results = read_results([tmp_path])
    assert list(results.cells["task"]) == ["pair"]
    assert set(results.scores["task"]) == {"one", "two"}
    assert results.scores["value"].mean() == 0.875


def test_a_folder_that_is_neither_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(UsageError) as error:
        read_results([tmp_path])
    assert str(error.value) == (
        f"{str(tmp_path)!r} is not a results folder: it has neither a sweep.json, as `dllm-eval "
        "sweep` writes it, nor a results_*.json, as `lm_eval run --output_path` writes it"
    )
    (tmp_path / "results_x.json").write_text('{"a": 1}')
    with pytest.raises(UsageError, match="is not a result file of lm-eval: it has no results"):
        read_results([tmp_path])


def test_an_imported_run_is_on_the_leaderboard_as_imported(tmp_path: Path) -> None:
    write_sweep(tmp_path / "sweep")
    write_run(tmp_path / "imported", SCORES)
    paths = write_report([tmp_path / "sweep", tmp_path / "imported"], tmp_path / "report")
    for path in (paths.leaderboard_md, paths.leaderboard_html, paths.page):
        assert "some-model (imported)" in path.read_text(encoding="utf-8")
