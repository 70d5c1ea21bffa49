"""The report's page without a mouse, and for eyes of every kind: WCAG 2.1 AA."""

from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from browser_page import DESKTOP, PHONE, Opener
from page_frames import CODE
from playwright.sync_api import Page

from dllm_eval.report.style import AUTOREGRESSIVE_COLOURS, DIFFUSION_COLOURS

RULES = {
    "runOnly": {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]},
    "resultTypes": ["violations"],
}
ONE = f"#suite={CODE}"
"""Of one suite alone, to save time; the first look at everything is at all suites."""
LOOKS = [
    ("", "light", DESKTOP),
    (ONE, "dark", DESKTOP),
    (ONE, "light", PHONE),
    (ONE, "dark", PHONE),
]

PROBES = (Path(__file__).parent / "probes.js").read_text(encoding="utf-8")


def violations(page: Page) -> list[str]:
    found: list[dict[str, Any]] = Axe().run(page, options=RULES).response["violations"]
    return [f"{x['id']}: {node['html'][:120]}" for x in found for node in x["nodes"]]


def opened_up(page: Page) -> None:
    page.evaluate("for (const one of document.querySelectorAll('details')) one.open = true")


@pytest.mark.parametrize(("fragment", "scheme", "size"), LOOKS)
def test_axe_finds_nothing(
    visit: Opener, fragment: str, scheme: str, size: tuple[int, int]
) -> None:
    page = visit(fragment, size=size, color_scheme=scheme, reduced_motion="reduce").page
    opened_up(page)
    page.locator(".race:visible").first.get_by_role("button", name="▶ Start").click()
    assert violations(page) == []
    page.locator(".frontier .point:visible").first.click()
    assert violations(page) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_charts_stand_out_from_the_paper(visit: Opener, scheme: str) -> None:
    page = visit(color_scheme=scheme).page
    page.evaluate(PROBES)
    found = page.evaluate("probes.contrasts()")
    assert len(found["words"]) > 50
    assert len(found["shapes"]) > 30
    assert [x for x in found["words"] if x[1] < 4.5] == []
    assert [x for x in found["shapes"] if x[1] < 3] == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_colour_of_a_series_is_made_to_stand_out(visit: Opener, scheme: str) -> None:
    page = visit(color_scheme=scheme).page
    colours = [*DIFFUSION_COLOURS, *AUTOREGRESSIVE_COLOURS]
    ground = [20, 23, 26] if scheme == "dark" else [255, 255, 255]
    ratios = page.evaluate(
        """([colours, ground]) => colours.flatMap((c) => [3, 4.5].map((least) =>
            contrast(paint(c, least).match(/\\d+/g).map(Number), ground) / least))""",
        [colours, ground],
    )
    assert len(ratios) == 2 * len(colours)
    assert min(ratios) >= 1
    shown = page.evaluate("colours => colours.map((c) => paint(c))", colours)
    assert len(set(shown)) == len(colours)
    greys = "['#000000', '#7F7F7F'].map((c) => Number(paint(c).match(/\\d+/)[0]))"
    black, grey = page.evaluate(greys)
    assert abs(black - grey) > 80


def test_the_tab_key_reaches_everything_and_shows_where_it_is(visit: Opener) -> None:
    page = visit(f"#suite={CODE}").page
    page.evaluate(PROBES)
    usable: dict[int, str] = dict(page.evaluate("probes.usable()"))
    seen: dict[int, dict[str, Any]] = {}
    for _ in range(len(usable) + 5):
        page.keyboard.press("Tab")
        focused = page.evaluate("probes.focused()")
        if focused is None or focused["id"] in seen:
            break
        seen[focused["id"]] = focused
    assert [x["name"] for x in seen.values() if not x["seen"]] == []
    assert [x["name"] for x in seen.values() if not x["inView"]] == []
    assert [name for number, name in usable.items() if number not in seen] == []
    # The order of the tab key is the order of the document.
    assert list(seen) == sorted(seen)
    assert {"point", "skip", "link", "scroll", "input", "select", "summary"} <= {
        x["kind"] for x in seen.values()
    }


def test_points_are_walked_by_arrows_opened_by_enter_and_left_by_escape(visit: Opener) -> None:
    page = visit(f"#suite={CODE}").page
    chart = page.locator(".frontier svg.chart:visible")
    assert chart.locator('.point[tabindex="0"]').count() == 1
    chart.locator('.point[tabindex="0"]').focus()
    walked = []
    for key in ("Home", "ArrowRight", "ArrowRight", "ArrowDown", "End", "ArrowLeft"):
        page.keyboard.press(key)
        walked.append(page.evaluate("document.activeElement.dataset.dial"))
    # By seconds: 10, 20, 40, 50 (AR, without a dial) and 80 ms.
    assert walked == ["1", "2", "4", "", "8", ""]
    page.keyboard.press("Home")
    assert page.locator("#tip").inner_text().startswith("Made-up diffusion, 1 step")
    for key in ("Enter", "Space"):
        page.keyboard.press(key)
        assert page.locator("#drawer").is_visible()
        assert page.evaluate("document.activeElement.getAttribute('aria-label')") == "Close"
        page.keyboard.press("Escape")
        assert not page.locator("#drawer").is_visible()
        assert page.evaluate("document.activeElement.dataset.dial") == "1"


def test_the_drawer_keeps_the_focus_while_it_is_open(visit: Opener) -> None:
    page = visit(f"#suite={CODE}").page
    page.locator(".frontier .point:visible").first.focus()
    page.keyboard.press("Enter")
    for _ in range(8):
        page.keyboard.press("Tab")
        # From the last stop on, the tab key goes by way of the browser's own frame, which is body.
        assert page.evaluate("document.activeElement.matches('body, #drawer, #drawer *')")


def test_heads_sort_and_filters_toggle_by_the_keyboard(visit: Opener) -> None:
    page = visit().page
    page.locator(".filters summary").focus()
    page.keyboard.press("Enter")
    page.get_by_role("button", name=CODE, exact=True).first.focus()
    page.keyboard.press("Space")
    assert page.locator("section.suite:visible").count() == 1
    page.keyboard.press("Enter")
    assert page.locator("section.suite:visible").count() == 3
    head = page.locator("#leaderboard .boards:visible").first.get_by_role(
        "button", name="quality", exact=True
    )
    head.focus()
    page.keyboard.press("Enter")
    assert head.locator("..").get_attribute("aria-sort") == "descending"
    page.keyboard.press("Space")
    assert head.locator("..").get_attribute("aria-sort") == "ascending"
