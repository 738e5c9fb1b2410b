"""What holds on every page: the policy, the secrets, the hosts, what axe-core says, and how much comes over the wire."""

import contextlib
import sqlite3
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.conftest import Serve, ServedHouse, _serving
from tests.pages.browsing import Visitor, new_visitor, serious, signed_in
from tests.pages.demo import demo_upstream
from tests.pages.tour import PLANTED, furnish, stops


@pytest.fixture(scope="module")
def furnished(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedHouse]:
    with demo_upstream() as demo, _serving(tmp_path_factory.mktemp("furnished")) as start:
        house = start()
        furnish(house, demo)
        yield house


def enter(browser: Browser, house: ServedHouse, **options: object) -> Visitor:
    visitor = new_visitor(browser, house, reduced_motion="reduce", **options)
    visitor.sign_in(house.keys.admin_key)
    return visitor


def serious_in_each_theme(page: Page) -> dict[str, list[str]]:
    """What axe-core finds on a page while it is light, and while it is dark."""
    found = {}
    for theme in ("light", "dark"):
        page.emulate_media(color_scheme=theme)
        assert page.evaluate("matchMedia('(prefers-color-scheme: dark)').matches") == (theme == "dark")
        found[theme] = serious(page)
    return {theme: problems for theme, problems in found.items() if problems}


@pytest.mark.parametrize("width", [360, 1280])
def test_axe_finds_nothing_serious(browser: Browser, furnished: ServedHouse, width: int) -> None:
    visitor = enter(browser, furnished, viewport={"width": width, "height": 900}, bypass_csp=True)
    found = {}
    for stop in stops(visitor):
        visitor.go(stop.path)
        stop.then(visitor.page)
        found[stop.name] = serious_in_each_theme(visitor.page)
    for path in (f"{visitor.providers}/add", f"{visitor.providers}/azure", "/nowhere"):
        visitor.go(path)
        found[path] = serious_in_each_theme(visitor.page)
    visitor.context.clear_cookies()
    visitor.go("/sign-in")
    found["sign-in"] = serious_in_each_theme(visitor.page)
    visitor.context.close()
    assert {name: problems for name, problems in found.items() if problems} == {}


def test_no_secret_is_in_a_page_or_in_the_browser_and_no_other_host_is_asked(browser: Browser, furnished: ServedHouse) -> None:
    visitor = enter(browser, furnished)
    answers: list[str] = []
    visitor.page.on("response", lambda response: answers.append(response.url))
    for stop in stops(visitor):
        visitor.go(stop.path)
        stop.then(visitor.page)
        html = visitor.page.content() + visitor.page.url
        kept = visitor.page.evaluate("JSON.stringify([{...localStorage}, {...sessionStorage}, document.cookie, history.state])")
        secrets = (*PLANTED, furnished.keys.project_key, furnished.keys.admin_key)
        assert [secret for secret in secrets if secret in html + kept] == []
        assert visitor.page.evaluate("indexedDB.databases().then(all => all.length)") == 0
    assert not any(secret in url for url in answers for secret in PLANTED)
    assert visitor.hosts == {furnished.address.removeprefix("http://")}
    # A refused save answers 400, of which the browser's console tells.
    assert [text for text in visitor.complaints if "400" not in text] == []
    visitor.context.close()


def test_no_page_is_wider_than_the_window(browser: Browser, furnished: ServedHouse) -> None:
    visitor = enter(browser, furnished)
    wider = []
    for stop in stops(visitor):
        visitor.go(stop.path)
        stop.then(visitor.page)
        for width in (1920, 1280, 860, 560, 360):
            visitor.page.set_viewport_size({"width": width, "height": 900})
            assert visitor.page.evaluate("innerWidth") == width
            if visitor.page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth"):
                wider.append((stop.name, width))
    visitor.context.close()
    assert wider == []


def test_the_first_load_is_light_and_files_are_kept(browser: Browser, furnished: ServedHouse) -> None:
    visitor = new_visitor(browser, furnished)
    sizes: list[int] = []
    visitor.page.on(
        "requestfinished", lambda request: sizes.append(sum(request.sizes()[part] for part in ("responseBodySize", "responseHeadersSize")))
    )
    visitor.sign_in(furnished.keys.admin_key)
    visitor.page.wait_for_load_state("networkidle")
    assert 0 < sum(sizes) <= 150_000
    files = visitor.page.evaluate("performance.getEntriesByType('resource').map(entry => entry.name)")
    for address in files:
        assert furnished.anonymous().get(address).headers["cache-control"] == "public, max-age=31536000, immutable"
    visitor.context.close()


def test_pages_bring_no_script_or_style_of_their_own(browser: Browser, furnished: ServedHouse) -> None:
    visitor = enter(browser, furnished)
    for stop in stops(visitor):
        answer = visitor.page.request.get(furnished.address + stop.path)
        policy = answer.headers["content-security-policy"]
        assert "unsafe" not in policy
        assert "default-src 'none'" in policy
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["content-encoding"] == "gzip"
        visitor.go(stop.path)
        inline = "document.querySelectorAll('script:not([src]), style, [style]').length + "
        inline += "[...document.querySelectorAll('*')].filter(e => [...e.attributes].some(a => a.name.startsWith('on'))).length"
        assert visitor.page.evaluate(inline) == 0
    visitor.context.close()


@pytest.mark.parametrize(("theme", "dark"), [("light", False), ("dark", True)])
def test_the_api_document_is_as_light_or_dark_as_the_pages(browser: Browser, furnished: ServedHouse, theme: str, dark: bool) -> None:
    visitor = new_visitor(browser, furnished, color_scheme=theme)
    visitor.go("/docs")
    expect(visitor.page.get_by_role("heading", name="Model providers")).to_be_visible()
    seen = visitor.page.evaluate("[document.body, document.documentElement].map(e => getComputedStyle(e).backgroundColor)")
    assert seen == ["rgba(0, 0, 0, 0)", "rgb(28, 32, 34)" if dark else "rgba(0, 0, 0, 0)"]
    assert visitor.page.evaluate("getComputedStyle(document.body).colorScheme") == ("dark" if dark else "normal")
    assert visitor.complaints == []
    visitor.context.close()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_api_document_can_be_read_and_used_by_keyboard(browser: Browser, furnished: ServedHouse, theme: str) -> None:
    visitor = new_visitor(browser, furnished, color_scheme=theme, bypass_csp=True, reduced_motion="reduce")
    visitor.go("/docs")
    page = visitor.page
    expect(page.get_by_role("heading", name="Model providers")).to_be_visible()
    expect(page.locator(".opblock-summary-control a[href]")).to_have_count(0)
    # Its headings and landmarks are Swagger UI's own.
    own = ("heading-order", "landmark-unique", "region")
    assert serious(page, own) == []
    page.locator(".opblock-put .opblock-summary-control").first.press("Enter")
    expect(page.locator(".opblock.is-open .microlight[tabindex='0']").first).to_be_visible()
    expect(page.get_by_role("columnheader", name="Description").first).to_be_visible()
    assert serious(page, own) == []
    page.get_by_role("button", name="Authorize").click()
    expect(page.get_by_role("button", name="Close").first).to_be_visible()
    assert set(page.locator(".auth-container input").evaluate_all("inputs => inputs.map(input => input.autocomplete)")) == {"off"}
    assert serious(page, own) == []
    visitor.context.close()


def test_a_page_that_is_not_there_says_so(serve: Serve) -> None:
    answer = serve().anonymous().get("/nowhere")
    assert (answer.status_code, "There is no such page." in answer.text) == (404, True)


@pytest.mark.parametrize(("method", "path"), [("GET", "/organization/teams"), ("GET", "/sign-out"), ("PUT", "/sign-in"), ("DELETE", "/")])
def test_an_address_that_takes_no_such_method_says_so_on_a_page(serve: Serve, method: str, path: str) -> None:
    answer = serve().anonymous().request(method, path)
    assert (answer.status_code, "There is no page at this address." in answer.text) == (405, True)
    assert method not in answer.headers["allow"]
    assert (answer.headers["cache-control"], "content-security-policy" in answer.headers) == ("no-store", True)


def test_a_page_that_fails_is_told_of_once(sqlite_house: ServedHouse, capfd: pytest.CaptureFixture[str]) -> None:
    client = signed_in(sqlite_house, sqlite_house.keys.admin_key)
    with contextlib.closing(sqlite3.connect(sqlite_house.settings.data_dir / "keyhouse.db")) as database:
        database.execute("ALTER TABLE audit_log RENAME TO gone")
        database.commit()
    answer = client.get("/organization/audit")
    assert (answer.status_code, "audit_log" in answer.text) == (500, False)
    assert "".join(capfd.readouterr()).count("request failed") == 1
