"""Why PostgreSQL cannot be reached, as far as it or its library says so, in words of ours."""

import pytest

from keyhouse.domain.errors import Code, Error
from keyhouse.storage.database_url import parse_database_url
from keyhouse.storage.schema import schema_revision
from tests.conftest import PostgresServer


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("postgresql://nobody:planted@127.0.0.1:{port}/postgres", "does not know the user."),
        ("postgresql://keyhouse:planted@127.0.0.1:{port}/none", "has no database of this name."),
        ("postgresql://keyhouse:planted@127.0.0.1:{port}/postgres?sslmode=require", "speaks no TLS, which `sslmode` asks for."),
        ("postgresql://keyhouse:planted@keyhouse.invalid:{port}/postgres", "has a name that is not known here."),
        ("postgresql://keyhouse:planted@127.0.0.1:1/postgres", "does not answer, or refuses the user or the database."),
    ],
    ids=["user", "database", "tls", "host", "port"],
)
def test_the_reason_is_told(postgres_server: PostgresServer, url: str, told: str) -> None:
    server = parse_database_url(url.format(port=postgres_server.port))
    with pytest.raises(Error) as refused:
        schema_revision(server)
    assert refused.value.code is Code.STORAGE_UNAVAILABLE
    assert f"PostgreSQL at {server.hosts} {told}" in refused.value.message  # type: ignore[union-attr]
    assert "planted" not in refused.value.message
