"""Each verdict of the connection check, from an upstream with one fault each; and none but the true API is ever `verified`."""

import json
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyhouse.domain.calling import ConnectionCheck, Signing
from keyhouse.domain.target import Target
from keyhouse.domain.verdict import ConnectionResult, ListedModels, Verdict
from keyhouse.gateway.address_policy import AddressPolicy
from keyhouse.gateway.connection_check import ConnectionChecker
from keyhouse.gateway.connection_verdict import judge_body, judge_status
from keyhouse.gateway.outgoing import Outgoing
from keyhouse.gateway.upstream import UpstreamSettings
from tests.conftest import UNKNOWN_HOST
from tests.gateway.conftest import Authority, Run
from tests.gateway.fault_upstream import FaultUpstream, Peer, Script, answering, answering_once, chunked_response, response

KEY = "sk-secret-of-the-test"
BEARER = Signing("bearer", {"token": "KEY"})
LIST = ConnectionCheck("/v1/models", items="data")
PAGED = ConnectionCheck("/v1/models", items="models", id="name", id_prefix="models/", more="next", answer="models")
NAMES_ONLY = ConnectionCheck("/v1/models", answer="data")
GOOD = json.dumps({"object": "list", "data": [{"id": "gpt-5-mini"}, {"id": "llama3:latest"}]}).encode()
SHORT_S = 0.2


@asynccontextmanager
async def asking(
    upstream: FaultUpstream | str, check: ConnectionCheck = LIST, settings: UpstreamSettings | None = None, **target: Any
) -> AsyncIterator[tuple[ConnectionChecker, Target, bool]]:
    """A checker, what it is to ask, and whether that has credentials."""
    address = upstream if isinstance(upstream, str) else f"{upstream.origin.scheme}://{upstream.host}:{upstream.port}"
    url = f"{address}{check.path}"
    given: dict[str, Any] = {"signing": BEARER, "values": {"KEY": KEY}, **target}
    outgoing = Outgoing(lambda: settings or UpstreamSettings())
    checker = ConnectionChecker(outgoing, given.pop("budget_s", 10.0))
    try:
        yield checker, Target("p", "", "", "chat", "openai_chat", url, url, **given), given["signing"] is not None
    finally:
        await outgoing.close()


async def result_of(
    upstream: FaultUpstream | str, check: ConnectionCheck = LIST, models: Sequence[str] = (), **options: Any
) -> ConnectionResult:
    """What the check of an upstream finds."""
    async with asking(upstream, check, **options) as (checker, target, has_credentials):
        return await checker.check(target, check, models, has_credentials=has_credentials)


async def models_of(upstream: FaultUpstream, **options: Any) -> ListedModels:
    """The models that an upstream lists."""
    async with asking(upstream, **options) as (checker, target, has_credentials):
        return await checker.models(target, LIST, has_credentials=has_credentials)


async def _closes_at_once(peer: Peer) -> None:
    await peer.request()


async def _resets(peer: Peer) -> None:
    await peer.request()
    peer.reset()


async def _answers_anything(peer: Peer) -> None:
    await peer.reader.read(1)
    await peer.send(response(b"", status=b"400 Bad Request"))


async def _hangs(peer: Peer) -> None:
    await peer.request()
    await peer.left()


async def _hangs_in_the_body(peer: Peer) -> None:
    await peer.request()
    await peer.send(b'HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{"data":')
    await peer.left()


ANSWERS: list[tuple[str, bytes, Verdict, int | None]] = [
    ("the list", response(GOOD), Verdict.VERIFIED, 200),
    ("the list in chunks", chunked_response(GOOD[:20], GOOD[20:]), Verdict.VERIFIED, 200),
    ("as much as is read", response(b'{"data":[' + b" " * (8 * 1024 * 1024 - 11) + b"]}"), Verdict.VERIFIED, 200),
    ("a byte more", response(b'{"data":[' + b" " * (8 * 1024 * 1024 - 10) + b"]}"), Verdict.WRONG_ENDPOINT, 200),
    ("an empty list", response(b'{"data":[]}'), Verdict.VERIFIED, 200),
    ("400", response(b"{}", status=b"400 Bad Request"), Verdict.WRONG_ENDPOINT, 400),
    ("401", response(b'{"error":"sk-secret-of-the-test is wrong"}', status=b"401 Unauthorized"), Verdict.KEY_REFUSED, 401),
    ("403", response(b"<html>denied</html>", status=b"403 Forbidden"), Verdict.KEY_REFUSED, 403),
    ("404", response(b"<html>nothing here</html>", status=b"404 Not Found"), Verdict.WRONG_ENDPOINT, 404),
    ("405", response(b"", status=b"405 Method Not Allowed"), Verdict.WRONG_ENDPOINT, 405),
    ("407", response(b"", status=b"407 Proxy Authentication Required"), Verdict.UNREACHABLE, 407),
    ("408", response(b"", status=b"408 Request Timeout"), Verdict.UNREACHABLE, 408),
    ("429", response(b"", status=b"429 Too Many Requests"), Verdict.RATE_LIMITED, 429),
    ("500", response(GOOD, status=b"500 Internal Server Error"), Verdict.UNREACHABLE, 500),
    ("503", response(b"", status=b"503 Service Unavailable"), Verdict.UNREACHABLE, 503),
    ("529", response(b"", status=b"529 Overloaded"), Verdict.UNREACHABLE, 529),
    ("a redirect", response(b"", status=b"302 Found", headers=b"location: /v1/models2\r\n"), Verdict.WRONG_ENDPOINT, 302),
    ("a redirect with the list", response(GOOD, status=b"308 Permanent Redirect"), Verdict.WRONG_ENDPOINT, 308),
    ("304", b"HTTP/1.1 304 Not Modified\r\n\r\n", Verdict.WRONG_ENDPOINT, 304),
    ("204", b"HTTP/1.1 204 No Content\r\n\r\n", Verdict.WRONG_ENDPOINT, 204),
    ("an HTML page", response(b"<!doctype html><title>Welcome</title>"), Verdict.WRONG_ENDPOINT, 200),
    ("an empty body", response(b""), Verdict.WRONG_ENDPOINT, 200),
    ("other JSON", response(b'{"status":"ok"}'), Verdict.WRONG_ENDPOINT, 200),
    ("a list of other things", response(b'{"data":[1,2]}'), Verdict.WRONG_ENDPOINT, 200),
    ("things without ids", response(b'{"data":[{"name":"x"}]}'), Verdict.WRONG_ENDPOINT, 200),
    ("an error as a success", response(b'{"data":[],"error":{"message":"no"}}'), Verdict.WRONG_ENDPOINT, 200),
    ("null", response(b"null"), Verdict.WRONG_ENDPOINT, 200),
    ("deep JSON", response(b"[" * 100_000), Verdict.WRONG_ENDPOINT, 200),
    ("no UTF-8", response(b'{"data":[{"id":"\xff"}]}'), Verdict.WRONG_ENDPOINT, 200),
    ("too much", response(b'{"data":[' + b" " * (9 * 1024 * 1024) + b"]}"), Verdict.WRONG_ENDPOINT, 200),
    ("garbage", b"SSH-2.0-OpenSSH_9.2\r\n", Verdict.WRONG_ENDPOINT, None),
    ("a body cut off", b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{", Verdict.UNREACHABLE, 200),
    ("a broken chunk", b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n", Verdict.WRONG_ENDPOINT, 200),
]


@pytest.mark.parametrize(("answer", "verdict", "status"), [row[1:] for row in ANSWERS], ids=[row[0] for row in ANSWERS])
def test_each_answer_has_its_verdict(run: Run, answer: bytes, verdict: Verdict, status: int | None) -> None:
    async def work() -> None:
        async with FaultUpstream(answering_once(answer)) as upstream:
            result = await result_of(upstream)
            assert (result.verdict, result.status) == (verdict, status)
            assert result.message.endswith(".")
            assert KEY not in result.message
            assert "Welcome" not in result.message
            assert [request.line for request in upstream.requests] == [b"GET /v1/models HTTP/1.1"]
            assert upstream.requests[0].header(b"authorization") == [f"Bearer {KEY}".encode()]

    run(work())


@pytest.mark.parametrize(
    ("script", "status", "options"),
    [
        (_closes_at_once, None, {}),
        (_resets, None, {}),
        (_hangs, None, {"budget_s": SHORT_S}),
        (_hangs_in_the_body, 200, {"budget_s": SHORT_S}),
    ],
    ids=["closes", "resets", "hangs", "hangs in the body"],
)
def test_what_does_not_answer_is_unreachable(run: Run, script: Script, status: int | None, options: dict[str, Any]) -> None:
    async def work() -> None:
        async with FaultUpstream(script) as upstream:
            result = await result_of(upstream, **options)
            assert (result.verdict, result.status) == (Verdict.UNREACHABLE, status)

    run(work())


def test_a_refused_connection_and_a_name_nobody_has_are_unreachable(run: Run) -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))  # bound and not listening: refuses
        result = run(result_of(f"http://127.0.0.1:{held.getsockname()[1]}"))
    assert (result.verdict, result.status) == (Verdict.UNREACHABLE, None)
    assert run(result_of(f"http://{UNKNOWN_HOST}")).verdict is Verdict.UNREACHABLE


def test_a_certificate_that_nobody_trusts_is_a_tls_error(run: Run, authority: Authority) -> None:
    async def work() -> None:
        async with FaultUpstream(answering(response(GOOD)), tls=authority.server_context("127.0.0.1")) as upstream:
            assert (await result_of(upstream)).verdict is Verdict.TLS_ERROR
            trusting = UpstreamSettings(ca_file=str(authority.ca_file))
            assert (await result_of(upstream, settings=trusting)).verdict is Verdict.VERIFIED

    run(work())


def test_plain_http_behind_https_is_a_tls_error(run: Run) -> None:
    async def work() -> None:
        async with FaultUpstream(_answers_anything) as upstream:
            assert (await result_of(f"https://127.0.0.1:{upstream.port}")).verdict is Verdict.TLS_ERROR

    run(work())


@pytest.mark.parametrize(
    ("address", "rule"),
    [("http://169.254.169.254", "cloud_metadata"), ("http://127.0.0.1:1", "loopback_address"), ("http://2130706433", "odd_address_form")],
)
def test_a_blocked_address_names_the_rule(run: Run, address: str, rule: str) -> None:
    result = run(result_of(address, settings=UpstreamSettings(policy=AddressPolicy(allow_private=False))))
    assert (result.verdict, result.status) == (Verdict.BLOCKED, None)
    assert rule in result.message


def test_a_model_that_a_complete_list_lacks_is_missing(run: Run) -> None:
    async def work() -> None:
        async with FaultUpstream(answering(response(GOOD))) as upstream:
            assert (await result_of(upstream, models=["gpt-5-mini", "llama3"])).verdict is Verdict.VERIFIED
            missing = await result_of(upstream, models=["gpt-5-mini", "gpt-9", *(f"m{number}" for number in range(9))])
            assert (missing.verdict, missing.status) == (Verdict.MODEL_MISSING, 200)
            assert missing.message == (
                "The provider answers, but does not list these models of the project: gpt-9, m0, m1, m2, m3 and 5 more."
            )

    run(work())


@pytest.mark.parametrize(
    ("check", "answer", "verdict"),
    [
        (PAGED, {"models": [{"name": "models/a"}]}, Verdict.MODEL_MISSING),
        (PAGED, {"models": [{"name": "models/b"}]}, Verdict.VERIFIED),
        (PAGED, {"models": [{"name": "models/a"}], "next": ""}, Verdict.MODEL_MISSING),
        (PAGED, {"models": [{"name": "models/a"}], "next": "page-2"}, Verdict.VERIFIED),
        (LIST, {"data": [{"id": "a"}], "has_more": True}, Verdict.VERIFIED),
        (NAMES_ONLY, {"data": [{"id": "a"}]}, Verdict.VERIFIED),
        (NAMES_ONLY, {"object": "list"}, Verdict.WRONG_ENDPOINT),
        (NAMES_ONLY, [{"data": 1}], Verdict.WRONG_ENDPOINT),
        (ConnectionCheck("/", items="", id="model_id"), [{"model_id": "a"}], Verdict.MODEL_MISSING),
        (ConnectionCheck("/", items="", id="model_id"), {"model_id": "a"}, Verdict.WRONG_ENDPOINT),
        (ConnectionCheck("/", answer=""), [], Verdict.VERIFIED),
        (ConnectionCheck("/", answer=""), {}, Verdict.WRONG_ENDPOINT),
    ],
)
def test_a_list_is_read_as_its_data_file_says(check: ConnectionCheck, answer: object, verdict: Verdict) -> None:
    assert judge_body(200, json.dumps(answer).encode(), check, ["b"], has_credentials=True).verdict is verdict


def test_some_providers_refuse_a_key_in_their_own_way() -> None:
    check = ConnectionCheck("/", refusals=(400,))
    judged = judge_status(400, check, has_credentials=True)
    assert judged is not None
    assert judged.verdict is Verdict.KEY_REFUSED


def test_without_credentials_the_sentence_says_so(run: Run) -> None:
    async def work() -> None:
        async with FaultUpstream(answering(response(GOOD))) as upstream:
            result = await result_of(upstream, signing=None, values={})
            assert result.verdict is Verdict.VERIFIED
            assert "no credentials" in result.message
            assert upstream.requests[0].header(b"authorization") == []
            listed = await models_of(upstream, signing=None, values={})
            assert listed.ids == ("gpt-5-mini", "llama3:latest")
            assert "no credentials" in listed.result.message

    run(work())


@pytest.mark.parametrize(
    ("options", "said"), [({}, "refused the stored credentials"), ({"signing": None, "values": {}}, "none are stored")]
)
def test_a_refusal_tells_whether_there_were_credentials(run: Run, options: dict[str, Any], said: str) -> None:
    async def work() -> None:
        async with FaultUpstream(answering(response(b"{}", status=b"401 Unauthorized"))) as upstream:
            for result in (await result_of(upstream, **options), (await models_of(upstream, **options)).result):
                assert (result.verdict, said in result.message) == (Verdict.KEY_REFUSED, True)

    run(work())


def test_a_refusal_whose_body_hangs_is_one_and_is_left(run: Run) -> None:
    async def refuses_and_hangs(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 401 Unauthorized\r\ncontent-length: 100\r\n\r\n{")
        await peer.left()

    async def work() -> None:
        async with FaultUpstream(refuses_and_hangs) as upstream, asking(upstream) as (checker, target, _):
            assert (await checker.check(target, LIST, (), has_credentials=True)).verdict is Verdict.KEY_REFUSED
            assert checker.outgoing.upstream.connections().open == 0

    run(work())


def test_what_is_no_list_lists_no_models(run: Run) -> None:
    async def work() -> None:
        async with FaultUpstream(answering(response(b'{"data":[{"id":"planted"}],"error":{}}'))) as upstream:
            listed = await models_of(upstream)
            assert (listed.result.verdict, listed.ids) == (Verdict.WRONG_ENDPOINT, ())

    run(work())


@pytest.mark.parametrize("value", ["sk-1\r\nx-evil: 1", "sk-\u2028", "sk-\x00", "sk-\ud800"])
def test_a_key_that_no_header_can_carry_is_told_without_it(run: Run, value: str) -> None:
    async def work() -> None:
        async with FaultUpstream(answering(response(GOOD))) as upstream:
            result = await result_of(upstream, values={"KEY": value})
            if result.verdict is not Verdict.VERIFIED:
                assert result.verdict is Verdict.UNREACHABLE
                assert "sk-" not in result.message
                assert result.message.startswith("What is stored ")
                assert "\\u" not in result.message
                assert upstream.requests == []

    run(work())


@given(st.integers(100, 999), st.binary() | st.text().map(str.encode) | st.sampled_from([GOOD, b"{}", b"[]", b'{"data":{}}']))
def test_nothing_but_a_true_list_is_verified(status: int, body: bytes) -> None:
    judged = judge_status(status, LIST, has_credentials=True) or judge_body(status, body, LIST, [], has_credentials=True)
    if judged.verdict is Verdict.VERIFIED:
        assert 200 <= status < 300
        assert isinstance(json.loads(body)["data"], list)
