"""Cards: what is shipped is sourced and usable, and found by its names."""

import re
from dataclasses import fields
from importlib import import_module
from pathlib import Path

import pytest
from lm_eval.utils import simple_parse_args_string

from dllm_eval.catalogue.capabilities import CAPABILITIES
from dllm_eval.catalogue.cards import (
    PROTOCOL,
    Card,
    DecodingSettings,
    card_for,
    cards_of,
    load_cards,
)
from dllm_eval.catalogue.published import CHAT_TASKS, NEAREST, NEUTRAL, OURS, TASKS, fitted, recipe
from dllm_eval.registry import FAMILIES, tasks_folder
from dllm_eval.samplers import SamplerConfig

CHECKPOINTS = [
    "LLaDA-8B-Base",
    "LLaDA-8B-Instruct",
    "LLaDA-1.5",
    "iLLaDA-8B-Base",
    "iLLaDA-8B-Instruct",
    "Dream-v0-Base-7B",
    "Dream-v0-Instruct-7B",
    "Dream-Coder-v0-Base-7B",
    "Dream-Coder-v0-Instruct-7B",
    "DreamOn-v0-7B",
    "SDAR-1.7B-Chat",
    "SDAR-4B-Chat",
    "SDAR-8B-Chat",
    "SDAR-30B-A3B-Chat",
    "LLaDA2.0-mini",
    "LLaDA2.0-flash",
    "LLaDA2.0-mini-CAP",
    "LLaDA2.0-flash-CAP",
    "LLaDA2.1-mini",
    "LLaDA2.1-flash",
    "Fast_dLLM_v2_1.5B",
    "Fast_dLLM_v2_7B",
    "NBDiff-7B-Base",
    "NBDiff-7B-Instruct",
    "bd3lm-owt-block_size4",
    "bd3lm-owt-block_size8",
    "bd3lm-owt-block_size16",
    "WeDLM-7B-Base",
    "WeDLM-7B-Instruct",
    "WeDLM-8B-Base",
    "WeDLM-8B-Instruct",
    "diffusiongemma-26B-A4B-it",
    "mdlm-owt",
    "sedd-small",
    "sedd-medium",
    "D3PM-text",
    "Plaid-1B",
    "Diffusion-LM",
]
"""Every one that the issue of this feature names."""

BEHIND_AN_API = ["mercury-2", "mercury-2.5", "mercury-edit-2"]
REPORT_ONLY = ["Gemini Diffusion", "Mercury Coder Mini", "Mercury Coder Small"]

every_card = pytest.mark.parametrize("card", load_cards(), ids=lambda card: card.name)


def test_every_open_checkpoint_and_the_closed_ones_have_a_card() -> None:
    names = {"api": BEHIND_AN_API, "report_only": REPORT_ONLY}
    for kind, expected in names.items():
        assert sorted(c.name for c in load_cards() if c.kind == kind) == expected
    closed = [*BEHIND_AN_API, *REPORT_ONLY]
    assert sorted(card.name for card in load_cards()) == sorted([*CHECKPOINTS, *closed])


def test_every_family_that_loads_is_listed_and_has_a_card() -> None:
    assert set(CAPABILITIES) == set(FAMILIES)
    assert all(cards_of(family) for family in CAPABILITIES)


def test_llada_ids_are_those_of_generate_py() -> None:
    for name in ("LLaDA-8B-Base", "LLaDA-8B-Instruct", "LLaDA-1.5"):
        card = card_for(name)
        assert card is not None
        assert (card.mask_id, card.eos_id, card.eot_id) == (126336, 126081, 126348)


@every_card
def test_a_card_says_what_its_likelihood_and_its_rule_are(card: Card) -> None:
    assert card.likelihood
    if card.kind != "report_only":
        assert card.rule
        assert card.notes
        assert card.native_class or card.api is not None


@every_card
def test_a_score_names_a_source_that_can_be_looked_up(card: Card) -> None:
    for score in card.scores:
        assert re.search(r"commit [0-9a-f]{7,8}|[a-z]+\.[a-z]+[/,]|README", score.source), score
        assert "\n" not in score.source
        assert "perplexity" in score.metric or 0 <= score.value <= 100, score


@pytest.mark.parametrize("name", BEHIND_AN_API)
def test_a_card_behind_an_api_says_where_and_on_which_terms(name: str) -> None:
    card = card_for(name)
    assert card is not None
    assert card.api is not None
    assert card.hub_id is None
    assert card.api.base_url == "https://api.inceptionlabs.ai/v1"
    assert card.api.key_env == "INCEPTION_API_KEY"
    assert re.search(r"commit [0-9a-f]{8}", card.api.source)
    assert card.api.prices is not None
    assert re.search(r"of 20\d\d-\d\d-\d\d", card.api.prices.source)
    if card.api.dial is not None:
        assert card.api.dial.default in card.api.dial.values
        assert set(card.api.dial.no_reasoning) <= set(card.api.dial.values)


@every_card
def test_published_settings_are_settings_our_sampler_takes(card: Card) -> None:
    for score in card.scores:
        settings = fitted(card, {"gen_length": 1024, **score.settings.sampler_settings()})
        if score.asked_by == "generation":
            config = SamplerConfig.from_mapping(settings)
            assert all(getattr(config, name) == value for name, value in settings.items()), score


@every_card
def test_defaults_are_settings_our_sampler_takes(card: Card) -> None:
    settings = fitted(card, {"gen_length": 1024})
    config = SamplerConfig.from_mapping(settings)
    assert all(getattr(config, name) == value for name, value in settings.items())


@every_card
def test_the_file_with_the_tensor_names_exists(card: Card) -> None:
    if card.weight_names is not None and card.weight_names.endswith(".py"):
        assert (Path(__file__).parent.parent / card.weight_names).is_file()


def test_cards_speak_the_words_of_the_sampler() -> None:
    words = {field.name for field in fields(SamplerConfig)}
    assert set(DecodingSettings.model_fields) - {*PROTOCOL, "steps_per_block"} <= words
    defaults = {field.name: field.default for field in fields(SamplerConfig)}
    same_answer = {"steps", "gen_length", "cache", "cache_refresh", "mode", "stop", "parts"}
    assert {k: v for k, v in defaults.items() if k not in same_answer} == NEUTRAL


@every_card
def test_a_command_is_one_our_model_accepts(card: Card) -> None:
    arguments = import_module("dllm_eval.adapters.arguments")
    for score in card.scores:
        own = recipe(card, score)
        assert (own.command is None) == bool(own.refusal), score
        if own.command is None:
            continue
        text = own.command.split("--model_args ")[1].split(" ")[0]
        given = arguments.without_none_texts(simple_parse_args_string(text))
        names = arguments.SAMPLER_NAMES
        parsed = arguments.parse("dllm", arguments.DiffusionArguments, given, also=names)
        assert parsed.pretrained == card.hub_id
        assert {name: given[name] for name in given if name in names} == own.settings


def test_every_task_of_a_command_exists() -> None:
    ours = {path.stem for path in tasks_folder().glob("*.yaml")}
    folder = Path(str(import_module("lm_eval.tasks").__file__)).parent
    name = re.compile(r"^(?:task|group): *[\"']?([\w-]+)[\"']?\s*$", re.MULTILINE)
    files = (path.read_text(encoding="utf-8") for path in folder.rglob("*.yaml"))
    theirs = {found for text in files for found in name.findall(text)}
    assert set(TASKS) <= ours | theirs
    assert set(NEAREST.values()) | set(OURS.values()) | set(CHAT_TASKS.values()) <= set(TASKS)


def test_every_lm_eval_task_of_a_card_can_be_compared() -> None:
    named = {s.lm_eval_task for card in load_cards() for s in card.scores if s.lm_eval_task}
    assert {OURS.get(name, name) for name in named} <= set(TASKS)


def test_why_there_is_no_command() -> None:
    found = {
        (card.name, score.task): recipe(card, score).refusal
        for card in load_cards()
        for score in card.scores
    }
    assert found["Gemini Diffusion", "humaneval"] == "no weights to run"
    assert found["LLaDA2.0-mini", "multipl_e"] == "no task for multipl_e here or in lm-eval 0.4.13"
    assert found["Dream-v0-Base-7B", "humaneval_infilling"] == (
        "its source does not state gen_length"
    )
    assert found["LLaDA-8B-Base", "piqa"] == "guidance of likelihoods is not built in"
    assert found["mercury-2", "aime2025"] == "its source does not state reasoning_effort"
    assert found["Mercury Coder Mini", "humaneval"] == "no weights to run"


def test_the_command_of_a_score_in_full() -> None:
    card = card_for("LLaDA-8B-Instruct")
    assert card is not None
    score = next(s for s in card.scores if s.task == "humaneval" and s.harness == "internal")
    own = recipe(card, score)
    assert own.command == (
        "dllm-eval run --model dllm --model_args pretrained=GSAI-ML/LLaDA-8B-Instruct,"
        "sampler=low_confidence,steps=512,gen_length=512,block_length=512,eos_policy=forbid "
        "--tasks dllm_humaneval "
        "--apply_chat_template --confirm_run_unsafe_code --output_path results/reproduced"
    )
    assert not own.same_task


@pytest.mark.parametrize(
    ("name", "named"), [("LLaDA2.1-mini", True), ("LLaDA2.0-mini", False), ("SDAR-8B-Chat", False)]
)
def test_a_family_that_config_json_does_not_tell_is_named(name: str, named: bool) -> None:
    card = card_for(name)
    assert card is not None
    command = recipe(card, card.scores[0]).command
    assert command is not None
    assert (f",family={card.family}," in command) is named


def test_published_scores_keep_their_settings() -> None:
    card = card_for("GSAI-ML/LLaDA-8B-Instruct")
    assert card is not None
    values = {
        (score.harness, score.settings.eos_policy): score.value
        for score in card.scores
        if score.task == "humaneval" and score.settings.block_length == 512
    }
    assert values == {("internal", "forbid"): 49.4, ("OpenCompass", "forbid"): 47.0}


def test_a_stated_none_is_told_from_silence() -> None:
    stated = DecodingSettings(threshold=None, steps=4)
    assert stated.stated() == {"steps": 4, "threshold": None}
    assert DecodingSettings(num_fewshot=5, steps=4).sampler_settings() == {"steps": 4}


@pytest.mark.parametrize("name", ["LLaDA-1.5", "GSAI-ML/LLaDA-1.5", "/models/LLaDA-1.5"])
def test_a_card_is_found_by_name_hub_id_and_folder(name: str) -> None:
    card = card_for(name)
    assert card is not None
    assert card.name == "LLaDA-1.5"


def test_an_unknown_model_has_no_card() -> None:
    assert card_for("/models/other") is None


def test_cards_of_a_family_sort_by_size() -> None:
    assert [card.name for card in cards_of("sdar")] == [
        "SDAR-1.7B-Chat",
        "SDAR-4B-Chat",
        "SDAR-8B-Chat",
        "SDAR-30B-A3B-Chat",
    ]
