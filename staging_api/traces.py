"""OpenTelemetry traces of requests and their statements, if an endpoint is set.

The libraries are an optional extra and cost tens of microseconds a request, so they are imported
only with an endpoint. A trace has the text of a statement, never its parameters.
"""

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import psycopg2
from psycopg2.extensions import cursor
from sqlalchemy import Engine, event

from staging_api.errors import Invalid

WsgiApp = Callable[..., Any]
#: Opens a span with a name and attributes.
Spans = Callable[[str, Mapping[str, str]], AbstractContextManager[object]]

#: Tracer providers of this process.
_providers: list[Any] = []


def traced(app: WsgiApp, engines: Iterable[Engine], endpoint: str) -> WsgiApp:
    """Wrap `app` to create a span for each request, below its caller's, and for each statement.

    Args:
        endpoint: OTLP endpoint over HTTP, such as http://collector:4318/v1/traces.

    Raises:
        Invalid: the optional extra ``otel`` is not installed.
    """
    provider = _sending(engines, endpoint)
    from opentelemetry.instrumentation.wsgi import OpenTelemetryMiddleware

    return OpenTelemetryMiddleware(app, request_hook=without_query, tracer_provider=provider)


def without_query(span: Any, _environ: Mapping[str, Any]) -> None:
    """Remove the query from a request's span: devserver calls have archive URLs there.

    Such a URL may be signed, and a signature in a trace gives its readers a credential.
    """
    for name in ("http.target", "http.url", "url.query", "url.full"):
        shown = (span.attributes or {}).get(name)
        if isinstance(shown, str):
            span.set_attribute(name, "" if name == "url.query" else shown.partition("?")[0])


def work_traced(engines: Iterable[Engine], endpoint: str) -> Spans:
    """Return a factory of spans for pieces of work, with one below for each statement.

    Args:
        engines: database engines of this process.
        endpoint: see `traced`.

    Raises:
        Invalid: the optional extra ``otel`` is not installed.
    """
    tracer = _sending(engines, endpoint).get_tracer("staging_api")
    return lambda name, attributes: tracer.start_as_current_span(name, attributes=attributes)


def untraced(_name: str, _attributes: Mapping[str, str]) -> AbstractContextManager[object]:
    """Open no span; used if no endpoint is set."""
    return nullcontext()


def finish() -> None:
    """Send unsent spans at the end of a process; the libraries do not notice the end of a fork."""
    for provider in _providers:
        provider.shutdown()  # waits for its thread, which sends batches some seconds late


def trace_id() -> str | None:
    """Return the current trace's id in the form of collectors; None without traces."""
    trace = sys.modules.get("opentelemetry.trace")
    if trace is None:
        return None
    context = trace.get_current_span().get_span_context()
    return trace.format_trace_id(context.trace_id) if context.is_valid else None


def _sending(engines: Iterable[Engine], endpoint: str) -> Any:
    """Return a provider that exports spans, including those of the engines' statements."""
    try:
        import opentelemetry.instrumentation.wsgi  # noqa: F401 - part of the same extra
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError:
        raise Invalid.field(
            "STAGING_TRACES_ENDPOINT", "needs the optional extra: pip install 'staging_api[otel]'"
        ) from None
    provider = TracerProvider(resource=Resource.create({"service.name": "staging_api"}))
    _providers.append(provider)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint)))
    for engine in engines:
        _trace_statements(engine, provider.get_tracer("staging_api"))
    return provider


def _trace_statements(engine: Engine, tracer: Any) -> None:
    """Add a span to each statement, from sending the statement to its result."""
    traced_cursor = _cursor_with(tracer)

    def trace(connection: Any, *_rest: object) -> None:
        connection.cursor_factory = traced_cursor

    event.listen(engine, "checkout", trace)


def _cursor_with(tracer: Any) -> type[cursor]:
    @contextmanager
    def span_of(statement: str) -> Iterator[None]:
        words = statement.split(maxsplit=1) or ["statement"]
        attributes = {"db.system": "postgresql", "db.statement": statement}
        # The message of an error may quote a parameter.
        silent = {"record_exception": False, "set_status_on_exception": False}
        with tracer.start_span(words[0].upper(), attributes=attributes, **silent) as span:
            try:
                yield
            except psycopg2.Error as error:
                span.set_attribute("error.type", type(error).__name__)
                raise

    class TracedCursor(cursor):
        def execute(self, query: Any, vars: Any = None) -> None:  # noqa: A002 - the driver's name
            with span_of(str(query)):
                super().execute(query, vars)

        def executemany(self, query: Any, vars_list: Any) -> None:
            with span_of(str(query)):
                super().executemany(query, vars_list)

    return TracedCursor
