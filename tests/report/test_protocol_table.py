"""One benchmark's questions under several protocols: one table, never one ranking."""

from statistics import NormalDist
from typing import Any

import pytest
from suite_frames import SuiteFrames

from dllm_eval.report.protocol_table import protocol_score_tables
from dllm_eval.report.suite_table import Frames, SuiteTable
from dllm_eval.stats.tables import task_tables
from dllm_eval.stats.topics import topics

PATHS = ["stem/physics", "stem/maths", "people/art", "people/law"]
LETTER, WRITTEN = [1.0, 0.0, 1.0, 0.0], [1.0, 1.0, 1.0, 0.0]


def asked(frames: SuiteFrames, task: str, scoring: str, values: list[float], **more: Any) -> None:
    facts = {"suite": "MMLU", "scoring": scoring}
    labels = {"category": more.pop("paths", PATHS)}
    title = more.pop("title", f"MMLU, {scoring}")
    own = {"metric": "acc", "chance": 0.25, **more}
    frames.cell({"none": values}, task=task, title=title, facts=facts, labels=labels, **own)


def made() -> SuiteFrames:
    frames = SuiteFrames()
    asked(frames, "letters", "letter likelihood", LETTER, settings={})
    for steps, values in ((1, LETTER), (4, WRITTEN)):
        asked(frames, "written", "generation", values, settings={"steps": steps})
    for task, scoring in (("letters", "letter likelihood"), ("written", "generation")):
        asked(frames, task, scoring, WRITTEN, model="AR", kind="autoregressive", settings={})
    return frames


def tables_of(frames: SuiteFrames) -> tuple[list[SuiteTable], dict[str, str]]:
    cells, requests, scores = frames.frames
    known = tuple(task_tables(cells, requests, scores))
    own = Frames(cells=cells, requests=requests, scores=scores, tables=known)
    return protocol_score_tables(own), dict(topics(known, own.index))


def wilson(successes: int, trials: int) -> tuple[float, float]:
    z, share = NormalDist().inv_cdf(0.975), successes / trials
    middle = (share + z * z / (2 * trials)) / (1 + z * z / trials)
    inner = share * (1 - share) / trials + z * z / (4 * trials**2)
    half = z * inner**0.5 / (1 + z * z / trials)
    return 100 * (middle - half), 100 * (middle + half)


def test_protocols_stand_side_by_side_and_say_that_they_are_not_one_ranking() -> None:
    (table,), _ = tables_of(made())
    assert table.title == "MMLU: protocols side by side (4 questions)"
    assert table.header[2:] == (
        "letter likelihood (acc, chance 25 %)",
        "generation (acc, chance 25 %)",
    )
    half, most = (f"{low:.1f} to {high:.1f}" for low, high in (wilson(2, 4), wilson(3, 4)))
    assert table.rows == (
        ("diffusion one", "generation: 4 steps", f"50.0 % ({half})", f"75.0 % ({most})"),
        ("AR", "–", f"75.0 % ({most})", f"75.0 % ({most})"),
    )
    assert "Protocols are not one ranking" in table.about
    assert len(table.more) == 5
    assert ("diffusion one", "1 step", "–", f"50.0 % ({half})") in table.more


def test_only_questions_that_all_protocols_asked_count() -> None:
    frames = made()
    asked(frames, "texts", "answer-text likelihood", [0.0, 1.0], settings={}, paths=PATHS[:2])
    (table,), _ = tables_of(frames)
    assert table.title == "MMLU: protocols side by side (2 questions)"
    row = dict(zip(table.header, table.rows[0], strict=True))
    assert row["letter likelihood (acc, chance 25 %)"].startswith("50.0 %")
    assert row["generation (acc, chance 25 %)"].startswith("100.0 %")


def test_other_subjects_and_other_benchmarks_stay_apart() -> None:
    frames = SuiteFrames()
    asked(frames, "letters", "letter likelihood", LETTER)
    asked(frames, "pro", "generation", LETTER, paths=["pro/law"] * 4)
    found, suites = tables_of(frames)
    assert found == []
    assert len(set(suites.values())) == 2


def test_a_suite_is_one_suite_under_every_template_protocol_and_length() -> None:
    frames = made()
    code = {"suite": "HumanEval", "scoring": "execution"}
    frames.cell({"raw": LETTER}, facts=code)
    bare = code | {"template": "bare", "base": "code"}
    frames.cell({"raw": LETTER}, task="a_bare", title="Code, bare", facts=bare)
    for policy in ("oracle", "fixed:4"):
        settings = {"infill_length": policy}
        more: dict[str, Any] = {"infill": "native", "policy": policy}
        frames.cell({"raw": LETTER}, task="gap", title="Gap", settings=settings, **more)
    _, suites = tables_of(frames)
    assert suites == {
        "Code": "Code",
        "Code, bare": "Code",
        "Gap, oracle length": "Gap, oracle length",
        "Gap, fixed lengths": "Gap, oracle length",
        "MMLU, letter likelihood": "MMLU, letter likelihood",
        "MMLU, generation": "MMLU, letter likelihood",
    }


@pytest.mark.parametrize("scoring", ["letter likelihood", "generation"])
def test_one_protocol_alone_has_no_table(scoring: str) -> None:
    frames = SuiteFrames()
    asked(frames, "letters", scoring, LETTER)
    assert tables_of(frames)[0] == []
