"""A bad card names its file and field; what a card may leave out."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from dllm_eval.catalogue import cards
from dllm_eval.catalogue.cards import broken_cards, card_for, load_cards, read_card
from dllm_eval.cli import run_command
from dllm_eval.errors import UsageError

GOOD: dict[str, Any] = {
    "name": "X",
    "family": "llada",
    "scores": [{"task": "t", "value": 1, "metric": "m", "harness": "h", "source": "s"}],
}
API: dict[str, Any] = {
    "base_url": "https://host/v1",
    "key_env": "KEY",
    "routes": {"chat": {}},
    "source": "s",
}


def _changed(score: dict[str, Any] | None = None, **facts: Any) -> str:
    scores = [{**GOOD["scores"][0], **(score or {})}]
    return yaml.safe_dump({**GOOD, "scores": scores, **facts})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (_changed({"value": "high"}), "scores.0.value"),
        (_changed({"source": None}), "scores.0.source"),
        (_changed({"settings": {"step": 3}}), "scores.0.settings.step: Extra inputs"),
        (_changed({"evidence": "hearsay"}), "scores.0.evidence"),
        (_changed(mask=3), "mask: Extra inputs"),
        (_changed(revision="main"), "revision: String should match"),
        (_changed(attention="sparse"), "attention: Input should be 'full'"),
        (_changed(family="lada"), "family 'lada' is not one of llada"),
        (_changed(kind="unpublished", hub_id="a/b"), "has no hub_id, here 'a/b'"),
        (_changed(kind="api", family=None), "section api exactly if its kind is api"),
        (_changed(api=API), "section api exactly if its kind is api"),
        (_changed(kind="api", family=None, api={**API, "key": "sk"}), "api.key: Extra inputs"),
        (_changed(kind="api", family=None, api={**API, "routes": {}}), "api.routes: Dictionary"),
        (
            _changed(kind="api", family=None, api={**API, "routes": {"messages": {}}}),
            "api.routes.messages",
        ),
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


def test_a_revision_is_a_commit_or_a_pull_request(tmp_path: Path) -> None:
    for revision in ("a" * 40, "refs/pr/1"):
        path = tmp_path / "good.yaml"
        path.write_text(_changed(revision=revision))
        assert read_card(path).revision == revision


def test_a_report_only_card_needs_no_family(tmp_path: Path) -> None:
    path = tmp_path / "closed.yaml"
    path.write_text(_changed(family=None, kind="report_only"))
    assert read_card(path).family is None


def test_a_card_behind_an_api_needs_no_family(tmp_path: Path) -> None:
    path = tmp_path / "api.yaml"
    path.write_text(_changed(family=None, kind="api", api=API))
    card = read_card(path)
    assert (card.where, card.family) == ("API, host", None)


def test_two_cards_of_one_name(tmp_path: Path) -> None:
    for file in ("a.yaml", "b.yaml"):
        (tmp_path / file).write_text(_changed())
    assert [card.name for card in load_cards(tmp_path)] == ["X"]
    (broken,) = broken_cards(tmp_path)
    assert broken.message == f"card {tmp_path / 'b.yaml'}: two cards are named 'X', see a.yaml"


@pytest.fixture
def cards_of_mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder in the place of the shipped cards: two that are good, and four that are broken."""
    folder = tmp_path / "cards"
    folder.mkdir()
    monkeypatch.setattr("dllm_eval.catalogue.cards.cards_folder", lambda: folder)
    cards._read_all.cache_clear()
    for name in ("good", "fine"):
        (folder / f"{name}.yaml").write_text(_changed(name=name, hub_id=f"org/{name}"))
    (folder / "typo.yaml").write_text(_changed(name="Typo", hub_id="org/Typo-8B", mask=3))
    (folder / "torn.yaml").write_text("name: [")
    (folder / "bytes.yaml").write_bytes(b"name: \xff")
    (folder / "dated.yaml").write_text("name: 2020-13-45")
    yield folder
    cards._read_all.cache_clear()


def test_a_broken_card_is_in_the_way_of_its_own_use_alone(cards_of_mine: Path) -> None:
    assert [card.name for card in load_cards()] == ["fine", "good"]
    found = card_for("org/GOOD")
    assert found is not None
    assert found.name == "good"
    assert card_for("somebody/else") is None
    for name in ("typo", "org/typo-8b", "models/Typo", "torn", "bytes", "dated"):
        with pytest.raises(UsageError) as caught:
            card_for(name)
        assert str(caught.value).startswith(f"card {cards_of_mine}")
        assert "\n" not in str(caught.value)


@pytest.mark.usefixtures("cards_of_mine")
def test_models_goes_on_and_names_the_broken_ones(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["models"]) == 0
    said = capsys.readouterr()
    assert "fine" in said.out
    assert "good" in said.out
    warnings = said.err.splitlines()
    assert [line.partition("/")[0] for line in warnings] == ["warning: card "] * 4
    assert any("typo.yaml: mask: Extra inputs are not permitted; it is left" in x for x in warnings)
    assert run_command(["models", "good"]) == 0
    capsys.readouterr()
    assert run_command(["models", "typo"]) == 2
    (line,) = [x for x in capsys.readouterr().err.splitlines() if x.startswith("dllm-eval: ")]
    assert "typo.yaml: mask: Extra inputs" in line
