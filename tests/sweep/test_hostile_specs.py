"""Sweep files as badly wrong as they come: each is one line with file and line, and exit code 2."""

import re
from pathlib import Path

import pytest

from dllm_eval.cli import run_command

GOOD = """\
name: s
confirm_run_unsafe_code: true
models:
  - {name: D, model: dllm, args: {pretrained: reference-diffusion}}
  - {name: A, model: dllm-ar, args: {pretrained: reference-ar}}
suites:
  - task: ref_humaneval
    title: Code
    metric: pass@1
    limit: 4
    settings: {gen_length: 32}
    sweep: {steps: [8, 16]}
latency: {requests: 2, rounds: 1, warmup: 0, min_seconds: 0}
"""
SWEPT = "    sweep: {steps: [8, 16]}\n"

LAUGHS = "a0: &a0 [ha]\n" + "".join(
    f"a{n + 1}: &a{n + 1} [{', '.join([f'*a{n}'] * 10)}]\n" for n in range(30)
)
"""A few lines of YAML that hold ten to the thirty values."""


def changed(old: str, new: str) -> str:
    assert old in GOOD
    return GOOD.replace(old, new, 1)


HOSTILE = {
    "unknown top": changed("latency:", "latncy:"),
    "exclude str": GOOD + "exclude: Code\n",
    "exclude mapping": GOOD + "exclude: {model: D}\n",
    "exclude list of str": GOOD + "exclude: [Code]\n",
    "exclude empty entry": GOOD + "exclude: [{}]\n",
    "exclude nothing": GOOD + "exclude:\n  - {model: D, steps: 99}\n",
    "exclude unknown model": GOOD + "exclude:\n  - {model: E}\n",
    "exclude unknown suite": GOOD + "exclude:\n  - {suite: Codes}\n",
    "exclude unknown key": GOOD + "exclude:\n  - {stepz: 8}\n",
    "exclude nested": GOOD + "exclude:\n  - {steps: [[8]]}\n",
    "exclude bool": GOOD + "exclude:\n  - {steps: true}\n",
    "exclude everything": GOOD + "exclude:\n  - {suite: Code}\n",
    "only nothing": GOOD + "only:\n  - {model: A, steps: 8}\n",
    "only all excl": GOOD + "only: [{model: A}]\nexclude: [{model: A}]\n",
    "only null": GOOD + "only: null\n",
    "model suites bad": changed("reference-ar}}", "reference-ar}, suites: [Cod]}"),
    "model suites empty": changed("reference-ar}}", "reference-ar}, suites: []}"),
    "suite models bad": changed("    limit: 4\n", "    limit: 4\n    models: [d]\n"),
    "suite models leaves model": changed("    limit: 4\n", "    limit: 4\n    models: [D]\n"),
    "model settings unknown": changed("reference-ar}}", "reference-ar}, settings: {steps: 3}}"),
    "model sweep unknown": changed("reference-ar}}", "reference-ar}, sweep: {steps: [3]}}"),
    "model sweep list unknown": changed(
        "reference-ar}}", "reference-ar}, sweep: [{gen_length: 3}, {stps: 1}]}"
    ),
    "model settings+sweep": changed(
        "reference-ar}}", "reference-ar}, settings: {gen_length: 3}, sweep: {gen_length: [4]}}"
    ),
    "model settings vs suite sweep": changed(
        "reference-diffusion}}", "reference-diffusion}, settings: {steps: 3}}"
    ),
    "batch sizes empty": changed("{requests: 2", "{batch_sizes: [], requests: 2"),
    "batch sizes 0": changed("{requests: 2", "{batch_sizes: [0], requests: 2"),
    "batch sizes twice": changed("{requests: 2", "{batch_sizes: [1, 2, 1], requests: 2"),
    "batch sizes float": changed("{requests: 2", "{batch_sizes: [1.5], requests: 2"),
    "batch sizes scalar": changed("{requests: 2", "{batch_sizes: 4, requests: 2"),
    "batch sizes above limit": changed("{requests: 2", "{batch_sizes: [1, 8], requests: 2"),
    "search str": changed(SWEPT, "    search: steps\n"),
    "search no values": changed(SWEPT, "    search: {dial: steps}\n"),
    "search one value": changed(SWEPT, "    search: {dial: steps, values: [8]}\n"),
    "search unsorted": changed(SWEPT, "    search: {dial: steps, values: [8, 4]}\n"),
    "search equal": changed(SWEPT, "    search: {dial: steps, values: [8, 8]}\n"),
    "search text": changed(SWEPT, "    search: {dial: steps, values: [8, many]}\n"),
    "search bool": changed(SWEPT, "    search: {dial: steps, values: [true, 8]}\n"),
    "search nan": changed(SWEPT, "    search: {dial: steps, values: [1, .nan]}\n"),
    "search within 0": changed(SWEPT, "    search: {dial: steps, values: [1, 2], within: 0}\n"),
    "search confidence 1": changed(
        SWEPT, "    search: {dial: steps, values: [1, 2], confidence: 1}\n"
    ),
    "search confidence .5": changed(
        SWEPT, "    search: {dial: steps, values: [1, 2], confidence: 0.5}\n"
    ),
    "search unknown key": changed(SWEPT, "    search: {dial: steps, vals: [1, 2]}\n"),
    "search dial unknown": changed(SWEPT, "    search: {dial: stepz, values: [1, 2]}\n"),
    "search dial in sweep": changed(SWEPT, SWEPT + "    search: {dial: steps, values: [1, 2]}\n"),
    "search dial in settings": changed(SWEPT, "    search: {dial: gen_length, values: [8, 16]}\n"),
    "search without diffusion": changed(
        SWEPT, "    models: [A]\n    search: {dial: steps, values: [1, 2]}\n"
    ).replace("  - {name: D, model: dllm, args: {pretrained: reference-diffusion}}\n", ""),
    "extends missing": "extends: nowhere.yaml\n" + GOOD,
    "extends list": "extends: [a, b]\n" + GOOD,
    "extends self": "extends: spec.yaml\n" + GOOD,
    "extends empty": "extends:\n" + GOOD,
    "extends unknown key": "extends: demo\nnme: x\n",
    "extends ambiguous": "extends: two.yaml\nsuites:\n  - {task: ref_humaneval, limit: 3}\n",
    "extends bad base": "extends: bad.yaml\nname: x\n",
    "duplicate key": GOOD + "name: t\n",
    "duplicate axis": changed("{steps: [8, 16]}", "{steps: [8], steps: [16]}"),
    "list as key": GOOD + "? [a]\n: 3\n",
    "int key": GOOD + "3: 4\n",
    "int setting": changed("{gen_length: 32}", "{3: 32}"),
    "tab": changed("    title: Code", "\ttitle: Code"),
    "unclosed": changed("{gen_length: 32}", "{gen_length: 32"),
    "two documents": GOOD + "---\nname: t\n",
    "empty file": "",
    "only comment": "# nothing\n",
    "scalar": "sweep\n",
    "recursive": changed("{gen_length: 32}", "&a {gen_length: *a}"),
    "recursive list": changed("[8, 16]", "&a [8, *a]"),
    "billion laughs": GOOD + LAUGHS,
    "billion merged laughs": GOOD + LAUGHS.replace("[ha]", "{<<: {ha: 1}}"),
    "undefined alias": changed("[8, 16]", "*a"),
    "python tag": changed("name: s", "name: !!python/object:os.system s"),
    "bad int": changed("limit: 4", "limit: !!int four"),
    "bad date": changed("limit: 4", "limit: 2020-13-45"),
    "date": changed("limit: 4", "limit: 2020-01-01"),
    "huge int": changed("limit: 4", "limit: " + "9" * 5000),
    "control char": changed("title: Code", 'title: "Co\x07de"'),
    "deep": "name: " + "[" * 3000 + "\n",
    "merge junk": changed("{gen_length: 32}", "{<<: 3}"),
    "set": changed("[8, 16]", "!!set {8, 16}"),
    "binary": changed("title: Code", "title: !!binary aGk="),
    "model name bool": changed("name: A,", "name: no,"),
    "unknown model": changed("model: dllm-ar", "model: dllm-arr"),
    "bad module": changed("model: dllm-ar", 'model: "nomodule:Class"'),
    "kind": changed("model: dllm-ar,", "model: dllm-ar, kind: ar,"),
    "seeds empty": GOOD + "seeds: []\n",
    "seeds str": GOOD + "seeds: [a]\n",
    "seed twice": GOOD + "seeds: [0, 0]\n",
    "name empty": changed("name: s", "name: ''"),
    "same model": changed("name: A,", "name: D,"),
    "unknown metric": changed("pass@1", "pass@2"),
    "text as metric": changed("pass@1", "verdict"),
    "unknown filter": changed("limit: 4", "filter: neat"),
    "ignored shots": changed("limit: 4", "num_fewshot: 3"),
    "unconfirmed code": changed("confirm_run_unsafe_code: true", "seeds: [0]"),
    "perplexity": changed("metric: pass@1", "metric: word_perplexity"),
    "sampler typo": changed("{steps: [8, 16]}", "{sampler: [entropy, klas]}"),
    "steps beyond": changed("[8, 16]", "[8, 64]"),
    "block": changed("{gen_length: 32}", "{gen_length: 32, block_length: 5}"),
    "no checkpoint": changed("pretrained: reference-diffusion", "pretrained: ./nowhere"),
    "steps text": changed("[8, 16]", "[8, many]"),
    "likelihood": changed("{gen_length: 32}", "{gen_length: 32, likelihood: guess}"),
    "chance nan": changed("limit: 4", "chance: .nan"),
    "include str": GOOD + "include: tasks\n",
    "latency list": changed(
        "latency: {requests: 2, rounds: 1, warmup: 0, min_seconds: 0}", "latency: [1]"
    ),
    "min_seconds inf": changed("min_seconds: 0", "min_seconds: .inf"),
    "quality batch": GOOD + "quality: {batch_size: 0}\n",
    "models mapping": re.sub(r"models:\n.*\n.*\n", "models: {D: dllm}\n", GOOD, count=1),
    "args run": changed("{pretrained: reference-ar}", "{pretrained: reference-ar, seed: 3}"),
}
"""What is wrong with it -> the file."""


def errors_of(capsys: pytest.CaptureFixture[str]) -> list[str]:
    lines = capsys.readouterr().err.splitlines()
    return [line for line in lines if line.startswith("dllm-eval: ")]


@pytest.fixture(autouse=True)
def _beside_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    second = "suites:\n  - {task: ref_humaneval, title: B, metric: pass@1}\n"
    Path("two.yaml").write_text(changed("suites:\n", second))
    Path("bad.yaml").write_text(changed("metric:", "metrc:"))


@pytest.mark.parametrize("fault", HOSTILE)
def test_one_line_with_its_place(fault: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("spec.yaml").write_text(HOSTILE[fault])
    assert run_command(["sweep", "spec.yaml", "--dry-run"]) == 2
    (line,) = errors_of(capsys)
    place = re.match(r"dllm-eval: (spec|bad)\.yaml:(\d+): ", line)
    assert place, line
    text = Path(f"{place.group(1)}.yaml").read_text()
    assert 1 <= int(place.group(2)) <= text.count("\n") + 1
    assert not Path("results").exists()


PLACES = {
    "search unsorted": "spec.yaml:12: in 'suites[0].search.values': 4 stands behind 8",
    "search one value": "spec.yaml:12: 'suites[0].search.values' has too few entries; it needs at",
    "duplicate key": "spec.yaml:14: the key 'name' stands twice, first in line 1",
    "steps beyond": "spec.yaml:12: D, Code steps=64 (quality): steps 64 is more than one per "
    "canvas position; pass steps <= gen_length (32); or leave it out by exclude: [{model: D, "
    "suite: Code, steps: 64}]",
    "block": "spec.yaml:11: D, Code steps=8 (quality): block_length 5 does not divide gen_length "
    "32; or leave it out by exclude: [{model: D, suite: Code}]",
    "no checkpoint": "spec.yaml:4: D, Code steps=8 (quality): no model './nowhere': not a folder",
    "perplexity": "spec.yaml:9: task 'ref_humaneval' has no metric 'word_perplexity' per document",
    "extends bad base": "bad.yaml:9: unknown key 'suites[0].metrc' (did you mean 'metric'?)",
    "exclude unknown key": "spec.yaml:15: unknown key of 'exclude[0]' 'stepz' (did you mean",
    "batch sizes above limit": "spec.yaml:13: batch size 8 is above the limit of suite 'Code'",
    "model settings vs suite sweep": "spec.yaml:4: 'steps' stands in the settings of model 'D'",
    "huge int": "spec.yaml:10: '9999999999999999999999999999999999999...' is no value: Exceeds",
    "recursive": "spec.yaml:11: a value contains itself",
    "billion laughs": "spec.yaml:19: with its aliases written out it holds 211111 values; accepted",
    "unknown metric": "spec.yaml:9: task 'ref_humaneval' has no metric 'pass@2' per document; it",
    "text as metric": "spec.yaml:9: task 'ref_humaneval' has no metric 'verdict' per document; it",
    "unknown filter": "spec.yaml:10: task 'ref_humaneval' has no filter 'neat'; it has: fenced,",
    "ignored shots": "spec.yaml:10: num_fewshot 3: task 'ref_humaneval' takes 0 whatever is asked;",
    "unconfirmed code": "spec.yaml:7: task 'ref_humaneval' runs code that the model wrote; allow",
    "same model": "spec.yaml:5: two models are named 'D'",
}


@pytest.mark.parametrize("fault", PLACES)
def test_the_line_says_what_and_where(fault: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("spec.yaml").write_text(HOSTILE[fault])
    assert run_command(["sweep", "spec.yaml", "--dry-run"]) == 2
    (line,) = errors_of(capsys)
    assert line.startswith(f"dllm-eval: {PLACES[fault]}"), line


def test_a_refusals_remedy_leaves_the_cell_out(capsys: pytest.CaptureFixture[str]) -> None:
    Path("spec.yaml").write_text(HOSTILE["steps beyond"])
    run_command(["sweep", "spec.yaml", "--dry-run"])
    (line,) = errors_of(capsys)
    remedy = line.rpartition("leave it out by ")[2]
    Path("spec.yaml").write_text(f"{HOSTILE['steps beyond']}{remedy}\n")
    assert run_command(["sweep", "spec.yaml", "--dry-run"]) == 0
    assert "steps=64" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"name: \xff\xfe\n", "spec.yaml:1: not a sweep: it is not UTF-8 text"),
        (b"name: s\n# \xc3\n", "spec.yaml:2: not a sweep: it is not UTF-8 text"),
        (b"\x00", "spec.yaml:1: not valid YAML: the character '\\x00' is not allowed"),
    ],
)
def test_bytes_that_are_no_text(
    content: bytes, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("spec.yaml").write_bytes(content)
    assert run_command(["sweep", "spec.yaml", "--dry-run"]) == 2
    assert errors_of(capsys) == [f"dllm-eval: {message}"]


def test_what_is_no_file_has_no_line(capsys: pytest.CaptureFixture[str]) -> None:
    for name, reason in ((".", "Is a directory"), ("nowhere.yaml", "No such file or directory")):
        assert run_command(["sweep", name, "--dry-run"]) == 2
        (line,) = errors_of(capsys)
        assert line == (
            f"dllm-eval: cannot read the sweep file {name!r}: {reason} "
            "(shipped, by name: demo, load, samplers, stress, suites, tiers)"
        )


def test_json_and_verbose_are_for_a_dry_run(capsys: pytest.CaptureFixture[str]) -> None:
    for option in ("--json", "--verbose"):
        assert run_command(["sweep", "demo", option]) == 2
        assert errors_of(capsys) == [
            f"dllm-eval: {option} is for --dry-run: leave it out, or add --dry-run"
        ]
