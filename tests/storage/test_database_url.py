"""A database's URL as people write it, and what libpq is given for it."""

import psycopg
import pytest

from keyhouse.domain.errors import Error
from keyhouse.storage.database_url import PostgresServer, SqliteFile, parse_database_url


@pytest.mark.parametrize(
    ("text", "parameters", "hosts", "shown"),
    [
        ("postgresql://h/n", {"host": "h", "dbname": "n"}, "h:5432", "postgresql://h/n"),
        ("postgres://u@h:1/n", {"user": "u", "host": "h", "port": "1", "dbname": "n"}, "h:1", "postgresql://u@h:1/n"),
        (
            "postgresql+psycopg://u:p@h/n",
            {"user": "u", "password": "p", "host": "h", "dbname": "n"},
            "h:5432",
            "postgresql://u@h/n",
        ),
        (
            "postgresql://u:p%40%25/x?#y%zz :&=@h/n",
            {"user": "u", "password": "p@%/x?#y%zz :&=", "host": "h", "dbname": "n"},
            "h:5432",
            "postgresql://u@h/n",
        ),
        ("postgresql://u%2F@[::1]:7/a%20b", {"user": "u/", "host": "::1", "port": "7", "dbname": "a b"}, "[::1]:7", None),
        ("postgresql://[::1]/n", {"host": "::1", "dbname": "n"}, "[::1]:5432", None),
        ("postgresql:///n?host=/run/pg&sslmode=require", {"host": "/run/pg", "sslmode": "require", "dbname": "n"}, "localhost:5432", None),
        ("postgresql://h/n?options=-c x=y&password=p", {"options": "-c x=y", "password": "p", "host": "h", "dbname": "n"}, "h:5432", None),
        ("postgresql://a:1,b/n", {"host": "a,b", "port": "1,", "dbname": "n"}, "a:1,b:5432", None),
        ("postgresql://", {}, "localhost:5432", None),
    ],
)
def test_a_servers_url_is_read(text: str, parameters: dict[str, str], hosts: str, shown: str | None) -> None:
    server = parse_database_url(text)
    assert isinstance(server, PostgresServer)
    assert psycopg.conninfo.conninfo_to_dict(server.conninfo) == parameters
    assert server.hosts == hosts
    assert shown in (None, server.shown)
    assert "p@" not in repr(server)
    assert "password" not in repr(server)


@pytest.mark.parametrize("path", ["/var/lib/a b.db", "keyhouse.db", "x?y#z%20"])
def test_a_files_url_is_its_path(path: str) -> None:
    file = parse_database_url(f"sqlite:///{path}")
    assert isinstance(file, SqliteFile)
    assert file.shown == path


@pytest.mark.parametrize(
    "text",
    [
        "sqlite:///:memory:",
        "sqlite://",
        "sqlite:///file:x?mode=memory",
        "mysql://x@y/z",
        "nonsense",
        "postgres//x",
        "postgresql://h:port/n",
        "postgresql://[::1/n",
    ],
)
def test_other_addresses_are_refused_without_being_repeated(text: str) -> None:
    with pytest.raises(Error, match="neither sqlite:///path nor postgresql://") as refused:
        parse_database_url(text)
    assert text not in refused.value.message.replace("sqlite:///path", "")
