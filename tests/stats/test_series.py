"""Which rows are one series, and what its dial is."""

from math import isnan, nan
from typing import Any

from dllm_eval.stats.series import Setting, places


def placed(
    *rows: dict[str, Any], model: str = "M", approximate: tuple[int, ...] = ()
) -> list[tuple[str, str, float]]:
    """(composition, dial, dial value) of rows that the sweep named no dial for."""
    settings = [
        Setting(
            config_id=str(i),
            model=model,
            settings=row,
            dial="",
            dial_value=nan,
            approximate=i in approximate,
        )
        for i, row in enumerate(rows)
    ]
    found = places(settings)
    return [
        (found[str(i)].composition, found[str(i)].dial, found[str(i)].dial_value)
        for i in range(len(rows))
    ]


def test_each_sampler_is_a_series_with_its_own_dial() -> None:
    assert placed(
        {"sampler": "entropy", "steps": 4},
        {"sampler": "entropy", "steps": 8},
        {"sampler": "factor", "factor": 0.5},
        {"sampler": "factor", "factor": 2},
        {"sampler": "margin+threshold", "threshold": 0.7},
        {"sampler": "margin+threshold", "threshold": 0.9},
    ) == [
        ("entropy", "steps", 4.0),
        ("entropy", "steps", 8.0),
        ("factor", "factor", 0.5),
        ("factor", "factor", 2.0),
        ("margin+threshold", "threshold", 0.7),
        ("margin+threshold", "threshold", 0.9),
    ]


def test_the_first_of_two_dials_is_the_dial_and_the_other_tells_series_apart() -> None:
    rows = [{"sampler": "klass", "kl_threshold": kl, "steps": s} for kl in (1, 2) for s in (4, 8)]
    assert placed(*rows) == [
        ("kl_threshold 1", "steps", 4.0),
        ("kl_threshold 1", "steps", 8.0),
        ("kl_threshold 2", "steps", 4.0),
        ("kl_threshold 2", "steps", 8.0),
    ]


def test_a_number_that_stays_the_same_is_no_dial_and_is_told_where_others_lack_it() -> None:
    found = placed({"sampler": "klass", "stable_steps": 3}, {"sampler": "wino"})
    assert [(text, dial) for text, dial, _ in found] == [
        ("klass, stable_steps 3", ""),
        ("wino", ""),
    ]
    assert all(isnan(value) for *_, value in found)


def test_a_single_point_keeps_the_dial_its_sweep_named() -> None:
    rows = [
        Setting(config_id=name, model="M", settings=settings, dial="steps", dial_value=8.0)
        for name, settings in (
            ("a", {"sampler": "random", "steps": 8}),
            ("b", {"sampler": "random", "steps": 8, "cache": "prefix"}),
        )
    ]
    found = places(rows)
    assert (found["a"].series, found["a"].dial, found["a"].dial_value) == ("M", "steps", 8.0)
    assert (found["b"].series, found["b"].dial) == ("M (cache prefix)", "steps")


def test_what_an_approximate_cache_may_have_changed_says_so_even_alone() -> None:
    assert placed({"cache": "prefix"}, approximate=(0,))[0][0] == "cache prefix (approximate)"
    found = placed({"cache": "none"}, {"cache": "dual"}, {}, approximate=(1, 2))
    assert [text for text, *_ in found] == [
        "cache none",
        "cache dual (approximate)",
        "approximate cache",
    ]


def test_true_and_false_are_names_and_no_numbers() -> None:
    found = placed({"strict_threshold": True}, {"strict_threshold": False})
    assert [(text, dial) for text, dial, _ in found] == [
        ("strict_threshold true", ""),
        ("strict_threshold false", ""),
    ]


def test_models_are_told_apart_by_name_alone() -> None:
    rows = [
        Setting(config_id=name, model=name, settings={"steps": 8}, dial="steps", dial_value=8.0)
        for name in ("A", "B")
    ]
    assert {place.series for place in places(rows).values()} == {"A", "B"}


def test_samples_are_the_dial_of_mc_samples() -> None:
    assert placed({"mc_samples": 1}, {"mc_samples": 2}) == [
        ("", "samples", 1.0),
        ("", "samples", 2.0),
    ]


def test_a_race_tells_series_apart_where_samples_are_the_dial() -> None:
    budgets = [{"likelihood": "monte_carlo", "mc_samples": n, "race": 0} for n in (32, 128)]
    raced = [{**row, "race": 0.005} for row in budgets]
    assert placed(*budgets, *raced) == [
        ("race 0", "samples", 32.0),
        ("race 0", "samples", 128.0),
        ("race 0.005", "samples", 32.0),
        ("race 0.005", "samples", 128.0),
    ]


def test_a_race_alone_is_the_dial_of_each_estimator_and_of_what_it_keeps_safe() -> None:
    asked = [("monte_carlo", "both"), ("control_variate", "both"), ("control_variate", "sum")]
    rows = [
        {"likelihood": name, "race_by": kept, "mc_samples": 64, "race": rate}
        for name, kept in asked
        for rate in (0, 0.005)
    ]
    assert placed(*rows) == [
        (f"likelihood {name}, race_by {kept}", "race", rate)
        for name, kept in asked
        for rate in (0.0, 0.005)
    ]
