"""Traces of requests: their content."""

import sys

from opentelemetry.instrumentation.wsgi import OpenTelemetryMiddleware
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from staging_api.traces import trace_id, without_query


def test_a_span_shows_the_path_of_a_request_and_not_its_query():
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))

    def app(_environ, start_response):
        start_response("200 OK", [])
        return [b""]

    def started(_status, _headers, _info=None, /):
        return lambda _data: None

    traced = OpenTelemetryMiddleware(app, request_hook=without_query, tracer_provider=provider)
    query = "archive_url=https://bucket.example/b/image.zip%3FX-Amz-Signature=hunter2"
    for raw in ({"RAW_URI": f"/stage?{query}"}, {}):
        environ = {
            "REQUEST_METHOD": "GET",
            "PATH_INFO": "/stage",
            "QUERY_STRING": query,
            "SERVER_NAME": "depot",
            "SERVER_PORT": "80",
            "wsgi.url_scheme": "http",
            **raw,
        }
        list(traced(environ, started))
    shown = [str(dict(span.attributes or {})) for span in exporter.get_finished_spans()]
    assert len(shown) == 2
    assert all("/stage" in each and "hunter2" not in each for each in shown)


def test_a_trace_has_an_id_while_one_of_its_spans_is_open():
    tracer = TracerProvider().get_tracer("x")
    assert trace_id() is None
    with tracer.start_as_current_span("one") as span:
        assert trace_id() == f"{span.get_span_context().trace_id:032x}"
    assert trace_id() is None


def test_where_no_traces_are_collected_there_is_no_id(monkeypatch):
    monkeypatch.delitem(sys.modules, "opentelemetry.trace")
    assert trace_id() is None
