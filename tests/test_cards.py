"""Cards: what is shipped reads well, and a bad card names its file and field."""

from pathlib import Path

import pytest

from dllm_eval.cards import card_for, family_table, load_cards, read_card
from dllm_eval.errors import UsageError


def test_shipped_cards_are_the_three_published_checkpoints() -> None:
    cards = {card.name: card for card in load_cards()}
    assert sorted(cards) == ["LLaDA-1.5", "LLaDA-8B-Base", "LLaDA-8B-Instruct"]
    for card in cards.values():
        assert (card.mask_id, card.eos_id, card.eot_id) == (126336, 126081, 126348)
        assert card.scores
        assert all(score.source and 0 <= score.value <= 100 for score in card.scores)


def test_published_scores_keep_their_settings() -> None:
    card = card_for("GSAI-ML/LLaDA-8B-Instruct")
    assert card is not None
    values = {
        (score.harness, score.settings.eos_policy): score.value
        for score in card.scores
        if score.task == "humaneval" and score.settings.block_length == 512
    }
    assert values == {("internal", "forbid"): 49.4, ("OpenCompass", "forbid"): 47.0}


@pytest.mark.parametrize("name", ["LLaDA-1.5", "GSAI-ML/LLaDA-1.5", "/models/LLaDA-1.5"])
def test_a_card_is_found_by_name_hub_id_and_folder(name: str) -> None:
    card = card_for(name)
    assert card is not None
    assert card.name == "LLaDA-1.5"


def test_an_unknown_model_has_no_card() -> None:
    assert card_for("/models/other") is None


def test_family_table_names_the_cards() -> None:
    rows = {row.family: row for row in family_table()}
    assert rows["llada"].model_types == ["llada"]
    assert "LLaDA-8B-Base" in rows["llada"].cards


GOOD = "name: X\nfamily: llada\nscores:\n- {task: t, value: 1, metric: m, harness: h, source: s}\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (GOOD.replace("value: 1", "value: high"), "scores.0.value"),
        (GOOD.replace(", source: s", ""), "scores.0.source"),
        (GOOD + "mask: 3\n", "mask: Extra inputs"),
        (GOOD.replace("llada", "lada"), "family 'lada' is not one of llada"),
        ("name: [", "not valid YAML"),
        ("- 1", "card: "),
    ],
)
def test_a_bad_card_names_file_and_field(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    with pytest.raises(UsageError) as caught:
        read_card(path)
    assert str(path) in str(caught.value)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_report_only_card_needs_no_family(tmp_path: Path) -> None:
    path = tmp_path / "closed.yaml"
    path.write_text(GOOD.replace("family: llada", "kind: report_only"))
    assert read_card(path).family is None


def test_two_cards_of_one_name(tmp_path: Path) -> None:
    for file in ("a.yaml", "b.yaml"):
        (tmp_path / file).write_text(GOOD)
    with pytest.raises(UsageError, match="two cards are named 'X'"):
        load_cards(tmp_path)
