"""Conformance of configdocs responses with known clients: status, fields, headers and lock.

The rows are those of the ancestor's own server, except where that server has a defect.
"""

import gzip
from typing import Any

import pytest

from staging_api.db.engine import Database
from staging_api.locks.hold import RequestOrigin, hold
from staging_api.locks.model import CONFIGDOCS_UPDATE, GLOBAL
from tests.documents import API, DocumentApi, document, loaded, policy, stream
from tests.rows import select
from tests.service import Answer

VERSIONS = ["buffer", "committed", "last_site_action", "successful_site_action"]


def refused(answer: Answer, status: str, message: str, reason: str | None = None) -> Any:
    """Assert that the response is an error of this form, and return its details."""
    result = answer.json
    assert f"{answer.status}" == status.split(maxsplit=1)[0], result
    assert set(result) == {
        *("kind", "apiVersion", "metadata", "status", "message", "reason", "details", "code"),
        "retry",
    }
    assert (result["kind"], result["apiVersion"], result["metadata"]) == ("status", "v1.0", {})
    assert (result["status"], result["code"]) == ("Failure", status)
    assert result["message"] == message
    if reason is not None:
        assert result["reason"] == reason
    details = result["details"]
    assert set(details) == {"errorType", "errorCount", "messageList"}
    assert details["errorCount"] == len(details["messageList"]) > 0
    assert all(each["error"] is True and each["message"] for each in details["messageList"])
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.headers["X-Shipyard-Req"] == answer.headers["X-Request-Id"]
    return result


def validated(answer: Answer, code: str, message: str, *, errors: int = 0) -> Any:
    """Assert that the response is a validation result of this form."""
    result = answer.json
    assert result["kind"] == "Status"
    assert (result["apiVersion"], result["reason"]) == ("v1.0", "Validation")
    assert result["status"] == ("Failure" if errors else "Success"), result
    assert (result["message"], result["code"]) == (message, code)
    assert result["details"]["errorCount"] == errors
    assert "retry" not in result
    return result


# Comparing versions


def test_status_of_nothing_is_an_empty_list(site: DocumentApi) -> None:
    answer = site.get("/configdocs", verbosity=1)
    assert (answer.status, answer.json) == (200, [])


def test_status_of_a_first_post_has_base_revision_0(site: DocumentApi) -> None:
    site.add("a", document("one"))
    assert site.get("/configdocs").json == [
        {
            "collection_name": "a",
            "base_version": "committed",
            "base_revision": 0,
            "base_status": "not present",
            "new_version": "buffer",
            "new_revision": 1,
            "new_status": "created",
        }
    ]


def test_status_without_a_buffer_shows_the_base_twice(site: DocumentApi) -> None:
    site.committed("a", document("one"), policy())
    (entry,) = site.get("/configdocs").json
    assert (entry["base_revision"], entry["new_revision"]) == (1, 1)
    assert (entry["base_status"], entry["new_status"]) == ("present", "unmodified")


def test_status_tells_the_four_fates_apart(site: DocumentApi) -> None:
    for name in ("kept", "changed", "gone"):
        site.add(name, document(name))
    site.committed("p", policy())
    site.add("changed", document("changed", {"value": 2}))
    site.add("new", document("new"))
    assert site.post("gone", buffermode="append", empty_collection="True").status == 201
    assert site.status() == {
        "kept": "unmodified",
        "p": "unmodified",
        "changed": "modified",
        "new": "created",
        "gone": "deleted",
    }
    result = {each["collection_name"]: each["base_status"] for each in site.get("/configdocs").json}
    assert result["new"] == "not present"
    assert set(result.values()) == {"present", "not present"}


@pytest.mark.parametrize(
    "query",
    [
        {"versions": ["committed", "buffer"]},
        {"versions": ["buffer", "committed"]},
        {"versions": "committed,buffer"},
        {"version": "buffer,committed"},
        {"versions": ["BUFFER", "Committed"]},
        {"versions": ""},
        {},
    ],
)
def test_versions_are_taken_in_every_spelling_and_put_in_order(
    site: DocumentApi, query: dict[str, Any]
) -> None:
    site.add("a", document("one"))
    (entry,) = site.get("/configdocs", **query).json
    assert (entry["base_version"], entry["new_version"]) == ("committed", "buffer")


@pytest.mark.parametrize(
    ("versions", "message", "reason"),
    [
        (
            ["committed"],
            "Incorrect number of versions for comparison",
            "User must pass in 2 valid versions for comparison",
        ),
        (
            ["committed", "buffer", "last_site_action"],
            "Incorrect number of versions for comparison",
            "User must pass in 2 valid versions for comparison",
        ),
        (
            ["committed", "committed"],
            "Versions must be different for comparison",
            "Versions must be unique in order to perform comparison",
        ),
        (
            ["committed", "x"],
            "Invalid version detected",
            f"x is not a valid version, which include: {', '.join(reversed(VERSIONS))}",
        ),
    ],
)
def test_wrong_versions_are_refused(
    site: DocumentApi, versions: list[str], message: str, reason: str
) -> None:
    refused(site.get("/configdocs", versions=versions), "400 Bad Request", message, reason)


@pytest.mark.parametrize("version", ["last_site_action", "successful_site_action"])
def test_a_site_action_that_never_was_is_404(site: DocumentApi, version: str) -> None:
    site.committed("a", document("one"), policy())
    refused(
        site.get("/configdocs", versions=["committed", version]),
        "404 Not Found",
        "Version does not exist",
        f"{version} version does not exist",
    )


def test_site_actions_make_their_versions(site: DocumentApi) -> None:
    site.committed("a", document("one"), policy())
    site.ask("POST", "/document-site-actions", {"outcome": "success"})
    site.committed("b", document("two"))
    site.ask("POST", "/document-site-actions", {"outcome": "failure"})
    entries = site.get("/configdocs", versions=["last_site_action", "successful_site_action"]).json
    result = {each["collection_name"]: each["new_status"] for each in entries}
    assert result == {"a": "unmodified", "b": "created"}
    assert entries[0]["base_version"] == "successful_site_action"
    assert (entries[0]["base_revision"], entries[0]["new_revision"]) == (1, 2)
    for version in ("last_site_action", "successful_site_action"):
        assert site.get("/configdocs/a", version=version).status == 200
    refused(
        site.get("/configdocs/b", version="successful_site_action"),
        "404 Not Found",
        "No documents to retrieve",
    )


# Posting a collection


def test_a_post_is_answered_with_its_validations(site: DocumentApi) -> None:
    answer = site.post("site", document("one"), policy(), verbosity=1)
    assert answer.status == 201
    assert answer.headers["Location"] == "/api/v1.0/configdocs/site"
    result = validated(answer, "201 Created", "Validations succeeded")
    assert result["details"] == {"errorCount": 0, "messageList": []}
    assert result["metadata"] == {}


def test_a_name_with_odd_characters_is_quoted_in_location(site: DocumentApi) -> None:
    answer = site.post("my%20site", document("one"))
    assert (answer.status, answer.headers["Location"]) == (201, "/api/v1.0/configdocs/my%20site")
    assert site.status() == {"my site": "created"}


@pytest.mark.parametrize("query", [{}, {"empty-collection": "False"}])
def test_a_post_without_a_body_is_refused(site: DocumentApi, query: dict[str, str]) -> None:
    refused(
        site.post("a", **query),
        "400 Bad Request",
        "Content-Length is a required header",
        "Content Length is 0 or not specified",
    )


@pytest.mark.parametrize("mode", ["rejectoncontents", "REJECToncontents", "", None])
def test_the_default_mode_refuses_a_full_buffer(site: DocumentApi, mode: str | None) -> None:
    query = {} if mode is None else {"buffermode": mode}
    assert site.post("a", document("one"), **query).status == 201
    for collection in ("a", "b"):
        result = refused(
            site.post(collection, document("two"), **query),
            "409 Conflict",
            "Invalid collection specified for buffer",
            "Buffermode : rejectoncontents",
        )
        assert result["details"]["errorCount"] == 1
    assert site.status() == {"a": "created"}


def test_append_refuses_only_collections_in_the_buffer(site: DocumentApi) -> None:
    for name in ("a", "gone"):
        site.add(name, document(name))
    site.committed("p", policy())
    assert site.post("a", document("a", 2), buffermode="append").status == 201
    assert site.post("new", document("new"), buffermode="Append").status == 201
    assert site.post("gone", buffermode="append", empty_collection="true").status == 201
    for name in ("a", "new", "gone"):
        refused(
            site.post(name, document(name, 3), buffermode="append"),
            "409 Conflict",
            "Invalid collection specified for buffer",
            "Buffermode : append",
        )


def test_replace_drops_the_buffer_and_takes_all(site: DocumentApi) -> None:
    site.committed("p", policy())
    site.add("a", document("one"))
    site.add("b", document("two"))
    assert site.post("c", document("one"), buffermode="REPLACE").status == 201
    assert site.status() == {"p": "unmodified", "c": "created"}


def test_replace_with_nothing_committed_begins_anew(site: DocumentApi) -> None:
    site.add("a", document("one"))
    assert site.post("b", document("two"), buffermode="replace").status == 201
    assert site.status() == {"b": "created"}


@pytest.mark.parametrize("mode", ["rejectoncontents", "append", "replace"])
def test_every_mode_goes_on_an_empty_buffer(site: DocumentApi, mode: str) -> None:
    assert site.post("a", document("one"), buffermode=mode).status == 201


@pytest.mark.parametrize("full", [False, True])
def test_an_unknown_mode_is_refused_on_an_empty_buffer_and_on_a_full_one(
    site: DocumentApi, full: bool
) -> None:
    if full:
        site.add("a", document("one"))
    result = refused(
        site.post("b", document("two"), buffermode="hippo"),
        "400 Bad Request",
        "Invalid buffermode parameter specified",
    )
    assert "hippo" in result["reason"]
    assert site.status() == ({"a": "created"} if full else {})


@pytest.mark.parametrize("buffered", [False, True])
def test_the_same_contents_again_make_no_revision(site: DocumentApi, buffered: bool) -> None:
    site.committed("a", document("one"), document("two"), policy())
    if buffered:
        site.add("b", document("three"))
    before = site.ask("GET", "/document-buffer").json
    result = refused(
        site.post("a", policy(), document("two"), document("one"), buffermode="append"),
        "400 Bad Request",
        "Collection a not added to Shipyard buffer",
        "Collection created no new revision",
    )
    assert result["details"]["errorCount"] == 1
    assert site.ask("GET", "/document-buffer").json == before


def test_a_document_of_another_collection_is_refused_by_name(site: DocumentApi) -> None:
    site.add("a", document("one"))
    result = refused(
        site.post("b", document("one"), buffermode="append"),
        "409 Conflict",
        "Documents may not exist in more than one collection",
    )
    assert "one" in result["reason"]
    assert "'a'" in result["reason"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"a: [1", "line"),
        (b"- a list", "mapping"),
        (b"just text", "mapping"),
        (stream(document("one") | {"schema": "no version"}), "schema"),
        (stream({"schema": "a/B/v1", "metadata": {}, "data": 1}), "name"),
        (b"---\n", "no document"),
    ],
)
def test_unsuitable_documents_are_refused_one_message_for_each_fault(
    site: DocumentApi, text: bytes, words: str
) -> None:
    answer = site.post_text("a", text)
    assert answer.status == 400
    assert answer.json["message"] in {
        "Document(s) invalid syntax or otherwise unsuitable",
        "Content-Length is a required header",
    }
    assert words in str(answer.json)
    assert site.status() == {}


def test_two_faults_are_two_validation_messages(site: DocumentApi) -> None:
    wrong = stream(document("one") | {"more": 1}, document("two", None, layer="x"))
    result = refused(
        site.post_text("a", wrong),
        "400 Bad Request",
        "Document(s) invalid syntax or otherwise unsuitable",
    )
    messages = result["details"]["messageList"]
    assert len(messages) >= 2
    for each in messages:
        assert each["kind"] == "ValidationMessage"
        assert each["level"] == "Error"
        assert set(each) >= {"documents", "diagnostic", "name", "source"}


@pytest.mark.parametrize("mode", ["rejectoncontents", "append", "replace"])
def test_emptying_what_never_was_there_changes_nothing(site: DocumentApi, mode: str) -> None:
    refused(
        site.post("never", empty_collection="true", buffermode=mode),
        "400 Bad Request",
        "Collection never not added to Shipyard buffer",
        "Collection created no new revision",
    )


# Getting a collection


@pytest.mark.parametrize("version", [None, "buffer", "BUFFER"])
def test_a_collection_comes_back_byte_for_byte(site: DocumentApi, version: str | None) -> None:
    text = b"# a comment\n" + stream(document("one", {"z": 1, "a": "0644", "m": 0o644}))
    assert site.post_text("a", text).status == 201
    answer = site.get("/configdocs/a", **({"version": version} if version else {}))
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "application/x-yaml"
    assert answer.body == text


@pytest.mark.parametrize("version", ["committed", "COMMITTED"])
def test_the_committed_version_is_not_the_buffer(site: DocumentApi, version: str) -> None:
    site.committed("a", document("one", "old"), policy())
    site.add("a", document("one", "new"), policy())
    assert b"old" in site.get("/configdocs/a", version=version).body
    assert b"new" in site.get("/configdocs/a").body


@pytest.mark.parametrize("path", ["/configdocs/a", "/renderedconfigdocs"])
@pytest.mark.parametrize("version", ["x", "newest", "-1"])
def test_an_unknown_version_is_refused(site: DocumentApi, path: str, version: str) -> None:
    refused(
        site.get(path, version=version),
        "400 Bad Request",
        "Invalid version query parameter specified",
        f"version must be {', '.join(VERSIONS)}",
    )


@pytest.mark.parametrize("version", VERSIONS)
def test_a_collection_that_a_version_lacks_is_404(site: DocumentApi, version: str) -> None:
    site.committed("a", document("one"), policy())
    site.ask("POST", "/document-site-actions", {"outcome": "success"})
    refused(
        site.get("/configdocs/never", version=version), "404 Not Found", "No documents to retrieve"
    )


def test_what_the_buffer_only_carries_along_is_404(site: DocumentApi) -> None:
    site.committed("a", document("one"), policy())
    site.add("b", document("two"))
    refused(
        site.get("/configdocs/a"),
        "404 Not Found",
        "No documents to retrieve",
        "The Shipyard buffer is empty or does not contain this collection",
    )


def test_what_the_buffer_deletes_is_an_empty_answer(site: DocumentApi) -> None:
    site.committed("a", document("one"), policy())
    assert site.post("a", empty_collection="true").status == 201
    answer = site.get("/configdocs/a")
    assert (answer.status, answer.body) == (200, b"")
    assert answer.headers["Content-Type"] == "application/x-yaml"


# Rendering


@pytest.mark.parametrize("version", VERSIONS)
def test_a_version_that_is_not_there_cannot_be_rendered(site: DocumentApi, version: str) -> None:
    refused(
        site.get("/renderedconfigdocs", version=version),
        "404 Not Found",
        "This revision does not exist",
        f"{version} version does not exist",
    )


def test_rendered_documents_are_a_yaml_stream(site: DocumentApi) -> None:
    site.committed("a", document("one"), policy())
    answer = site.get("/renderedconfigdocs", version="COMMITTED")
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "application/x-yaml"
    assert answer.body.startswith(b"---\n")


def test_documents_that_do_not_render_are_the_callers_fault(site: DocumentApi) -> None:
    site.add("a", document("one"))
    result = refused(
        site.get("/renderedconfigdocs"), "409 Conflict", "The documents cannot be rendered"
    )
    assert "LayeringPolicyNotFound" in str(result["details"]["messageList"])


# Committing


def test_a_commit_is_answered_with_its_validations(site: DocumentApi) -> None:
    site.add("a", document("one"), policy())
    answer = site.commit(force="False", dryrun="False", verbosity=1)
    assert answer.status == 200
    validated(answer, "200 OK", "Validations succeeded")
    assert site.status() == {"a": "unmodified"}


@pytest.mark.parametrize("posted", [False, True])
def test_a_commit_of_nothing_is_refused_and_may_be_retried(site: DocumentApi, posted: bool) -> None:
    if posted:
        site.committed("a", document("one"), policy())
    result = refused(
        site.commit(),
        "409 Conflict",
        "Unable to commit configuration documents",
        "There are no documents in the buffer to commit",
    )
    assert result["retry"] is True


def test_a_commit_of_documents_that_do_not_render_is_refused(site: DocumentApi) -> None:
    site.add("a", document("one"))
    answer = site.commit()
    assert answer.status == 400
    result = validated(answer, "400 Bad Request", "Validations failed", errors=1)
    (message,) = result["details"]["messageList"]
    assert message["kind"] == "ValidationMessage"
    assert (message["error"], message["level"]) == (True, "Error")
    assert "LayeringPolicyNotFound" in message["message"]
    assert site.status() == {"a": "created"}


def test_force_commits_in_spite_of_errors_and_says_so(site: DocumentApi) -> None:
    site.add("a", document("one"))
    answer = site.commit(force="True")
    assert answer.status == 200
    validated(answer, "200 OK", "Validations failed FORCED SUCCESS", errors=1)
    assert site.status() == {"a": "unmodified"}


def test_force_without_errors_is_a_plain_commit(site: DocumentApi) -> None:
    site.add("a", document("one"), policy())
    validated(site.commit(force="True"), "200 OK", "Validations succeeded")


@pytest.mark.parametrize("force", ["False", "True"])
@pytest.mark.parametrize("valid", [False, True])
def test_a_dry_run_commits_nothing_and_goes_before_force(
    site: DocumentApi, force: str, valid: bool
) -> None:
    site.add("a", document("one"), *([policy()] if valid else []))
    answer = site.commit(force=force, dryrun="True")
    assert answer.status == 200
    word = "succeeded" if valid else "failed"
    validated(answer, "200 OK", f"Validations {word} DRYRUN", errors=int(not valid))
    assert site.status() == {"a": "created"}


@pytest.mark.parametrize("given", ["true", "True", "t", "yes", "y", "on", "1", ""])
def test_what_falcon_takes_for_true_is_true(site: DocumentApi, given: str) -> None:
    site.add("a", document("one"), policy())
    assert site.commit(dryrun=given).json["message"].endswith(" DRYRUN")


@pytest.mark.parametrize("given", ["false", "False", "f", "no", "n", "off", "0"])
def test_what_falcon_takes_for_false_is_false(site: DocumentApi, given: str) -> None:
    site.add("a", document("one"), policy())
    assert site.commit(dryrun=given).json["message"] == "Validations succeeded"


@pytest.mark.parametrize("name", ["dryrun", "force"])
@pytest.mark.parametrize("given", ["maybe", "TRUE", "2"])
def test_any_other_flag_is_refused(site: DocumentApi, name: str, given: str) -> None:
    site.add("a", document("one"), policy())
    answer = site.commit(**{name: given})
    assert answer.status == 400
    assert answer.json["reason"] == "Invalid parameter"
    assert answer.json["details"]["errorType"] == "HTTPInvalidParam"
    assert name in answer.json["message"]
    assert site.status() == {"a": "created"}


# All paths


@pytest.mark.parametrize("verbosity", ["9", "x", "6", "-1", "1.0", "٣"])
@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/configdocs"), ("GET", "/configdocs/a"), ("POST", "/commitconfigdocs")],
)
def test_a_wrong_verbosity_is_refused(
    site: DocumentApi, method: str, path: str, verbosity: str
) -> None:
    refused(
        site.ask(method, path, verbosity=verbosity),
        "400 Bad Request",
        "Invalid verbosity parameter",
    )


@pytest.mark.parametrize("verbosity", range(6))
def test_every_verbosity_is_taken(site: DocumentApi, verbosity: int) -> None:
    assert site.get("/configdocs", verbosity=verbosity).status == 200


ALLOWED = {
    "/versions": "GET, HEAD",
    f"{API}/health": "GET, HEAD",
    f"{API}/configdocs": "GET, HEAD",
    f"{API}/configdocs/a": "GET, HEAD, POST",
    f"{API}/commitconfigdocs": "POST",
    f"{API}/renderedconfigdocs": "GET, HEAD",
}


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
@pytest.mark.parametrize("path", ALLOWED)
def test_another_method_is_405_with_a_message(site: DocumentApi, method: str, path: str) -> None:
    if method in ALLOWED[path]:
        return
    answer = site.send(method, path)
    assert answer.status == 405
    assert answer.headers["Allow"] == ALLOWED[path]
    assert answer.headers["X-Shipyard-Req"]
    if method != "HEAD":
        result = refused(answer, "405 Method Not Allowed", answer.json["message"])
        assert result["message"] == f"{path} answers {ALLOWED[path]}, not {method}"
        assert result["details"]["errorType"] == "HTTPMethodNotAllowed"


@pytest.mark.parametrize(
    "path",
    [
        *("/versions", f"{API}/health", f"{API}/configdocs", f"{API}/configdocs/a"),
        *(f"{API}/configdocs/never", f"{API}/renderedconfigdocs", f"{API}/document-buffer"),
        *(f"{API}/documents/pegleg/Script/v1/one", f"{API}/document-revisions"),
        f"{API}/document-differences",
    ],
)
def test_head_is_get_without_its_body(site: DocumentApi, path: str) -> None:
    site.add("a", document("one"), policy())
    whole, head = site.send("GET", path), site.send("HEAD", path)
    assert (head.status, head.body) == (whole.status, b"")
    own = {"X-Shipyard-Req", "X-Request-Id"}
    for answer in (whole, head):
        assert own & set(answer.headers)
    same = {name: value for name, value in whole.headers.items() if name not in own}
    assert {name: head.headers.get(name) for name in same} == same
    assert site.status() == {"a": "created"}


@pytest.mark.parametrize(
    "path",
    [
        *("/versions/", f"{API}/health/", f"{API}/configdocs/a/b", f"{API}/configdocs/a/"),
        *(f"{API}/configdocs//", f"{API}/commitconfigdocs/", f"{API}/renderedconfigdocs/"),
        *(f"{API}/configdocs/a%2Fb", f"{API}/configdocs/", f"{API}/configdocs/a%00b"),
        *(f"{API}/actions", f"{API}/site_statuses", f"{API}/workflows/1"),
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_an_unknown_path_is_404_with_a_message(site: DocumentApi, method: str, path: str) -> None:
    answer = site.send(method, path, b"a: 1", {"Content-Type": "application/x-yaml"})
    refused(answer, "404 Not Found", answer.json["message"])
    assert answer.json["message"]
    assert site.status() == {}


@pytest.mark.parametrize(
    "name",
    [
        *("%20", "a%20", "%20a", "a%0Ab", "a%7Fb", "a%C2%85b", "a%E2%80%AEb", "a%E2%80%A8b"),
        *("%FF", "%C3%28", "a" * 37, "%2E", "%2E%2E", "%E2%80%8B"),
    ],
)
def test_a_collection_name_that_cannot_be_read_or_reached_is_refused(
    site: DocumentApi, database: Database, name: str
) -> None:
    result = refused(site.post(name, document("one")), "400 Bad Request", "Invalid collection name")
    assert "1 to 36 printable characters" in result["reason"]
    assert site.get(f"/configdocs/{name}").status == 404
    assert select(database, "SELECT count(*) FROM api_locks") == [(0,)]


@pytest.mark.parametrize(
    ("name", "decoded"),
    [
        *(("a", "a"), ("A-b_c.d", "A-b_c.d"), ("%C3%BC", "\u00fc"), ("%E6%97%A5", "\u65e5")),
        *(("a%20b", "a b"), ("a+b", "a+b"), ("a%2Bb", "a+b"), ("%25", "%"), ("a%3Fb%23c", "a?b#c")),
        *(("...", "..."), ("a" * 36, "a" * 36), ("%F0%9F%92%A1", "\U0001f4a1"), ("'", "'")),
        *(("buffer", "buffer"), ("%61", "a"), ("a;b=c", "a;b=c"), ("a,b", "a,b")),
    ],
)
def test_a_name_that_is_merely_odd_is_taken_and_comes_back(
    site: DocumentApi, name: str, decoded: str
) -> None:
    answer = site.post(name, document("one"))
    assert answer.status == 201
    assert site.status() == {decoded: "created"}
    there = answer.headers["Location"]
    assert loaded(site.send("GET", there).body) == [document("one")]
    assert site.get(f"/configdocs/{name}").status == 200


@pytest.mark.parametrize(
    "media", ["application/x-yaml", "text/yaml", "application/json", "text/plain", "a", None]
)
def test_documents_are_yaml_whatever_their_media_type_says(
    site: DocumentApi, media: str | None
) -> None:
    headers = {} if media is None else {"Content-Type": media}
    body = stream(document("one"))
    assert site.send("POST", f"{API}/configdocs/a", body, headers).status == 201
    answer = site.send("POST", f"{API}/commitconfigdocs?force=true", b"ignored", headers)
    assert answer.status == 200


@pytest.mark.parametrize("encoding", ["gzip", "br", "deflate, gzip"])
def test_an_encoded_body_is_refused(site: DocumentApi, encoding: str) -> None:
    headers = {"Content-Encoding": encoding, "Content-Type": "application/x-yaml"}
    answer = site.send("POST", f"{API}/configdocs/a", gzip.compress(stream(document("a"))), headers)
    refused(answer, "415 Unsupported Media Type", answer.json["message"])
    assert "without an encoding" in answer.json["message"]


def test_an_identity_encoding_is_none(site: DocumentApi) -> None:
    headers = {"Content-Encoding": "Identity", "Content-Type": "application/x-yaml"}
    body = stream(document("a"))
    assert site.send("POST", f"{API}/configdocs/a", body, headers).status == 201


@pytest.mark.parametrize("accept", ["*/*", "application/x-yaml", "text/html", "application/json"])
def test_every_accept_is_answered_alike(site: DocumentApi, accept: str) -> None:
    site.add("a", document("one"), policy())
    for path, media in (
        ("/configdocs", "application/json"),
        ("/configdocs/a", "application/x-yaml"),
        ("/renderedconfigdocs", "application/x-yaml"),
    ):
        answer = site.send("GET", API + path, None, {"Accept": accept})
        assert (answer.status, answer.headers["Content-Type"]) == (200, media)


@pytest.mark.parametrize("path", ["/configdocs", "/configdocs/a", "/renderedconfigdocs"])
def test_unknown_parameters_are_ignored(site: DocumentApi, path: str) -> None:
    # Of two values of a parameter the ancestor uses the last; our server refuses both, because a
    # dry run could become a commit: see the test of repeated parameters.
    site.add("a", document("one"), policy())
    assert site.get(path, whatever="1", verbosity="5").status == 200
    result = site.commit(dryrun="true", force="false", nothing="")
    assert result.json["message"] == "Validations succeeded DRYRUN"


def test_health_and_versions(site: DocumentApi) -> None:
    health = site.get("/health")
    assert (health.status, health.body) == (204, b"")
    assert "X-Shipyard-Req" in health.headers
    versions = site.send("GET", "/versions")
    assert versions.json == {"v1.0": {"path": "/api/v1.0", "status": "stable"}}


@pytest.mark.parametrize(
    ("marker", "kept"),
    [("0b2f9a3e-3f0d-4a54-9a50-0d6f6f1c2f11", True), ("whatever I like", False)],
)
def test_the_context_marker_is_kept_or_silently_replaced(
    site: DocumentApi, database: Database, marker: str, kept: bool
) -> None:
    headers = {"X-Context-Marker": marker}
    answer = site.send("POST", f"{API}/configdocs/a", stream(document("one")), headers)
    assert answer.status == 201
    expected = marker if kept else answer.headers["X-Shipyard-Req"]
    assert select(database, "SELECT reference_id FROM document_revisions") == [(expected,)]
    assert select(
        database, "SELECT reference_id FROM api_locks WHERE kind = 'configdocs_update'"
    ) == [(expected,)]


# The lock


@pytest.mark.parametrize("what", ["post", "commit", "rollback", "discard", "tag"])
def test_the_second_of_two_writers_is_refused_in_the_words_that_clients_know(
    site: DocumentApi, other_site: DocumentApi, what: str
) -> None:
    site.committed("a", document("one"), policy())
    site.add("b", document("two"))
    before = site.ask("GET", "/document-revisions").json
    with hold(other_site.services.locks, CONFIGDOCS_UPDATE, GLOBAL, RequestOrigin("another")):
        answer = {
            "post": lambda: site.post("c", document("three"), buffermode="append"),
            "commit": site.commit,
            "rollback": lambda: site.ask("POST", "/document-revisions/1/rollback", {}),
            "discard": lambda: site.ask("DELETE", "/document-buffer"),
            "tag": lambda: site.ask("PUT", "/document-revisions/1/tags/x", {}),
        }[what]()
        assert site.get("/configdocs").status == 200
        assert site.get("/configdocs/b").status == 200
        assert site.get("/renderedconfigdocs").status == 200
    assert 1 <= int(answer.headers["Retry-After"]) <= 15
    if what in {"post", "commit"}:
        result = refused(answer, "409 Conflict", "Blocked by another process")
        assert "with a lock for configdocs_update" in result["reason"]
        assert "Lock expires in not more than" in result["reason"]
        assert result["retry"] is False
    else:
        assert answer.problem == (409, "lock_held")
    assert site.ask("GET", "/document-revisions").json == before


def test_reading_takes_no_lock_and_a_refused_body_neither(
    site: DocumentApi, database: Database
) -> None:
    site.get("/configdocs")
    site.get("/renderedconfigdocs")
    site.post_text("a", b"a: [")
    site.post("a", document("one"), buffermode="hippo")
    site.commit(dryrun="maybe")
    assert select(database, "SELECT count(*) FROM api_locks") == [(0,)]
    site.add("a", document("one"))
    assert select(database, "SELECT kind, scope, outcome FROM api_locks") == [
        ("configdocs_update", "global", "released")
    ]
