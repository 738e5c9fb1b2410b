"""Models that their provider ends: the day is told of one model, and nothing else changes, before it and after it."""

from pathlib import Path

import pytest

from tests.conftest import Serve
from tests.gateway_road.conftest import Road
from tests.gateway_road.upstreams import Upstream
from tests.models_file import ENDED, ENDING, LASTING, write_models_file

NAMES = ["gpt-ended", "gpt-ending", "gpt-lasting", "gpt-unheard-of"]


@pytest.fixture
def road(serve: Serve, upstream: Upstream, tmp_path: Path) -> Road:
    house = serve(models_file=write_models_file(tmp_path, ENDED, ENDING, LASTING))
    road = Road(house, upstream, house.client())
    road.store()
    return road


def test_one_model_tells_the_day_in_what_the_name_means_and_in_its_shape_nowhere_else(road: Road) -> None:
    told = {name: road.http.get(f"/v1/models/{name}").json() for name in NAMES}

    assert {name: one["keyhouse"].get("retires_on", "untold") for name, one in told.items()} == {
        "gpt-ended": "2001-02-03", "gpt-ending": "2999-12-31", "gpt-lasting": "untold", "gpt-unheard-of": "untold",
    }  # fmt: skip
    assert {tuple(one) for one in told.values()} == {("id", "object", "created", "owned_by", "keyhouse")}


def test_anthropics_clients_are_told_the_same(road: Road) -> None:
    headers = {"anthropic-version": "2023-06-01"}
    ended, lasting = (road.http.get(f"/v1/models/{name}", headers=headers).json() for name in ("gpt-ended", "gpt-lasting"))

    assert ended["keyhouse"]["retires_on"] == "2001-02-03"
    assert ended.keys() == lasting.keys()
    assert "retires_on" not in lasting["keyhouse"]


def test_a_model_that_the_project_declares_itself_ends_all_the_same(road: Road) -> None:
    road.store(customModels=["gpt-ended"])

    told = road.http.get("/v1/models/gpt-ended").json()["keyhouse"]

    assert (told["rule"], told["retires_on"]) == ("declared", "2001-02-03")


def test_the_list_is_of_the_same_shape_and_holds_what_has_ended(road: Road) -> None:
    listed = road.http.get("/v1/models").json()["data"]

    assert listed == [{"id": f"openai/{name}", "object": "model", "created": 0, "owned_by": "openai"} for name in NAMES[:3]]


def test_a_model_that_has_ended_is_passed_to_its_provider(road: Road) -> None:
    answer = road.chat("gpt-ended")

    assert (answer.status_code, answer.headers["x-keyhouse-model"]) == (200, "gpt-ended")
    assert road.sent["model"] == "gpt-ended"
