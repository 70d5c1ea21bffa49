"""`dllm-eval recommend` among local runs, engines and APIs: one place at a time, efforts named."""

from dataclasses import replace

import pytest
from served_frames import (
    API,
    API_STACK,
    LAPTOP,
    LOCAL_STACK,
    VLLM_STACK,
    Placed,
    api_rows,
    engine_autoregressive,
    local_autoregressive,
    local_diffusion,
    served_frames,
)

from dllm_eval.errors import UsageError
from dllm_eval.report.advice import Answer, Asked, answer_frames
from dllm_eval.report.recommend import as_data, lines
from dllm_eval.stats.budget import Budget, parse_floor

SUITE = "Code, made up"


def ask(
    rows: list[Placed],
    *,
    latency_ms: float | None = None,
    floor: str | None = None,
    machine: str | None = None,
) -> Answer:
    budget = Budget(
        latency_s=None if latency_ms is None else latency_ms / 1000,
        floor=None if floor is None else parse_floor(floor),
    )
    return answer_frames(*served_frames(rows), Asked(task=SUITE, budget=budget, machine=machine))


MIXED = [*local_diffusion(), *local_autoregressive(), *engine_autoregressive(), *api_rows()]


def test_an_effort_is_named() -> None:
    found = ask(api_rows(), latency_ms=10)
    # 2, 4, 8 and 16 ms; the third is the best within ten.
    assert lines(found)[1].startswith("Deploy Mercury 2 with reasoning effort medium: 80.0 %")
    assert as_data(found)["pick"]["settings"]["reasoning_effort"] == "medium"
    assert as_data(found)["placement"] == "api"
    said = "\n".join(lines(found))
    assert f"on {API} / {API_STACK} (API)." in said
    assert "Cost per request: not reported by the server." in said
    assert "nan" not in said.lower().replace("nanosecond", "")


def test_a_floor_takes_the_fastest_effort_that_reaches_it() -> None:
    assert "reasoning effort low" in lines(ask(api_rows(), floor="65%"))[1]


def test_several_places_ask_which_in_one_line() -> None:
    with pytest.raises(UsageError) as caught:
        ask(MIXED, latency_ms=100)
    (said,) = str(caught.value).splitlines()
    assert said == (
        f"suite '{SUITE}' was timed on 3 machine and stack pairs, whose seconds do not compare; "
        f"name one with --machine: {API} / {API_STACK} (API); {LAPTOP} / {LOCAL_STACK}; "
        f"{LAPTOP} / {VLLM_STACK} (engine started here)"
    )


def test_a_budget_holds_within_one_place() -> None:
    # The API would be far sooner and is not looked at.
    found = ask(MIXED, latency_ms=130, machine=f"{LAPTOP} / {LOCAL_STACK}")
    assert lines(found)[1].startswith("Deploy Made-up diffusion with")
    assert found.found.considered == 4
    assert as_data(found)["placement"] == "local"
    far = ask(MIXED, latency_ms=130, machine=API)
    assert lines(far)[1].startswith("Deploy Mercury 2 with reasoning effort high")
    assert far.found.considered == 4


def test_the_tier_of_an_ar_pick_is_named() -> None:
    found = ask([*local_diffusion((2,)), *local_autoregressive()], floor="80%")
    assert lines(found)[1].startswith("Deploy Made-up AR with eager, dynamic cache: 90.0 %")
    assert as_data(found)["pick"]["tier"] == "eager, dynamic cache"


def priced(rows: list[Placed], **counts: float) -> Answer:
    """The API's answers with token counts, in a budget of half a second."""
    cells, requests, scores = served_frames(rows)
    asked = Asked(task=SUITE, budget=Budget(latency_s=0.5))
    return answer_frames(cells, requests.assign(**counts), scores, asked)


def test_dollars_are_told_where_prices_and_tokens_are_known() -> None:
    found = priced(api_rows(), prompt_tokens=100.0, visible_tokens=60.0)
    # (100 * 0.25 + (60 + 40) * 0.75) dollars for a million answers.
    (said,) = (line for line in lines(found) if line.startswith("Cost"))
    assert said.startswith("Cost: $0.1000 per 1000 answers; ")
    assert "not reported" not in said
    assert as_data(found)["pick"]["usd_per_1000_answers"] == pytest.approx(0.1)
    assert as_data(ask(api_rows(), latency_ms=10))["pick"]["usd_per_1000_answers"] is None


def test_of_equally_good_efforts_the_one_of_fewer_dollars() -> None:
    slow, fast = (replace(x, quality=0.9) for x in api_rows()[2:0:-1])
    cells, requests, scores = served_frames([slow, fast])
    dear = requests["cell_id"].str.contains("effort=low")
    requests = requests.assign(prompt_tokens=100.0, visible_tokens=60.0 + 100 * dear)
    found = answer_frames(cells, requests, scores, Asked(task=SUITE, budget=Budget(latency_s=0.5)))
    assert "reasoning effort medium" in lines(found)[1]
