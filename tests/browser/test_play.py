"""The dial and the race of a suite, in a real browser."""

import re
from typing import Any

import pytest
from browser_page import PHONE, Opener, section
from page_frames import AUTOREGRESSIVE, CODE, DIFFUSION, FACTS
from playwright.sync_api import Page


def test_turning_the_dial_makes_the_same_answer_rougher(visit: Opener) -> None:
    page = visit().page
    suite = page.locator(section(CODE))
    dial, canvas = suite.get_by_label("Dial (steps)"), suite.locator(".explorer .canvas").first
    assert suite.locator(".stats dd").nth(2).inner_text().startswith("8")
    dial.focus()
    page.keyboard.press("Home")
    assert suite.locator(".stats dd").nth(2).inner_text().startswith("1")
    assert (
        suite.get_by_role("button", name="1 step", exact=True).get_attribute("aria-pressed")
        == "true"
    )
    at_once = canvas.locator(".set").evaluate_all("all => all.map(t => t.style.background)")
    page.keyboard.press("End")
    in_turn = canvas.locator(".set").evaluate_all("all => all.map(t => t.style.background)")
    assert (len(at_once), len(in_turn)) == (12, 12)
    assert len(set(at_once)) == 1
    assert len(set(in_turn)) == 8
    step = suite.get_by_label("Denoising step")
    step.focus()
    page.keyboard.press("Home")
    assert canvas.locator(".set").count() == 0
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    # Token i is set at step floor(8 i / 12): three by the second step.
    assert canvas.locator(".set").count() == 3
    page.get_by_role("button", name="▶ Play").first.click()
    page.wait_for_function(
        "() => document.querySelectorAll('.explorer .canvas .unset').length === 0"
    )


def test_a_finger_turns_the_dial(visit: Opener) -> None:
    page = visit(size=PHONE, has_touch=True, is_mobile=True).page
    suite = page.locator(section(CODE))
    tick = suite.get_by_role("button", name="2 steps", exact=True)
    tick.scroll_into_view_if_needed()
    box = tick.bounding_box()
    assert box is not None
    assert box["height"] >= 44
    tick.tap()
    assert suite.locator(".stats dd").nth(2).inner_text().startswith("2")


def race_at(page: Page, suite: str, dial: str) -> Any:
    host = page.locator(section(suite)).locator(".race")
    host.get_by_label("Diffusion at").select_option(label=dial)
    host.get_by_label("Shown in").select_option(label="real time")
    return host


@pytest.mark.parametrize(("dial", "first"), [("2 steps", DIFFUSION), ("8 steps", AUTOREGRESSIVE)])
def test_the_race_ends_with_both_answers_the_faster_first(
    visit: Opener, dial: str, first: str
) -> None:
    page = visit().page
    host = race_at(page, CODE, dial)
    assert host.locator(".set").count() == 0
    assert "this very request took" in host.inner_text()
    host.get_by_label("Shown in").select_option(label="10 times slower")
    # From here on time stands still, but for what the test lets go by.
    page.clock.install(time=0)
    page.clock.pause_at(1000)
    host.get_by_role("button", name="▶ Start").click()
    # The faster side takes 20 or 50 ms, the slower 50 or 80 ms.
    page.clock.run_for(350 if dial == "2 steps" else 650)
    assert host.locator(".lane.done h4").inner_text().startswith(first)
    assert host.locator(".outcome").inner_text() == ""
    page.clock.run_for(300)
    outcome = host.locator(".outcome").inner_text()
    assert outcome.startswith(first)
    assert "finished first" in outcome
    seconds = [float(x) for x in re.findall(r"([\d.]+) ms", outcome)]
    assert seconds == sorted(seconds)
    assert host.locator(".lane.done").count() == 2
    assert host.locator(".unset").count() == 0
    host.get_by_role("button", name="Restart").click()
    page.clock.run_for(100)
    assert host.locator(".lane.done").count() == 0
    # A frame lasts 16 ms, and ten times slower 1.6 ms on the clock.
    assert float(host.locator(".clock").inner_text().removesuffix(" ms")) == pytest.approx(
        10, abs=2
    )
    host.get_by_role("button", name="Pause").click()
    at = host.locator(".clock").inner_text()
    page.clock.run_for(500)
    assert host.locator(".clock").inner_text() == at


def test_no_button_moves_while_the_race_runs(visit: Opener) -> None:
    page = visit().page
    host = race_at(page, CODE, "8 steps")
    places = set()
    for share in (0, 1, 37, 333, 999, 1000):
        host.get_by_label("Clock").fill(str(share))
        places.add(str(host.get_by_role("button", name="↺ Restart").bounding_box()))
    host.get_by_label("Shown in").select_option(label="1000 times slower")
    host.get_by_role("button", name="▶ Start").click()
    places.add(str(host.get_by_role("button", name="↺ Restart").bounding_box()))
    assert len(places) == 1


def test_a_document_that_was_not_timed_is_raced_at_the_median(visit: Opener) -> None:
    page = visit().page
    answers = page.evaluate("DATA.flatMap(e => e.samples).flatMap(s => s.ladder)")
    assert {answer["timed"] for answer in answers} >= {True}
    untimed = {**answers[0], "timed": False}
    said = page.evaluate("a => measured(a)", untimed)
    assert said.startswith("this document was not timed: the setting's median, ")


def test_less_motion_shows_the_end_of_the_race_at_once(visit: Opener) -> None:
    page = visit(reduced_motion="reduce").page
    host = race_at(page, CODE, "8 steps")
    host.get_by_label("Shown in").select_option(label="1000 times slower")
    host.get_by_role("button", name="▶ Start").click()
    assert "finished first" in host.locator(".outcome").inner_text()
    assert "the slider shows any moment" in host.inner_text()
    host.get_by_label("Clock").focus()
    page.keyboard.press("Home")
    assert host.locator(".set").count() == 0


def test_a_point_of_another_machine_turns_the_dial_to_that_machine(visit: Opener) -> None:
    page = visit().page
    suite = page.locator(section(FACTS))
    suite.locator('.frontier .point[data-dial="4"]').last.click()
    assert "server" in page.locator("#drawer").inner_text()
    page.keyboard.press("Escape")
    assert (
        suite.get_by_label("Setting").input_value().endswith("server / transformers 5.23 float32")
    )
    suite.locator(".play > summary").click()
    assert suite.locator(".stats dd").nth(2).inner_text().startswith("4")
    assert suite.locator(".point.now").count() == 1
    page.set_viewport_size({"width": 700, "height": 900})
    page.wait_for_function("() => document.querySelector('.frontier svg.chart').clientWidth < 700")
    assert suite.locator('.point.now[data-dial="4"]').count() == 1


def test_one_suite_lies_open_and_a_link_opens_another(visit: Opener) -> None:
    page = visit().page
    opened = page.locator(".play[open]")
    assert opened.locator("> summary").all_inner_texts() == [
        f"Dial, sample answers and race: {CODE}"
    ]
    page.locator(f'.card a:text-is("{FACTS}")').first.click()
    fold = page.locator(section(FACTS)).locator(".play")
    assert fold.get_attribute("open") is not None
    assert fold.locator(".explorer .canvas").first.is_visible()
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert opened.count() == page.locator(".play").count()
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert opened.count() == 2
