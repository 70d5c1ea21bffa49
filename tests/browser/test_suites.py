"""What suites add to the page: their own tables, the protocol, verdicts, and gaps in a canvas."""

from typing import Any

from browser_page import PHONE, Opener
from page_frames import AUTOREGRESSIVE, CHOICE, CODE, FACTS, HOSTILE
from playwright.sync_api import Page

RULES = f"{CODE}: extraction rules (acc)"


def of_title(page: Page, title: str) -> Any:
    return page.locator(".suite-table", has=page.get_by_role("heading", name=title, exact=True))


def test_rules_stand_side_by_side_with_their_difference(visit: Opener) -> None:
    page = visit().page
    table = of_title(page, RULES)
    heads = ["model", "setting", "none (headline)", "fenced", "fenced less none", "changed"]
    assert table.locator("th").all_inner_texts() == heads
    row = table.locator("tbody tr", has_text="1 step").first.inner_text()
    # Every eighth of 64 documents passes under the other rule alone.
    assert "8 more, 0 less" in row
    assert "+12.5 (" in row


def test_what_became_of_the_programs_is_folded_and_opens_by_the_keyboard(visit: Opener) -> None:
    page = visit().page
    table = of_title(page, f"{CODE}: what became of the programs")
    row = table.locator("tbody tr", has_text=AUTOREGRESSIVE).first
    assert not row.is_visible()
    table.locator("summary").first.focus()
    page.keyboard.press("Enter")
    assert row.is_visible()
    assert "passed" in table.locator("thead").inner_text()


def test_texts_that_mean_harm_are_texts(visit: Opener) -> None:
    page = visit().page
    page.evaluate("for (const one of document.querySelectorAll('details')) one.open = true")
    assert HOSTILE in page.locator("#leaderboard details.protocol").first.inner_text()
    assert HOSTILE in of_title(page, f"{CHOICE}: scores by subject (acc)").inner_text()
    assert HOSTILE in page.locator("#failures .wrong h4").first.inner_text()
    assert page.evaluate("window.harmed") is None


def test_the_protocol_of_a_row_stands_in_its_drawer(visit: Opener) -> None:
    page = visit().page
    page.locator("#leaderboard .boards", has_text=CODE).locator("tbody button").first.click()
    told = page.locator("#drawer").inner_text()
    for name, value in (("benchmark", "Made up"), ("shots", "0"), ("isolation", "namespaces")):
        assert f"{name}\t{value}" in told
    assert "in full" in told


def test_a_filter_leaves_the_tables_of_one_suite(visit: Opener) -> None:
    page = visit(f"#suite={FACTS}").page
    assert not of_title(page, RULES).is_visible()
    page.goto(page.url.split("#")[0] + f"#suite={CODE}")
    assert of_title(page, RULES).is_visible()
    assert not of_title(page, f"{CHOICE}: scores by group (acc)").is_visible()


def test_wide_tables_scroll_by_themselves_on_a_phone(visit: Opener) -> None:
    page = visit(size=PHONE).page
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    region = of_title(page, RULES).locator(".scroll")
    assert region.evaluate("node => node.scrollWidth > node.clientWidth")
    region.focus()
    page.keyboard.press("ArrowRight")
    page.wait_for_function("node => node.scrollLeft > 0", arg=region.element_handle())


def test_tokens_between_gaps_are_there_from_the_start(visit: Opener) -> None:
    page = visit().page
    shown = page.evaluate(
        """() => {
            const answer = { before: "", after: "", response: "", pieces: ["a", " and ", "b", "c"],
                reveal_step: [1, -2, 0, 1], last_step: 2, visible: 2, canvas: 3, hidden: 0 };
            return [0, 1, 2].map((step) => {
                const host = document.createElement("div");
                drawCanvas(host, answer, step);
                return [...host.children].map((node) => `${node.className}:${node.textContent}`);
            });
        }"""
    )
    assert shown[0] == ["unset:·", "context: and ", "unset:·", "unset:·"]
    assert shown[1] == ["unset:·", "context: and ", "set fresh:b", "unset:·"]
    # None is crossed out: how many are visible counts the gaps' tokens alone.
    assert shown[2] == ["set:a", "context: and ", "set:b", "set:c"]


def test_the_first_column_of_a_wide_table_stays_on_a_phone(visit: Opener) -> None:
    page = visit(size=PHONE).page
    for region in (
        of_title(page, RULES).locator(".scroll"),
        page.locator("#leaderboard .scroll:visible").first,
    ):
        region.evaluate("node => { node.scrollLeft = 150; }")
        start, left, right, width = region.evaluate(
            """node => {
                const cell = node.querySelector("tbody tr").cells[0].getBoundingClientRect();
                return [node.getBoundingClientRect().left, cell.left, cell.right, node.clientWidth];
            }"""
        )
        assert abs(left - start) < 1
        # The rest of the row has room beside it.
        assert right - left < 0.45 * width
        # What scrolls goes below it.
        top = region.evaluate(
            """node => {
                const cell = node.querySelector("tbody tr").cells[0];
                cell.scrollIntoView({ block: "center" });
                const { left, top, bottom } = cell.getBoundingClientRect();
                return cell.contains(document.elementFromPoint(left + 4, (top + bottom) / 2));
            }"""
        )
        assert top
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_labels_of_points_on_one_spot_never_cover_each_other(visit: Opener) -> None:
    page = visit().page
    boxes = page.evaluate(
        """() => {
            const host = document.createElement("div");
            document.body.append(host);
            const svg = frame(host, 660, 390, "made up"), taken = [];
            for (let i = 0; i < 30; i++)
                label(svg, taken, `value ${i}`, 330 + i, 200, false, [0, 0, 660, 390]);
            const nodes = [...svg.querySelectorAll("text.value")].map((node) => node.getBBox());
            return nodes.map((box) => [box.x, box.y, box.x + box.width, box.y + box.height]);
        }"""
    )
    assert len(boxes) >= 4
    for i, one in enumerate(boxes):
        for other in boxes[:i]:
            width = min(one[2], other[2]) - max(one[0], other[0])
            height = min(one[3], other[3]) - max(one[1], other[1])
            assert width < 2 or height < 2


def test_an_axis_of_one_point_has_more_than_one_tick(visit: Opener) -> None:
    page = visit().page
    for value in (0.0031, 0.0101, 0.6, 7.3, 32):
        ticks = page.evaluate("v => logTicks(v / 1.3, v * 1.35, 9)", value)
        assert 2 <= len(ticks) <= 9
        assert all(value / 1.3 <= tick <= value * 1.35 for tick in ticks)
    assert page.evaluate("logTicks(0.004, 3, 5)") == [0.01, 0.1, 1]
