"""Debian's Chromium, driven by Playwright."""

import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, sync_playwright

from tests.conftest import ServedHouse, missing
from tests.pages.browsing import Visit, Visitor, new_visitor

ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
ARGUMENTS += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    path = shutil.which("chromium")
    if path is None:
        missing("Chromium: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def visit(browser: Browser, sqlite_house: ServedHouse) -> Iterator[Visit]:
    """`visit()` is somebody new at the door of a house of their own."""
    visitors: list[Visitor] = []

    def enter(**options: object) -> Visitor:
        visitors.append(new_visitor(browser, sqlite_house, **options))
        return visitors[-1]

    yield enter
    for visitor in visitors:
        visitor.context.close()


@pytest.fixture
def visitor(visit: Visit) -> Visitor:
    """Somebody who has not signed in."""
    return visit()
