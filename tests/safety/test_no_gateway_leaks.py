"""No secret of a call comes to light, and no word of it is kept: both are searched for in everything that a gateway writes."""

import gzip

import httpx
import pytest

from tests.conftest import PostgresServer
from tests.gateway.fault_upstream import response
from tests.gateway_road.upstreams import answered_by, running_upstream
from tests.safety.calling import FAULTS, Caller, EchoingUpstream
from tests.safety.driving import Driven
from tests.safety.planted import found_in, planted_token
from tests.safety.planting import Planting, require_hidden, serving

OPERATOR_PATHS = ("/metrics", "/healthz", "/readyz")
CASES = [("sqlite", "debug", "text"), ("sqlite", "info", "json"), ("postgresql", "debug", "json")]


def operator_answers(client: httpx.Client) -> bytes:
    answers = [client.get(path) for path in OPERATOR_PATHS]
    assert {answer.status_code for answer in answers} == {200}
    return b"\n".join(answer.content for answer in answers)


def revoked_and_expired(client: httpx.Client, caller: Caller) -> list[str]:
    """Keys that were good once, or never."""
    admin = {"authorization": f"Bearer {caller.keys.admin_key}"}
    bodies = [{"name": "revoked"}, {"name": "expired", "expiresAt": "2020-01-01T00:00:00Z"}]
    made = [client.post("/api/api-keys", json={"keyType": "service", **body}, headers=admin) for body in bodies]
    tokens = [answer.json()["token"] for answer in made if answer.status_code == 201]
    assert tokens
    assert client.delete(f"/api/api-keys/{made[0].json()['apiKey']['id']}", headers=admin).status_code == 200
    caller.driven.secrets.update(tokens)
    return tokens


@pytest.mark.parametrize(("kind", "level", "line_format"), CASES)
def test_nothing_that_a_gateway_writes_holds_a_secret_or_a_word_of_a_call(
    request: pytest.FixtureRequest, tmp_path, kind: str, level: str, line_format: str
) -> None:
    postgres: PostgresServer | None = request.getfixturevalue("postgres_server") if kind == "postgresql" else None
    place = Planting(tmp_path, postgres, level, line_format)
    driven, echoing = Driven(), EchoingUpstream()
    driven.secrets.add(password := planted_token("password"))
    collected = answered_by(lambda asked: response(b"", headers=b"content-type: application/x-protobuf\r\n"))
    with running_upstream(echoing.script) as upstream, running_upstream(collected) as receiver:
        place.environment |= {
            "KEYHOUSE_TRACING": "true",
            "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.address,
            "OTEL_BSP_SCHEDULE_DELAY": "200",
            "KEYHOUSE_HTTPS_PROXY": f"http://user:{password}@127.0.0.1:9",
            "KEYHOUSE_HTTP_PROXY": "",
            "KEYHOUSE_UPSTREAM_RETRIES": "1",
        }
        with serving(tmp_path, place.environment) as (server, client):
            caller = Caller(client, place.keys, driven, upstream.address)
            caller.store()
            caller.call_well()
            well = dict(driven.statuses)
            for token in revoked_and_expired(client, caller):
                caller.send("POST", "/v1/chat/completions", {"x-api-key": token, "x-project-id": place.keys.project_id}, b"{}")
            caller.call_badly()
            for fault in FAULTS:
                echoing.fault = fault
                caller.meet_fault()
            shown = operator_answers(client)
            while_serving = place.stored()
            said = server.stop()
        traces = b"\n".join(gzip.decompress(sent.body) if sent.header(b"content-encoding") else sent.body for sent in receiver.requests)
        asked = b"\n".join(sent.head + b"\n" + sent.body for sent in upstream.requests)
    hidden = [*driven.secrets, *place.encryption_keys]
    words = list(caller.words.secrets)
    kept = {"stored": while_serving, "stored and closed": place.stored(), "output": said, "metrics": shown}
    require_hidden({"answers": b"\n".join(driven.answers), "traces": traces, **kept}, hidden)
    require_hidden({"traces": traces, **kept}, words)
    require_hidden(kept, list(caller.models.secrets))
    require_hidden({"asked of the upstream": asked}, [place.keys.project_key, place.keys.admin_key, *place.encryption_keys])

    # Calls went through, failed, and were noted: it was looked in the right places.
    assert {status for (_, path, status) in well if path == "/v1/chat/completions"} >= {200}
    assert not [called for called in driven.statuses if called[2] == 500 and called[1].startswith("/api")]
    assert found_in(asked, words[:50])
    assert b"keyhouse.project_id" in traces
    assert b"keyhouse_" in shown
    assert (b"route=/v1/messages" in said) or (b'"route":"/v1/messages"' in said)
