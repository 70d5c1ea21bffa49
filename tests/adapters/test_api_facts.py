"""What a card says about a server, joined with what the user asked."""

from importlib import import_module
from typing import Any

import pytest

from dllm_eval.catalogue.cards import load_cards
from dllm_eval.errors import UsageError

HERE = "http://127.0.0.1:8000/v1"
facts: Any = import_module("dllm_eval.adapters.api_facts")
ApiArguments: Any = import_module("dllm_eval.adapters.api_arguments").ApiArguments


def service(**given: Any) -> Any:
    return facts.service_of("dllm-api", ApiArguments(**given))


def test_a_server_without_a_card_is_asked_greedily_and_with_a_seed() -> None:
    plain = service(model="m", base_url=HERE)
    assert plain.temperature("chat") == 0.0
    assert plain.takes_seed("completions")
    assert plain.max_tokens("chat", 100) == 100
    assert plain.attached
    assert plain.host == "127.0.0.1:8000"


def test_mercury_is_left_its_temperature_because_it_takes_no_0() -> None:
    mercury = service(model="mercury-2")
    assert mercury.temperature("chat") is None
    assert mercury.decodes_at("chat") == 0.75
    assert not mercury.takes_seed("chat")
    assert not mercury.attached
    assert service(model="mercury-2", temperature=0.6).temperature("chat") == 0.6


def test_server_leaves_the_temperature_out_everywhere() -> None:
    assert service(model="m", base_url=HERE, temperature="server").temperature("chat") is None
    assert service(model="m", base_url=HERE, temperature="server").decodes_at("chat") is None


@pytest.mark.parametrize(
    ("given", "limit"),
    [
        ({}, 512 + 16384),
        ({"reasoning_effort": "high"}, 512 + 16384),
        ({"reasoning_effort": "instant"}, 512),
        ({"reasoning_room": 100}, 612),
        ({"reasoning_effort": "instant", "reasoning_room": 100}, 612),
        ({"reasoning_room": 60000}, 50000),
    ],
)
def test_room_for_reasoning_is_added_to_the_limit(given: dict[str, Any], limit: int) -> None:
    assert service(model="mercury-2", **given).max_tokens("chat", 512) == limit


def test_room_is_for_nobody_else() -> None:
    assert service(model="m", base_url=HERE).max_tokens("chat", 512) == 512
    assert service(model="mercury-edit-2").max_tokens("fim", 512) == 512
    assert service(model="m", base_url=HERE, reasoning_room=8).max_tokens("chat", 512) == 520


def test_which_route_a_text_and_a_conversation_take() -> None:
    plain, mercury = service(model="m", base_url=HERE), service(model="mercury-2")
    assert plain.text_route(chat=False) == "completions"
    assert plain.text_route(chat=True) == "chat"
    assert mercury.text_route(chat=False) == "chat"
    with pytest.raises(UsageError, match="leave apply_chat_template off, or pass route=chat"):
        service(model="m", base_url=HERE, route="completions").text_route(chat=True)


def test_which_way_a_gap_is_asked() -> None:
    assert service(model="m", base_url=HERE).fills_in == "prefix_only"
    assert service(model="mercury-2").fills_in == "prefix_only"
    assert service(model="mercury-edit-2").fills_in == "fim"
    assert service(model="mercury-edit-2", infill="prefix_only").fills_in == "prefix_only"


def test_another_server_under_the_same_name_has_none_of_the_card_s_limits() -> None:
    other = service(model="mercury-2", base_url=HERE)
    assert other.facts is None
    assert other.temperature("chat") == 0.0
    assert other.max_tokens("chat", 7) == 7


def test_a_named_card_holds_at_an_address_of_one_s_own() -> None:
    proxy = service(model="coder", base_url=HERE, card="mercury-2", reasoning_effort="low")
    assert proxy.facts is service(model="mercury-2").facts
    assert proxy.kind == "diffusion"
    assert proxy.text_route(chat=False) == "chat"
    assert not proxy.takes_seed("chat")
    assert proxy.temperature("chat") is None
    assert proxy.max_tokens("chat", 512) == 512 + 16384
    assert proxy.attached
    with pytest.raises(UsageError, match="reasoning_effort='max' of coder; accepted: instant"):
        service(model="coder", base_url=HERE, card="mercury-2", reasoning_effort="max")


def test_a_card_s_key_goes_to_its_own_host_alone() -> None:
    own = "https://api.inceptionlabs.ai/v1"
    assert service(model="mercury-2").key_names == ("INCEPTION_API_KEY",)
    named = service(model="mercury-2", base_url=own, card="mercury-2")
    assert named.key_names == ("INCEPTION_API_KEY",)
    assert service(model="mercury-2", base_url=HERE, card="mercury-2").key_names == ()
    mine = service(model="mercury-2", base_url=HERE, card="mercury-2", key_env="MINE")
    assert mine.key_names == ("MINE",)


def test_a_card_that_is_not_named_changes_no_request_s_identity() -> None:
    assert "card" not in ApiArguments(model="m").as_json(())
    assert '"card":"mercury-2"' in ApiArguments(model="m", card="mercury-2").as_json(("model",))


@pytest.mark.parametrize(
    ("given", "chat", "line"),
    [
        ({"reasoning_effort": "low"}, False, "means nothing to the completions route; leave it"),
        ({"reasoning_effort": "low"}, True, None),
        ({"reasoning_effort": "low", "route": "chat"}, False, None),
        ({"reasoning_effort": "low", "card": "mercury-2"}, False, None),
        ({"route": "completions"}, True, "route=completions takes a text, and a chat template"),
        ({"route": "completions", "infill": "suffix"}, True, None),
        ({}, False, None),
    ],
)
def test_which_suites_the_arguments_go_with(
    given: dict[str, Any], chat: bool, line: str | None
) -> None:
    asked = service(model="m", base_url=HERE, **given)
    if line is None:
        facts.check_protocol(asked, chat=chat)
    else:
        with pytest.raises(UsageError, match=line):
            facts.check_protocol(asked, chat=chat)


@pytest.mark.parametrize(
    "card", [c for c in load_cards() if c.api is not None], ids=lambda card: card.name
)
def test_every_card_behind_an_api_can_be_asked(card: Any) -> None:
    found = service(model=card.name)
    assert found.facts is card.api
    for name in card.api.routes:
        assert found.max_tokens(name, 64) <= (card.api.routes[name].max_output or 10**9)
    dial = card.api.dial
    for value in dial.values if dial is not None else ():
        assert service(model=card.name, **{dial.argument: value}).facts is card.api
