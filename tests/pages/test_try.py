"""Try it: from the first provider to a streamed answer, what is seen while it comes and where it does not, and the same call as code."""

import asyncio
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from playwright.sync_api import Page, expect

from keyhouse.web.demo_upstream import KEY as DEMO_KEY
from tests.conftest import need_curl
from tests.gateway.fault_upstream import Peer, ReceivedRequest
from tests.gateway_road import openai_api
from tests.gateway_road.upstreams import Upstream, answered_by, data_event, json_answer, response, running_upstream, stream_answer
from tests.pages.browsing import Visit, Visitor, csrf, signed_in
from tests.pages.demo import demo_upstream

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
ODD = 'It\'s "odd" & <b>bold</b>\n$HOME \\ `ls` – 😀'


def chunked(event: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(event), event)


def said(text: str) -> bytes:
    return chunked(data_event(openai_api.chunk("m", {"content": text}, None)))


@dataclass
class Gate:
    """An upstream that says "One", waits until it is let on, says " two" and ends. It knows when its caller leaves."""

    asked: threading.Event = field(default_factory=threading.Event)
    go_on: threading.Event = field(default_factory=threading.Event)
    left: threading.Event = field(default_factory=threading.Event)

    async def script(self, peer: Peer) -> None:
        await peer.request()
        await peer.send(HEAD, said("One"))
        self.asked.set()
        leaving = asyncio.create_task(peer.left())
        going = asyncio.create_task(asyncio.to_thread(self.go_on.wait, 20))
        done, _ = await asyncio.wait({leaving, going}, return_when=asyncio.FIRST_COMPLETED)
        if leaving in done:
            self.left.set()
            self.go_on.set()
            return
        end = data_event(openai_api.chunk("m", {}, "stop"))
        await peer.send(said(" two"), chunked(end), chunked(b"data: [DONE]\n\n"), b"0\r\n\r\n")


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with running_upstream(answered_by(openai_api.answer)) as running:
        yield running


@pytest.fixture
def trier(visitor: Visitor, upstream: Upstream) -> Visitor:
    """Somebody on the page, whose project has one provider with the model `assistant`, which is its default."""
    store(visitor, upstream)
    visitor.sign_in()
    visitor.go(address_of(visitor))
    return visitor


def address_of(visitor: Visitor) -> str:
    return f"/projects/{visitor.house.keys.project_id}/try"


def store(visitor: Visitor, upstream: Upstream, **further: object) -> None:
    keys = {"CUSTOM_API_KEY": openai_api.KEY, "CUSTOM_BASE_URL": f"{upstream.address}/v1"}
    body = {"enabled": True, "customKeys": keys, "customModels": ["assistant"], "defaultModel": "assistant", **further}
    answer = visitor.house.client().put("/api/model-providers/custom", json=body)
    assert answer.status_code == 200, answer.text


def send(page: Page, message: str = "Hello") -> None:
    page.get_by_label("Message").fill(message)
    page.get_by_role("button", name="Send").click()


def state(page: Page, text: str) -> None:
    expect(page.locator("[data-state]")).to_have_text(text)


def facts(page: Page) -> dict[str, str]:
    rows = page.locator("[data-facts] > div").all()
    return {row.locator("dt").inner_text(): row.locator("dd").inner_text() for row in rows}


def words(page: Page, text: str) -> None:
    expect(page.get_by_role("region", name="The model’s words")).to_have_text(text)


def test_from_signing_in_to_a_streamed_answer(visitor: Visitor) -> None:
    with demo_upstream() as address:
        visitor.sign_in()
        page = visitor.page
        page.get_by_role("link", name="Add the first provider").click()
        page.get_by_role("dialog").get_by_role("link", name="Custom (OpenAI-compatible)").click()
        page.get_by_label("Base URL").fill(f"{address}/v1")
        page.get_by_label("API key", exact=True).fill(DEMO_KEY)
        page.get_by_role("button", name="Model", exact=True).click()
        page.get_by_label("Model id").fill("demo")
        page.get_by_role("button", name="Save and test").click()
        expect(page.locator("#test-custom")).to_contain_text("Works.")
        page.get_by_role("link", name="Try it", exact=True).click()
        expect(page.get_by_role("combobox", name="Model")).to_have_value("custom/demo")
        send(page, "Good morning")
        state(page, "Complete")
        words(page, "This is the demo upstream. You said: Good morning")
    told = facts(page)
    assert (told["Provider"], told["Model"], told["Tokens out"]) == ("custom", "demo", "9")
    assert int(told["Tokens in"]) > 0
    assert re.fullmatch(r"\d+ ms|\d+\.\d s", told["First token"])
    assert re.fullmatch(r"\d+ ms|\d+\.\d s", told["In all"])
    assert re.fullmatch(r"req_[0-9a-f]{20}", told["Request"])
    expect(page.locator("#said")).to_have_text("Complete. 9 tokens.")
    assert DEMO_KEY not in page.content()
    assert visitor.complaints == []
    assert visitor.hosts == {visitor.house.address.removeprefix("http://")}


def test_the_answer_is_seen_while_it_comes(trier: Visitor, upstream: Upstream) -> None:
    gate = Gate()
    upstream.script = gate.script
    page = trier.page
    send(page)
    words(page, "One")
    state(page, "Answering…")
    expect(page.get_by_role("button", name="Send")).to_be_hidden()
    expect(page.locator("#said")).to_have_text("Waiting for the answer")
    gate.go_on.set()
    state(page, "Complete")
    words(page, "One two")
    expect(page.get_by_role("button", name="Send")).to_be_focused()


@pytest.mark.parametrize("by", ["button", "Escape", "leaving"])
def test_stop_ends_the_upstreams_call(trier: Visitor, upstream: Upstream, by: str) -> None:
    gate = Gate()
    upstream.script = gate.script
    page = trier.page
    send(page)
    words(page, "One")
    if by == "button":
        expect(page.get_by_role("button", name="Stop")).to_be_focused()
        page.get_by_role("button", name="Stop").click()
    elif by == "Escape":
        page.keyboard.press("Escape")
    else:
        page.get_by_role("link", name="Project key").click()
    assert gate.left.wait(30)
    if by != "leaving":
        state(page, "Stopped")
        words(page, "One")
        assert facts(page)["Provider"] == "custom"


def test_what_is_enforced_and_dropped_is_told(trier: Visitor, upstream: Upstream) -> None:
    model = {"modelId": "assistant", "displayName": "A", "mode": "chat", "maxTokens": 50}
    store(trier, upstream, customModels=[model])
    page = trier.page
    page.get_by_text("System prompt, max tokens").click()
    page.get_by_label("System prompt").fill("Be brief")
    page.get_by_label("Max tokens").fill("100")
    send(page)
    state(page, "Complete")
    assert facts(page)["Enforced"] == "max_completion_tokens=50"
    store(trier, upstream, customModels=[model | {"supportedParameters": ["temperature"]}])
    send(page)
    state(page, "Complete")
    assert facts(page)["Dropped"] == "max_completion_tokens"
    assert upstream.bodies()[0]["messages"] == [{"role": "system", "content": "Be brief"}, {"role": "user", "content": "Hello"}]


def test_a_server_that_refuses_what_the_page_adds_is_asked_without_it(trier: Visitor, upstream: Upstream) -> None:
    def strict(request: ReceivedRequest) -> bytes:
        for name in (b"stream_options", b"max_completion_tokens"):
            if name in request.body:
                detail = [{"type": "extra_forbidden", "loc": ["body", name.decode()]}]
                return json_answer({"object": "error", "message": {"detail": detail}}, b"422 Unprocessable Entity")
        return openai_api.answer(request)

    upstream.script = answered_by(strict)
    page = trier.page
    page.get_by_text("System prompt, max tokens").click()
    page.get_by_label("Max tokens").fill("100")
    send(page)
    state(page, "Complete")
    assert upstream.bodies()[-1]["max_tokens"] == 100
    expect(page.locator("#sample-code")).to_contain_text('"max_tokens": 100')


def test_failures_are_told_in_plain_words(trier: Visitor, upstream: Upstream) -> None:
    page = trier.page
    problem = page.locator("[data-problem]")
    page.get_by_role("combobox", name="Model").fill("groq/knows")
    send(page)
    state(page, "No answer")
    expect(problem).to_contain_text("There is no such model")
    expect(problem).to_contain_text("What works: custom/assistant")
    page.get_by_role("combobox", name="Model").fill("custom/error-429")
    send(page)
    expect(problem).to_contain_text("The provider refused the call (HTTP 429)")
    expect(problem).to_contain_text("asks to be called less often, or the account has no credit left. Try again in 30 seconds.")
    assert facts(page)["Model"] == "error-429"
    page.get_by_role("combobox", name="Model").fill("custom/broken-stream")
    send(page)
    state(page, "Broke off")
    words(page, "A")
    expect(problem).to_contain_text("The model fell over.")
    store(trier, upstream, customKeys={"CUSTOM_API_KEY": "sk-planted-wrong", "CUSTOM_BASE_URL": f"{upstream.address}/v1"})
    send(page)
    expect(problem).to_contain_text("The provider did not accept the stored credentials.")
    assert "planted" not in page.content()


def test_an_answer_that_breaks_off_says_so_and_keeps_what_came(trier: Visitor, upstream: Upstream) -> None:
    async def breaking(peer: Peer) -> None:
        await peer.request()
        await peer.send(HEAD, said("Half"))

    upstream.script = breaking
    page = trier.page
    send(page)
    state(page, "Broke off")
    words(page, "Half")
    expect(page.locator("[data-problem]")).to_contain_text("broke off")


def test_a_provider_without_streams_is_read_whole(trier: Visitor, upstream: Upstream) -> None:
    answer = openai_api.completion("assistant", {"role": "assistant", "content": "All at once"}, "stop")
    upstream.script = answered_by(lambda request: json_answer(answer))
    send(trier.page)
    state(trier.page, "Complete")
    words(trier.page, "All at once")


@pytest.mark.parametrize(
    ("status", "told"),
    [
        (b"502 Bad Gateway", "The provider refused the call (HTTP 502)"),
        (b"400 Bad Request", "The provider refused the call (HTTP 400)"),
        (b"200 OK", "What answers is not this provider’s API"),
    ],
)
def test_a_providers_web_page_is_not_taken_for_words_of_the_house(trier: Visitor, upstream: Upstream, status: bytes, told: str) -> None:
    html = response(b"<h1>Sign in again</h1><img src=x onerror=alert(1)>", status=status, headers=b"content-type: text/html\r\n")
    upstream.script = answered_by(lambda request: html)
    blamed: list[str] = []
    trier.page.on("console", lambda message: blamed.append(message.text))
    send(trier.page)
    problem = trier.page.locator("[data-problem]")
    expect(problem).to_contain_text(told)
    expect(problem).not_to_contain_text("Sign in again")
    assert [text for text in blamed if "Content Security Policy" in text] == []


@pytest.mark.parametrize("event", [b"data: no JSON\n\n", b"data: null\n\n", b"data: 1\n\n"])
def test_a_stream_of_something_else_is_no_riddle(trier: Visitor, upstream: Upstream, event: bytes) -> None:
    upstream.script = answered_by(lambda request: stream_answer(event, b"data: [DONE]\n\n"))
    send(trier.page)
    told = "What answers is not this provider’s API" if b"no JSON" in event else "The answer is empty"
    expect(trier.page.locator("[data-problem]")).to_contain_text(told)


def test_a_server_that_is_away_is_said(trier: Visitor) -> None:
    trier.context.set_offline(True)
    send(trier.page)
    expect(trier.page.locator("[data-problem]")).to_contain_text("Keyhouse does not answer")
    expect(trier.page.get_by_role("button", name="Send")).to_be_visible()


def test_a_session_that_is_over_leads_to_signing_in(trier: Visitor) -> None:
    client = trier.house.client(trier.house.keys.admin_key)
    assert client.post(f"/api/projects/{trier.house.keys.project_id}/regenerate-api-key").status_code == 200
    send(trier.page)
    expect(trier.page.locator("[data-problem]")).to_contain_text("Your session is over")
    expect(trier.page.locator("#said")).to_contain_text("No answer. Your session is over. What you typed still stands here. Sign in, then")


def test_the_models_are_found_by_keyboard(trier: Visitor) -> None:
    body = {"enabled": True, "customKeys": {"GROQ_API_KEY": "k"}, "customModels": ["house-model"]}
    assert trier.house.client().put("/api/model-providers/groq", json=body).status_code == 200
    trier.go(address_of(trier))
    page = trier.page
    model = page.get_by_role("combobox", name="Model")
    model.focus()
    page.keyboard.press("ArrowDown")
    groq = page.get_by_role("group", name="Groq").get_by_role("option")
    expect(groq.first).to_contain_text("house-model")
    assert groq.count() > 1
    page.keyboard.press("Escape")
    expect(page.get_by_role("listbox")).to_be_hidden()
    model.fill("groq house")
    expect(page.get_by_role("option")).to_have_count(1)
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(model).to_have_value("groq/house-model")
    expect(page.locator("#sample-code")).to_contain_text('"model": "groq/house-model"')
    model.fill("nobody has it")
    expect(page.get_by_text("No model of that name is known.")).to_be_visible()
    model.fill("")
    page.get_by_label("Message").focus()
    page.keyboard.press("Control+Enter")
    state(page, "Complete")
    assert facts(page)["Model"] == "assistant"


@pytest.mark.parametrize("tab", ["curl", "Python"])
def test_the_code_is_the_same_call_and_runs_as_it_is_copied(visit: Visit, upstream: Upstream, tab: str) -> None:
    need_curl()
    visitor = visit(permissions=["clipboard-read", "clipboard-write"])
    store(visitor, upstream)
    visitor.sign_in()
    visitor.go(address_of(visitor))
    page = visitor.page
    page.get_by_text("System prompt, max tokens").click()
    page.get_by_label("Max tokens").fill("7")
    send(page, ODD)
    state(page, "Complete")
    words(page, f"You said: {ODD}")
    page.get_by_role("tab", name=tab).click()
    page.get_by_role("button", name="Copy").click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    code = page.evaluate("navigator.clipboard.readText()")
    key = visitor.house.keys.project_key
    assert key not in page.content()
    command = ["bash", "-c", code] if tab == "curl" else [sys.executable, "-c", code]
    environment = {"PATH": os.environ["PATH"], "KEYHOUSE_API_KEY": key, "NO_PROXY": "127.0.0.1"}
    ran = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60, env=environment, encoding="utf-8")
    assert ("You said" in ran.stdout) == (tab == "Python") or "data: " in ran.stdout
    by_page, by_code = upstream.bodies()
    assert by_page.pop("stream_options") == {"include_usage": True}
    assert by_code == by_page
    page.get_by_role("tab", name=tab).press("ArrowRight")
    expect(page.get_by_role("button", name="Copy", exact=True)).to_be_visible()


def test_typescript_reads_the_key_from_the_environment(trier: Visitor) -> None:
    page = trier.page
    page.get_by_role("tab", name="TypeScript").click()
    code = page.locator("#sample-code")
    expect(code).to_contain_text("apiKey: process.env.KEYHOUSE_API_KEY")
    expect(code).to_contain_text('"model": "custom/assistant"')


def test_without_scripts_a_sentence_says_what_is_missing(visit: Visit, upstream: Upstream) -> None:
    visitor = visit(java_script_enabled=False)
    store(visitor, upstream)
    visitor.sign_in()
    visitor.go(address_of(visitor))
    expect(visitor.page.get_by_text("which needs JavaScript")).to_be_visible()
    # One run of text: the parts of a notice itself stand below each other.
    expect(visitor.page.locator(".notice.warn > p")).to_contain_text("call /v1/chat/completions with the project’s key")
    visitor.page.get_by_role("button", name="Send").click()
    expect(visitor.page.get_by_role("alert")).to_contain_text("Nothing was sent to a provider")
    assert upstream.requests == []


def test_an_empty_project_leads_to_the_providers(visitor: Visitor) -> None:
    visitor.sign_in()
    visitor.go(address_of(visitor))
    visitor.page.get_by_role("link", name="To the providers").click()
    expect(visitor.page.get_by_role("heading", name="No provider yet")).to_be_visible()


def test_nobody_calls_a_model_without_the_token_of_their_session(visitor: Visitor, upstream: Upstream) -> None:
    store(visitor, upstream)
    client = signed_in(visitor.house, visitor.house.keys.project_key)
    form = {"request": '{"model":"assistant","messages":[{"role":"user","content":"Hi"}]}'}
    address = address_of(visitor)
    assert client.post(address, data=form).status_code == 403
    token = {"csrf": csrf(client, address)}
    assert client.post(address, data=form | token, headers={"sec-fetch-site": "cross-site"}).status_code == 403
    assert visitor.house.anonymous().post(address, data=form | token).status_code == 303
    assert upstream.requests == []
    answer = client.post(address, data=form | token)
    assert (answer.status_code, answer.json()["choices"][0]["message"]["content"]) == (200, "You said: Hi")
    assert answer.headers["cache-control"] == "no-store"
    assert len(answer.headers.get_list("x-keyhouse-request-id")) == 1
