"""Repeated query parameters of document routes: accepted if equal, otherwise refused."""

import pytest

from staging_api.db.engine import Database
from tests.documents import API, DocumentApi, document, policy, stream
from tests.rows import select

#: Routes, their parameters, and two valid values of each.
REPEATED = {
    "POST /configdocs/a": {
        "buffermode": ("append", "replace"),
        "empty-collection": ("false", "true"),
        "reason": ("one", "two"),
        "verbosity": ("0", "5"),
    },
    "POST /commitconfigdocs": {
        "dryrun": ("true", "false"),
        "force": ("false", "true"),
        "stage": ("false", "true"),
        "revision": ("2", "3"),
        "confirm_within": ("600", "60"),
        "reason": ("one", "two"),
        "verbosity": ("0", "5"),
    },
    "GET /configdocs": {"verbosity": ("0", "5")},
    "GET /configdocs/a": {
        "version": ("buffer", "committed"),
        "cleartext-secrets": ("false", "true"),
    },
    "GET /renderedconfigdocs": {
        "version": ("buffer", "committed"),
        "revision": ("1", "2"),
        "cleartext-secrets": ("false", "true"),
    },
    "DELETE /document-buffer": {"reason": ("one", "two")},
    "DELETE /document-buffer/a": {"reason": ("one", "two")},
    "GET /document-differences": {
        "old": ("0", "committed"),
        "new": ("buffer", "committed"),
        "rendered": ("true", "false"),
        "limit": ("1", "2"),
    },
    "GET /document-revisions": {"limit": ("1", "2"), "before": ("2", "1")},
    "DELETE /document-revisions/1/tags/kept": {"reason": ("one", "two")},
    "GET /documents/pegleg/Script/v1/one": {
        "version": ("buffer", "committed"),
        "provenance": ("true", "false"),
        "path": (".", ".value"),
        "cleartext-secrets": ("false", "true"),
    },
}
CHANGES = "SELECT (SELECT max(revision) FROM document_commits), count(*) FROM document_events"


@pytest.fixture
def full(site: DocumentApi) -> DocumentApi:
    """Return a site with a tagged commit and a buffer."""
    site.committed("a", document("one"), policy())
    assert site.ask("PUT", "/document-revisions/1/tags/kept", {}).status == 200
    site.add("a", document("one", 2), policy())
    return site


def status_of(site: DocumentApi, route: str, query: str) -> tuple[int, bytes]:
    """Send a request with this query, and return status and body."""
    method, path = route.split(" ")
    body = stream(document("one", 3), policy()) if path == "/configdocs/a" else b""
    headers = {"Content-Type": "application/x-yaml"} if method == "POST" else {}
    answer = site.send(method, f"{API}{path}?{query}", body or None, headers)
    return answer.status, answer.body


@pytest.mark.parametrize("route", REPEATED)
def test_two_values_of_a_parameter_are_refused_by_its_name_and_change_nothing(
    full: DocumentApi, database: Database, route: str
) -> None:
    before = select(database, CHANGES)
    for name, (one, other) in REPEATED[route].items():
        encoded = f"%{name[0].encode().hex()}{name[1:]}"
        for query in (
            f"{name}={one}&{name}={other}",
            f"{name}={other}&{name}={one}",
            f"{name}={one}&whatever=1&{encoded}={other}",
            f"{name}={one}&{name}={one}&{name}={other}",
        ):
            status, body = status_of(full, route, query)
            assert (status, name.encode() in body) == (400, True), (query, body)
    assert select(database, CHANGES) == before


@pytest.mark.parametrize(
    ("route", "query"),
    [
        ("POST /configdocs/a", "buffermode=replace&buffermode=%72eplace&reason=one&reason=one"),
        ("POST /commitconfigdocs", "dryrun=true&force=false&dryrun=true&force=false"),
        ("GET /configdocs/a", "version=buffer&version=buffer"),
        ("GET /documents/pegleg/Script/v1/one", "path=.&provenance=true&provenance=true&path=."),
    ],
)
def test_equal_values_of_a_parameter_are_taken_once(
    full: DocumentApi, route: str, query: str
) -> None:
    status, body = status_of(full, route, query)
    assert status < 300, body


def test_versions_to_compare_are_a_list(full: DocumentApi) -> None:
    assert full.get("/configdocs", versions=["committed", "buffer"]).status == 200


@pytest.mark.parametrize("version", ["committed", "buffer"])
def test_a_version_and_a_revision_at_once_are_refused_by_name(
    full: DocumentApi, version: str
) -> None:
    route = "GET /renderedconfigdocs"
    for query in (f"version={version}&revision=1", f"revision=1&version={version}"):
        status, body = status_of(full, route, query)
        assert (status, b"revision" in body) == (400, True), (query, body)
    for query in (f"version={version}", "revision=1", "version=&revision=1"):
        status, body = status_of(full, route, query)
        assert status == 200, (query, body)
