"""The page of a report with engines and an API: charts apart, words on a dial, nothing made up."""

from collections.abc import Iterator

import pytest
from browser_page import DESKTOP, PHONE
from playwright.sync_api import Browser, Page
from served_frames import API, EFFORTS, everything, served_frames

from dllm_eval.report.write import write_frames


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("served")
    return write_frames(*served_frames(everything()), folder).page.as_uri()


@pytest.fixture(params=[DESKTOP, PHONE], ids=["desktop", "phone"])
def page(browser: Browser, address: str, request: pytest.FixtureRequest) -> Iterator[Page]:
    """The page, which has said nothing by the end."""
    width, height = request.param
    context = browser.new_context(viewport={"width": width, "height": height})
    opened, said = context.new_page(), list[str]()
    opened.on("console", lambda message: said.append(message.text))
    opened.on("pageerror", lambda error: said.append(str(error)))
    opened.goto(address)
    yield opened
    context.close()
    assert said == []


def test_every_place_has_its_own_frontier(page: Page) -> None:
    places = page.locator(".frontier .place").all_inner_texts()
    assert len(places) == 4
    assert places[-1].startswith(API)
    assert page.locator(".frontier svg.chart").count() == 4
    # Of the forwards only the models in process are known.
    assert page.locator(".time svg.chart").count() == 1
    silent = page.locator(".time").get_by_text("Not drawn: the server reports no forward passes.")
    assert silent.count() == 3


def test_efforts_stand_beside_their_points(page: Page) -> None:
    chart = page.locator(".frontier svg.chart").last
    words = chart.locator("text.value").all_text_contents()
    assert sorted(words) == sorted(EFFORTS)
    told = chart.locator(".point").first.get_attribute("aria-label") or ""
    assert "forwards: not reported" in told
    assert "visible tokens: not reported" in told
    assert "null" not in told
    assert "NaN" not in told


def test_the_dial_goes_through_the_efforts(page: Page) -> None:
    mercury = next(
        text
        for text in page.locator(".explorer select").first.locator("option").all_inner_texts()
        if text.startswith("Mercury 2")
    )
    page.locator(".explorer select").first.select_option(mercury)
    buttons = page.locator(".explorer .ticks button").all_inner_texts()
    assert buttons == [f"reasoning effort {word}" for word in EFFORTS]
    stats = page.locator(".explorer .stats").inner_text()
    assert "not reported" in stats
    assert "each" not in stats


def test_the_drawer_of_a_point_says_what_is_not_reported(page: Page) -> None:
    page.locator(".frontier svg.chart").last.locator(".point").first.press("Enter")
    drawer = page.locator("#drawer")
    assert "not reported" in drawer.inner_text()
    assert "API" in drawer.inner_text()


def test_the_race_names_the_tier(page: Page) -> None:
    heads = page.locator(".race .lane h4").all_inner_texts()
    assert any(head.startswith("Made-up AR (prompt lookup, dynamic cache)") for head in heads)


def test_nothing_is_wider_than_the_screen(page: Page) -> None:
    width = page.evaluate("document.documentElement.scrollWidth")
    assert width <= page.evaluate("innerWidth")
