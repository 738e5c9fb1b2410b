"""Who gets in, for how long, and what a session cannot be made to do."""

import re
import shutil
import socket
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, expect

from keyhouse.web.pages import sign_in
from tests.conftest import Serve, ServedHouse
from tests.pages.browsing import Visit, Visitor, csrf, new_visitor, signed_in
from tests.pages.conftest import ARGUMENTS


def test_a_project_key_leads_to_its_providers(visitor: Visitor) -> None:
    visitor.go("/")
    expect(visitor.page.get_by_role("heading", name="Sign in")).to_be_visible()
    visitor.sign_in()
    expect(visitor.page).to_have_url(visitor.house.address + visitor.providers)
    expect(visitor.page.get_by_role("heading", name="No provider yet")).to_be_visible()


def test_a_wrong_key_is_refused_without_being_repeated(visitor: Visitor) -> None:
    visitor.go("/sign-in")
    visitor.page.get_by_label("Key").fill("sk-lw-wrong-one")
    visitor.page.get_by_role("button", name="Sign in").click()
    expect(visitor.page.get_by_role("alert")).to_contain_text("opens nothing")
    assert "sk-lw-wrong-one" not in visitor.page.content()


def test_the_address_of_the_first_start_signs_in_once(visit: Visit) -> None:
    first, second = visit(), visit()
    address = f"/sign-in#once={first.house.keys.sign_in_token}"
    first.go(address)
    expect(first.page.get_by_role("heading", name="Providers")).to_be_visible()
    assert first.house.keys.sign_in_token not in first.page.url
    second.go(address)
    expect(second.page.get_by_role("alert")).to_contain_text("was used before")


def test_signing_out_ends_the_session_everywhere(visitor: Visitor) -> None:
    visitor.sign_in()
    cookie = visitor.context.cookies()[0]
    visitor.page.get_by_role("button", name="Sign out").click()
    expect(visitor.page.get_by_role("heading", name="Sign in")).to_be_visible()
    stolen = visitor.house.anonymous().get(visitor.providers, headers={"cookie": f"{cookie['name']}={cookie['value']}"})
    assert (stolen.status_code, stolen.headers["location"]) == (303, f"/sign-in?over=1&next={visitor.providers}")


def test_the_back_button_shows_nothing_of_an_ended_session(browser: Browser, sqlite_house: ServedHouse) -> None:
    executable = shutil.which("chromium")
    kept = ["--disable-back-forward-cache"]
    browser = browser.browser_type.launch(executable_path=executable, args=ARGUMENTS, ignore_default_args=kept)
    visitor = new_visitor(browser, sqlite_house)
    visitor.sign_in(sqlite_house.keys.admin_key)
    visitor.go("/organization/projects")
    visitor.page.get_by_role("link", name="My project").click()
    expect(visitor.page.get_by_role("heading", name="Providers")).to_be_visible()
    visitor.page.get_by_role("button", name="Sign out").click()
    expect(visitor.page.get_by_role("heading", name="Sign in")).to_be_visible()
    visitor.page.evaluate("history.go(-2)")
    expect(visitor.page).to_have_url(f"{sqlite_house.address}/sign-in?next=/organization/projects")
    browser.close()


def test_the_cookie_is_out_of_reach_of_scripts_and_other_sites(visitor: Visitor) -> None:
    visitor.sign_in()
    (cookie,) = visitor.context.cookies()
    assert (cookie["httpOnly"], cookie["sameSite"], cookie["path"]) == (True, "Strict", "/")
    assert visitor.page.evaluate("document.cookie") == ""


def test_behind_tls_the_cookie_travels_by_tls_alone(sqlite_house: ServedHouse) -> None:
    form = {"key": sqlite_house.keys.project_key}
    answer = sqlite_house.anonymous().post("/sign-in", data=form, headers={"x-forwarded-proto": "https"})
    assert re.search(r"^__Host-keyhouse_session=.*; HttpOnly; Max-Age=28800; .*; SameSite=strict; Secure$", answer.headers["set-cookie"])


@pytest.mark.parametrize(("proxies", "believed"), [("127.0.0.0/8", True), ("10.0.0.1, 192.168.0.0/16", False), ("*", True)])
def test_what_a_proxy_says_is_believed_of_those_that_a_setting_names(serve: Serve, proxies: str, believed: bool) -> None:
    house = serve(trusted_proxies=proxies)
    answer = house.anonymous().post("/sign-in", data={"key": house.keys.project_key}, headers={"x-forwarded-proto": "https"})
    assert answer.headers["set-cookie"].endswith("; Secure") is believed


def test_behind_tls_a_cookie_that_a_neighbouring_host_may_have_set_signs_nobody_in(sqlite_house: ServedHouse) -> None:
    client = signed_in(sqlite_house, sqlite_house.keys.project_key)
    planted = {"cookie": f"keyhouse_session={client.cookies['keyhouse_session']}"}
    client.cookies.clear()
    assert client.get("/", headers=planted).headers["location"].startswith("/projects/")
    assert client.get("/", headers={**planted, "x-forwarded-proto": "https"}).headers["location"].startswith("/sign-in")


def test_signing_in_leads_to_the_page_that_was_asked_for(visitor: Visitor) -> None:
    visitor.go(f"{visitor.providers}/openai/history?page=2")
    visitor.page.get_by_label("Key").fill("sk-lw-wrong-one")
    visitor.page.get_by_role("button", name="Sign in").click()
    expect(visitor.page.get_by_role("alert")).to_contain_text("opens nothing")
    visitor.page.get_by_label("Key").fill(visitor.house.keys.project_key)
    visitor.page.get_by_role("button", name="Sign in").click()
    expect(visitor.page).to_have_url(f"{visitor.house.address}{visitor.providers}/openai/history")


def test_signing_in_leads_nowhere_that_the_key_does_not_open(sqlite_house: ServedHouse) -> None:
    project = sqlite_house.keys.project_id
    other = sqlite_house.client(sqlite_house.keys.admin_key).post(
        "/api/projects", json={"name": "Other", "language": "other", "framework": "other", "newTeamName": "Other"}
    )
    odd = (
        "//evil.example/x",
        "https://evil.example/projects/project_1/try",
        "/\\evil.example",
        "/api/projects",
        "/sign-out",
        "javascript:x",
        "/projects/../x",
    )
    live = f"/projects/{project}/providers/openai/live-models"
    for place in (*odd, live, "/organization/keys", f"/projects/{other.json()['id']}/providers", "/organization/teams", "http://["):
        answer = sqlite_house.anonymous().post("/sign-in", data={"key": sqlite_house.keys.project_key, "next": place})
        assert (place, answer.headers["location"]) == (place, "/")
    answer = sqlite_house.anonymous().post("/sign-in", data={"key": sqlite_house.keys.project_key, "next": f"/projects/{project}/try"})
    assert answer.headers["location"] == f"/projects/{project}/try"


def test_a_link_on_another_site_finds_whoever_is_signed_in(visitor: Visitor) -> None:
    visitor.sign_in()
    address = f"{visitor.house.address}{visitor.providers}/openai/history"
    visitor.context.route(
        "http://elsewhere.example/", lambda route: route.fulfill(body=f"<a href='{address}'>there</a>", content_type="text/html")
    )
    visitor.page.goto("http://elsewhere.example/")
    visitor.page.get_by_role("link", name="there").click()
    expect(visitor.page.get_by_role("heading", name="History of OpenAI")).to_be_visible()
    expect(visitor.page).to_have_url(address)
    visitor.page.get_by_role("button", name="Sign out").click()
    visitor.page.goto("http://elsewhere.example/")
    visitor.page.get_by_role("link", name="there").click()
    expect(visitor.page.get_by_role("heading", name="Sign in")).to_be_visible()


def test_a_link_on_another_site_starts_no_test(visitor: Visitor) -> None:
    assert (
        visitor.house.client().put("/api/model-providers/openai", json={"enabled": True, "customKeys": {"OPENAI_API_KEY": "k"}}).is_success
    )
    visitor.sign_in()
    address = f"{visitor.house.address}{visitor.providers}?saved=openai&test=openai"
    visitor.context.route(
        "http://elsewhere.example/", lambda route: route.fulfill(body=f"<a href='{address}'>there</a>", content_type="text/html")
    )
    visitor.page.goto("http://elsewhere.example/")
    visitor.page.get_by_role("link", name="there").click()
    expect(visitor.page.get_by_text("Not tested yet.")).to_be_visible()
    expect(visitor.page).to_have_url(f"{visitor.house.address}{visitor.providers}")


def test_the_database_holds_no_token_that_signs_in(visitor: Visitor) -> None:
    visitor.sign_in()
    value = visitor.context.cookies()[0]["value"].encode()
    stored = b"".join(path.read_bytes() for path in visitor.house.settings.data_dir.iterdir())
    assert value not in stored
    assert visitor.house.keys.sign_in_token.encode() not in stored


def test_a_revoked_key_ends_its_sessions(visitor: Visitor) -> None:
    admin = visitor.house.client(visitor.house.keys.admin_key)
    made = admin.post("/api/api-keys", json={"keyType": "service", "name": "for the browser"}).json()
    visitor.sign_in(made["token"])
    visitor.go(visitor.providers)
    expect(visitor.page.get_by_role("heading", name="Providers")).to_be_visible()
    assert admin.delete(f"/api/api-keys/{made['apiKey']['id']}").status_code == 200
    visitor.go(visitor.providers)
    expect(visitor.page.get_by_text("Your session is over")).to_be_visible()


def test_a_password_manager_tells_the_key_that_signs_in_from_those_of_providers(visitor: Visitor) -> None:
    names = "form => [...form.querySelectorAll('[autocomplete=username]')].map(input => [input.value, input.name, input.checkVisibility()])"
    of_secrets = "form => [...new Set([...form.querySelectorAll('[type=password]')].map(input => input.autocomplete))]"
    visitor.go("/sign-in")
    form = visitor.page.locator("form")
    assert (form.evaluate(names), form.evaluate(of_secrets)) == ([["Keyhouse", "", False]], ["current-password"])
    visitor.sign_in()
    visitor.go(f"{visitor.providers}/bedrock")
    form = visitor.page.locator("form[data-changes]")
    visitor.page.get_by_role("button", name="Header", exact=True).click()
    assert (form.evaluate(names), form.evaluate(of_secrets)) == ([["Bedrock of My project", "", False]], ["new-password"])


@pytest.mark.parametrize("sent", ["none", "wrong", "another session's"])
def test_a_write_needs_the_token_of_its_session(sqlite_house: ServedHouse, sent: str) -> None:
    project = f"/projects/{sqlite_house.keys.project_id}/providers"
    mine, other = (signed_in(sqlite_house, sqlite_house.keys.project_key) for _ in range(2))
    form = {"none": {}, "wrong": {"csrf": "0" * 64}, "another session's": {"csrf": csrf(other, project)}}[sent]
    assert mine.post(f"{project}/openai/enabled", data={"enabled": "true", **form}).status_code == 403
    assert sqlite_house.client().get("/api/model-providers/openai").json()["enabled"] is False
    assert mine.post(f"{project}/openai/enabled", data={"enabled": "true", "csrf": csrf(mine, project)}).status_code == 303
    assert sqlite_house.client().get("/api/model-providers/openai").json()["enabled"] is True


@pytest.mark.parametrize(
    "headers",
    [
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        *({"origin": origin} for origin in ("https://elsewhere.example", "null", "http://[", "https://[::1")),
    ],
)
def test_what_another_site_sends_is_refused(sqlite_house: ServedHouse, headers: dict[str, str]) -> None:
    project = f"/projects/{sqlite_house.keys.project_id}/providers"
    client = signed_in(sqlite_house, sqlite_house.keys.project_key)
    form = {"enabled": "true", "csrf": csrf(client, project)}
    assert client.post(f"{project}/openai/enabled", data=form, headers=headers).status_code == 403
    assert client.post("/sign-in", data={"key": sqlite_house.keys.project_key}, headers=headers).status_code == 403


def test_a_form_of_the_own_site_is_taken_over_plain_http_too(sqlite_house: ServedHouse) -> None:
    for headers in ({"origin": sqlite_house.address}, {"sec-fetch-site": "same-origin", "origin": "null"}, {"sec-fetch-site": "none"}):
        answer = sqlite_house.anonymous().post("/sign-in", data={"key": sqlite_house.keys.project_key}, headers=headers)
        assert answer.status_code == 303


def test_signing_in_anew_ends_the_session_before(sqlite_house: ServedHouse) -> None:
    client, place = signed_in(sqlite_house, sqlite_house.keys.project_key), f"/projects/{sqlite_house.keys.project_id}/providers"
    before = {"cookie": f"keyhouse_session={client.cookies['keyhouse_session']}"}
    assert sqlite_house.anonymous().get(place, headers=before).status_code == 200
    assert client.post("/sign-in", data={"key": sqlite_house.keys.admin_key}).status_code == 303
    assert client.get(place).status_code == 200
    assert sqlite_house.anonymous().get(place, headers=before).headers["location"].startswith("/sign-in?over=1")


def test_signing_out_leaves_nothing_in_the_browser(sqlite_house: ServedHouse) -> None:
    client = signed_in(sqlite_house, sqlite_house.keys.project_key)
    answer = client.post("/sign-out", data={"csrf": csrf(client, f"/projects/{sqlite_house.keys.project_id}/providers")})
    cleared = sorted(cookie.partition(";")[0] for cookie in answer.headers.get_list("set-cookie") if "Max-Age=0" in cookie)
    assert cleared == ['__Host-keyhouse_session=""', 'keyhouse_session=""']
    assert answer.headers["clear-site-data"] == '"storage"'


@pytest.mark.parametrize(
    ("content_type", "body", "status"),
    [
        ("application/json", b'{"key":"a"}', 400),
        ("multipart/form-data; boundary=a", b"--a--", 400),
        ("application/x-www-form-urlencoded", b"key=\xff", 400),
        ("application/x-www-form-urlencoded", b"key=" + b"a" * 8 * 1024, 413),
    ],
)
def test_what_is_no_form_of_the_pages_is_refused(sqlite_house: ServedHouse, content_type: str, body: bytes, status: int) -> None:
    answer = sqlite_house.anonymous().post("/sign-in", content=body, headers={"content-type": content_type})
    assert (answer.status_code, answer.headers["content-type"]) == (status, "text/html; charset=utf-8")


@pytest.mark.parametrize(("body", "status"), [(b"a&" * 20_001, 400), (b"key=" + b"a" * 1024 * 1024, 413)])
def test_nor_are_forms_of_those_who_are_signed_in_of_any_size(sqlite_house: ServedHouse, body: bytes, status: int) -> None:
    client = signed_in(sqlite_house, sqlite_house.keys.project_key)
    answer = client.post("/sign-out", content=body, headers={"content-type": "application/x-www-form-urlencoded"})
    assert answer.status_code == status


def test_guessing_is_slowed_down(sqlite_house: ServedHouse) -> None:
    client = sqlite_house.anonymous()
    answers = [client.post("/sign-in", data={"key": f"guess {number}"}) for number in range(21)]
    assert [answer.status_code for answer in answers] == [401] * 20 + [429]
    assert int(answers[-1].headers["retry-after"]) > 0
    elsewhere = client.post("/sign-in", data={"key": "guess"}, headers={"x-forwarded-for": "203.0.113.7"})
    assert elsewhere.status_code == 401


def test_behind_tls_of_which_a_proxy_says_nothing_the_origin_tells(sqlite_house: ServedHouse) -> None:
    origin = sqlite_house.address.replace("http://", "https://")
    answer = sqlite_house.anonymous().post("/sign-in", data={"key": sqlite_house.keys.project_key}, headers={"origin": origin})
    assert answer.headers["set-cookie"].endswith("; Secure")


def test_a_form_that_does_not_come_to_its_end_is_not_waited_for(sqlite_house: ServedHouse, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sign_in, "FORM_WITHIN_S", 0.05)
    address = urlsplit(sqlite_house.address)
    head = "POST /sign-in HTTP/1.1\r\nhost: keyhouse\r\ncontent-type: application/x-www-form-urlencoded\r\ncontent-length: 100\r\n\r\n"
    with socket.create_connection((address.hostname, address.port), 20) as connection:
        connection.sendall(f"{head}key=sk-lw-".encode())
        assert connection.recv(1000).startswith(b"HTTP/1.1 400 ")


def test_a_session_opens_no_project_of_another_organization(sqlite_house: ServedHouse) -> None:
    instance = sqlite_house.anonymous()
    instance.headers["authorization"] = f"Bearer {sqlite_house.settings.admin_key.get_secret_value()}"  # type: ignore[union-attr]
    other = instance.post("/api/organizations", json={"name": "Other"}).json()
    client = signed_in(sqlite_house, other["adminApiKey"]["token"])
    answer = client.get(f"/projects/{sqlite_house.keys.project_id}/providers")
    assert (answer.status_code, "Project not found" in answer.text) == (404, True)
