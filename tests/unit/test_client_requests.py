"""Requests of each client call: with defaults, and with all arguments."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from staging_api.client import (
    archives,
    artifacts,
    document_revisions,
    documents,
    locks,
    reports,
    stagings,
)
from staging_api.client.calls import Calls
from tests.request_recorder import asked

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)
NOON_SENT = "2026-01-02T12%3A00%3A00%2B00%3A00"


def body(**members: object) -> str:
    return json.dumps(members)


REQUESTS: dict[str, tuple[Callable[[Calls], Any], str]] = {
    "create": (
        lambda c: documents.create(c, "a/b", b"text"),
        "POST /configdocs/a%2Fb?buffermode=rejectoncontents text",
    ),
    "create all": (
        lambda c: documents.create(c, "a", b"text", mode="append", reason="r", if_match='"1"'),
        "POST /configdocs/a?buffermode=append&reason=r text",
    ),
    "empty": (
        lambda c: documents.empty(c, "a"),
        "POST /configdocs/a?buffermode=rejectoncontents&empty-collection=true",
    ),
    "status": (documents.status, "GET /configdocs"),
    "status of two": (
        lambda c: documents.status(c, ["committed", "buffer"]),
        "GET /configdocs?versions=committed&versions=buffer",
    ),
    "get": (lambda c: documents.get(c, "a"), "GET /configdocs/a?version=buffer"),
    "get all": (
        lambda c: documents.get(c, "a", "committed", secrets=True),
        "GET /configdocs/a?version=committed&cleartext-secrets=true",
    ),
    "posted": (lambda c: documents.posted(c, "a"), "GET /configdocs/a?version=buffer"),
    "posted all": (
        lambda c: documents.posted(c, "a", "committed", secrets=True),
        "GET /configdocs/a?version=committed&cleartext-secrets=true",
    ),
    "rendered": (documents.rendered, "GET /renderedconfigdocs?version=buffer"),
    "rendered all": (
        lambda c: documents.rendered(c, "7", secrets=True),
        "GET /renderedconfigdocs?revision=7&cleartext-secrets=true",
    ),
    "commit": (documents.commit, "POST /commitconfigdocs"),
    "commit all": (
        lambda c: documents.commit(
            c, revision=1, force=True, dryrun=True, confirm_within=60, stage=True, reason="r"
        ),
        (
            "POST /commitconfigdocs?revision=1&force=true&dryrun=true&confirm_within=60&stage=true"
            "&reason=r"
        ),
    ),
    "buffer": (documents.buffer, "GET /document-buffer"),
    "discard": (documents.discard, "DELETE /document-buffer"),
    "discard one": (
        lambda c: documents.discard(c, "a/b", reason="r"),
        "DELETE /document-buffer/a%2Fb?reason=r",
    ),
    "rollback": (
        lambda c: document_revisions.rollback(c, 7),
        "POST /document-revisions/7/rollback " + body(over_buffer=False, reason=None),
    ),
    "confirm": (
        lambda c: document_revisions.confirm(c, 7, reason="r"),
        "POST /document-revisions/7/confirm?reason=r",
    ),
    "tag": (
        lambda c: document_revisions.tag(c, 7, "t/u"),
        "PUT /document-revisions/7/tags/t%2Fu " + body(data=None, reason=None),
    ),
    "untag": (
        lambda c: document_revisions.untag(c, 7, "t"),
        "DELETE /document-revisions/7/tags/t",
    ),
    "site action": (
        lambda c: document_revisions.site_action(c, "success"),
        "POST /document-site-actions "
        + body(outcome="success", revision=None, require_staged=False, data=None, reason=None),
    ),
    "revisions": (
        document_revisions.revisions,
        "GET /document-revisions?limit=100",
    ),
    "explain": (
        lambda c: document_revisions.explain(c, "s/v1", "n/m"),
        "GET /documents/s/v1/n%2Fm?version=buffer&provenance=true&path=.",
    ),
    "explain all": (
        lambda c: document_revisions.explain(c, "s/v1", "n", "7", path=".a"),
        "GET /documents/s/v1/n?version=7&provenance=true&path=.a",
    ),
    "differences": (
        document_revisions.differences,
        "GET /document-differences?old=committed&new=buffer",
    ),
    "differences all": (
        lambda c: document_revisions.differences(c, "1", "2", rendered=True, secrets=True),
        "GET /document-differences?old=1&new=2&rendered=true&cleartext-secrets=true",
    ),
    "me": (reports.me, "GET /me"),
    "builds": (reports.builds, "GET /archives?prefix=&limit=100"),
    "all events": (reports.all_events, "GET /events?limit=100"),
    "all events all": (
        lambda c: reports.all_events(
            c, after="9", since=NOON, kind="k", to_state="s", actor="a", page_size=5
        ),
        f"GET /events?since={NOON_SENT}&kind=k&to_state=s&actor=a&after=9&limit=5",
    ),
    "counts": (reports.counts, "GET /counts?by=hour&limit=24"),
    "counts all": (lambda c: reports.counts(c, "day", limit=3), "GET /counts?by=day&limit=3"),
    "processes": (reports.processes, "GET /processes?limit=100"),
    "store": (reports.store, "GET /store"),
    "preview prune": (
        reports.preview_prune,
        "POST /store/prune " + body(idle_seconds=None, keep_bytes=0),
    ),
    "prune": (
        lambda c: reports.prune(c, "t", "r"),
        "POST /store/prune " + body(token="t", reason="r"),
    ),
    "prunes": (lambda c: reports.prunes(c, page_size=3), "GET /store/prunes?limit=3"),
    "locks": (locks.locks, "GET /locks?state=held&limit=100"),
    "locks all": (
        lambda c: locks.locks(c, "all", scope="s", kind="k", except_kind="e", page_size=3),
        "GET /locks?state=all&scope=s&kind=k&except_kind=e&limit=3",
    ),
    "waiters": (lambda c: locks.waiters(c, "i/j"), "GET /locks/i%2Fj/waiters?limit=100"),
    "break": (
        lambda c: locks.break_lock(c, "i", "why"),
        "DELETE /locks/i " + body(reason="why"),
    ),
    "upload": (
        lambda c: archives.upload(c, "a/b", "s t", []),
        "POST /apt-archives/a%2Fb/uploads?suite=s+t",
    ),
    "publish": (
        lambda c: archives.publish(c, "publish-distro", "a", careful=True),
        "POST /publications "
        + body(operation="publish-distro", archive="a", options={"careful": True}),
    ),
    "publication": (lambda c: archives.publication(c, "i/j"), "GET /publications/i%2Fj"),
    "publications": (archives.publications, "GET /publications?limit=100"),
    "publications of one": (
        lambda c: archives.publications(c, "a", page_size=3),
        "GET /publications?archive=a&limit=3",
    ),
    "packages": (
        lambda c: archives.packages(c, "a", suite="s"),
        "GET /apt-archives/a/packages?suite=s&limit=100",
    ),
    "remove": (
        lambda c: archives.remove(c, "a/b", 7, "why"),
        "DELETE /apt-archives/a%2Fb/packages/7 " + body(reason="why"),
    ),
    "generations": (
        lambda c: archives.generations(c, "a"),
        "GET /distributions/a/generations?limit=100",
    ),
    "go back": (
        lambda c: archives.go_back(c, "a", "g"),
        "PATCH /distributions/a " + body(generation_id="g", suites=[], reason=""),
    ),
    "hold": (
        lambda c: archives.hold(c, "a", "s/t"),
        "PUT /distributions/a/holds/s%2Ft " + body(reason=""),
    ),
    "lift": (lambda c: archives.lift(c, "a", "s"), "DELETE /distributions/a/holds/s"),
    "artifacts": (artifacts.artifacts, "GET /artifacts?limit=100"),
    "artifacts all": (
        lambda c: artifacts.artifacts(
            c,
            archive_url="u",
            prefix="p",
            state="s",
            name="n",
            error_code="e",
            sha256="h",
            path="f",
            pinned=True,
            page_size=3,
        ),
        (
            "GET /artifacts?archive_url=u&prefix=p&state=s&name=n&error_code=e&sha256=h&path=f"
            "&pinned=true&limit=3"
        ),
    ),
    "artifact": (lambda c: artifacts.artifact(c, "i/j"), "GET /artifacts/i%2Fj"),
    "files": (lambda c: artifacts.files(c, "i"), "GET /artifacts/i/files?limit=100"),
    "evict": (lambda c: artifacts.evict(c, "i"), "DELETE /artifacts/i"),
    "pin": (
        lambda c: artifacts.pin(c, "i", NOON),
        "POST /artifacts/i/pin " + body(until="2026-01-02T12:00:00+00:00"),
    ),
    "catalogues": (artifacts.catalogues, "GET /catalogue"),
    "catalogue of one": (
        lambda c: artifacts.catalogues(c, "file:///a"),
        "GET /catalogue?archive_url=file%3A%2F%2F%2Fa",
    ),
    "check catalogue": (
        lambda c: artifacts.check_catalogue(c, "u"),
        "POST /catalogue/check " + body(archive_url="u", catalogue=None),
    ),
    "stage": (lambda c: stagings.stage(c, "u"), "POST /stagings " + body(archive_url="u")),
    "stage all": (
        lambda c: stagings.stage(c, "u", ["a"], wait=False, upload_wait_seconds=0),
        "POST /stagings " + body(archive_url="u", artifacts=["a"], upload_wait_seconds=0),
    ),
    "staging": (lambda c: stagings.staging(c, "i/j"), "GET /stagings/i%2Fj"),
    "stagings": (stagings.stagings, "GET /stagings?limit=100"),
    "stagings all": (
        lambda c: stagings.stagings(
            c,
            archive_url="u",
            prefix="p",
            state="s",
            error_code="e",
            caller="me",
            reference_id="r",
            since=NOON,
            until=NOON,
            page_size=3,
        ),
        (
            f"GET /stagings?archive_url=u&prefix=p&state=s&error_code=e&caller=me&reference_id=r"
            f"&since={NOON_SENT}&until={NOON_SENT}&limit=3"
        ),
    ),
    "cancel": (lambda c: stagings.cancel(c, "i"), "DELETE /stagings/i"),
}


@pytest.mark.parametrize("name", REQUESTS)
def test_a_call_sends_one_request_and_that_is_it(name: str) -> None:
    call, wanted = REQUESTS[name]
    assert asked(call)[0] == [wanted]


def has_key(name: str) -> bool:
    _, [headers] = asked(REQUESTS[name][0])
    return "Idempotency-Key" in headers


def test_every_post_that_begins_something_has_a_key_for_its_tries() -> None:
    without = {name for name, (_, sent) in REQUESTS.items() if not has_key(name)}
    posts = {name for name, (_, sent) in REQUESTS.items() if sent.startswith("POST ")}
    assert posts & without == {"upload", "check catalogue"}
    assert posts - without == set(REQUESTS) - without


@pytest.mark.parametrize(
    ("name", "headers"),
    [
        ("create", {"Content-Type": "application/x-yaml"}),
        ("create all", {"Content-Type": "application/x-yaml", "If-Match": '"1"'}),
        ("rollback", {"Content-Type": "application/json"}),
        ("rendered", {"Accept": "application/x-yaml, application/json"}),
        ("me", {}),
    ],
)
def test_what_the_headers_of_a_request_say(name: str, headers: dict[str, str]) -> None:
    _, [sent] = asked(REQUESTS[name][0])
    of_all = {"Idempotency-Key", "Prefer"}
    assert {key: value for key, value in sent.items() if key not in of_all} == headers


@pytest.mark.parametrize(
    ("name", "prefers"),
    [("stage", "wait=30"), ("stage all", "respond-async"), ("publish", "wait=30"), ("me", None)],
)
def test_only_what_waits_for_a_lock_says_so(name: str, prefers: str | None) -> None:
    _, [sent] = asked(REQUESTS[name][0])
    assert sent.get("Prefer") == prefers
