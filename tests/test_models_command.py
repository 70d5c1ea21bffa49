"""`dllm-eval models` as its user sees it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from dllm_eval.catalogue.capabilities import CAPABILITIES
from dllm_eval.catalogue.cards import Card, load_cards
from dllm_eval.catalogue.index import all_cards, families_markdown
from dllm_eval.cli import run_command
from dllm_eval.report.reproduced import compare
from dllm_eval.report.reproduced_text import markdown

DOCS = Path(__file__).parent.parent / "docs"


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert run_command(["models", *arguments]) == 0
    return capsys.readouterr().out


def test_every_family_is_listed_with_what_it_supports(
    capsys: pytest.CaptureFixture[str],
) -> None:
    lines = [line.split() for line in printed(capsys).splitlines()]
    rows = {words[0]: words[1:] for words in lines if words and words[0] in CAPABILITIES}
    assert list(rows) == list(CAPABILITIES)
    assert rows["llada"][:6] == ["yes", "yes", "bound", "bound", "yes", "no"]
    assert rows["wedlm"][:6] == ["yes", "no", "exact", "exact", "yes", "exact"]
    assert rows["diffusion_gemma"][:6] == ["yes", "no", "no", "no", "yes", "exact"]
    assert ["Gemini", "Diffusion", *["–"] * 6, "report"] in lines
    assert ["mercury-2", "yes", "no", "no", "no", "yes", "–", "API"] in lines
    assert ["mercury-edit-2", "no", "yes", "no", "no", "yes", "–", "API"] in lines


@pytest.mark.parametrize("width", [80, 120])
def test_no_name_is_cut(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    text = printed(capsys)
    for card in load_cards():
        assert card.name in text
        assert card.hub_id is None or card.hub_id in text
    tables = [line for line in text.splitlines() if not line.startswith("dllm-eval")]
    assert max(len(line) for line in tables) <= width


@pytest.mark.parametrize("card", load_cards(), ids=lambda card: card.name)
def test_a_card_s_page_has_its_scores_and_sources(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, card: Card
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    words = " ".join(printed(capsys, card.name).split())
    for score in card.scores:
        assert f"{score.value:g} {score.metric}" in words
        assert " ".join(score.source.split()) in words
    for note in card.notes:
        assert " ".join(note.split()) in words


def test_a_family_s_page_says_how_it_loads(capsys: pytest.CaptureFixture[str]) -> None:
    words = " ".join(printed(capsys, "sdar").split())
    assert "loads by dllm_eval.adapters.sdar:load" in words
    assert "model_type sdar, sdar_moe" in words
    assert "JetLM/SDAR-30B-A3B-Chat" in words


def test_a_page_of_a_model_behind_an_api_says_how_it_is_asked(
    capsys: pytest.CaptureFixture[str],
) -> None:
    text = printed(capsys, "mercury-2")
    words = " ".join(text.split())
    assert "served at https://api.inceptionlabs.ai/v1" in words
    assert "dial reasoning_effort: instant, low, medium, high (default medium)" in words
    assert "$0.25 a million tokens in, $0.75 out" in words
    assert text.rstrip().splitlines()[-2:] == [
        "  export INCEPTION_API_KEY=...",
        "  dllm-eval run --model dllm-api --model_args model=mercury-2,reasoning_effort=instant"
        " --tasks dllm_humaneval --apply_chat_template --confirm_run_unsafe_code"
        " --output_path results/mercury-2",
    ]
    gaps = printed(capsys, "mercury-edit-2").rstrip().splitlines()[-1]
    assert "--tasks dllm_infilling_single_line --confirm_run_unsafe_code" in gaps


def test_a_command_is_printed_on_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    lines = printed(capsys, "LLaDA-8B-Base", "--reported").splitlines()
    commands = [line for line in lines if "$ dllm-eval run" in line]
    assert len(commands) > 20
    assert all(line.endswith("--output_path results/reproduced") for line in commands)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["LLaDA-8B-Bass"], "unknown model card 'LLaDA-8B-Bass' (did you mean 'LLaDA-8B-Base'?)"),
        (["wedlmm"], "unknown model card 'wedlmm' (did you mean 'wedlm'?)"),
        (["LADA", "--reported"], "unknown model card 'LADA' (did you mean 'llada'?)"),
        (["--results", "x"], "pass --reported as well"),
        (["llada", "--out", "x.md"], "leave out the name"),
        (["--reported", "--results", "/nowhere"], "'/nowhere' holds no lm-eval results_*.json"),
    ],
)
def test_a_mistake_is_one_clear_line(
    capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert run_command(["models", *arguments]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_json_is_one_document(capsys: pytest.CaptureFixture[str]) -> None:
    everything = json.loads(printed(capsys, "--json"))
    assert [family["family"] for family in everything["families"]] == list(CAPABILITIES)
    assert len(everything["cards"]) == len(load_cards())
    card = json.loads(printed(capsys, "LLaDA-1.5", "--json"))
    assert card["scores"][0]["settings"]["block_length"] == 16
    assert json.loads(printed(capsys, "sdar", "--json"))["cards"][0] == "SDAR-1.7B-Chat"
    rows = json.loads(printed(capsys, "--reported", "--json"))
    assert len(rows) == sum(len(card.scores) for card in load_cards())
    assert all(row["reproduced"] is None for row in rows)


def test_the_documentation_is_up_to_date() -> None:
    """Run `dllm-eval models --out docs/families.md`, `... --reported --out docs/reported.md`."""
    assert (DOCS / "families.md").read_text(encoding="utf-8") == families_markdown()
    rows, misses = compare(all_cards(), [])
    assert (DOCS / "reported.md").read_text(encoding="utf-8") == markdown(rows, misses)


def test_out_writes_the_tables(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    families, reported = tmp_path / "families.md", tmp_path / "reported.md"
    assert str(families) in printed(capsys, "--out", str(families))
    assert str(reported) in printed(capsys, "--reported", "--out", str(reported))
    assert families.read_text(encoding="utf-8") == families_markdown()
    assert reported.read_text(encoding="utf-8").startswith("# Reported versus reproduced")


def test_the_list_needs_neither_torch_nor_lm_eval() -> None:
    code = (
        "import sys; from dllm_eval.cli import run_command; run_command(['models']);"
        "run_command(['models', 'sdar']); run_command(['models', 'LLaDA-1.5']);"
        "sys.exit(bool({'torch', 'transformers', 'lm_eval', 'pandas'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
