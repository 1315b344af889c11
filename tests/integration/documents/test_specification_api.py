"""Cases of the configdocs API's specification, each named by section and row.

``1`` is its table of responses, ``server`` its list of the assertions in the ancestor's own tests,
``clients`` and ``operations`` are the tables of clients' requests and the server's operations. A
case prepares a state, sends one request, and checks the exact status, texts and fields.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.documents import API, DocumentApi, document, loaded, policy, stream
from tests.service import Answer

World = Callable[[DocumentApi], object]
YAML = {"Content-Type": "application/x-yaml"}
ONE, TWO = stream(document("one")), stream(document("two"))
SITE = stream(document("one"), policy())
NAMES = "successful_site_action, last_site_action, committed, buffer"


def nothing(_site: DocumentApi) -> None:
    """Prepare an empty service."""


def committed(site: DocumentApi) -> None:
    """Commit a collection, with an empty buffer."""
    site.committed("a", document("one"), policy())


def buffered(site: DocumentApi) -> None:
    """Commit one collection, and buffer another."""
    committed(site)
    site.add("b", document("two"))


def first(site: DocumentApi) -> None:
    """Buffer a collection, with nothing committed."""
    site.add("a", document("one"), policy())


def unrenderable(site: DocumentApi) -> None:
    """Buffer documents without a LayeringPolicy, which cannot be rendered."""
    site.add("a", document("one"))


def deleted(site: DocumentApi) -> None:
    """Buffer the deletion of the committed collection."""
    committed(site)
    assert site.post("a", empty_collection="True").status == 201


def acted(site: DocumentApi) -> None:
    """Record a site action that succeeded, and one that failed on a later revision."""
    committed(site)
    site.ask("POST", "/document-site-actions", {"outcome": "success"})
    site.committed("b", document("two"))
    site.ask("POST", "/document-site-actions", {"outcome": "failure"})


@dataclass(frozen=True)
class Row:
    """One request and the expected response.

    Attributes:
        message, reason: texts of a Status document; None: not checked.
        fields: further fields of the body, or of each entry of a list.
        status_of: the collections of the buffer afterwards; None: unchanged.
    """

    name: str
    world: World
    request: str
    status: int
    message: str | None = None
    reason: str | None = None
    fields: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    text: bytes | None = None
    status_of: Mapping[str, str] | None = None


def refused(
    name: str, world: World, request: str, status: int, *words: str | None, **more: Any
) -> Row:
    """Return the row of a refusal by an error Status."""
    fields = {"kind": "status", "status": "Failure", "apiVersion": "v1.0", **more.pop("fields", {})}
    message, reason = (*words, None, None)[:2]
    return Row(name, world, request, status, message, reason, fields, **more)


def validated(name: str, world: World, request: str, code: str, message: str, **more: Any) -> Row:
    """Return the row of a validation result."""
    fields = {"kind": "Status", "reason": "Validation", "code": code, **more.pop("fields", {})}
    status = 200 if "DRYRUN" in message or "FORCED" in message else int(code[:3])
    return Row(name, world, request, status, message, None, fields, **more)


COMPARED = "GET /configdocs"
TWO_NEEDED = "User must pass in 2 valid versions for comparison"
PAIR = {"base_version": "committed", "new_version": "buffer"}
COMPARING = [
    Row("1-status-nothing", nothing, COMPARED, 200, text=b"[]"),
    refused(
        "1-versions-one",
        *(committed, f"{COMPARED}?versions=buffer", 400),
        *("Incorrect number of versions for comparison", TWO_NEEDED),
    ),
    refused(
        "1-versions-three",
        *(committed, f"{COMPARED}?versions=buffer,committed,last_site_action", 400),
        *("Incorrect number of versions for comparison", TWO_NEEDED),
    ),
    refused(
        "1-versions-same",
        *(committed, f"{COMPARED}?versions=buffer&versions=buffer", 400),
        "Versions must be different for comparison",
        "Versions must be unique in order to perform comparison",
    ),
    refused(
        "1-versions-unknown",
        *(committed, f"{COMPARED}?versions=x&versions=buffer", 400),
        *("Invalid version detected", f"x is not a valid version, which include: {NAMES}"),
    ),
    Row("1-versions-comma", buffered, f"{COMPARED}?versions=committed,buffer", 200, fields=PAIR),
    Row("1-version-documented", buffered, f"{COMPARED}?version=buffer,committed", 200, fields=PAIR),
    Row(
        "1-version-documented-other-pair",
        *(acted, f"{COMPARED}?version=committed,last_site_action", 200),
        fields={"base_version": "last_site_action", "new_version": "committed"},
    ),
    *(
        refused(
            f"1-{version}-not-there",
            *(committed, f"{COMPARED}?versions=committed&versions={version}", 404),
            *("Version does not exist", f"{version} version does not exist"),
        )
        for version in ("last_site_action", "successful_site_action")
    ),
    Row("1-base_revision-0", first, COMPARED, 200, fields={"base_revision": 0, "new_revision": 1}),
    Row(
        "1-new_revision-without-buffer",
        *(committed, COMPARED, 200),
        fields={"base_revision": 1, "new_revision": 1, "new_status": "unmodified"},
    ),
    Row(
        "operations-versions-are-ordered",
        *(acted, f"{COMPARED}?versions=buffer&versions=successful_site_action", 200),
        fields={"base_version": "successful_site_action", "new_version": "buffer"},
    ),
    Row(
        "clients-get-status",
        *(buffered, f"{COMPARED}?verbosity=1&versions=committed&versions=buffer", 200),
        fields=PAIR,
    ),
]

POST = "POST /configdocs"
MISSING = ("Content-Length is a required header", "Content Length is 0 or not specified")
INVALID = "Document(s) invalid syntax or otherwise unsuitable"
FULL = "Invalid collection specified for buffer"
CREATED = ("201 Created", "Validations succeeded")
UNCHANGED = "Collection created no new revision"
ELSEWHERE = "Documents may not exist in more than one collection"
KEPT = {"a": "unmodified", "b": "created"}


def invalid_posts() -> list[Row]:
    """Return posts of invalid documents onto a full buffer, in all modes that could lose it."""
    texts = {
        "yaml": b"a: [1",
        "no-mapping": b"- a",
        "no-name": stream({"schema": "a/B/v1", "metadata": {}, "data": 1}),
        "two-faults": stream(document("x") | {"more": 1}, document("y") | {"more": 1}),
    }
    return [
        refused(
            f"1-invalid-{name}-{mode}{'-LEAVE' if mode == 'replace' else ''}",
            *(buffered, f"{POST}/c?buffermode={mode}", 400, INVALID),
            body=text,
        )
        for name, text in texts.items()
        for mode in ("append", "replace")
    ]


POSTING = [
    refused("1-post-without-body", nothing, f"{POST}/a", 400, *MISSING, body=b""),
    validated(
        *("1-post-ok", nothing, f"{POST}/my%20site?verbosity=1", *CREATED),
        body=SITE,
        headers={"Location": f"{API}/configdocs/my%20site"},
        status_of={"my site": "created"},
    ),
    *(
        refused(
            f"1-buffermode-hippo-{name}-LEAVE",
            *(world, f"{POST}/c?buffermode=hippo", 400),
            *(
                "Invalid buffermode parameter specified",
                "buffermode must be rejectoncontents, append, replace, not hippo",
            ),
            body=TWO,
        )
        for name, world in (("empty", committed), ("full", first))
    ),
    *(
        refused(
            f"1-refused-by-{mode or 'default'}",
            *(buffered, f"{POST}/b?buffermode={mode}", 409, FULL),
            f"Buffermode : {mode.lower() or 'rejectoncontents'}",
            body=TWO,
            fields={"retry": False},
        )
        for mode in ("", "rejectoncontents", "ReJeCtOnCoNtEnTs", "append", "APPEND")
    ),
    *(
        refused(
            f"1-same-contents-{mode}",
            *(committed, f"{POST}/a?buffermode={mode}", 400),
            *("Collection a not added to Shipyard buffer", UNCHANGED),
            body=SITE,
        )
        for mode in ("rejectoncontents", "append", "replace")
    ),
    refused(
        "1-document-of-another-collection",
        *(buffered, f"{POST}/c?buffermode=append", 409, ELSEWHERE),
        "the document [pegleg/Script/v1, one] exists in the collection 'a' already",
        body=ONE,
    ),
    *(
        refused(
            f"1-empty-never-there-{mode}-LEAVE",
            *(committed, f"{POST}/never?empty-collection=true&buffermode={mode}", 400),
            *("Collection never not added to Shipyard buffer", UNCHANGED),
            body=b"",
        )
        for mode in ("rejectoncontents", "append", "replace")
    ),
    *invalid_posts(),
]

CLIENT_POSTS = [
    validated(
        *("clients-create", committed, f"{POST}/c?verbosity=1", *CREATED),
        body=TWO,
        status_of={"a": "unmodified", "c": "created"},
    ),
    validated(
        *("clients-append", buffered, f"{POST}/c?verbosity=1&buffermode=append", *CREATED),
        body=stream(document("three")),
        status_of={**KEPT, "c": "created"},
    ),
    validated(
        *("clients-replace", buffered, f"{POST}/c?verbosity=1&buffermode=replace", *CREATED),
        body=TWO,
        status_of={"a": "unmodified", "c": "created"},
    ),
    validated(
        *("clients-empty-collection", committed),
        *(f"{POST}/a?verbosity=1&empty-collection=True", *CREATED),
        body=b"",
        status_of={"a": "deleted"},
    ),
    validated(
        *("clients-library-default", committed),
        *(f"{POST}/c?buffermode=rejectoncontents&verbosity=1", *CREATED),
        body=TWO,
        status_of={"a": "unmodified", "c": "created"},
    ),
    validated(
        *("server-append-unmodified", buffered, f"{POST}/a?buffermode=append", *CREATED),
        body=stream(document("one", 2), policy()),
        status_of={"a": "modified", "b": "created"},
    ),
    refused(
        "server-append-deleted",
        *(deleted, f"{POST}/a?buffermode=append", 409, FULL, "Buffermode : append"),
        body=SITE,
    ),
    validated(
        *("server-replace-nothing-committed", first, f"{POST}/b?buffermode=replace", *CREATED),
        body=SITE,
        status_of={"b": "created"},
    ),
]

GET = "GET /configdocs"
RENDERED = "GET /renderedconfigdocs"
NO_VERSION = "Invalid version query parameter specified"
READING = [
    refused("1-get-version-x", committed, f"{GET}/a?version=x", 400, NO_VERSION),
    Row("1-get-version-BUFFER", first, f"{GET}/a?version=BUFFER", 200, text=SITE),
    Row("1-get-version-COMMITTED", committed, f"{GET}/a?version=COMMITTED", 200, text=SITE),
    refused(
        "1-get-lacking-LEAVE",
        *(committed, f"{GET}/never?version=committed", 404, "No documents to retrieve"),
    ),
    Row("1-get-deleted", deleted, f"{GET}/a?version=buffer", 200, text=b""),
    refused(
        "operations-get-not-in-buffer",
        *(buffered, f"{GET}/a", 404, "No documents to retrieve"),
        "The Shipyard buffer is empty or does not contain this collection",
    ),
    *(
        Row(
            f"clients-get-{version}",
            acted,
            f"{GET}/a?version={version}&verbosity=1",
            200,
            text=SITE,
        )
        for version in ("committed", "last_site_action", "successful_site_action")
    ),
    Row(
        "clients-get-cleartext-secrets",
        *(first, f"{GET}/a?version=buffer&cleartext-secrets=true", 200),
        text=SITE,
    ),
    refused("1-rendered-version-x", committed, f"{RENDERED}?version=x", 400, NO_VERSION),
    Row("1-rendered-COMMITTED", committed, f"{RENDERED}?version=COMMITTED", 200),
    refused(
        "1-rendering-fails-409",
        *(unrenderable, RENDERED, 409, "The documents cannot be rendered"),
    ),
    *(
        refused(
            f"operations-rendered-{version}-not-there",
            *(nothing, f"{RENDERED}?version={version}", 404),
            *("This revision does not exist", f"{version} version does not exist"),
        )
        for version in ("buffer", "committed", "last_site_action", "successful_site_action")
    ),
]

COMMIT = "POST /commitconfigdocs"
FAILED = {"status": "Failure"}
COMMITTING = [
    validated(
        *("1-commit-dryrun-before-force", first, f"{COMMIT}?dryrun=True&force=True", "200 OK"),
        "Validations succeeded DRYRUN",
    ),
    validated(
        *("server-dryrun-of-errors", unrenderable, f"{COMMIT}?dryrun=True", "200 OK"),
        "Validations failed DRYRUN",
        fields=FAILED,
    ),
    validated(
        *("clients-commit", first, f"{COMMIT}?force=False&dryrun=False&verbosity=1", "200 OK"),
        "Validations succeeded",
        status_of={"a": "unmodified"},
    ),
    *(
        refused(
            f"1-commit-{name}={value}",
            *(first, f"{COMMIT}?{name}={value}", 400, None, "Invalid parameter"),
        )
        for name in ("dryrun", "force")
        for value in ("maybe", "TRUE", "FALSE", "2")
    ),
    *(
        validated(
            *(f"1-commit-dryrun={value}", first, f"{COMMIT}?dryrun={value}", "200 OK"),
            "Validations succeeded DRYRUN",
        )
        for value in ("true", "True", "t", "yes", "y", "on", "1", "")
    ),
    *(
        validated(
            *(f"1-commit-dryrun={value}", first, f"{COMMIT}?dryrun={value}", "200 OK"),
            "Validations succeeded",
            status_of={"a": "unmodified"},
        )
        for value in ("false", "False", "f", "no", "n", "off", "0")
    ),
    *(
        refused(
            f"1-commit-{name}",
            *(world, COMMIT, 409, "Unable to commit configuration documents"),
            "There are no documents in the buffer to commit",
            fields={"retry": True},
        )
        for name, world in (("of-nothing", nothing), ("of-no-buffer", committed))
    ),
    validated(
        *("1-commit-unrenderable", unrenderable, COMMIT, "400 Bad Request", "Validations failed"),
        fields=FAILED,
    ),
    validated(
        *("server-force", unrenderable, f"{COMMIT}?force=True", "200 OK"),
        "Validations failed FORCED SUCCESS",
        fields=FAILED,
        status_of={"a": "unmodified"},
    ),
]

VERBOSITY = "Invalid verbosity parameter"
OTHERS = [
    *(
        refused(
            f"1-verbosity-{value}-{request}", first, f"{request}?verbosity={value}", 400, VERBOSITY
        )
        for value in ("9", "x")
        for request in (COMPARED, f"{GET}/a", f"{RENDERED}", COMMIT)
    ),
    *(
        refused(f"1-{method}", first, f"{method} /configdocs/a", 405)
        for method in ("PUT", "DELETE", "PATCH", "OPTIONS")
    ),
    *(
        refused(f"1-unknown-path-{path}", first, f"GET {path}", 404)
        for path in ("/actions", "/site_statuses", "/configdocs/a/b")
    ),
    Row("1-health", nothing, "GET /health", 204, text=b""),
]

ROWS = [*COMPARING, *POSTING, *CLIENT_POSTS, *READING, *COMMITTING, *OTHERS]


def sent(site: DocumentApi, row: Row) -> Answer:
    """Send the request of a row."""
    method, path = row.request.split(" ", 1)
    headers = {} if row.body is None else {**YAML, "Content-Length": str(len(row.body))}
    return site.send(method, API + path, row.body, headers)


@pytest.mark.parametrize("row", [pytest.param(row, id=row.name) for row in ROWS])
def test_a_row_gets_its_exact_response(site: DocumentApi, row: Row) -> None:
    row.world(site)
    before = site.status()
    answer = sent(site, row)
    assert answer.status == row.status, answer.body
    assert answer.headers["X-Shipyard-Req"] == answer.headers["X-Request-Id"]
    assert {name: answer.headers[name] for name in row.headers} == row.headers
    if row.text is not None:
        assert answer.body == row.text
    elif answer.headers["Content-Type"] == "application/json":
        _check_body(answer, row)
    assert site.status() == (before if row.status_of is None else row.status_of)


def _check_body(answer: Answer, row: Row) -> None:
    entries = answer.json if isinstance(answer.json, list) else [answer.json]
    assert entries
    for each in entries:
        assert {name: each[name] for name in row.fields} == row.fields
    if row.message is not None:
        assert answer.json["message"] == row.message
    if row.reason is not None:
        assert answer.json["reason"] == row.reason
    if row.fields.get("kind") in {"status", "Status"}:
        _check_messages(answer)


def _check_messages(answer: Answer) -> None:
    whole = answer.json
    messages = whole["details"]["messageList"]
    assert whole["details"]["errorCount"] == sum(each["error"] for each in messages)
    assert whole["message"]
    assert whole["reason"]
    assert whole["metadata"] == {}
    assert (whole["status"] == "Failure") == bool(whole["details"]["errorCount"])
    if whole["kind"] == "status":
        assert whole["code"].startswith(f"{answer.status} ")
        assert whole["details"]["errorType"]
    for each in messages:
        if each.get("kind") == "ValidationMessage":
            assert set(each) >= {"message", "error", "name", "documents", "level", "diagnostic"}
            assert each["level"] in {"Error", "Warning", "Info"}


def test_the_names_of_rows_are_unique() -> None:
    names = [row.name for row in ROWS]
    assert len(set(names)) == len(names)


# Rows that take more than one request


@pytest.mark.parametrize("_row", ["1-each-fault-is-one-message-with-its-line"])
def test_each_fault_is_one_message_with_its_line(site: DocumentApi, _row: str) -> None:
    text = stream(document("x") | {"more": 1}, document("y") | {"more": 1})
    messages = site.post_text("a", text).json["details"]["messageList"]
    assert [each["documents"][0]["name"] for each in messages] == ["x", "y"]
    lines = [json.loads(each["diagnostic"])["line"] for each in messages]
    assert [text.decode().splitlines()[line - 1] for line in lines] == ["more: 1"] * 2


@pytest.mark.parametrize("_row", ["1-GET-bodies-LEAVE"])
@pytest.mark.parametrize("path", ["/configdocs/a", "/renderedconfigdocs"])
def test_documents_come_back_as_they_were_posted(site: DocumentApi, path: str, _row: str) -> None:
    first(site)
    found = loaded(site.get(path).body)
    assert sorted(found, key=str) == sorted([document("one"), policy()], key=str)


@pytest.mark.parametrize("_row", ["1-commit-unrenderable-messages"])
def test_messages_of_a_failed_commit_name_document_and_layer(site: DocumentApi, _row: str) -> None:
    site.add("a", policy(), document("one", layeringDefinition={"layer": "moon"}))
    answer = site.commit()
    assert (answer.status, answer.json["details"]["errorCount"]) == (400, 1)
    [message] = answer.json["details"]["messageList"]
    assert message["kind"] == "ValidationMessage"
    [named] = message["documents"]
    assert named == {"schema": "pegleg/Script/v1", "name": "one", "layer": "moon"}


@pytest.mark.parametrize("_row", ["2.2-policy-of-an-older-revision-LEAVE"])
def test_the_policy_of_an_older_revision_orders_no_layers(site: DocumentApi, _row: str) -> None:
    site.committed("p", policy())
    site.committed("a", document("one"))
    assert site.post("p", empty_collection="True").status == 201
    assert site.get("/renderedconfigdocs").status == 409
    assert site.commit().status == 400
    assert site.get("/renderedconfigdocs", version="committed").status == 200


# Section 3: storage


def collections(site: DocumentApi, old: int, new: int) -> list[tuple[str, str]]:
    """Return the differences of two revisions: collection and change of each document."""
    found = site.ask("GET", "/document-differences", old=str(old), new=str(new)).json
    return [(each["collection"], each["change"]) for each in found["changes"]]


@pytest.mark.parametrize("_row", ["3-diff"])
def test_revisions_compare_in_either_order(site: DocumentApi, _row: str) -> None:
    site.add("a", document("one"), policy())
    site.add("b", document("two"))
    site.commit()
    site.add("b", document("two", 2))
    assert collections(site, 2, 3) == collections(site, 3, 2) == [("b", "modified")]
    assert collections(site, 2, 2) == []
    everything = [("a", "created"), ("a", "created"), ("b", "created")]
    assert collections(site, 0, 3) == everything
    assert collections(site, 3, 0) == [(name, "deleted") for name, _ in everything]
    assert collections(site, 1, 2) == [("b", "created")]


STORAGE: Sequence[tuple[str, str, int]] = [
    ("3-tag-missing-revision-LEAVE", "/document-revisions/9/tags/x", 404),
    ("3-tag-65-characters", f"/document-revisions/1/tags/{'t' * 65}", 400),
    ("3-tag-64-characters", f"/document-revisions/1/tags/{'t' * 64}", 200),
]


@pytest.mark.parametrize(
    ("path", "status"), [pytest.param(*row, id=name) for name, *row in STORAGE]
)
def test_a_tag_path_has_its_status(site: DocumentApi, path: str, status: int) -> None:
    committed(site)
    assert site.ask("PUT", path, {}).status == status


@pytest.mark.parametrize("_row", ["3-tag-again-replaces-its-data"])
def test_a_tag_that_is_set_again_has_the_new_data(site: DocumentApi, _row: str) -> None:
    committed(site)
    for data in (1, {"b": 2}):
        assert site.ask("PUT", "/document-revisions/1/tags/x", {"data": data}).status == 200
    [tag] = site.ask("GET", "/document-revisions/1").json["tags"]
    assert tag["data"] == {"b": 2}


@pytest.mark.parametrize("_row", ["3-rollback-to-0"])
def test_a_rollback_to_0_is_an_empty_revision(site: DocumentApi, _row: str) -> None:
    committed(site)
    assert site.ask("POST", "/document-revisions/0/rollback", {}).status == 201
    assert site.status() == {"a": "deleted"}
    assert site.ask("GET", "/document-buffer").json["revision"] == 2


# Rows with their own state: the tests that check them

DOCUMENTS = "integration/documents/test_"
ELSEWHERE_TESTED: Mapping[str, tuple[str, str]] = {
    **{
        f"4-{name.upper()}": (f"{DOCUMENTS}defects_of_the_ancestor.py", test)
        for name, test in {
            "d1": "test_d1_a_document_is_in_one_collection",
            "d2": "test_d2_one_layering_policy",
            "d3": "test_d3_",
            "d4": "test_d4_and_d5_",
            "d5": "test_d4_and_d5_",
            "d6": "test_d6_",
            "d7": "test_d7_",
            "d8": "test_d8_",
            "d9": "test_d9_",
            "d10": "test_d10_",
            "d11": "test_d11_",
            "d12": "test_d12_what_get_gives",
            "d13": "test_d13_odd_documents",
            "d14": "test_d14_every_refusal",
        }.items()
    },
    "1-no-token": (f"{DOCUMENTS}document_secrets.py", "test_the_token_of_openstack_clients"),
    "1-wrong-role": (f"{DOCUMENTS}document_secrets.py", "test_readers_change_nothing"),
    "1-lock-held": (f"{DOCUMENTS}configdocs_conformance.py", "test_the_second_of_two_writers"),
    "1-chunked-body": ("acceptance/test_documents_faults.py", "test_a_chunked_body_is_the"),
    "1-405-allow": (f"{DOCUMENTS}configdocs_conformance.py", "test_another_method_is_405"),
    "1-versions": (f"{DOCUMENTS}configdocs_conformance.py", "test_health_and_versions"),
    "1-id-and-status-ignored": (f"{DOCUMENTS}defects_of_the_ancestor.py", "test_d12_ids_and"),
    "operations-lock": (f"{DOCUMENTS}configdocs_conformance.py", "test_reading_takes_no_lock"),
    "operations-context-marker": (f"{DOCUMENTS}configdocs_conformance.py", "test_the_context_mark"),
    "server-deployment-version": (f"{DOCUMENTS}document_features.py", "test_the_deployment_vers"),
    "server-validators": (f"{DOCUMENTS}document_features.py", "test_validators_run_in_parallel"),
    "server-validators-answers": (
        f"{DOCUMENTS}document_features.py",
        "test_an_invalid_answer_of_a_valid",
    ),
    "server-validators-after-rendering": (
        f"{DOCUMENTS}document_features.py",
        "test_validators_do_not_run_if_rend",
    ),
    "3-rollback-exact": (
        f"{DOCUMENTS}document_features.py",
        "test_a_rollback_to_any_revision_is_exact",
    ),
    "4-redaction-metadata": ("unit/documents/test_redaction.py", "test_a_substituted_secret_is"),
    "4-redaction-messages": (f"{DOCUMENTS}document_secrets.py", "test_messages_and_refusals_quote"),
    "5.1-yaml-1.1": ("unit/documents/test_yaml_in.py", "test_scalars_are_read_as_yaml_1_1"),
    "5.1-yaml-out": ("properties/test_yaml_out.py", "test_readers_of_both_versions"),
    "5.1-aliases": ("unit/documents/test_yaml_in.py", "test_aliases_count_as_if_written_out"),
    "5.1-duplicate-keys": ("unit/documents/test_yaml_in.py", "test_a_key_twice_is_refused"),
    "5.2-endless-schemas": ("unit/documents/test_validation.py", "test_a_check_that_does_not_end"),
    "5.2-references": ("unit/documents/test_validation.py", "test_a_reference_is_never_followed"),
    "5.4-encryption": ("unit/documents/test_sealing.py", "test_another_row_and_another_key"),
    "5.5-diffs": ("unit/documents/test_differences.py", "test_changes_are_found_place_by_place"),
}


@pytest.mark.parametrize(
    ("file", "test"), [pytest.param(*row, id=name) for name, row in ELSEWHERE_TESTED.items()]
)
def test_a_row_is_tested_elsewhere(file: str, test: str) -> None:
    text = (Path(__file__).parents[2] / file).read_text()
    assert f"\ndef {test}" in text
