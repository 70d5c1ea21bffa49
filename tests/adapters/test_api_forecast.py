"""Dollars at most, told beforehand, against what the records of a run cost by the same prices."""

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from protocol_answer import Answer
from protocol_server import ProtocolServer

from dllm_eval.catalogue.cards import card_for
from dllm_eval.errors import UsageError
from dllm_eval.measure.work import Request

forecast: Any = import_module("dllm_eval.adapters.api_forecast")


def price(model: str) -> tuple[float, float]:
    card = card_for(model)
    assert card is not None
    assert card.api is not None
    assert card.api.prices is not None
    prices = card.api.prices
    return prices.input_usd_per_million / 1e6, prices.output_usd_per_million / 1e6


def asked(prompt: str, most: int | None = 100, **more: Any) -> Request:
    return Request(request_type="generate_until", prompt=prompt, most_tokens=most, **more)


def test_a_prompt_s_bytes_and_an_answer_s_limit_at_the_card_s_prices() -> None:
    read, written = price("mercury-2")
    tell = forecast.dollars({"model": "mercury-2", "reasoning_effort": "instant"})
    assert tell(asked("ab")) == pytest.approx((2 + 64) * read + 100 * written)
    assert tell(asked("äb")) == pytest.approx((3 + 64) * read + 100 * written)
    assert tell(asked("ab", None)) == pytest.approx((2 + 64) * read + 256 * written)
    thinking = forecast.dollars({"model": "mercury-2"})
    assert thinking(asked("ab")) == pytest.approx((2 + 64) * read + (100 + 16384) * written)


def test_gaps_are_asked_in_turn_and_read_again() -> None:
    read, written = price("mercury-edit-2")
    tell = forecast.dollars({"model": "mercury-edit-2"})
    one = asked("ab", texts=("ab", "c"), middles=("x",))
    assert tell(one) == pytest.approx((2 + 3 + 64) * read + 100 * written)
    two = asked("ab", texts=("ab", "c", "d"), middles=("x", "y"))
    assert tell(two) == pytest.approx(2 * ((2 + 4 + 64 + 100) * read + 100 * written))
    assert tell(asked("ab")) is None  # it has no route for a plain question


def test_nothing_is_told_without_a_price() -> None:
    assert forecast.dollars({"model": "m", "base_url": "http://127.0.0.1:1/v1"}) is None
    elsewhere = {"model": "mercury-2", "base_url": "https://openrouter.ai/api/v1"}
    assert forecast.dollars(elsewhere) is None
    named = forecast.dollars({**elsewhere, "card": "mercury-2"})
    assert named(asked("ab")) == forecast.dollars({"model": "mercury-2"})(asked("ab"))
    tell = forecast.dollars({"model": "mercury-2"})
    assert tell(Request(request_type="loglikelihood", prompt="a", answer="b")) is None


def test_forward_passes_are_never_told() -> None:
    assert forecast.forwards({"model": "mercury-2"}, None)(asked("ab")) is None
    with pytest.raises(UsageError, match="accepted: instant, low, medium, high"):
        forecast.forwards({"model": "mercury-2", "reasoning_effort": "none at all"}, Path())


@pytest.mark.parametrize("effort", ["instant", "high"])
def test_a_run_costs_no_more_than_was_told(
    effort: str, tasks: Any, evaluate: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server writes to the limit, and counts a token for every byte."""

    def whole(body: Mapping[str, Any]) -> Answer:
        prompt = "".join(message["content"] for message in body["messages"])
        return Answer(
            text="x",
            finish_reason="length",
            prompt_tokens=len(prompt.encode()),
            completion_tokens=body["max_tokens"],
            reasoning_tokens=body["max_tokens"] - 1,
        )

    monkeypatch.setenv("INCEPTION_API_KEY", "sk-any")
    task = tasks("generate_until", generation_kwargs={"until": [], "max_gen_toks": 50})
    given = {"model": "mercury-2", "reasoning_effort": effort}
    model = import_module("dllm_eval.adapters.api").ApiLM(**given)
    assert model.service.facts is not None
    with ProtocolServer(whole, key="sk-any", models=["mercury-2"], flavour="mercury") as server:
        plain = import_module("dllm_eval.endpoint.server").Server
        model.__dict__["server"] = plain(base_url=server.base_url, model="mercury-2", stream=False)
        server.state.key = None
        evaluate(model, task)
    read, written = price("mercury-2")
    cost = 0.0
    for record in model.log.records.values():
        cost += record.prompt_tokens * read
        cost += (record.visible_tokens + record.reasoning_tokens) * written
    tell = forecast.dollars(given)
    told = sum(tell(asked(row["q"], 50)) for row in task.eval_docs)
    assert 0.5 * told < cost <= told
