"""The API document that the house serves, against the contract's own and against OpenAPI."""

import json
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from openapi_spec_validator import OpenAPIV31SpecValidator

from tests.conftest import ServedHouse

CONTRACT = yaml.safe_load((Path(__file__).parent / "model-providers.openapi.yaml").read_text(encoding="utf-8"))
PATH = "/api/model-providers/{provider}"


@pytest.fixture(scope="module")
def document(shared_sqlite_house: ServedHouse) -> Any:
    return httpx.get(f"{shared_sqlite_house.address}/openapi.json", trust_env=False).json()


def inlined(value: Any, document: Any) -> Any:
    """A part of a document with every reference replaced by what it refers to."""
    if isinstance(value, list):
        return [inlined(item, document) for item in value]
    if not isinstance(value, dict):
        return value
    if "$ref" in value:
        target = document
        for part in value["$ref"].removeprefix("#/").split("/"):
            target = target[part]
        return inlined(target, document)
    return {name: inlined(item, document) for name, item in value.items()}


def test_it_is_openapi_3_1(document: Any) -> None:
    OpenAPIV31SpecValidator(document).validate()
    assert document["openapi"] == CONTRACT["openapi"]


def test_the_contracts_operation_is_there_and_only_grows_by_answers_and_optional_headers(document: Any) -> None:
    ours, theirs = inlined(document["paths"][PATH]["put"], document), CONTRACT["paths"][PATH]["put"]
    assert ours.keys() == theirs.keys()
    for name in ("description", "operationId", "requestBody"):
        assert ours[name] == theirs[name]
    added = [parameter for parameter in ours["parameters"] if parameter not in theirs["parameters"]]
    assert [parameter for parameter in ours["parameters"] if parameter not in added] == theirs["parameters"]
    assert all(parameter["in"] == "header" and not parameter.get("required") for parameter in added)
    for status, response in theirs["responses"].items():
        grown = ours["responses"][status]
        assert grown | {"headers": None} == response | {"headers": None}
        assert not any(header.get("required") for header in grown.get("headers", {}).values())
    assert set(ours["responses"]) - set(theirs["responses"]) == {"403", "412", "413", "503", "507"}


def test_security_is_the_contracts(document: Any) -> None:
    assert document["security"] == CONTRACT["security"]
    assert document["components"]["securitySchemes"]["project_api_key"] == CONTRACT["components"]["securitySchemes"]["project_api_key"]


def test_the_list_answers_as_the_contracts_put_does(document: Any) -> None:
    listed = inlined(document["paths"]["/api/model-providers"]["get"]["responses"]["200"], document)
    assert listed["content"] == CONTRACT["paths"][PATH]["put"]["responses"]["200"]["content"]


def test_every_operation_says_what_it_does_and_is_named_once(document: Any) -> None:
    operations = [operation for path in document["paths"].values() for operation in path.values()]
    names = [operation["operationId"] for operation in operations]
    assert len(names) == len(set(names))
    assert all(operation["description"] for operation in operations)
    assert all({"500", "503"} < set(operation["responses"]) for operation in operations)


def test_every_failure_has_the_flat_shape(document: Any) -> None:
    for path in document["paths"].values():
        for operation in path.values():
            for status, response in operation["responses"].items():
                if status >= "400":
                    schema = inlined(response["content"]["application/json"]["schema"], document)
                    assert schema["required"] == ["error"]


def test_nothing_in_it_names_another_host(document: Any) -> None:
    assert document["servers"] == [{"url": "/"}]
    assert "://" not in json.dumps(document)


def test_it_is_kept_by_its_tag(shared_sqlite_house: ServedHouse) -> None:
    with httpx.Client(base_url=shared_sqlite_house.address, trust_env=False) as client:
        first = client.get("/openapi.json")
        again = client.get("/openapi.json", headers={"if-none-match": first.headers["etag"]})
    assert (first.status_code, first.headers["content-type"], again.status_code, again.content) == (200, "application/json", 304, b"")
