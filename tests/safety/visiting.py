"""Visits every settings page as different people, with good and bad forms; keeps every answer but the keys that one shows once."""

import hashlib
import json
from collections.abc import Iterable, Iterator
from urllib.parse import urlencode

import httpx
from starlette.routing import Route

from keyhouse.services.first_start import FirstKeys
from tests.laws.examples import CATALOG
from tests.safety.driving import Driven

COOKIE = "keyhouse_session"
FORM = {"content-type": "application/x-www-form-urlencoded"}
SHOWS_A_KEY = {"/projects/{project}/key", "/organization/keys", "/organization/projects"}
"""Pages whose answer to a form may show a key, once."""
PROVIDERS = ("openai", "azure", "anthropic", "bedrock")


class Visitor:
    """A browser without a window. What it types into the page that tries models is noted in `words`: an answer may repeat those."""

    def __init__(self, client: httpx.Client, keys: FirstKeys, driven: Driven) -> None:
        self.client = client
        self.keys = keys
        self.driven = driven
        self.words = Driven()
        self.session = ""
        driven.secrets |= {keys.admin_key, keys.project_key}

    def sign_in(self, key: str) -> None:
        """Sign in, also where the key is wrong."""
        answer = self.send("POST", "/sign-in", "/sign-in", {"key": key})
        self.session = answer.cookies.get(COOKIE) or ""
        self.client.cookies.clear()
        if self.session:
            self.driven.secrets.add(self.session)

    def visit(self, routes: Iterable[Route]) -> None:
        """Every page, whole and as a part of one; what takes away comes last."""
        for route in sorted(routes, key=lambda route: any(word in route.path for word in ("delete", "revoke", "archive", "sign-out"))):
            for path in self._paths(route):
                for method in sorted(route.methods or ()):
                    for form in self._forms(route.path) if method == "POST" else [None]:
                        self.send(method, path, route.path, form)
                        self.send(method, path, route.path, form, {"hx-request": "true"})
                self.send("POST", path, route.path, {"csrf": self.driven.token("csrf"), "key": self.driven.token("typed")})
                self.send("GET", f"{path}?page={self.driven.token('page')}&model={self.driven.token('m')}", route.path)

    def send(
        self, method: str, path: str, template: str, form: dict[str, str] | None = None, headers: dict[str, str] | None = None
    ) -> httpx.Response:
        """A request of a browser that is signed in, perhaps."""
        content = None if form is None else urlencode({"csrf": self._csrf(), **form}).encode()
        cookie = {"cookie": f"{COOKIE}={self.session}"} if self.session else {}
        answer = self.client.request(
            method, path, content=content, headers={**cookie, **(FORM if form is not None else {}), **(headers or {})}
        )
        self.driven.statuses[method, template, answer.status_code] += 1
        if not (method == "POST" and template in SHOWS_A_KEY and b"sk-lw-" in answer.content):
            head = b"\n".join(
                name + b": " + value for name, value in answer.headers.raw if name.lower() not in (b"set-cookie", b"location")
            )
            self.driven.answers |= {answer.content, head}
        return answer

    def _csrf(self) -> str:
        return hashlib.sha256(b"keyhouse csrf\0" + self.session.encode()).hexdigest()

    def _paths(self, route: Route) -> Iterator[str]:
        path = route.path.replace("{project}", self.keys.project_id)
        if "{provider}" in path:
            for provider in (*PROVIDERS, self.driven.token("provider")):
                yield path.replace("{provider}", provider)
        elif "{" in path:
            yield path.partition("{")[0] + self.driven.token("id") + path.partition("}")[2]
        else:
            yield path

    def _forms(self, template: str) -> Iterator[dict[str, str]]:
        secret, word = self.driven.secret, self.words.secret
        if template.endswith("/try"):
            for model in ("openai/m", "nobody/m"):
                asked = {"model": model, "messages": [{"role": "user", "content": word("prompt")}]}
                yield {"request": json.dumps(asked)}
                yield {"request": json.dumps({**asked, "stream": True})}
            yield {"request": word("no JSON")}
        elif template.endswith("/providers/{provider}"):
            yield from self._provider_forms()
        else:
            yield {"name": "made on the way", "language": "python", "framework": "none", "new_team": "T", "role": "ADMIN", "do": "show"}
            yield {"version": "1", "enabled": "on", "etag": self.driven.token("etag"), "do": "regenerate"}
            yield {"name": "", "version": secret("version"), "role": secret("role"), "days": secret("days"), "team": secret("team")}

    def _provider_forms(self) -> Iterator[dict[str, str]]:
        secret, token = self.driven.secret, self.driven.token
        names = [known.name for provider in PROVIDERS for known in CATALOG.providers[provider].fields if not known.public]
        headers = {"header.1.key": "X-Planted", "header.1.value": secret("header").replace("é", "")}
        self.driven.secrets.add(headers["header.1.value"])
        good = {f"key.{name}": token(name) for name in names}
        yield {"enabled": "on", "base": "{}", **good, **headers}
        yield {"enabled": "on", "base": "{}", "etag": '"1.0"', **{f"key.{name}": token(name) for name in names}, **headers}
        yield {"enabled": "on", "base": secret("base"), **{f"key.{name}": secret("unfit") + "\n" for name in names}}
        yield {"enabled": "on", "base": "{}", "header.1.key": secret("name"), "header.1.value": secret("value") + "\r\n"}
        yield {"enabled": "on", "base": "{}", "model.1.id": "", "key.OPENAI_BASE_URL": f"https://user:{token('inside')}@host", **good}
        yield {"enabled": "on", "base": "{}", "key.OPENAI_BASE_URL": "https://elsewhere.example/v1", "model.1.max_tokens": secret("number")}
