"""The report's page in a real browser: what it shows and does, in every light."""

import csv
import io
import re
import struct
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from browser_page import PHONE, Opener, Report, section, texts
from page_frames import AUTOREGRESSIVE, CODE, DIFFUSION, ERROR, FACTS, HOSTILE, STEPS
from playwright.sync_api import Download


def test_a_card_says_who_is_better_when_and_how_surely(visit: Opener) -> None:
    page = visit().page
    code = page.locator(f'.card:has-text("{CODE}")').inner_text()
    assert "Autoregressive is better: no diffusion setting scores as high" in code
    assert re.search(rf"{AUTOREGRESSIVE}\s+98.4 %\s+[\d.]+ to [\d.]+\s+(49|50)\.\d ms", code)
    assert re.search(rf"{DIFFUSION}\s+8 steps\s+85.9 %", code)
    assert "Sure." in code
    facts = page.locator(f'.card:has-text("{FACTS}")')
    assert facts.count() == 2
    for text in facts.all_inner_texts():
        assert re.search(r"Diffusion is better: 2\.\d+x faster at matched quality", text)
        assert "Likely, not proven." in text
        assert "2 steps" in text
    page.locator(f'.card a:text-is("{CODE}")').click()
    assert page.evaluate("document.activeElement.querySelector('h2').textContent") == CODE


@pytest.mark.parametrize("wanted", [CODE, FACTS])
def test_a_filter_leaves_one_suite_and_stands_in_the_address(visit: Opener, wanted: str) -> None:
    page = visit().page
    page.locator(".filters summary").click()
    page.get_by_role("button", name=wanted, exact=True).first.click()
    assert set(texts(page, "section.suite h2")) == {wanted}
    assert {x.split("\n")[0] for x in texts(page, ".card")} == {wanted}
    assert set(texts(page, "#leaderboard h3")) == {wanted}
    assert all(wanted in x for x in texts(page, ".wrong summary"))
    again = visit(page.evaluate("location.hash")).page
    assert set(texts(again, "section.suite h2")) == {wanted}
    again.get_by_role("button", name="All", exact=True).first.click()
    assert len(texts(again, "section.suite h2")) == 3
    assert again.evaluate("location.hash") == ""


def test_models_and_machines_are_filtered_everywhere(visit: Opener) -> None:
    page = visit("#model=Made-up+diffusion&place=laptop+%2F+transformers+5.23+float32").page
    assert set(texts(page, "#leaderboard tbody tr td:first-child")) == {DIFFUSION}
    series = page.locator(".charts .point:visible").evaluate_all(
        "all => all.map(p => p.dataset.series)"
    )
    assert set(series) <= {DIFFUSION}
    assert series
    assert texts(page, ".card") == []
    assert "choose both to see it" in page.locator("#look").inner_text()
    assert texts(page, ".race") == []
    assert set(texts(page, "figure .place")) == {"laptop / transformers 5.23 float32"}
    assert all(x.startswith("laptop") for x in texts(page, "#leaderboard caption"))


def test_an_unknown_name_in_the_address_does_nothing(visit: Opener) -> None:
    assert len(texts(visit("#suite=Nothing&model=Nobody").page, "section.suite h2")) == 3


def test_the_drawer_says_everything_of_a_point(visit: Opener) -> None:
    page = visit().page
    point = page.locator(f'{section(CODE)} .frontier .point[data-dial="4"]')
    point.click()
    drawer = page.locator("#drawer")
    said = drawer.inner_text()
    for wanted in (
        f"{DIFFUSION}, 4 steps",
        "settings.gen_length",
        "token positions processed",
        "0123456789abcdef",
        "feedface",
        "float32",
        "laptop",
        f"{CODE}-{DIFFUSION}-4-laptop-quality-16".replace(" ", "_"),
        'dllm-eval run --model dllm --model_args \'{"pretrained": "made-up", "steps": 4}\'',
        "AUP of the series",
        "cheapest acceptable setting",
    ):
        assert wanted in said
    assert re.search(r"quality\s+\d+\.\d % \(95 % interval", said)
    drawer.get_by_role("button", name="Close").click()
    assert not drawer.is_visible()
    # Pressing a point turned the dial of its suite as well.
    assert page.locator(section(CODE)).locator(".stats dd").nth(2).inner_text().startswith("4")


def test_every_row_of_a_leaderboard_opens_its_own_details(visit: Opener) -> None:
    page = visit().page
    for row in page.locator("#leaderboard tbody tr").all():
        shown = row.inner_text().split("\t")
        row.get_by_role("button").click()
        title, said = (
            page.locator("#drawer-title").inner_text(),
            page.locator("#drawer").inner_text(),
        )
        assert title.startswith(shown[0])
        assert shown[1] == "–" or f", {shown[1]} " in title
        assert f"\t{shown[2]}" in said or f"{shown[2]} (95" in said
        page.keyboard.press("Escape")


def test_failures_name_their_reason_and_wrong_answers_can_be_read(visit: Opener) -> None:
    page = visit().page
    failures = page.locator("#failures")
    first, second = failures.locator("tbody tr").all_inner_texts()
    assert ERROR in first
    assert "failed:" in first
    assert "steps = 64" in first
    assert "not finished" in second
    assert "1 of them because they failed" in page.locator("main > .note").inner_text()
    failures.locator("summary").first.click()
    assert "prompt" in failures.locator(".canvas:visible").first.inner_text()
    assert (
        failures.locator("summary").first.inner_text().startswith(f"{CODE}: {DIFFUSION}, 8 steps")
    )


def test_the_list_of_wrong_answers_leaves_the_marks_alone(visit: Opener) -> None:
    page = visit().page
    suite = page.locator(section(CODE))
    suite.get_by_label("Sample answer").select_option(index=2)
    mark = suite.locator(".explorer .mark.wrong")
    assert mark.all_inner_texts() == ["✗ incorrect"]
    page.evaluate("listWrong()")
    assert mark.all_inner_texts() == ["✗ incorrect"]
    assert page.locator("#failures .wrong details").count() > 1


def test_sorting_begins_with_the_best(visit: Opener) -> None:
    page = visit(f"#suite={CODE}").page
    board = page.locator("#leaderboard .boards:visible")
    for name, order in (("p50 latency", "ascending"), ("quality", "descending")):
        head = board.get_by_role("button", name=name, exact=True)
        head.click()
        assert head.locator("..").get_attribute("aria-sort") == order
    heads = [x.split(" ▼")[0] for x in board.locator("thead th").all_inner_texts()]
    assert heads[2:7] == ["quality", "95 % interval", "p50 latency", "latency 95 %", "against AR"]


def test_batch_sizes_and_lengths_have_their_panels(visit: Opener) -> None:
    page = visit().page
    panels = page.locator(f"{section(CODE)} .multiples figure")
    titles = panels.locator("figcaption").all_inner_texts()
    assert titles == ["Throughput by batch size", "Latency by length of the answer"]
    marks = panels.first.locator(".point")
    # Five settings at two batch sizes.
    assert marks.count() == 10
    words = marks.evaluate_all("all => all.map(p => p.getAttribute('aria-label'))")
    assert {re.sub(r".*\n(batch size \d).*", r"\1", x) for x in words} == {
        "batch size 1",
        "batch size 4",
    }
    assert all("visible tokens/s" in x for x in words)
    alone = visit(f"#suite={CODE}&model={AUTOREGRESSIVE}").page
    assert alone.locator(".multiples figure").first.locator(".point").count() == 2


def saved(download: Download) -> bytes:
    return Path(download.path()).read_bytes()


def test_the_leaderboard_is_saved_as_it_was_written(visit: Opener, report: Report) -> None:
    page = visit().page
    with page.expect_download() as all_of_it:
        page.get_by_role("button", name="Download as CSV").click()
    assert all_of_it.value.suggested_filename == "leaderboard.csv"
    assert saved(all_of_it.value).decode() == report.leaderboard_csv
    wanted = list(csv.DictReader(io.StringIO(report.leaderboard_csv)))
    few = visit("#suite=Facts%2C+made+up&model=Made-up+AR").page
    with few.expect_download() as part:
        few.get_by_role("button", name=re.compile(r"Download as CSV \(2 of \d+ rows\)")).click()
    rows = list(csv.DictReader(io.StringIO(saved(part.value).decode())))
    assert rows == [x for x in wanted if x["suite"] == FACTS and x["model"] == AUTOREGRESSIVE]
    assert len(rows) == 2


def test_a_chart_is_saved_as_svg_and_as_png(visit: Opener) -> None:
    page = visit(f"#suite={CODE}").page
    with page.expect_download() as drawn:
        page.get_by_role("button", name=f"Download the chart frontier {CODE} as SVG").click()
    assert drawn.value.suggested_filename == "frontier-code-made-up.svg"
    root = ElementTree.fromstring(saved(drawn.value))
    name = "{http://www.w3.org/2000/svg}"
    words = {x.text for x in root.iter(f"{name}text")}
    assert words >= {*map(str, STEPS), DIFFUSION, AUTOREGRESSIVE}
    assert words >= {
        f"{CODE}: quality against latency",
        "laptop / transformers 5.23 float32",
        "quality (acc)",
    }
    assert all(x.get("fill", "").startswith(("rgb", "none")) for x in root.iter(f"{name}text"))
    assert b"var(" not in saved(drawn.value)
    with page.expect_download() as painted:
        page.get_by_role("button", name=f"Download the chart frontier {CODE} as PNG").click()
    image = saved(painted.value)
    assert image[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = struct.unpack(">II", image[16:24])
    assert (width, height) == (2 * int(root.get("width", "0")), 2 * int(root.get("height", "0")))
    assert len(image) > 10_000


def test_text_of_models_does_nothing(visit: Opener) -> None:
    page = visit().page
    for summary in page.locator(".wrong summary").all():
        summary.click()
    assert page.evaluate("window.harmed") is None
    assert page.locator("main img").count() == 0
    shown = page.locator(f"{section(CODE)} .explorer .canvas .set").first
    assert shown.text_content() == HOSTILE
    assert HOSTILE in (page.locator(".wrong .canvas").first.text_content() or "")


@pytest.mark.parametrize("options", [{}, {"has_touch": True, "is_mobile": True}])
def test_a_phone_never_scrolls_sideways(visit: Opener, options: dict[str, Any]) -> None:
    page = visit(size=PHONE, **options).page
    page.locator(".filters summary").click()
    for summary in page.locator("#failures summary, #provenance summary").all():
        summary.click()
    assert page.evaluate("document.documentElement.scrollWidth") == PHONE[0]
    page.locator(f'{section(CODE)} .frontier .point[data-dial="4"]').click()
    assert page.evaluate("document.getElementById('drawer').scrollWidth") <= PHONE[0]


def test_paper_is_white_and_has_no_controls(visit: Opener) -> None:
    page = visit(color_scheme="dark").page
    page.emulate_media(media="print", color_scheme="dark")
    white = "() => getComputedStyle(document.body).backgroundColor === 'rgb(255, 255, 255)'"
    page.wait_for_function(white)
    for selector in (".race", ".filters", ".control", "nav", ".tools"):
        assert texts(page, selector) == []
    assert len(texts(page, ".card")) == 4
    assert page.locator(".frontier svg.chart:visible").count() == 4
