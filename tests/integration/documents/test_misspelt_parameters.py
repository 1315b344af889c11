"""Misspelt query parameters of document routes: refused, not ignored."""

import pytest

from staging_api.db.engine import Database
from tests.documents import API, DocumentApi, document, policy
from tests.rows import select

#: Requests on Shipyard's paths, and the parameter that was intended.
NEARLY = {
    "POST /commitconfigdocs?dry-run=true": "dryrun",
    "POST /commitconfigdocs?dryRun=true": "dryrun",
    "POST /commitconfigdocs?confirm-within=600": "confirm_within",
    "POST /commitconfigdocs?forced=true": "force",
    "POST /configdocs/a?buffer_mode=replace": "buffermode",
    "POST /configdocs/a?empty_collection=true": "empty-collection",
    "GET /configdocs/a?cleartext_secrets=true": "cleartext-secrets",
    "GET /configdocs/a?versions=committed": "version",
    "HEAD /renderedconfigdocs?cleartext_secrets=true": "cleartext-secrets",
}
#: Requests on our own paths, and the parameter that was intended.
OWN = {
    "GET /documents/pegleg/Script/v1/one?cleartext_secrets=true": "cleartext-secrets",
    "GET /document-differences?cleartext_secrets=true": "cleartext-secrets",
    "GET /document-differences?olds=1": "old",
    "GET /document-revisions?limits=1": "limit",
}
CHANGES = "SELECT (SELECT max(revision) FROM document_commits), count(*) FROM document_events"


@pytest.fixture
def buffered(site: DocumentApi) -> DocumentApi:
    """Return a site with a committed revision and a buffer."""
    site.committed("a", document("one"), policy())
    assert site.post("a", document("two"), policy(), buffermode="replace").status == 201
    return site


@pytest.mark.parametrize("request_line", NEARLY)
def test_refuses_what_is_nearly_a_parameter_of_shipyards_paths_and_changes_nothing(
    buffered: DocumentApi, database: Database, request_line: str
) -> None:
    before = select(database, CHANGES)
    method, _, path = request_line.partition(" ")
    refused = buffered.send(method, f"{API}{path}")
    assert refused.status == 400
    if method != "HEAD":
        assert refused.json["reason"].endswith(f"did you mean {NEARLY[request_line]}?")
    assert select(database, CHANGES) == before


@pytest.mark.parametrize("request_line", OWN)
def test_a_refusal_on_our_own_paths_names_the_intended_parameter(
    buffered: DocumentApi, request_line: str
) -> None:
    method, _, path = request_line.partition(" ")
    refused = buffered.ask(method, path)
    assert refused.status == 400
    assert refused.json["detail"].endswith(f"did you mean {OWN[request_line]}?")


def test_ignores_other_parameters_as_shipyard_did(buffered: DocumentApi) -> None:
    assert buffered.ask("GET", "/configdocs?version=buffer,committed&site=x").status == 200
    assert buffered.send("POST", f"{API}/commitconfigdocs?pretty=1&context=2").status == 200


@pytest.mark.parametrize("value", ["x", "-1", "1.0", "%EF%BC%91"])
def test_says_of_a_revision_that_is_no_number_that_it_must_be_one(
    buffered: DocumentApi, value: str
) -> None:
    refused = buffered.ask("GET", f"/renderedconfigdocs?revision={value}")
    assert refused.status == 400
    assert refused.json["reason"].startswith("revision must be a revision's number, not '")


@pytest.mark.parametrize("value", ["9" * 19, "9" * 25])
def test_has_no_revision_with_a_number_beyond_the_column(buffered: DocumentApi, value: str) -> None:
    assert buffered.ask("GET", f"/renderedconfigdocs?revision={value}").status == 404
    assert buffered.ask("GET", f"/document-differences?old={value}").status == 404


def test_says_that_a_revision_could_be_named_in_the_place_of_a_version(
    buffered: DocumentApi,
) -> None:
    refused = buffered.ask("GET", "/document-differences?old=newest")
    assert refused.status == 400
    assert refused.json["detail"].endswith("or the number of a revision, not 'newest'")
