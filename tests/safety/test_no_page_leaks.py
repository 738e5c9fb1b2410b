"""No secret comes to light on a page: planted ones are searched for in all that the settings pages answer, and in what the house writes."""

import asyncio
from collections.abc import Sequence

import pytest
from starlette.routing import Route

from keyhouse.app import _pages, build_house, local_gateway, opened_storage
from keyhouse.services.metrics.metrics import Metrics
from keyhouse.settings import Settings
from tests.conftest import PostgresServer
from tests.gateway_road.upstreams import running_upstream
from tests.safety.calling import EchoingUpstream, json_error
from tests.safety.driving import Driven
from tests.safety.planted import planted_token
from tests.safety.planting import Planting, require_hidden, serving
from tests.safety.visiting import Visitor

CASES = [("sqlite", "debug", "text"), ("postgresql", "debug", "json")]


async def page_routes(settings: Settings) -> Sequence[Route]:
    async with opened_storage(settings) as storage:
        house = build_house(settings, storage)
        site = _pages(house, local_gateway(house), Metrics())
        return [route for route in site._router.routes if isinstance(route, Route)]


@pytest.mark.parametrize(("kind", "level", "line_format"), CASES)
def test_nothing_on_a_page_holds_a_secret(request: pytest.FixtureRequest, tmp_path, kind: str, level: str, line_format: str) -> None:
    postgres: PostgresServer | None = request.getfixturevalue("postgres_server") if kind == "postgresql" else None
    place = Planting(tmp_path, postgres, level, line_format)
    routes = asyncio.run(page_routes(place.settings))
    driven, echoing = Driven(), EchoingUpstream()
    with running_upstream(echoing.script) as upstream, serving(tmp_path, place.environment) as (server, client):
        visitor = Visitor(client, place.keys, driven)
        stored = {"OPENAI_API_KEY": driven.token("openai"), "OPENAI_BASE_URL": f"{upstream.address}/v1"}
        project = {"x-auth-token": place.keys.project_key}
        update = {"enabled": True, "customKeys": stored}
        assert client.put("/api/model-providers/openai", json=update, headers=project).status_code == 200
        for key in ("", planted_token("wrong"), place.keys.project_key, place.keys.admin_key):
            driven.secrets |= {key} - {""}
            visitor.send("GET", "/sign-in", "/sign-in")
            visitor.sign_in(key)
            echoing.answer = json_error(401) if key == place.keys.admin_key else None
            visitor.visit([route for route in routes if route.path not in ("/sign-in", "/sign-out")])
        visitor.visit([route for route in routes if route.path == "/sign-out"])
        while_serving = place.stored()
        said = server.stop()
    hidden = [*driven.secrets, *place.encryption_keys]
    kept = {"stored": while_serving, "stored and closed": place.stored(), "output": said}
    require_hidden({"answers": b"\n".join(driven.answers), **kept}, hidden)
    require_hidden(kept, list(visitor.words.secrets))

    reached = {f"{method} {path}" for method, path, status in driven.statuses if status < 400}
    expected = {f"{method} {route.path}" for route in routes for method in route.methods or ()}
    never = {f"POST {route.path}" for route in routes if "{id}" in route.path or "{key}" in route.path}
    assert {name for name in expected if "HEAD" not in name} - reached - never == set()
    assert not [called for called in driven.statuses if called[2] == 500]
    assert b"X-Planted" in b"".join(driven.answers)
