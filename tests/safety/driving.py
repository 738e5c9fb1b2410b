"""Drives every route of the route table with good and bad input, and keeps every answer but the keys that an answer is there to show."""

import base64
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx
from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaValue

from keyhouse.domain.provider_spec import ProviderSpec
from keyhouse.services.first_start import FirstKeys
from keyhouse.web.control.json_schema import ContractJsonSchema
from keyhouse.web.control.routing import MAX_BODY_BYTES, Route
from tests.conftest import ADMIN_KEY
from tests.laws.examples import CATALOG
from tests.safety.planted import planted, planted_token

SHOWS_A_KEY = {
    ("POST", "/api/organizations"),
    ("POST", "/api/projects"),
    ("POST", "/api/api-keys"),
    ("GET", "/api/projects/{id}/api-key"),
    ("POST", "/api/projects/{id}/regenerate-api-key"),
}
"""The answers that are there to show a key, once."""
_GOOD: dict[tuple[str, str], dict[str, object]] = {
    ("POST", "/api/api-keys"): {"keyType": "service", "name": "made on the way"},
    ("POST", "/api/projects"): {"name": "made on the way", "language": "python", "framework": "none", "newTeamName": "also made"},
    ("PATCH", "/api/api-keys/{id}"): {"name": "renamed on the way"},
    ("PATCH", "/api/projects/{id}"): {"name": "renamed on the way"},
}
"""Bodies for routes that ask more than their schema can say."""
JSON = {"content-type": "application/json"}


@dataclass
class Driven:
    """Everything that came of it."""

    secrets: set[str] = field(default_factory=set)
    answers: set[bytes] = field(default_factory=set)
    statuses: Counter[tuple[str, str, int]] = field(default_factory=Counter)
    ids: dict[str, None] = field(default_factory=dict)

    def secret(self, where: str) -> str:
        self.secrets.add(value := planted(where))
        return value

    def token(self, where: str) -> str:
        self.secrets.add(value := planted_token(where))
        return value


class Driver:
    """Sends requests to a house that runs, and writes down what comes back."""

    def __init__(self, client: httpx.Client, keys: FirstKeys, driven: Driven, providers: Iterable[str] = CATALOG.providers) -> None:
        self.client = client
        self.providers = tuple(providers)
        self.driven = driven
        self.admin = {"authorization": f"Bearer {keys.admin_key}", "x-project-id": keys.project_id}
        self.instance = {"authorization": f"Bearer {ADMIN_KEY}"}
        self.project = {"x-auth-token": keys.project_key}
        driven.secrets |= {keys.admin_key, keys.project_key, ADMIN_KEY}

    def drive(self, routes: Iterable[Route]) -> None:
        """Every route: first what makes things, then what reads and changes them, last what takes them away."""
        order = {"POST": 0, "PUT": 1, "GET": 2, "PATCH": 3, "DELETE": 5}
        for route in sorted(routes, key=lambda route: 4 if route.method == "POST" and "{" in route.path else order[route.method]):
            for number, path in enumerate(self._paths(route)):
                self.send(route, path, self._entitled(route) | JSON, self._good_body(route, path))
                if number == 0:
                    self._callers(route, path)
                    self._odd_headers(route, path)
                if number == 0 and route.body is not None:
                    self._bad_bodies(route, path)
                if route.method == "PUT":
                    self._broken_rules(route, path)

    def send(self, route: Route, path: str, headers: dict[str, str], body: bytes | None = None) -> httpx.Response:
        answer = self.client.request(
            route.method, path, headers={name: value.encode("latin-1") for name, value in headers.items()}, content=body
        )  # type: ignore[misc]
        self.driven.statuses[route.method, route.path, answer.status_code] += 1
        shown = answer.content
        if answer.is_success and (route.method, route.path) in SHOWS_A_KEY:
            decoded = answer.json()
            self.driven.secrets.update(_taken_out(decoded))
            shown = json.dumps(decoded).encode()
        if answer.is_success and route.method == "POST":
            self.driven.ids.update(dict.fromkeys(_ids_in(answer.json())))
        head = b"\n".join(name + b": " + value for name, value in answer.headers.raw if name != b"x-keyhouse-request-id")
        self.driven.answers |= {shown, head}
        return answer

    def _entitled(self, route: Route) -> dict[str, str]:
        return {"project": self.project, "organization": self.admin, "instance": self.instance, "public": {}}[route.access.value]

    def _callers(self, route: Route, path: str) -> None:
        body = self._good_body(route, path)
        wrong = self.driven.token("wrong")
        basic = base64.b64encode(f"project:{wrong}".encode()).decode()
        strangers = [{}, {"x-auth-token": wrong}, {"authorization": f"Bearer {wrong}"}, {"authorization": f"Basic {basic}"}]
        odd = [
            {"authorization": f"Basic {wrong}"},
            {"authorization": wrong},
            {"authorization": "Bearer sk-lw-" + "a" * 16 + "_" + "b" * 48},
        ]
        for headers in [*strangers, *odd, self.project, self.admin, self.instance]:
            self.send(route, path, headers | JSON, body)

    def _odd_headers(self, route: Route, path: str) -> None:
        for name in ("if-match", "if-none-match", "x-project-id", "accept-language", "cookie"):
            self.send(route, path, self._entitled(route) | {name: self.driven.token(name)})
        self.send(route, f"{path}?page={self.driven.token('page')}&limit=0", self._entitled(route))

    def _paths(self, route: Route) -> Iterator[str]:
        if "{provider}" in route.path:
            for provider in (*self.providers, self.driven.token("provider")):
                yield route.path.replace("{provider}", provider)
        elif "{id}" in route.path:
            for found in (*self._some_ids(), self.driven.token("id")):
                yield route.path.replace("{id}", found)
        else:
            yield route.path

    def _some_ids(self) -> list[str]:
        """A few ids of each kind, the latest: what was made on the way is there to be taken away again."""
        kinds: dict[str, list[str]] = {}
        for found in self.driven.ids:
            kinds.setdefault(found.partition("_")[0], []).append(found)
        return [found for several in kinds.values() for found in several[-3:]]

    def _good_body(self, route: Route, path: str) -> bytes | None:
        if route.body is None:
            return None
        if route.method == "PUT":
            return json.dumps(self._credentials(CATALOG.providers.get(path.split("/")[3]))).encode()
        return json.dumps(_GOOD.get((route.method, route.path)) or _example(_inlined_schema(route.body))).encode()

    def _credentials(self, spec: ProviderSpec | None) -> object:
        keys: dict[str, object] = {"NOT_A_FIELD": self.driven.secret("unknown")}
        for known in spec.fields if spec else ():
            address = f"https://{self.driven.token('host')}.{known.host_suffix or 'example.com'}/v1"
            document = json.dumps({"private_key": self.driven.secret("document")})
            value = {"url": address, "json_object": document}.get(known.format) or self.driven.secret(known.name)
            if known.public:
                self.driven.secrets -= {value}
            keys[known.name] = value
        for value in keys.values():
            if isinstance(value, str) and value.startswith("https://"):
                self.driven.secrets -= {value.split("//")[1].split(".")[0]}
        headers = [{"key": "X-Planted", "value": self.driven.secret("header")}, {"key": "x-planted", "value": self.driven.secret("second")}]
        return {"enabled": True, "customKeys": keys, "customModels": ["m"], "extraHeaders": headers, "defaultModel": "m"}

    def _bad_bodies(self, route: Route, path: str) -> None:
        secret, entitled = self.driven.secret, self._entitled(route)
        assert route.body is not None
        schema = _inlined_schema(route.body)
        good = _example(schema)
        assert isinstance(good, dict)
        bodies: list[object] = [secret("string"), [secret("list")], {"enabled": True, "x": secret("large") + "x" * MAX_BODY_BYTES}]
        for name in schema.get("properties", {}):
            wrong: list[object] = [[secret(name)], {"key": secret(name), "value": [secret(name)]}, None]
            # Where a text fits it is no secret but a name, and may be shown.
            bodies += [{**good, name: value} for value in (wrong if isinstance(good[name], str) else [*wrong, secret(name)])]
        for body in bodies:
            self.send(route, path, entitled | JSON, json.dumps(body).encode())
        self.send(route, path, entitled | JSON, b'{"customKeys": {"OPENAI_API_KEY": "' + self.driven.token("cut").encode())
        self.send(route, path, entitled | {"content-type": "text/plain"}, secret("text").encode())

    def _broken_rules(self, route: Route, path: str) -> None:
        secret, spec = self.driven.secret, CATALOG.providers.get(path.split("/")[3])
        # What is public and takes any text is shown in clear: no place for a secret.
        names = [known.name for known in spec.fields if not known.public or known.format == "url"] if spec else ["OPENAI_API_KEY"]
        bodies: list[dict[str, object]] = [
            {"customKeys": {name: [secret("not a string")] for name in names}},
            {"customKeys": {name: secret("unfit") for name in names}},
            {"customKeys": {name: f"https://user:{self.driven.token('inside')}@host" for name in names}},
            {"customKeys": {name: '{"private_key": "' + secret("cut off") for name in names}},
            {"customKeys": {"DEEP": _nested(secret("deep"))}},
        ]
        pairs = (("X A", secret("name")), ("X-A", secret("line") + "\r\nX: y"), ("Host", secret("host")), ("X-A", f"{secret('nul')}\0"))
        bodies += [{"extraHeaders": [{"key": name, "value": value}]} for name, value in pairs]
        for body in bodies:
            self.send(route, path, self._entitled(route) | JSON, json.dumps({"enabled": True, **body}).encode())


def _nested(value: object) -> object:
    for _ in range(40):
        value = [value]
    return value


def _example(schema: dict[str, Any]) -> object:
    """A value that fits a schema, mostly: what else a route asks of it, nobody knows here."""
    if "enum" in schema or "const" in schema:
        return schema.get("enum", [schema.get("const")])[0]
    if "anyOf" in schema:
        return _example(schema["anyOf"][0])
    kinds = schema.get("type", "string")
    kind = kinds[0] if isinstance(kinds, list) else kinds
    if kind == "object":
        return {name: _example(inner) for name, inner in schema.get("properties", {}).items()}
    if kind == "array":
        return [_example(schema.get("items", {}))]
    plain = {"boolean": True, "integer": schema.get("minimum", 1), "number": schema.get("minimum", 1), "null": None}
    return plain.get(kind, "2999-01-01T00:00:00Z" if schema.get("format") == "date-time" else "made-on-the-way")


def _taken_out(shown: Any) -> Iterator[str]:
    """Take the keys out of an answer that is there to show one."""
    for name, value in list(shown.items()):
        if isinstance(value, dict):
            yield from _taken_out(value)
        elif isinstance(value, str) and value.startswith("sk-lw-"):
            yield shown.pop(name)


def _ids_in(answer: Any) -> Iterator[str]:
    for name, value in answer.items():
        if isinstance(value, dict):
            yield from _ids_in(value)
        elif isinstance(value, str) and name.lower().endswith("id"):
            yield value


def _inlined_schema(model: type[BaseModel]) -> JsonSchemaValue:
    """The schema of a model with every reference replaced by what it refers to."""
    schema = model.model_json_schema(schema_generator=ContractJsonSchema, ref_template="{model}")
    definitions = schema.pop("$defs", {})
    inlined = _inlined(schema, definitions)
    assert isinstance(inlined, dict)
    return inlined


def _inlined(value: object, definitions: dict[str, JsonSchemaValue]) -> object:
    if isinstance(value, list):
        return [_inlined(item, definitions) for item in value]
    if not isinstance(value, dict):
        return value
    if "$ref" in value:
        return _inlined(definitions[value["$ref"]], definitions)
    return {key: _inlined(item, definitions) for key, item in value.items()}
