"""The headline counts a suite once, in however many ways it was asked."""

from report_cards import card

from dllm_eval.report.first_sentence import summary

CODE = {"Code": "Code", "Code, bare": "Code", "Gap": "Gap"}
WAYS = "prompts, protocols and lengths of gaps apart"


def test_ways_that_agree_count_once_and_as_surely_as_the_least_sure() -> None:
    shown = [
        card("Code", "autoregressive", "sure"),
        card("Code, bare", "autoregressive", "likely"),
        card("Gap", "diffusion", "sure"),
    ]
    assert summary(shown, CODE) == (
        f"Of 2 suites (3 comparisons: {WAYS}), diffusion is surely better in 1; "
        "likely, not proven: autoregressive is better in 1."
    )


def test_ways_that_differ_are_no_win() -> None:
    shown = [
        card("Code", "autoregressive", "sure"),
        card("Code, bare", "neither", "open", scores_alone=True),
        card("Gap", "diffusion", "sure"),
    ]
    assert summary(shown, CODE) == (
        f"Of 2 suites (3 comparisons: {WAYS}, 2 of score and time, 1 of scores alone), "
        "diffusion is surely better in 1; it depends on how the suite is asked in 1."
    )


def test_one_suite_asked_in_two_ways_is_one_suite() -> None:
    alike = [card("Code", "diffusion", "sure"), card("Code, bare", "diffusion", "sure")]
    assert summary(alike, CODE) == (
        f"One suite (2 comparisons: {WAYS}): diffusion is surely better."
    )
    apart = [alike[0], card("Code, bare", "trade", "sure")]
    assert summary(apart, CODE) == (
        f"Of 1 suite (2 comparisons: {WAYS}), nothing is sure; "
        "it depends on how the suite is asked in 1."
    )


def test_scores_alone_are_said_once() -> None:
    shown = [card("Code", "diffusion", "sure", scores_alone=True)]
    shown.append(card("Code, bare", "diffusion", "sure", scores_alone=True))
    assert summary(shown, CODE).startswith(f"One suite (2 comparisons of scores alone: {WAYS}): ")


def test_machines_are_not_counted_together() -> None:
    shown = [
        card(suite, "diffusion", "sure", place=place)
        for place in ("laptop", "server")
        for suite in ("Code", "Code, bare")
    ]
    assert summary(shown, CODE) == (
        f"Of 2 suites on machines (4 comparisons: {WAYS}), diffusion is surely better in 2."
    )


def test_a_way_without_an_opponent_does_not_make_the_answer_depend() -> None:
    shown = [card("Code", "diffusion", "sure"), card("Code, bare", "unknown", "open")]
    assert summary(shown, CODE).endswith(": diffusion is surely better.")
