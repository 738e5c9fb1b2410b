"""What the documents name is there: commands and their options, variables, routes, error codes, headers, files."""

import json
import re
from pathlib import Path

import pytest

from keyhouse.catalog.catalog import load_catalog
from keyhouse.domain.errors import Code, Error
from keyhouse.web.errors import STATUS, flat_envelope
from keyhouse.web.gateway.endpoints import ENDPOINTS, is_models, usual_path
from tests.conftest import ServedHouse

ROOT = Path(__file__).parent.parent.parent
SOURCE = ROOT / "src" / "keyhouse"
PAGES = {str(page.relative_to(ROOT)): page.read_text(encoding="utf-8") for page in [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")]}
READERS = pytest.mark.parametrize("page", sorted(PAGES.keys() - {"CHANGELOG.md"}))

# Held to the code by tests/cli/test_documentation.py.
_SECTIONS = re.findall(r"^### `keyhouse ([a-z -]+)([^`]*)`\n(.*?)(?=^### |\Z)", PAGES["docs/command-line.md"], re.MULTILINE | re.DOTALL)
OPTIONS = {name.strip(): {*re.findall(r"`(-[a-z-]+)", section), "--help"} for name, _, section in _SECTIONS}
VARIABLES = {*re.findall(r"`(KEYHOUSE_[A-Z_]+)`", PAGES["docs/settings.md"].partition("<!-- settings: end -->")[0])}

# Where a command may begin: a line, a span, a pipe, behind what runs it.
_COMMAND = re.compile(r"(?:^|`|\$ |[|;&(] ?|\brun |/bin/|exec keyhouse |-u keyhouse |-- )keyhouse ([a-z][^\n`|;&)<>]*)", re.MULTILINE)
_NOT_OURS = {
    "KEYHOUSE_SERVICE_HOST",  # what Kubernetes sets
    "KEYHOUSE_APP_KEY",  # a name of the reader's own
}
_OWN_FORMATS = {"messages": ("anthropic_messages", "anthropic_vertex"), "responses": ("openai_responses",)}
_MESSAGES = {
    Code.ROUTE_NOT_FOUND: "Not Found",
    Code.PROJECT_NOT_FOUND: "Project not found",
    Code.INVALID_PROVIDER: "Invalid provider",
    Code.INVALID_API_KEY_CONFIGURATION: "Invalid API key configuration for ...",
    Code.PROVIDER_DEPRECATED: "This model provider is no longer available to add.",
}
_SAID_NOT_TO_BE = {("GET", "/v1/responses/{id}")}


def code(text: str) -> str:
    """The blocks and spans of a page, a line each; a command that goes on over lines is one."""
    parts = re.findall(r"^```.*?\n(.*?)^```|`([^`\n]+)`", text, re.DOTALL | re.MULTILINE)
    return "\n".join((block or f"`{span}`").replace("\\\n", " ") for block, span in parts)


@READERS
def test_commands_and_their_options_are_there(page: str) -> None:
    for given in _COMMAND.findall(code(PAGES[page])):
        words = given.split("#")[0].split()
        name = " ".join(words[:2]) if _is_group(words[0]) else words[0]
        assert name in OPTIONS or _is_group(name), given
        known = OPTIONS.get(name) or set.union(*(options for other, options in OPTIONS.items() if other.startswith(f"{name} ")))
        assert [word for word in words if re.match(r"--?[a-z]", word) and word.partition("=")[0] not in known] == [], given


def _is_group(name: str) -> bool:
    return any(other.startswith(f"{name} ") for other in OPTIONS)


def test_commands_are_found_in_the_pages() -> None:
    assert len(OPTIONS) > 30
    assert sum(len(_COMMAND.findall(code(text))) for text in PAGES.values()) > 100


@READERS
def test_variables_are_settings(page: str) -> None:
    named = {*re.findall(r"\bKEYHOUSE_[A-Z_]*[A-Z]", PAGES[page])} - _NOT_OURS
    assert sorted(named - VARIABLES) == []


@READERS
def test_routes_are_there(page: str, shared_sqlite_house: ServedHouse) -> None:
    document = shared_sqlite_house.anonymous().get("/openapi.json").json()["paths"]
    templates = [(re.sub(r"\\{\w+\\}", "[^/]+", re.escape(path)), {*methods}) for path, methods in document.items()]
    named = {*re.findall(r"\b(GET|PUT|POST|PATCH|DELETE) (/(?:api|v1)/[\w{}/.-]*[\w}])", PAGES[page])}
    for method, path in named - _SAID_NOT_TO_BE:
        if path.startswith("/api/"):
            assert any(re.fullmatch(template, path) and method.lower() in methods for template, methods in templates), (method, path)
        else:
            assert (method == "POST" and usual_path(path)[0] in ENDPOINTS) or (method == "GET" and is_models(path)), (method, path)


def test_endpoints_are_told_with_the_providers_that_have_them() -> None:
    """Those that speak the endpoint's own format, where all others with chat are translated."""
    providers = load_catalog(None).providers.values()
    had: dict[str, set[str]] = {}
    for provider in providers:
        for route in provider.calling.routes if provider.calling is not None else ():
            for name, endpoints in route.endpoints.items():
                if any(endpoint.wire in _OWN_FORMATS.get(name, (endpoint.wire,)) for endpoint in endpoints):
                    had.setdefault(name, set()).add(provider.id)
    told = re.findall(r"^\| `POST (/v1/[\w/]+)`[^|]*\| ([^.;\n]*)", PAGES["docs/gateway.md"], re.MULTILINE)
    assert {path for path, _ in told} == ENDPOINTS.keys()
    for path, row in told:
        if (name := ENDPOINTS[path].name) != "chat":
            assert {one.id for one in providers if re.search(rf"\b{one.id}\b", row)} == had[name], path


def test_every_error_is_told_with_its_status() -> None:
    """In the gateway's table by its code, in the API's by what stands in `error`; and none is told that is not there."""
    gateway = _told("docs/gateway.md", r"^\| (\d{3} `.+?) \|")
    api = _told("docs/projects-and-keys.md", r"^\| (\d{3} \| `.+?) \|")
    assert (
        sorted(code.value for code, status in STATUS.items() if not {(status, code.value)} & gateway | {(status, _in_error(code))} & api)
        == []
    )
    assert sorted(gateway - {(404, "model_not_found")} - {(status, code.value) for code, status in STATUS.items()}) == []
    assert sorted(api - {(status, _in_error(code)) for code, status in STATUS.items()}) == []


def _told(page: str, rows: str) -> set[tuple[int, str]]:
    """Each name that stands in the rows of a page, with the status before it."""
    told, status = set(), 0
    for number, name in re.findall(r"(\d{3})(?= )|`(.+?)`", "\n".join(re.findall(rows, PAGES[page], re.MULTILINE))):
        status = int(number) if number else status
        told |= {(status, name)} if name else set()
    return told


def _in_error(code: Code) -> str:
    """What the API says in `error`; of those that say their message there, the message."""
    return _MESSAGES.get(code) or str(json.loads(flat_envelope(Error(code, "")))["error"])


def test_every_action_of_the_audit_log_is_told() -> None:
    things = "organization|team|project|api_key|model_provider|session|encryption_key|history|audit_log"
    source = "".join(path.read_text(encoding="utf-8") for path in (SOURCE / "services").glob("*.py"))
    written = {*re.findall(rf'"((?:{things})\.[a-z_]+)"', source)}
    assert len(written) > 15
    assert sorted(name for name in written if f"`{name}`" not in PAGES["docs/projects-and-keys.md"]) == []


@READERS
def test_headers_and_files_of_ours_are_there(page: str) -> None:
    source = "".join(path.read_text(encoding="utf-8") for path in [*SOURCE.rglob("*.py"), *SOURCE.rglob("*.js")])
    assert sorted({name for name in re.findall(r"\bx-keyhouse-[a-z-]*[a-z]", PAGES[page]) if name not in source}) == []
    named = re.findall(r"`((?:src|scripts|tests|docs|bench|\.ci)/[\w./-]+)`", PAGES[page])
    assert [path for path in named if not (ROOT / path).exists()] == []
