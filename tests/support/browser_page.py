"""Finding the headless browser, and the types that tests/browser hands around."""

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from playwright.sync_api import Page

REQUIRE = "DLLM_EVAL_REQUIRE_BROWSER"
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = [
    *("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"),
    *("--disable-component-update", "--disable-sync"),
]
PHONE = (390, 844)
DESKTOP = (1280, 900)


@dataclass(frozen=True, kw_only=True)
class Report:
    """The page as a file, and the leaderboard that `write_report` writes beside it."""

    url: str
    leaderboard_csv: str


@dataclass(kw_only=True)
class Visit:
    """One open page, with everything it said and asked for."""

    page: Page
    messages: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)


Opener = Callable[..., Visit]
"""A fragment, and as keywords `size` and options of a browser context -> the open page."""


def chromium() -> str:
    """The browser's path; skips without one, or fails where one is required."""
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is not None:
        return found
    reason = f"no browser found: none of {', '.join(NAMES)} (sh tests/browser/install.sh)"
    if os.environ.get(REQUIRE) == "1":
        pytest.fail(f"{reason}, and {REQUIRE}=1 asks for one")
    pytest.skip(reason)


def section(name: str) -> str:
    """The selector of a suite's section."""
    return f'section.suite:has(h2:text-is("{name}"))'


def texts(page: Page, selector: str) -> list[str]:
    """What stands in the visible matches."""
    return [found.inner_text() for found in page.locator(f"{selector}:visible").all()]
