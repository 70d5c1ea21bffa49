"""What is known of a row's protocol comes from facts, cells, records and scores."""

import pandas as pd
from suite_frames import SuiteFrames

from dllm_eval.stats.protocols import Protocol, differing, facts_of, shared
from dllm_eval.stats.tables import task_tables

FACTS = {"suite": "HumanEval", "template": "published", "scoring": "execution"}


def protocols_of(made: SuiteFrames) -> tuple[Protocol, ...]:
    (table,) = task_tables(*made.frames)
    return table.protocols


def test_everything_known_is_there() -> None:
    made = SuiteFrames()
    made.cell(
        {"raw": [1.0, 0.0]},
        facts=FACTS,
        version=2.0,
        infill="native",
        policy="oracle",
        labels={"isolation": ["namespaces", "namespaces"]},
    )
    (protocol,) = protocols_of(made)
    assert protocol.values == {
        "suite": "HumanEval",
        "template": "published",
        "shots": "0",
        "chat_template": "no",
        "extraction": "raw",
        "scoring": "execution",
        "pass_at": "1",
        "given": "prefix and suffix, masks between",
        "length_policy": "oracle",
        "version": "2.0",
        "isolation": "namespaces",
    }
    assert protocol.texts == ("All about code.",)


def test_examples_within_the_documents_are_shots() -> None:
    made = SuiteFrames()
    made.cell({"raw": [1.0, 0.0]}, facts={**FACTS, "shots": "5"})
    assert protocols_of(made)[0].values["shots"] == "5"


def test_programs_that_ran_under_two_levels_are_flagged() -> None:
    made = SuiteFrames()
    made.cell({"raw": [1.0, 0.0]}, labels={"isolation": ["none", "bubblewrap"]})
    assert protocols_of(made)[0].values["isolation"] == "mixed (bubblewrap, none)"


def test_likelihood_says_what_stands_behind_the_answer() -> None:
    made = SuiteFrames()
    settings = {"likelihood": "monte_carlo", "target_end": "eos"}
    made.cell({"none": [1.0, 0.0]}, metric="acc", settings=settings, estimator="monte_carlo")
    made.cell(
        {"none": [1.0, 0.0]},
        metric="acc",
        model="AR",
        kind="autoregressive",
        settings={},
        estimator="autoregressive",
    )
    own, rival = protocols_of(made)
    assert own.values["behind_answer"] == "end of text, seen and not scored"
    assert rival.values["behind_answer"] == "nothing"
    assert own.values["estimator"] == "monte_carlo"
    # Choices are scored, so no rule takes a text out of anything.
    assert "extraction" not in own.values


def test_a_generated_text_that_no_rule_cuts_says_so() -> None:
    made = SuiteFrames()
    made.cell({"none": [1.0, 0.0]}, metric="exact_match")
    values = protocols_of(made)[0].values
    assert values["extraction"] == "the task's own"
    assert "pass_at" not in values


def test_rows_share_what_is_alike_and_differ_in_the_rest() -> None:
    made = SuiteFrames()
    made.cell({"raw": [1.0]}, facts=FACTS, version=1.0)
    made.cell({"raw": [1.0]}, facts=FACTS, version=2.0, model="other")
    found = protocols_of(made)
    assert shared(found)["suite"] == "HumanEval"
    assert "version" not in shared(found)
    assert differing(found) == ("version",)
    assert (shared(()), differing(())) == ({}, ())


def test_seeds_of_one_setting_are_put_together() -> None:
    made = SuiteFrames()
    made.cell({"raw": [1.0]}, seed=0, version=1.0)
    made.cell({"raw": [1.0]}, seed=1, version=2.0)
    (protocol,) = protocols_of(made)
    assert protocol.values["version"] == "1.0 + 2.0"


def test_many_lengths_are_told_by_their_kind() -> None:
    made = SuiteFrames()
    made.cell({"raw": [1.0] * 5}, infill="native", policy="model:1")
    for number, request in enumerate(made.requests):
        request["infill_length"] = f"model:{number}"
    assert protocols_of(made)[0].values["length_policy"] == "model"


def test_old_folders_without_facts_say_what_they_know() -> None:
    made = SuiteFrames()
    made.cell({"raw": [1.0, 0.0]}, num_fewshot=5)
    cells, requests, scores = made.frames
    cells["provenance"] = pd.Series([{}], dtype=object)
    old = scores.drop(columns=["cluster", "category", "verdict", "isolation"])
    (table,) = task_tables(cells, requests, old)
    values = {"shots": "5", "chat_template": "no", "extraction": "raw", "pass_at": "1"}
    assert table.protocols == (Protocol(values=values),)
    assert (table.clusters, table.ended) == (None, None)


def test_facts_that_are_no_facts_are_left_alone() -> None:
    assert facts_of({"tasks": "all"}) == []
    assert facts_of({"tasks": {"a": None, "b": {"metadata": {"facts": ["x"]}}}}) == []
    provenance = {"tasks": {"a": {"metadata": {"facts": FACTS}}, "b": {}}}
    assert facts_of(provenance) == [FACTS]
    assert facts_of(provenance, "b") == []


def test_lm_evals_word_for_no_version_is_none() -> None:
    made = SuiteFrames()
    made.cell({"raw": [1.0]}, version="Yaml")
    (protocol,) = protocols_of(made)
    assert "version" not in protocol.values
