"""Conditional requests: idempotency keys, conditional reads, and changes guarded by ETags."""

import base64
import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from staging_api.db.engine import Database
from staging_api.documents.contents import Contents
from staging_api.locks.hold import RequestOrigin, hold
from staging_api.locks.model import IDEMPOTENCY
from tests.documents import API, JSON, DocumentApi, document, policy, secret, stream
from tests.emptying import Emptying
from tests.rows import select
from tests.service import Answer

YAML = {"Content-Type": "application/x-yaml"}
KEY = {"Idempotency-Key": "k-1"}


def revisions(database: Database) -> int:
    ((count,),) = select(database, "SELECT count(*) FROM document_revisions")
    return int(count)


# Requests repeated with an idempotency key


def prepare_commit(site: DocumentApi) -> None:
    site.add("a", document("one"), policy())


def prepare_revision(site: DocumentApi) -> None:
    site.committed("a", document("one"), policy())
    site.committed("b", document("two"))


def prepare_confirmation(site: DocumentApi) -> None:
    site.add("a", document("one"), policy())
    assert site.commit(confirm_within=600).status == 200


def prepare_nothing(_site: DocumentApi) -> None:
    """Prepare nothing: the case starts from an empty buffer."""


POSTS: Mapping[str, tuple[Callable[[DocumentApi], None], str, bytes, Mapping[str, str]]] = {
    "post": (prepare_nothing, "/configdocs/a?reason=why", stream(document("one")), YAML),
    "empty": (
        prepare_revision,
        "/configdocs/b?empty-collection=True",
        b"",
        {**YAML, "Content-Length": "0"},
    ),
    "commit": (prepare_commit, "/commitconfigdocs?force=False&dryrun=False", b"", YAML),
    "dryrun": (prepare_commit, "/commitconfigdocs?dryrun=True", b"", YAML),
    "rollback": (prepare_revision, "/document-revisions/1/rollback", b"{}", JSON),
    "confirm": (prepare_confirmation, "/document-revisions/1/confirm", b"", {}),
    "site action": (prepare_commit, "/document-site-actions", b'{"outcome": "success"}', JSON),
}


def sent(site: DocumentApi, what: str, key: Mapping[str, str] = KEY) -> Answer:
    _, path, body, headers = POSTS[what]
    return site.send("POST", API + path, body, {**headers, **key})


@pytest.mark.parametrize("what", POSTS)
def test_a_post_sent_again_with_its_key_gets_the_same_answer_and_is_done_once(
    site: DocumentApi, other_site: DocumentApi, database: Database, what: str
) -> None:
    POSTS[what][0](site)
    if what == "site action":
        assert site.commit().status == 200
    first = sent(site, what)
    assert first.status in {200, 201}, first.body
    count, tags = revisions(database), select(database, "SELECT count(*) FROM document_tags")
    # Changes made in between do not change the stored response.
    other_site.add("other", document("other"))
    again = sent(other_site, what)
    assert (again.status, again.body) == (first.status, first.body)
    assert again.headers["Idempotent-Replayed"] == "true"
    assert "Idempotent-Replayed" not in first.headers
    for name in ("Etag", "Location", "Content-Type"):
        assert again.headers.get(name) == first.headers.get(name), name
    assert revisions(database) == count + 1
    assert select(database, "SELECT count(*) FROM document_tags") == tags


@pytest.mark.parametrize("what", ["post", "empty"])
def test_the_etag_of_a_post_is_that_of_the_buffer_it_made(site: DocumentApi, what: str) -> None:
    POSTS[what][0](site)
    before = site.get("/document-buffer").headers["Etag"]
    made = sent(site, what).headers["Etag"]
    assert made == site.get("/document-buffer").headers["Etag"] != before
    site.add("other", document("other"))
    assert made != site.get("/document-buffer").headers["Etag"]


def test_what_was_posted_is_checked_without_being_read_back(
    site: DocumentApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[int] = []
    text = Contents.text

    def noted(contents: Contents, content_id: int) -> bytes:
        read.append(content_id)
        return text(contents, content_id)

    monkeypatch.setattr(Contents, "text", noted)
    for name in ("a", "b"):
        site.add(name, document(f"in {name}"))
    assert site.status() == {"a": "created", "b": "created"}
    assert read == []


def test_a_key_belongs_to_its_text_parameters_and_collection(site: DocumentApi) -> None:
    assert sent(site, "post").status == 201
    text = stream(document("one"))
    for path, body in (
        ("/configdocs/a?reason=why", stream(document("one", {"value": 2}))),
        ("/configdocs/a?reason=other", text),
        ("/configdocs/b?reason=why", text),
        ("/commitconfigdocs", b""),
    ):
        answer = site.send("POST", API + path, body, {**YAML, **KEY})
        assert answer.status == 422
        assert answer.json["kind"] == "status"
        assert answer.json["message"] == "The Idempotency-Key belongs to another request"
        assert answer.json["retry"] is False
    assert site.status() == {"a": "created"}


def test_a_refusal_is_not_kept_so_that_the_request_may_succeed_later(site: DocumentApi) -> None:
    site.add("b", document("two"))
    assert sent(site, "post").status == 409
    assert site.ask("DELETE", "/document-buffer").status == 200
    assert sent(site, "post").status == 201


def test_a_key_whose_first_request_still_runs_is_a_conflict_to_try_again(
    site: DocumentApi, other_site: DocumentApi
) -> None:
    with hold(other_site.services.locks, IDEMPOTENCY, "anonymous k-1", RequestOrigin("anonymous")):
        answer = sent(site, "post")
    assert answer.status == 409
    assert answer.json["message"] == "The first request still runs"
    assert answer.json["retry"] is True
    assert int(answer.headers["Retry-After"]) >= 1
    assert site.status() == {}
    assert sent(site, "post").status == 201


def test_a_key_that_is_none_is_refused_before_any_lock(
    site: DocumentApi, database: Database
) -> None:
    answer = sent(site, "post", {"Idempotency-Key": "k" * 256})
    assert answer.status == 400
    assert answer.json["kind"] == "status"
    assert "Idempotency-Key" in answer.json["reason"]
    assert select(database, "SELECT count(*) FROM api_locks") == [(0,)]


# Conditional reads

READS = [
    "/configdocs",
    "/configdocs?versions=committed&versions=successful_site_action",
    "/configdocs/a",
    "/configdocs/a?version=committed",
    "/renderedconfigdocs",
    "/renderedconfigdocs?version=committed",
    "/documents/pegleg/Script/v1/one",
    "/documents/pegleg/Script/v1/one?provenance=true",
    "/document-buffer",
    "/document-differences",
    "/document-differences?old=0&new=1&rendered=true",
    "/document-revisions",
    "/document-revisions/1",
]


@pytest.fixture
def full(site: DocumentApi) -> DocumentApi:
    """Return a site with a commit and a buffer, both with secrets."""
    site.committed("a", document("one"), secret("hidden"), policy())
    site.ask("POST", "/document-site-actions", {"outcome": "success"})
    site.add("a", document("one", {"value": 2}), secret("hidden"), policy())
    return site


@pytest.mark.parametrize("path", READS)
@pytest.mark.parametrize("spelling", ["{0}", 'W/{0}, "x"', '"x",{0}', "*"])
def test_every_get_answers_304_while_its_etag_holds(
    full: DocumentApi, path: str, spelling: str
) -> None:
    first = full.send("GET", API + path)
    assert first.status == 200
    etag = first.headers["Etag"]
    assert etag.startswith('"')
    known = {"If-None-Match": spelling.format(etag)}
    unchanged = full.send("GET", API + path, headers=known)
    assert (unchanged.status, unchanged.body) == (304, b"")
    assert unchanged.headers["Etag"] == etag
    other = full.send("GET", API + path, headers={"If-None-Match": '"other"'})
    assert (other.status, other.body) == (200, first.body)


@pytest.mark.parametrize("path", READS)
def test_an_etag_changes_with_the_response(full: DocumentApi, path: str) -> None:
    before = full.send("GET", API + path)
    assert full.commit().status == 200
    full.ask("POST", "/document-site-actions", {"outcome": "success", "revision": 1})
    full.ask("PUT", "/document-revisions/1/tags/x", {})
    full.add("a", document("one", {"value": 3}), secret("hidden"), policy())
    after = full.send("GET", API + path, headers={"If-None-Match": before.headers["Etag"]})
    assert (after.status == 304) == (full.send("GET", API + path).body == before.body)


def test_an_etag_is_not_that_of_a_lost_revision_of_the_same_number(
    site: DocumentApi, emptying: Emptying
) -> None:
    """A failover that lost the last transactions assigns the numbers of revisions again."""
    paths = [path for path in READS if "successful" not in path]
    site.committed("a", document("one"), policy())
    site.add("a", document("one", {"value": 2}), policy())
    known = {path: site.send("GET", API + path).headers["Etag"] for path in paths}
    emptying.run()
    site.committed("a", document("one", {"value": 3}), policy())
    site.add("a", document("one", {"value": 4}), policy())
    for path, etag in known.items():
        assert site.send("GET", API + path, headers={"If-None-Match": etag}).status == 200, path


def test_no_etag_comes_with_an_answer_that_is_none(site: DocumentApi) -> None:
    site.add("a", document("one"))  # without a LayeringPolicy it does not render
    for path in ("/renderedconfigdocs", "/documents/pegleg/Script/v1/one", "/configdocs/b"):
        answer = site.send("GET", API + path)
        assert answer.status in {400, 404, 409}
        assert "Etag" not in answer.headers
        known = site.send("GET", API + path, headers={"If-None-Match": '"other"'})
        assert known.status == answer.status


# Two callers with different permissions


TURNS = [
    "/configdocs/a",
    "/configdocs/a?version=committed",
    "/renderedconfigdocs",
    "/renderedconfigdocs?revision=1",
    "/documents/deckhand/Passphrase/v1/hidden",
    "/documents/deckhand/Passphrase/v1/hidden?provenance=true",
    "/document-differences?old=0&new=1",
    "/document-differences?old=0&new=1&rendered=true",
]


@pytest.mark.parametrize("path", TURNS)
def test_an_administrator_and_a_viewer_who_take_turns_never_see_each_others_answer(
    callers: dict[str, DocumentApi], path: str
) -> None:
    operator, viewer = callers["operator"], callers["viewer"]
    schema = "deckhand/Passphrase/v1"
    operator.committed("a", secret("hidden", schema=schema), document("one"), policy())
    operator.add("a", secret("hidden", schema=schema), document("one", {"value": 2}), policy())
    shown = f"{path}{'&' if '?' in path else '?'}cleartext-secrets=true"
    clear, masked = operator.send("GET", API + shown), viewer.send("GET", API + path)
    assert b"swordfish" in clear.body
    assert b"swordfish" not in masked.body
    for _ in range(2):
        for caller, asked, own, other in (
            (operator, shown, clear, masked),
            (viewer, path, masked, clear),
            (operator, path, masked, clear),
        ):
            foreign = {"If-None-Match": other.headers["Etag"]}
            answer = caller.send("GET", API + asked, headers=foreign)
            assert (answer.status, answer.body) == (200, own.body)
            assert answer.headers["Cache-Control"] == "no-store"
            known = {"If-None-Match": own.headers["Etag"]}
            assert caller.send("GET", API + asked, headers=known).status == 304
        for etag in (clear.headers["Etag"], "*"):
            refused = viewer.send("GET", API + shown, headers={"If-None-Match": etag})
            assert refused.status == 403
            assert "Etag" not in refused.headers


# Changes guarded by ETags

CHANGES: Mapping[str, tuple[str, str, object]] = {
    "commit": ("POST", "/commitconfigdocs", None),
    "discard": ("DELETE", "/document-buffer", None),
    "discard one": ("DELETE", "/document-buffer/a", None),
    "rollback": ("POST", "/document-revisions/1/rollback", {"over_buffer": True}),
}


def changed(site: DocumentApi, what: str, etag: str) -> Answer:
    method, path, body = CHANGES[what]
    raw = None if body is None else json.dumps(body).encode()
    headers = {"If-Match": etag, **(JSON if raw else {})}
    return site.send(method, API + path, raw, headers)


@pytest.mark.parametrize("what", CHANGES)
def test_a_change_of_a_buffer_that_moved_is_refused(
    full: DocumentApi, database: Database, what: str
) -> None:
    seen = full.get("/document-buffer").headers["Etag"]
    assert seen == full.get("/configdocs").headers["Etag"]
    full.add("b", document("two"))
    count = revisions(database)
    for etag in (seen, '"x"', f"W/{full.get('/document-buffer').headers['Etag']}"):
        answer = changed(full, what, etag)
        assert answer.status == 409
        assert "If-Match" in str(answer.json)
    assert revisions(database) == count
    assert full.status() == {"a": "modified", "b": "created"}
    assert changed(full, what, full.get("/document-buffer").headers["Etag"]).status < 300


# Paged comparisons


def pages(site: DocumentApi, **query: Any) -> list[Any]:
    found = [site.get("/document-differences", **query).json]
    while found[-1]["next"] is not None:
        answer = site.get("/document-differences", **{**query, "after": found[-1]["next"]})
        assert answer.status == 200
        found.append(answer.json)
    return found


@pytest.mark.parametrize("rendered", [False, True])
def test_a_comparison_comes_in_pages_of_the_same_two_revisions(
    site: DocumentApi, rendered: bool
) -> None:
    names = [f"{letter}{letter}" for letter in "abcdefg"]
    site.committed("p", policy(), *(document(name) for name in names))
    site.add("q", *(document(f"{name}x") for name in names))
    query = {"rendered": str(rendered).lower()}
    (whole,) = pages(site, **query)
    first = site.get("/document-differences", **query, limit=3).json
    assert [each["document"]["name"] for each in first["changes"]] == ["aax", "bbx", "ccx"]
    # Changes between two pages move what `buffer` and `committed` refer to, but not the pages.
    assert site.commit().status == 200
    site.add("r", document("later"))
    second = site.get("/document-differences", **query, limit=3, after=first["next"]).json
    third = site.get("/document-differences", **query, limit=3, after=second["next"]).json
    assert (second["old"], second["new"]) == (first["old"], first["new"]) == (1, 2)
    assert first["changes"] + second["changes"] + third["changes"] == whole["changes"]
    assert third["next"] is None


def test_a_page_of_long_documents_ends_before_its_limit(site: DocumentApi) -> None:
    texts = {f"{letter}{letter}": [f"{letter} {n}" for n in range(15_000)] for letter in "abcd"}
    many = [[f"{each} and much more of the same, to be long" for each in v] for v in texts.values()]
    for name, data in zip(texts, many, strict=True):
        site.add(name, document(name, data))
    found = pages(site)
    assert [len(each["changes"]) for each in found] == [3, 1]
    named = [one["document"]["name"] for each in found for one in each["changes"]]
    assert named == sorted(texts)


@pytest.mark.parametrize(
    "parts",
    [
        *([], [1, 2], None, [1, 2, 1, 2, 3, 4], [1.5, 2, *"abcd"], [-1, 2, *"abcd"]),
        *([True, 2, *"abcd"], {"old": 1}, "text", [1, 2, *"abcde"]),
    ],
)
def test_a_cursor_that_is_none_is_refused(site: DocumentApi, parts: object) -> None:
    refuse_cursor(site, base64.urlsafe_b64encode(json.dumps(parts).encode()).decode())


@pytest.mark.parametrize("after", ["x", "!", "====", "\u0663", "%"])
def test_a_cursor_that_is_no_base64_is_refused(site: DocumentApi, after: str) -> None:
    refuse_cursor(site, after)


def refuse_cursor(site: DocumentApi, after: str) -> None:
    answer = site.get("/document-differences", after=after)
    assert answer.problem == (400, "invalid_request")
    assert answer.json["errors"][0]["field"] == "after"


def test_a_cursor_of_revisions_that_are_not_there_is_404(site: DocumentApi) -> None:
    site.add("a", document("one"))
    after = base64.urlsafe_b64encode(b'[0,9,"a","b","c","d"]').decode()
    assert site.get("/document-differences", after=after).status == 404
