"""Try it, where what a provider sends is odd, long or hostile; and pages that somebody else overtook."""

import json
import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import expect

from tests.conftest import ServedHouse
from tests.gateway.fault_upstream import Peer
from tests.gateway_road import openai_api
from tests.gateway_road.upstreams import Upstream, answered_by, data_event, running_upstream
from tests.pages.browsing import Visitor
from tests.pages.test_try import HEAD, chunked

STOP = openai_api.chunk("m", {}, "stop")


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with running_upstream(answered_by(openai_api.answer)) as running:
        yield running


def ask(visitor: Visitor, upstream: Upstream, *chunks: object) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        sent = b"".join(chunked(data_event(chunk)) for chunk in chunks)
        await peer.send(HEAD, sent, chunked(b"data: [DONE]\n\n"), b"0\r\n\r\n")

    upstream.script = script
    body = {"enabled": True, "customKeys": {"OPENAI_BASE_URL": f"{upstream.address}/v1"}}
    assert visitor.house.client().put("/api/model-providers/openai", json=body).status_code == 200
    visitor.sign_in()
    visitor.go(f"/projects/{visitor.house.keys.project_id}/try")
    visitor.page.get_by_role("button", name="Send").click()
    expect(visitor.page.locator("[data-state]")).to_have_text("Complete", timeout=20_000)


@pytest.mark.parametrize(
    ("delta", "shown"),
    [
        ({"content": "<img src=x onerror=alert(1)>"}, "<img src=x onerror=alert(1)>"),
        ({"content": [{"type": "text", "text": "In"}, {"type": "text", "text": " parts"}]}, "In parts"),
        ({"content": None, "refusal": "I cannot help with that."}, "I cannot help with that."),
    ],
)
def test_words_are_shown_however_they_come(visitor: Visitor, upstream: Upstream, delta: dict[str, object], shown: str) -> None:
    odd = json.loads(json.dumps(STOP)) | {"usage": {"prompt_tokens": {"a": 1}, "completion_tokens": 12345}}
    ask(visitor, upstream, openai_api.chunk("m", delta, None), odd)
    expect(visitor.page.locator("[data-answer]")).to_have_text(shown)
    expect(visitor.page.locator("[data-facts]")).to_contain_text("12,345")
    expect(visitor.page.locator("[data-facts]")).not_to_contain_text("object")
    assert visitor.complaints == []


def test_thousands_of_pieces_at_once_are_laid_out_together(visitor: Visitor, upstream: Upstream) -> None:
    pieces = [openai_api.chunk("m", {"content": f"{number} "}, None) for number in range(5_000)]
    ask(visitor, upstream, *pieces, STOP)
    words = visitor.page.locator("[data-answer]")
    assert words.evaluate("element => element.childNodes.length") == 1
    assert words.text_content() == "".join(f"{number} " for number in range(5_000))


def test_words_from_right_to_left_stand_on_the_right(visitor: Visitor, upstream: Upstream) -> None:
    ask(visitor, upstream, openai_api.chunk("m", {"content": "שלום עולם"}, None), STOP)
    expect(visitor.page.locator("[data-answer]")).to_have_css("direction", "rtl")


def test_what_somebody_overtook_is_told_of_in_words_for_people(visitor: Visitor, sqlite_house: ServedHouse) -> None:
    client = sqlite_house.client()
    client.put("/api/model-providers/openai", json={"enabled": True})
    client.put("/api/model-providers/openai", json={"enabled": False, "customModels": ["a"]})
    visitor.sign_in()
    page = visitor.page
    visitor.go(f"{visitor.providers}/openai/history")
    page.get_by_role("button", name="Go back to this").first.click()
    client.put("/api/model-providers/openai", json={"enabled": True})
    page.get_by_role("button", name="Go back", exact=True).click()
    expect(page.get_by_role("alert")).to_have_text(re.compile("Somebody changed this after you opened the page"))
    assert "ETag" not in page.content()
