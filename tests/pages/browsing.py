"""What tests of the pages share: a real browser that notes every request and every complaint, and axe-core, vendored beside this file."""

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.conftest import ServedHouse

PATIENCE_MS = 30_000
"""Far more than anything takes: what hangs fails instead."""
expect.set_options(timeout=PATIENCE_MS)
AXE = (Path(__file__).parent / "axe-core" / "axe.min.js").read_text(encoding="utf-8")


@dataclass
class Visitor:
    """A person at a browser of their own."""

    house: ServedHouse
    context: BrowserContext
    page: Page
    complaints: list[str] = field(default_factory=list)
    hosts: set[str] = field(default_factory=set)
    pages: list[str] = field(default_factory=list)

    def go(self, path: str) -> None:
        self.page.goto(self.house.address + path)

    def sign_in(self, key: str | None = None) -> None:
        self.go("/sign-in")
        self.page.get_by_label("Key").fill(key or self.house.keys.project_key)
        self.page.get_by_role("button", name="Sign in").click()
        self.page.wait_for_url(lambda url: "/sign-in" not in url)

    @property
    def providers(self) -> str:
        return f"/projects/{self.house.keys.project_id}/providers"


Visit = Callable[..., Visitor]


def new_visitor(browser: Browser, house: ServedHouse, **options: Any) -> Visitor:
    context = browser.new_context(**options)
    context.set_default_timeout(PATIENCE_MS)
    visitor = Visitor(house, context, context.new_page())
    context.on("request", lambda request: visitor.hosts.add(urlsplit(request.url).netloc))
    visitor.page.on("console", lambda message: visitor.complaints.append(message.text) if message.type == "error" else None)
    visitor.page.on("pageerror", lambda error: visitor.complaints.append(str(error)))
    return visitor


def serious(page: Page, but: Collection[str] = ()) -> list[str]:
    """What axe-core finds on a page and calls more than minor. `but` names rules that are left aside."""
    page.evaluate(AXE)
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    bad = [entry for entry in found["violations"] if entry["impact"] != "minor" and entry["id"] not in but]
    return [f"{entry['id']}: {node['html'][:160]} {node['failureSummary'][:200]}" for entry in bad for node in entry["nodes"]]


def signed_in(house: ServedHouse, key: str) -> httpx.Client:
    """A client whose cookie is that of somebody who signed in with this key."""
    client = house.anonymous()
    assert client.post("/sign-in", data={"key": key}).status_code == 303
    return client


def csrf(client: httpx.Client, path: str) -> str:
    """The token that goes with the forms of a page."""
    found = re.search(r'name="csrf" value="([0-9a-f]+)"', client.get(path).text)
    assert found is not None
    return found[1]


def edit(page: Page, name: str = "OpenAI") -> None:
    """Open the form of a provider that is stored."""
    page.get_by_role("link", name=f"Edit {name}").click()
    expect(page.get_by_role("button", name="Save", exact=True)).to_be_visible()
