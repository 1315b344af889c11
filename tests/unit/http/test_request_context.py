"""Context of a request: its id, headers, log ids and metrics."""

from collections.abc import Iterator
from typing import Any

import falcon
import pytest
from falcon.testing import Result, TestClient

from staging_api import logs, metrics
from staging_api.http.addresses import TrustedProxies
from staging_api.http.middleware import RequestContext
from staging_api.http.problems import add_error_handlers

MARKER = "6f3d2c1e-0000-4000-8000-123456789abc"


class Looking:
    """Resource that returns the request's context, and the metrics during the request."""

    def on_get(self, req: falcon.Request, resp: falcon.Response, **_: str) -> None:
        resp.media = {
            **logs._context.get(),
            "running": metrics.REQUESTS_RUNNING._value.get(),
            "reference": req.context.reference_id,
        }


@pytest.fixture
def client() -> Iterator[TestClient]:
    logs.clear_log_context()
    app: falcon.App[Any, Any] = falcon.App(
        middleware=[RequestContext(TrustedProxies.parse("unix"), "https://errors.example/")]
    )
    add_error_handlers(app)
    for path in ("/things/{name}", "/api/v1.0/configdocs"):
        app.add_route(path, Looking())
    yield TestClient(app)
    logs.clear_log_context()


def sent(client: TestClient, path: str = "/things/1", **headers: str) -> Result:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    where, _, query = path.partition("?")
    return client.simulate_get(where, query_string=query, headers=named)


def counted(method: str, route: str, status: int) -> tuple[float, float]:
    """Return the number of counted requests, and the number of observed durations."""
    times = metrics.REQUEST_SECONDS.labels(method, route)
    samples = [sample for family in times.collect() for sample in family.samples]
    observed = next(sample.value for sample in samples if sample.name.endswith("_count"))
    return metrics.REQUESTS.labels(method, route, str(status))._value.get(), observed


def test_every_answer_has_headers_that_keep_browsers_from_harm(client: TestClient) -> None:
    for answer in (sent(client), sent(client, "/nothing")):
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["x-frame-options"] == "DENY"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("given", ["a", "A-1.b_c:d", "x" * 128])
def test_a_harmless_request_id_is_taken_over(client: TestClient, given: str) -> None:
    answer = sent(client, X_Request_Id=given)
    assert answer.headers["x-request-id"] == answer.json["request_id"] == given


@pytest.mark.parametrize("given", ["", "x" * 129, "a b", 'a"b', "\xfc"])
def test_another_request_id_is_made_anew(client: TestClient, given: str) -> None:
    answers = [sent(client, X_Request_Id=given) for _ in "ab"]
    made = [answer.headers["x-request-id"] for answer in answers]
    assert made == [answer.json["request_id"] for answer in answers]
    assert len({*made, given}) == 3


def test_lines_of_a_request_have_its_ids_and_lines_after_it_have_none(client: TestClient) -> None:
    answer = sent(client, X_Context_Marker=MARKER.upper(), X_Forwarded_For="198.51.100.1")
    seen = answer.json
    assert seen["reference"] == seen["reference_id"] == MARKER
    assert seen["client_address"] == "198.51.100.1"
    assert not logs._context.get()
    assert sent(client).json.get("reference_id") is None


def test_a_marker_that_is_no_uuid_is_refused_but_on_paths_whose_clients_send_any(
    client: TestClient,
) -> None:
    refused = sent(client, X_Context_Marker="me")
    [error] = refused.json["errors"]
    assert (refused.status_code, error["field"]) == (400, "X-Context-Marker")
    assert error["message"].startswith("must be a UUID")
    taken = sent(client, "/api/v1.0/configdocs", X_Context_Marker="me", X_Request_Id="mine")
    assert (taken.status_code, taken.json["reference"]) == (200, "mine")


@pytest.mark.parametrize(
    ("path", "status", "field"),
    [
        ("/things/%00", 404, None),
        ("/things/1?a=1&b%00c=2", 400, "bc"),
        ("/things/1?a=%00", 400, "a"),
        ("/things/1?a=\0", 400, "a"),
        ("/things/1?%00=1", 400, "query"),
        # A percent sign that was itself encoded does not start an escape.
        ("/things/1?a=%2500", 200, None),
    ],
)
def test_a_nul_which_no_table_can_hold_is_refused(
    client: TestClient, path: str, status: int, field: str | None
) -> None:
    answer = sent(client, path)
    assert answer.status_code == status
    assert [each["field"] for each in answer.json.get("errors", ())] == ([field] if field else [])


def test_requests_are_counted_by_route_and_known_method_while_and_after_they_run(
    client: TestClient,
) -> None:
    route = "/things/{name}"
    running = metrics.REQUESTS_RUNNING._value.get()
    before = counted("GET", route, 200), counted("GET", "none", 404), counted("other", route, 405)
    assert sent(client, "/things/a").json["running"] == running + 1
    sent(client, "/things/b")
    sent(client, "/nothing")
    client.simulate_request("TRACE", "/things/c")
    assert metrics.REQUESTS_RUNNING._value.get() == running
    after = counted("GET", route, 200), counted("GET", "none", 404), counted("other", route, 405)
    gained = [
        tuple(new - old for new, old in zip(*pair, strict=True))
        for pair in zip(after, before, strict=True)
    ]
    assert gained == [(2, 2), (1, 1), (1, 1)]


def test_a_problem_leads_to_the_operators_page_if_there_is_one(client: TestClient) -> None:
    assert sent(client, "/nothing").json["help"] == "https://errors.example/#not_found"
