"""Spans of statements: one for each, and the same results without them."""

from collections.abc import Iterator

import psycopg2
import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from staging_api.traces import _trace_statements


@pytest.fixture
def spans() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
def traced(database_url: str, spans: InMemorySpanExporter) -> Iterator[Engine]:
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(spans))
    engine = create_engine(database_url, poolclass=NullPool)
    with engine.connect():
        spans.clear()  # SQLAlchemy's first queries to a server
    _trace_statements(engine, provider.get_tracer("test"))
    yield engine
    engine.dispose()


def ended(spans: InMemorySpanExporter) -> list[ReadableSpan]:
    return list(spans.get_finished_spans())


def test_a_statement_has_a_span_with_its_text_and_without_its_parameters(
    traced: Engine, spans: InMemorySpanExporter
) -> None:
    with traced.connect() as conn:
        assert conn.execute(text("select :given"), {"given": "secret"}).scalar_one() == "secret"
    [span] = ended(spans)
    assert span.name == "SELECT"
    assert dict(span.attributes or {}) == {
        "db.system": "postgresql",
        "db.statement": "select %(given)s",
    }
    assert "secret" not in span.to_json()


def test_a_statement_of_many_rows_has_one_and_writes_them_all(
    traced: Engine, spans: InMemorySpanExporter
) -> None:
    with traced.connect() as conn:
        conn.exec_driver_sql("CREATE TEMPORARY TABLE numbers (n int)")
        raw = conn.connection.cursor()
        raw.executemany("INSERT INTO numbers VALUES (%s)", [(1,), (2,)])
        assert conn.exec_driver_sql("TABLE numbers").scalars().all() == [1, 2]
    assert [span.name for span in ended(spans)] == ["CREATE", "INSERT", "TABLE"]


def test_a_statement_that_fails_says_how_and_not_with_what(
    traced: Engine, spans: InMemorySpanExporter
) -> None:
    with traced.connect() as conn, pytest.raises(DBAPIError):
        conn.execute(text("SELECT CAST(:given AS int)"), {"given": "secret"})
    [span] = ended(spans)
    assert (span.attributes or {})["error.type"] == "InvalidTextRepresentation"
    assert span.events == ()
    assert "secret" not in span.to_json()


def test_an_empty_statement_has_a_name_too(traced: Engine, spans: InMemorySpanExporter) -> None:
    with traced.connect() as conn, pytest.raises(psycopg2.ProgrammingError):
        conn.connection.cursor().execute(" ")
    assert [span.name for span in ended(spans)] == ["STATEMENT"]
