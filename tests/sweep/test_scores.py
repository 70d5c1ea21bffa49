"""Which of lm-eval's numbers become score records."""

import math
from typing import Any

import numpy as np
import pytest

from dllm_eval.errors import UsageError
from dllm_eval.records import ScoreRecord
from dllm_eval.sweep.scores import score_records


def sample(target: object, num_requests: int, **metrics: Any) -> dict[str, Any]:
    return {
        "doc_id": 3,
        "target": target,
        "filter": "none",
        "resps": [[("-1.0", "False")]] * num_requests,
        "metrics": list(metrics),
        **metrics,
    }


def test_one_record_for_each_number() -> None:
    logged = {"t": [sample(2, 4, acc=1.0, acc_norm=np.bool_(False), brier_score=(2, [0.5]))]}
    shared: dict[str, Any] = {"task": "t", "doc_id": 3, "filter": "none", "gold": 2}
    assert score_records(logged) == [
        ScoreRecord(metric="acc", value=1.0, **shared),
        ScoreRecord(metric="acc_norm", value=0.0, **shared),
    ]


def test_what_is_said_in_words_stands_in_the_record_of_each_number() -> None:
    logged = sample("", 1, **{"pass@1": 0.0, "verdict": "timed out", "isolation": "namespaces"})
    logged["doc"] = {"category": "stem/astronomy", "cluster": "Ada", "question": "why?"}
    (record,) = score_records({"t": [logged]})
    assert (record.metric, record.value) == ("pass@1", 0.0)
    assert (record.verdict, record.isolation) == ("timed out", "namespaces")
    assert (record.category, record.cluster) == ("stem/astronomy", "Ada")


@pytest.mark.parametrize(
    ("target", "num_requests", "gold"),
    [
        (0, 2, 0),
        (np.int64(3), 4, 3),
        (42, 1, None),
        (4, 4, None),
        (-100, 4, None),
        ("1", 4, None),
        (True, 4, None),
        ([0, 1], 4, None),
    ],
)
def test_the_right_choice_is_a_number_of_a_choice(
    target: object, num_requests: int, gold: int | None
) -> None:
    (record,) = score_records({"t": [sample(target, num_requests, acc=1.0)]})
    assert record.gold == gold


def test_an_old_record_has_no_right_choice() -> None:
    old = {"task": "t", "doc_id": 0, "metric": "acc", "filter": "none", "value": 1.0}
    assert ScoreRecord.model_validate(old).gold is None


def test_a_perplexity_is_the_documents_own_and_has_its_weight() -> None:
    logged = {
        "t": [
            sample("", 1, word_perplexity=(-12.0, 4), bits_per_byte=[-12.0, 24], perplexity=-1.5),
        ]
    }
    words, bits, plain = score_records(logged)
    assert (words.metric, words.weight) == ("word_perplexity", 4.0)
    assert words.value == pytest.approx(math.exp(3.0))
    assert (bits.metric, bits.weight) == ("bits_per_byte", 24.0)
    assert bits.value == pytest.approx(0.5 / math.log(2))
    assert (plain.metric, plain.weight) == ("perplexity", None)
    assert plain.value == pytest.approx(math.exp(1.5))


@pytest.mark.parametrize("logged", [(-math.inf, 4), (-12.0, 0), (-1e6, 1)])
def test_a_perplexity_that_is_no_number_is_refused(logged: tuple[float, int]) -> None:
    with pytest.raises(UsageError, match=r"document 3 of task 't' has word_perplexity (inf|nan)"):
        score_records({"t": [sample("", 1, word_perplexity=logged)]})


def test_only_the_metric_that_is_asked_for_has_to_be_a_number() -> None:
    """A Chinese page is one word of a thousand bytes: e to the 900 is no number, its bits are."""
    page = sample("", 1, word_perplexity=(-900.0, 1), bits_per_byte=(-900.0, 1000), acc=1.0)
    blank = sample("", 1, word_perplexity=(-1.0, 0), bits_per_byte=(-1.0, 1), acc=0.0)
    found = score_records({"t": [page, blank]}, "bits_per_byte")
    assert [x.metric for x in found] == ["bits_per_byte", "acc"] * 2
    assert found[0].value == pytest.approx(0.9 / math.log(2))
    with pytest.raises(UsageError, match="document 3 of task 't' has word_perplexity inf"):
        score_records({"t": [page]}, "word_perplexity")
