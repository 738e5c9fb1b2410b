"""The house that a command works on: opened as its options say, asked by requests, and what it refuses told in a sentence."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from pydantic import SecretStr

from keyhouse.cli.choosing import chosen
from keyhouse.cli.connection import Connection, HttpConnection, Reply, Request, Rights, all_entries
from keyhouse.cli.exit_codes import CommandError, ExitCode, exit_code_of_status, report
from keyhouse.cli.options import OrganizationPlace, Paged, Place, ProjectPlace
from keyhouse.cli.secret_input import asked_secret, read_stdin
from keyhouse.settings import Settings, read_settings

_HINTS = {
    "endpoint_changed": "Stored secrets stay with their address: for another one send them again, with --secret NAME or --header NAME.",
    "precondition_failed": "Somebody else changed it meanwhile. Run the command again.",
    "Invalid provider": "`keyhouse catalog providers` lists those there are, `keyhouse provider list` what is stored.",
}

_PROJECTS = "/api/projects"
_TEAMS = "/api/teams"
_FIRST = Paged(limit=1)


class House:
    """See the module."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def ask(self, request: Request) -> Reply:
        """Send a request. Raises CommandError with what is refused and what to do about it."""
        reply = self._connection.send(request)
        if reply.status == 401 and request.rights == "project" and self._takes_only_project():
            reply = self._connection.send(request)
        return _accepted(reply, request)

    def try_ask(self, request: Request) -> Any:
        """The JSON of an answer, or None where the key does not open it."""
        reply = self._connection.send(request)
        return None if reply.status == 401 else _accepted(reply, request).json

    def get(self, path: str, rights: Rights) -> Any:
        """The JSON of a path."""
        return self.ask(Request("GET", path, rights)).json

    def page(self, path: str, rights: Rights, which: Paged) -> Any:
        """One page of a list."""
        return self.ask(Request("GET", path, rights, query=which.query)).json

    def _takes_only_project(self) -> bool:
        """Whether the key of a server opens an organization, of whose projects none was named: the only one is taken then."""
        connection = self._connection
        if not isinstance(connection, HttpConnection) or connection.project_id is not None:
            return False
        if connection.send(Request("GET", _PROJECTS, "organization", query=_FIRST.query)).status != 200:
            return False
        connection.project_id = self.find(_PROJECTS, "project", None)
        return True

    def find(self, path: str, kind: str, wanted: str | None, choice: str | None = None) -> str:
        """The id of one of a list of the organization, wanted by id or slug; without a wish, the only one's. Raises what `chosen` does."""
        if wanted is not None and wanted.startswith(f"{kind}_"):
            return wanted
        return str(chosen(all_entries(self.ask, path), wanted, kind, choice)["id"])


def opened(place: Place) -> AbstractContextManager[House]:
    """The house of a running server where an endpoint is given, else that of the data folder."""
    return opened_by(settings_for(place))


@contextmanager
def opened_by(settings: Settings) -> Iterator[House]:
    """The same for settings that were read: a key that comes on standard input can be read once only."""
    connection = _local(settings) if settings.endpoint is None else _remote(settings)
    try:
        yield House(connection)
    finally:
        connection.close()


def settings_for(place: Place) -> Settings:
    """The settings with a command's options. Without an endpoint they mean the data folder."""
    if place.endpoint is not None and (place.data_dir is not None or place.database_url is not None):
        raise CommandError(
            "A command works on a server or on a data folder: say --endpoint, or --data-dir or --database-url.", ExitCode.USAGE
        )
    settings = read_settings(data_dir=place.data_dir, database_url=place.database_url, endpoint=place.endpoint)
    if isinstance(place, ProjectPlace):
        settings.project = place.project or settings.project
    elif isinstance(place, OrganizationPlace):
        settings.organization = place.organization or settings.organization
    else:
        # The installation as a whole is meant, whatever the environment names.
        settings.project = settings.organization = None
    if place.api_key is not None:
        settings.api_key = SecretStr(read_stdin("the API key") if place.api_key == "-" else place.api_key)
    if place.endpoint is None and (place.data_dir is not None or place.database_url is not None):
        settings.endpoint = None
    return settings


def _local(settings: Settings) -> Connection:
    from keyhouse.cli.local_connection import LocalConnection

    return LocalConnection(settings)


def _remote(settings: Settings) -> Connection:
    asked: dict[str, str] = {}

    def key_for(rights: Rights) -> str | None:
        if rights == "nobody":
            return None
        kept = settings.api_key if rights != "instance" else settings.admin_key or settings.api_key
        if kept is not None:
            return kept.get_secret_value()
        kind = "instance key" if rights == "instance" else "API key"
        asked[kind] = asked.get(kind) or asked_secret(f"{kind} for {settings.endpoint}", "KEYHOUSE_API_KEY or KEYHOUSE_API_KEY_FILE")
        return asked[kind]

    connection = HttpConnection(settings.endpoint or "", key_for)
    if connection.is_in_clear:
        report("warning: this endpoint has no TLS, so the key and what you send cross the network in clear.")
    project, organization = settings.project, settings.organization
    if project is not None or organization is not None:
        key, house = key_for("project") or "", House(connection)
        if key.strip().startswith("sk-lw-") and "_" not in key:
            _require_own_project(house, project)
        else:
            _require_own_organization(house, organization)
            connection.project_id = None if project is None else house.find(_PROJECTS, "project", project)
    return connection


def _require_own_organization(house: House, organization: str | None) -> None:
    """Raise CommandError where a key of a server is to work on another organization than its own, which no request names."""
    if organization is None:
        return
    teams = house.page(_TEAMS, "organization", _FIRST)["data"]
    own = teams[0]["organizationId"] if teams else "its own organization"
    if organization != own:
        told = f"On a server the key says which organization: this one opens {own} alone. Leave --organization away, or use another key."
        raise CommandError(told, ExitCode.NOT_PERMITTED)


def _require_own_project(house: House, project: str | None) -> None:
    """Raise CommandError where a project's key is to work on another project: the API would pass over that, and take the key's own."""
    if project is None:
        return
    own = house.get("/api/model-defaults", "project")["scope"]["projectId"]
    if project != own:
        told = f"This is the project key of {own}, and opens that project alone. Leave --project away, or use an API key."
        raise CommandError(told, ExitCode.NOT_PERMITTED)


def _accepted(reply: Reply, request: Request) -> Reply:
    if reply.status >= 300:
        raise _refusal(reply, request)
    return reply


def _refusal(reply: Reply, request: Request) -> CommandError:
    told = reply.json if isinstance(reply.json, dict) else {}
    if isinstance(told.get("error"), dict):
        # The gateway's envelope, which is OpenAI's.
        told = {"error": told["error"].get("code"), "message": told["error"].get("message")}
    label = str(told.get("error", ""))
    sentence = _sentence(str(told.get("message") or label or f"The server answered {reply.status}"))
    sentences = [sentence, *_fields(told, sentence)]
    hint = told.get("hint") or _HINTS.get(label) or _hint_of_status(reply.status, label, request)
    return CommandError(" ".join([*sentences, *([hint] if hint else [])]), exit_code_of_status(reply.status))


def _fields(told: dict[str, Any], sentence: str) -> list[str]:
    """The fields that a refusal names and its sentence does not, each with its reason where it has one."""
    reasons: dict[str, str] = {}
    for reason in told.get("reasons") or []:
        meta = reason.get("meta") or {}
        reasons[str(meta.get("field"))] = str(meta.get("message") or "")
    named = [f"{name} ({reasons[name]})" if reasons.get(name) else str(name) for name in told.get("fields") or [] if name not in sentence]
    return [f"Fields: {', '.join(named)}."] if named else []


def _hint_of_status(status: int, label: str, request: Request) -> str | None:
    if status == 404 and request.path.startswith("/api/model-providers/") and label == "not_found":
        return _HINTS["Invalid provider"]
    if status == 401:
        return "Check the key and the project." if request.rights == "project" else "Check the key."
    if status == 404 and request.rights == "instance" and label == "Not Found":
        return "A server answers this once it has an instance key: KEYHOUSE_ADMIN_KEY."
    if 300 <= status < 400:
        return "The endpoint sends elsewhere. Name the address that it leads to."
    return None


def _sentence(text: str) -> str:
    return text if text.endswith((".", "!", "?")) else f"{text}."
