"""Where the database is, read from its URL. Connects to nothing."""

import re
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qsl, quote, unquote, urlencode

from keyhouse.domain.errors import Code, Error

_SQLITE = "sqlite:///"
_HOST = r"(?:\[[^\]/?]+\]|[^\[\]:,/?]*)(?::\d*)?"
_SERVER = re.compile(
    r"(?:postgres|postgresql|postgresql\+psycopg)://"
    r"(?:(?P<user>[^:/]*)(?::(?P<password>[^@]*))?@)?"
    rf"(?P<hosts>{_HOST}(?:,{_HOST})*)"
    r"(?:/(?P<database>[^?]*))?(?:\?(?P<options>.*))?"
)


@dataclass(frozen=True, slots=True)
class SqliteFile:
    """A file of SQLite's."""

    path: Path

    @property
    def shown(self) -> str:
        """What a person calls it."""
        return str(self.path)


@dataclass(frozen=True, slots=True)
class PostgresServer:
    """A database of a PostgreSQL server, or of several that stand in for each other."""

    conninfo: str = field(repr=False)
    """What libpq connects with, the password in it: https://www.postgresql.org/docs/15/libpq-connect.html#LIBPQ-CONNSTRING"""
    hosts: str
    """Host and port, of several with commas between them."""
    shown: str
    """What a person calls it: the URL without password and options."""


DatabaseUrl = SqliteFile | PostgresServer


def parse_database_url(text: str) -> DatabaseUrl:
    """A database's URL: `sqlite:///path`, the path as it is, or `postgresql://user:password@host/name`, as libpq reads it.

    User, password and name may also hold characters that a URL would have to escape. Raises Error `configuration`, without the URL.
    """
    path = text.removeprefix(_SQLITE)
    if text.startswith(_SQLITE) and path and not path.startswith((":memory:", "file:")):
        return SqliteFile(Path(path))
    if server := _SERVER.fullmatch(text):
        return _server(**server.groupdict(default=""))
    raise Error(Code.CONFIGURATION, "The database URL is neither sqlite:///path nor postgresql://user:password@host/name.")


def _server(user: str, password: str, hosts: str, database: str, options: str) -> PostgresServer:
    name = f"{hosts}/{_escaped(database)}"
    signed_in = f"{_escaped(user)}:{_escaped(password)}@" if password else f"{_escaped(user)}@" if user else ""
    given = urlencode(parse_qsl(options, keep_blank_values=True), quote_via=quote)
    return PostgresServer(
        conninfo=f"postgresql://{signed_in}{name}{'?' if given else ''}{given}",
        hosts=",".join(map(_with_port, hosts.split(","))),
        shown=f"postgresql://{f'{_escaped(user)}@' if user else ''}{name}",
    )


def _escaped(part: str) -> str:
    return quote(unquote(part), safe="")


def _with_port(host: str) -> str:
    name, separator, port = host.rpartition(":")
    if not separator or host.endswith("]"):
        name, port = host, ""
    return f"{name or 'localhost'}:{port or 5432}"
