"""What a card says of its family is what the family's loader finds in a checkpoint."""

from dataclasses import fields
from importlib import import_module
from pathlib import Path

import pytest
from lm_eval.utils import simple_parse_args_string

from dllm_eval.catalogue.capabilities import CAPABILITIES
from dllm_eval.catalogue.cards import cards_of
from dllm_eval.catalogue.published import recipe
from dllm_eval.families import Family
from dllm_eval.loading import load_model
from dllm_eval.samplers import SamplerConfig
from dllm_eval.samplers.config import CHOICES

OF_THE_CANVAS = {"gen_length", "block_length", "sub_block_length", "steps", "steps_per_block"}
"""Settings that a tiny checkpoint's size changes, or that only a command needs."""

QUANTITY = {"left_to_right": "exact", None: "none"}
"""Family.likelihood -> Capabilities.likelihood; every other one is a bound."""


@pytest.fixture(scope="module", params=list(CAPABILITIES))
def family(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Family:
    """The facts that the family's loader finds in a tiny checkpoint."""
    name = str(request.param)
    folder: Path = import_module(f"checkpoints.{name}").write(
        tmp_path_factory.mktemp(name) / "tiny"
    )
    model = load_model(str(folder), family=name, device="cpu", dtype="float32")
    assert model.family.name == name
    return model.family


def test_a_card_states_the_facts_that_its_loader_finds(family: Family) -> None:
    in_blocks = family.block_length is not None or "block_length" in family.decoding
    for card in cards_of(family.name):
        assert card.noise in (None, family.noise)
        assert card.attention in (None, family.attention)
        assert card.logits_shift == family.logits_shift
        assert (card.block_length is not None) is in_blocks


def test_a_card_has_the_defaults_that_its_loader_fills_in(family: Family) -> None:
    found = {k: v for k, v in family.decoding.items() if k not in OF_THE_CANVAS}
    for card in cards_of(family.name):
        stated = card.decoding.sampler_settings()
        assert {k: v for k, v in stated.items() if k not in OF_THE_CANVAS} == found, card.name


def test_the_likelihood_that_is_listed_is_the_loader_s(family: Family) -> None:
    listed = CAPABILITIES[family.name].likelihood
    assert listed == QUANTITY.get(family.likelihood, "bound")


def test_every_printed_command_is_one_that_the_model_takes(family: Family) -> None:
    """No setting in it is unknown, out of range, or one that would change nothing."""
    for card in cards_of(family.name):
        for score in card.scores:
            command = recipe(card, score).command
            if command:
                given = command.split("--model_args ")[1].split()[0]
                arguments = simple_parse_args_string(given)
                known = {field.name for field in fields(SamplerConfig)}
                settings = {
                    name: None if value == "none" and name not in CHOICES else value
                    for name, value in arguments.items()
                    if name in known
                }
                config = SamplerConfig.from_mapping(settings, family)
                assert {name: getattr(config, name) for name in settings} == settings
