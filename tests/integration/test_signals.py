"""Signals of a running service: metrics of all its processes, log lines, traces, readiness."""

import gzip
import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from falcon.testing import TestClient
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from staging_api.db.engine import Database
from staging_api.processes.application import api_of, wsgi_of
from staging_api.processes.bootstrap import build
from staging_api.settings import Settings
from tests.builds import build as objects_of_a_build
from tests.builds import build_path
from tests.databases import Migrated
from tests.service import STAGINGS, Pod, Service, eventually, service
from tests.source import ArchiveSource, archive_source

MARKER = "6f3d2c1e-0000-4000-8000-123456789abc"
IDS = ["request_id", "reference_id", "lock_id", "staging_id"]


@pytest.fixture(scope="module")
def own_url(migrated: Migrated) -> Iterator[str]:
    with migrated() as url:
        yield url


@pytest.fixture(scope="module")
def source() -> Iterator[ArchiveSource]:
    with archive_source() as found:
        yield found


@pytest.fixture(scope="module")
def pods(own_url: str, source: ArchiveSource, tmp_path_factory: Any) -> Iterator[Service]:
    """Yield pods with two processes each, which log JSON."""
    folder = tmp_path_factory.mktemp("pods")
    given = {"workers": "2", "log_format": "json"}
    with service(folder, own_url, f"{source.url}/", **given) as found:
        yield found


@pytest.fixture(scope="module")
def pod(pods: Service) -> Pod:
    return pods.api()[0]


def scrape(pod: Pod) -> dict[str, float]:
    """Return every sample of the metrics, by name and labels."""
    text = pod.client.get("/metrics").body.decode()
    lines = [line.rpartition(" ") for line in text.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, _, value in lines}


def lines_of(pod: Pod) -> list[dict[str, Any]]:
    return [json.loads(line) for line in pod.log.read_text().splitlines() if line.startswith("{")]


def lines_about(pod: Pod, request_id: str) -> list[dict[str, Any]]:
    """Return the log lines of an answered request; they are written a moment after the response."""

    def found() -> list[dict[str, Any]]:
        return [line for line in lines_of(pod) if line["request_id"] == request_id]

    eventually(
        lambda: any(line["logger"] == "staging_api.access" for line in found()),
        "the log does not tell of the request",
    )
    return found()


def test_metrics_are_those_of_all_processes_together(pod: Pod):
    name = 'staging_requests_total{method="GET",route="/api/v1.0/stagings",status="200"}'
    before = scrape(pod).get(name, 0.0)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: pod.client.get(STAGINGS), range(40)))
    assert scrape(pod)[name] == before + 40


def test_a_staging_is_counted_by_artifact_bytes_and_locks(pod: Pod, source: ArchiveSource):
    objects = objects_of_a_build("counted")
    url = source.add(build_path(), objects)
    before = scrape(pod)
    assert pod.client.stage(url).status == 201
    after = scrape(pod)

    def more(name: str) -> float:
        return after[name] - before.get(name, 0.0)

    assert more('staging_artifacts_total{artifact="full_payload",outcome="staged"}') == 1
    assert more('staging_locks_granted_total{kind="archive"}') == 1
    assert more('staging_source_bytes_total{scheme="http"}') >= 300_000
    assert after['staging_locks_held{kind="archive"}'] == 0
    # No worker runs, so the work stays queued; and the database is not read at each scrape.
    pending = 'staging_queue_artifacts{of="pending"}'
    eventually(lambda: scrape(pod)[pending] >= 1, "the queue is not seen")
    assert after['staging_database_up{of="database"}'] == 1
    assert after['staging_store_free_bytes{of="store"}'] > 0


def test_a_path_of_a_callers_choice_makes_no_series_of_its_own(pod: Pod):
    pod.client.get("/static/of/my/choice")
    pod.client.get("/nothing/here")
    assert not [name for name in scrape(pod) if "choice" in name or "nothing" in name]


def test_every_log_line_of_a_request_names_request_and_caller(pod: Pod, source: ArchiveSource):
    url = source.add(build_path(), objects_of_a_build("logged"))
    answer = pod.client.stage(url, X_Context_Marker=MARKER, X_Request_Id="my-request")
    mine = lines_about(pod, "my-request")
    assert all(set(IDS) <= set(line) for line in lines_of(pod))
    (access,) = [line for line in mine if line["logger"] == "staging_api.access"]
    assert access["reference_id"] == MARKER
    assert (access["caller"], access["client_address"]) == ("anonymous", "127.0.0.1")
    assert access["staging_id"] == answer.json["id"]
    assert access["lock_id"] == answer.json["lock_id"]


def test_the_access_line_of_a_refusal_names_its_error_code(pod: Pod):
    # For a devserver client a refusal can be a 200, so the status alone does not identify it.
    refusals = {
        f"{STAGINGS}/not-an-id": "not_found",
        "/is_staged?artifacts=stateful": "invalid_request",
        "/nothing/here": "not_found",
    }
    for number, (path, code) in enumerate(refusals.items()):
        pod.client.get(path, X_Request_Id=f"refused-{number}")
        assert lines_about(pod, f"refused-{number}")[-1].get("error_code") == code
    pod.client.get("/livez", X_Request_Id="answered")
    assert not any("error_code" in line for line in lines_about(pod, "answered"))


def test_a_worker_logs_and_counts_what_it_does(pods: Service, pod: Pod, source: ArchiveSource):
    url = source.add(build_path(), objects_of_a_build("worked"))
    asked = pod.client.stage(url, Prefer="respond-async", X_Context_Marker=MARKER)
    worker = pods.worker()
    pod.client.wait(asked.headers["Location"], "staged")
    assert worker.process.poll() is None


def test_a_store_that_cannot_be_written_is_not_ready_and_says_so(
    database_url: str, database: Database, tmp_path: Path
):
    (tmp_path / "store").write_text("a file is no folder")
    settings = Settings.from_env(
        database_url=database_url, home=tmp_path, store=f"file://{tmp_path}/store"
    )
    made = build(settings)
    answer = TestClient(api_of(made)).simulate_get("/readyz")
    made.close()
    assert answer.status_code == 503
    assert answer.headers["Retry-After"] == "2"
    assert answer.json["checks"]["store"] == "the store cannot be written"
    assert answer.json["checks"]["database"] == "ok"


def test_without_a_database_a_pod_is_alive_but_not_ready_and_serves_metrics(
    tmp_path: Path,
):
    url = "postgresql+psycopg2://nobody@127.0.0.1:1/none"
    made = build(Settings.from_env(database_url=url, home=tmp_path))
    client = TestClient(api_of(made))
    assert client.simulate_get("/readyz").status_code == 503
    assert client.simulate_get("/livez").status_code == 200
    assert 'staging_database_up{of="database"} 0.0' in client.simulate_get("/metrics").text
    made.close()


def test_answers_carry_headers_that_keep_browsers_from_harm(pod: Pod):
    headers = pod.client.get(STAGINGS).headers
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["Cache-Control"] == "no-store"


def test_a_request_is_traced_with_its_statements_below_the_span_of_its_caller(
    database_url: str, database: Database, tmp_path: Path
):
    with collector() as (endpoint, received):
        made = build(
            Settings.from_env(database_url=database_url, home=tmp_path, traces_endpoint=endpoint)
        )
        parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
        client = TestClient(wsgi_of(made))
        answer = client.simulate_get(
            "/api/v1.0/locks", headers={"traceparent": parent}, host="localhost"
        )
        assert answer.status_code == 200
        with pytest.raises(DBAPIError), made.locks.database.transactions.begin() as conn:
            conn.execute(text("SELECT CAST(:given AS integer)"), {"given": "hunter2"})
        # Unsent spans are sent now, not some seconds later.
        made.close()
    traced = {(span.name.split()[0], span.trace_id.hex()) for span in received}
    assert ("GET", parent.split("-")[1]) in traced
    assert ("SELECT", parent.split("-")[1]) in traced
    assert "password" not in repr(received)
    # PostgreSQL's message quotes its input.
    [failed] = filter(failure_of, received)
    assert attributes_of(failed)["db.statement"].startswith("SELECT CAST(")
    assert "hunter2" not in repr(received)


def test_what_a_worker_does_is_traced_with_its_statements_below(
    migrated: Migrated, source: ArchiveSource, tmp_path: Path
):
    url = source.add(build_path(), objects_of_a_build("traced"))
    # A database of its own: no worker of other tests processes the queue.
    with migrated() as alone, collector() as (endpoint, received):
        with service(tmp_path, alone, f"{source.url}/", traces_endpoint=endpoint) as traced:
            staging = traced.api()[0].client.stage(url, Prefer="respond-async").json
            worker = traced.worker()
            eventually(lambda: any(of(span, staging["id"]) for span in received), worker.log.name)
        work = next(span for span in received if of(span, staging["id"]))
        below = {span.name for span in received if span.parent_span_id == work.span_id}
    assert {"SELECT", "UPDATE", "INSERT"} <= below


def of(span: Any, staging_id: str) -> bool:
    return attributes_of(span).get("staging.id") == staging_id


def failure_of(span: Any) -> str:
    return attributes_of(span).get("error.type", "")


def attributes_of(span: Any) -> dict[str, str]:
    return {one.key: one.value.string_value for one in span.attributes}


@contextmanager
def collector() -> Iterator[tuple[str, list[Any]]]:
    """Yield the address of a collector on loopback, and the spans that it received."""
    received: list[Any] = []

    class Taking(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            shown = ExportTraceServiceRequest.FromString(body)
            received.extend(
                span
                for resource in shown.resource_spans
                for scope in resource.scope_spans
                for span in scope.spans
            )
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Log nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Taking)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1/traces", received
    finally:
        server.shutdown()
        server.server_close()
