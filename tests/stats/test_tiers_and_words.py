"""Series named by their tiers, dials that are words, and where a row says that it ran."""

import math
from typing import Any

import pytest
from served_frames import COMPILED, EAGER, LOOKUP, STATIC, TIER_SETTINGS

from dllm_eval.stats import tiers
from dllm_eval.stats.placement import Placement
from dllm_eval.stats.series import Place, Setting, places, tier_of


def setting(name: str, settings: dict[str, Any], tier: str = "") -> Setting:
    return Setting(
        config_id=name, model="AR", settings=settings, dial="", dial_value=math.nan, tier=tier
    )


def of_tiers(*names: str) -> dict[str, Place]:
    return places(setting(name, TIER_SETTINGS[name], name) for name in names)


def test_a_tiers_words_stand_for_its_settings() -> None:
    found = of_tiers(EAGER, STATIC, COMPILED, LOOKUP)
    assert {name: place.composition for name, place in found.items()} == {
        name: name for name in (EAGER, STATIC, COMPILED, LOOKUP)
    }
    assert {place.untiered for place in found.values()} == {""}


def test_old_records_name_their_settings_as_before() -> None:
    found = places(
        [
            setting("a", {"cache": "dynamic"}),
            setting("b", {"cache": "static", "compile": "default"}),
        ]
    )
    assert found["a"].composition == "cache dynamic"
    assert found["b"].composition == "cache static, compile default"
    assert found["b"].untiered == found["b"].composition


def test_two_ways_of_one_tier_stay_two_series() -> None:
    found = places(
        [
            setting("a", {"cache": "static", "compile": "default"}, COMPILED),
            setting("b", {"cache": "static", "compile": "reduce-overhead"}, COMPILED),
            setting("c", {"cache": "dynamic"}, EAGER),
        ]
    )
    assert found["a"].composition == f"{COMPILED}, compile default"
    assert found["b"].composition == f"{COMPILED}, compile reduce-overhead"
    assert found["b"].untiered == "compile reduce-overhead"
    assert found["c"].composition == EAGER


def test_a_model_in_one_tier_is_one_series_without_a_name() -> None:
    assert of_tiers(EAGER)[EAGER].composition == ""


def test_other_settings_stand_behind_the_tier() -> None:
    rows = [
        setting("a", {"cache": "dynamic", "prompt": "short"}, EAGER),
        setting("b", {"cache": "static", "prompt": "long"}, STATIC),
    ]
    found = places(rows)
    assert found["a"].composition == f"{EAGER}, prompt short"
    assert found["a"].untiered == "prompt short"


def test_draft_tokens_are_a_dial() -> None:
    rows = [
        setting(str(n), {**TIER_SETTINGS[LOOKUP], "draft_tokens": n}, LOOKUP) for n in (2, 4, 8)
    ]
    found = places([*rows, setting("eager", TIER_SETTINGS[EAGER], EAGER)])
    assert [found[str(n)].dial_value for n in (2, 4, 8)] == [2.0, 4.0, 8.0]
    assert {found[str(n)].dial for n in (2, 4, 8)} == {"draft_tokens"}
    assert {found[str(n)].composition for n in (2, 4, 8)} == {LOOKUP}
    assert found["eager"].dial == ""


def efforts(*words: str) -> dict[str, Place]:
    return places(setting(word, {"reasoning_effort": word, "temperature": 0.5}) for word in words)


def test_words_that_have_an_order_are_a_dial_in_that_order() -> None:
    found = efforts("high", "instant", "medium", "low")
    assert {place.dial for place in found.values()} == {"reasoning_effort"}
    assert {place.composition for place in found.values()} == {""}
    ordered = sorted(found, key=lambda word: found[word].dial_value)
    assert ordered == ["instant", "low", "medium", "high"]


def test_one_effort_alone_and_unknown_words_are_no_dial() -> None:
    assert efforts("low")["low"].dial == ""
    found = efforts("low", "turbo", "ludicrous")
    assert {place.dial for place in found.values()} == {""}
    assert found["turbo"].composition == "reasoning_effort turbo"


def test_a_number_beside_an_effort_sets_series_apart() -> None:
    rows = [
        setting(f"{word}-{n}", {"reasoning_effort": word, "max_tokens": n})
        for word in ("low", "high")
        for n in (100, 200)
    ]
    found = places(rows)
    told = {(x.dial, x.composition) for x in found.values()}
    assert told == {("reasoning_effort", "max_tokens 100"), ("reasoning_effort", "max_tokens 200")}


@pytest.mark.parametrize(
    ("names", "plain", "beyond"),
    [
        ((), False, False),
        (("", ""), False, False),
        ((EAGER, ""), True, False),
        ((EAGER, STATIC), True, True),
        ((EAGER, COMPILED), False, True),
        (("vllm, default flags",), False, True),
    ],
)
def test_what_is_plain(names: tuple[str, ...], *, plain: bool, beyond: bool) -> None:
    assert tiers.eager_alone(names) is plain
    assert tiers.beyond_plain(names) is beyond


def engine(*, here: bool) -> dict[str, Any]:
    return {"placement": "engine", "provenance": {"placement": {"started_here": here}}}


@pytest.mark.parametrize(
    ("cell", "words", "served", "remote"),
    [
        ({}, "in process", False, False),
        ({"placement": math.nan, "provenance": {}}, "in process", False, False),
        ({"placement": "local"}, "in process", False, False),
        (engine(here=True), "engine started here", True, False),
        (engine(here=False), "attached server", True, True),
        ({"placement": "engine"}, "attached server", True, True),
        ({"placement": "api", "provenance": None}, "API", True, True),
    ],
)
def test_where_a_cell_ran(cell: dict[Any, Any], words: str, *, served: bool, remote: bool) -> None:
    found = Placement.of(cell)
    assert (found.words, found.served, found.remote) == (words, served, remote)


def test_a_tier_that_is_not_told_is_empty() -> None:
    assert tier_of({}) == ""
    assert tier_of({"tier": math.nan}) == ""
    assert tier_of({"tier": EAGER}) == EAGER
