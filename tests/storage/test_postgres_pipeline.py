"""Statements over libpq: what goes over the wire and comes back, how often, and what is left of a connection after a failure."""

import contextlib
from collections.abc import Iterator
from functools import partial

import psycopg
import pytest

from keyhouse.storage.database_url import PostgresServer as ServerUrl
from keyhouse.storage.database_url import parse_database_url
from keyhouse.storage.postgres_pipeline import Pipeline
from keyhouse.storage.postgres_server import connect
from keyhouse.storage.statements import Statement
from tests.conftest import PostgresServer

_ECHO = Statement("SELECT CAST(:text AS text), CAST(:number AS bigint), CAST(:blob AS bytea), CAST(:flag AS boolean)")
_TABLE = Statement("CREATE TEMPORARY TABLE things (name text PRIMARY KEY, content text)")
_PUT = Statement("INSERT INTO things (name, content) VALUES (:name, :content)")
_NAMES = Statement("SELECT name FROM things ORDER BY name")
_WRONG = Statement("SELECT nothing FROM things")


@pytest.fixture
def pipeline(postgres_server: PostgresServer) -> Iterator[Pipeline]:
    url = parse_database_url(postgres_server.new_database())
    assert isinstance(url, ServerUrl)
    opened = Pipeline(connect(url))
    opened.run(_TABLE, {})
    opened.commit()
    yield opened
    opened.close()


def names(pipeline: Pipeline) -> list[str]:
    found = [row[0] for row in pipeline.rows(_NAMES, {})]
    pipeline.commit()
    return found


@pytest.mark.parametrize(
    ("text", "number", "blob", "flag"),
    [
        ("", 0, b"", False),
        ("é\u2022\U0001f600'\"\\", -(2**63), bytes(range(256)), True),
        ("x" * 300_000, 2**63 - 1, b"\0" * 300_000, True),
        (None, None, None, None),
    ],
)
def test_values_come_back_as_they_were_sent(pipeline: Pipeline, text: object, number: object, blob: object, flag: object) -> None:
    given = {"text": text, "number": number, "blob": blob, "flag": flag}
    for _ in range(2):
        assert pipeline.rows(_ECHO, given) == [tuple(given.values())]
    pipeline.commit()


def test_a_statement_is_prepared_once(pipeline: Pipeline) -> None:
    prepared = Statement("SELECT count(*) FROM pg_prepared_statements")
    names(pipeline)
    pipeline.rows(prepared, {})
    before = pipeline.rows(prepared, {})
    names(pipeline)
    assert pipeline.rows(prepared, {}) == before
    pipeline.commit()


def test_a_text_with_a_nul_is_refused_and_never_cut(pipeline: Pipeline) -> None:
    with pytest.raises(psycopg.DataError):
        pipeline.rows(_ECHO, {"text": "a\0b", "number": 1, "blob": b"", "flag": True})
    pipeline.roll_back()
    assert pipeline.idle


def test_what_is_no_value_is_not_sent(pipeline: Pipeline) -> None:
    with pytest.raises(TypeError, match="A float is no value"):
        pipeline.run(_PUT, {"name": 1.5, "content": ""})
    pipeline.roll_back()
    assert names(pipeline) == []


def test_more_than_the_socket_holds_goes_both_ways(pipeline: Pipeline) -> None:
    for number in range(3000):
        pipeline.run(_PUT, {"name": f"{number:04}", "content": "x" * 2000})
    pipeline.commit()
    assert names(pipeline) == [f"{number:04}" for number in range(3000)]


@pytest.mark.parametrize("found_at", ["the next read", "the commit", "nothing"])
def test_a_failure_undoes_its_transaction_and_spares_the_connection(pipeline: Pipeline, found_at: str) -> None:
    pipeline.run(_PUT, {"name": "before", "content": ""})
    pipeline.commit()
    pipeline.run(_PUT, {"name": "lost", "content": ""})
    pipeline.run(_PUT, {"name": "before", "content": ""})
    if found_at != "nothing":
        find = pipeline.commit if found_at == "the commit" else partial(pipeline.rows, _NAMES, {})
        with pytest.raises(psycopg.errors.UniqueViolation) as refused:
            find()
        assert refused.value.diag.constraint_name == "things_pkey"
    pipeline.roll_back()
    assert pipeline.idle
    assert names(pipeline) == ["before"]


def test_what_was_skipped_is_prepared_when_it_is_needed_again(pipeline: Pipeline) -> None:
    pipeline.run(_WRONG, {})
    with pytest.raises(psycopg.errors.UndefinedColumn):
        pipeline.rows(_PUT, {"name": "skipped", "content": ""})
    pipeline.roll_back()
    for name in ("a", "b"):
        pipeline.run(_PUT, {"name": name, "content": ""})
        pipeline.commit()
    with pytest.raises(psycopg.errors.UndefinedColumn):
        pipeline.rows(_WRONG, {})
    pipeline.roll_back()
    assert names(pipeline) == ["a", "b"]


def test_a_transaction_that_only_read_ends_when_it_is_rolled_back(pipeline: Pipeline) -> None:
    """Else the next one would see the snapshot of this one."""
    begun = Statement("SELECT CAST(extract(epoch FROM now()) * 1000000 AS bigint)")
    moments = []
    for _ in range(3):
        moments += pipeline.rows(begun, {})
        pipeline.roll_back()
    assert moments == sorted(set(moments))


def test_nothing_is_committed_or_undone_where_nothing_was_begun(pipeline: Pipeline) -> None:
    pipeline.commit()
    pipeline.roll_back()
    assert pipeline.idle
    assert names(pipeline) == []


def test_a_connection_that_was_cut_is_lost(pipeline: Pipeline) -> None:
    cut = Statement("SELECT pg_terminate_backend(pg_backend_pid())")
    with pytest.raises(psycopg.OperationalError):
        pipeline.rows(cut, {})
    with contextlib.suppress(psycopg.OperationalError):
        pipeline.roll_back()
    assert pipeline.lost
    assert not pipeline.idle
