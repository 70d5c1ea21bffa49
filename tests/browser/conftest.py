"""A headless browser and a page made from results whose story is known."""

from collections.abc import Iterator
from typing import Any

import pytest
from browser_page import DESKTOP, FLAGS, Opener, Report, Visit, chromium
from page_frames import PageFrames, page_frames
from playwright.sync_api import Browser, BrowserContext, Request, sync_playwright

from dllm_eval.report.leaderboard import table
from dllm_eval.report.render import page as render
from dllm_eval.report.suite_table import Frames
from dllm_eval.report.suite_tables import suite_tables
from dllm_eval.stats.analysis import analyse
from dllm_eval.stats.tables import task_tables


@pytest.fixture(scope="session")
def frames() -> PageFrames:
    return page_frames()


@pytest.fixture(scope="session")
def report(frames: PageFrames, tmp_path_factory: pytest.TempPathFactory) -> Report:
    tables = tuple(task_tables(frames.cells, frames.requests, frames.scores))
    analyses = [analyse(x) for x in tables]
    added = suite_tables(
        Frames(cells=frames.cells, requests=frames.requests, scores=frames.scores, tables=tables)
    )
    out = tmp_path_factory.mktemp("page") / "index.html"
    out.write_text(
        render(analyses, [], None, cells=frames.cells, suite_tables=added), encoding="utf-8"
    )
    written = table(analyses).to_csv(index=False, lineterminator="\n")
    return Report(url=out.as_uri(), leaderboard_csv=written)


# Of the module, not of the session: playwright's event loop would stay in the way of later tests.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    path = chromium()
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield started
        started.close()


@pytest.fixture
def visit(browser: Browser, report: Report) -> Iterator[Opener]:
    """Opens the page; at the end no message was written and nothing was asked for."""
    contexts: list[BrowserContext] = []
    visits: list[Visit] = []

    def opened(fragment: str = "", *, size: tuple[int, int] = DESKTOP, **options: Any) -> Visit:
        width, height = size
        context = browser.new_context(viewport={"width": width, "height": height}, **options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(20000)
        seen = Visit(page=page)
        visits.append(seen)

        def asked(request: Request) -> None:
            # Files that the page makes itself come from its own memory.
            if not request.url.startswith(("blob:", "data:", report.url)):
                seen.requests.append(request.url)

        page.on("request", asked)
        page.on("console", lambda message: seen.messages.append(message.text))
        page.on("pageerror", lambda error: seen.messages.append(str(error)))
        page.goto(report.url + fragment)
        return seen

    yield opened
    for context in contexts:
        context.close()
    assert [(x.messages, x.requests) for x in visits] == [([], [])] * len(visits)
