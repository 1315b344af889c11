"""Features beyond the ancestors': reviewed commits, confirmation, exact rollback, provenance."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from staging_api.db.engine import Database
from staging_api.documents.undoing import undo_overdue
from staging_api.locks.hold import RequestOrigin, hold
from staging_api.locks.model import CONFIGDOCS_UPDATE, GLOBAL
from tests.documents import (
    API,
    SCRIPT,
    DocumentApi,
    document,
    document_api,
    loaded,
    policy,
    secret,
    stream,
)
from tests.rows import execute, select
from tests.service import Answer


def names(answer: Answer) -> set[str]:
    """Return the names of the documents in a YAML response."""
    assert answer.status == 200, answer.body
    return {each["metadata"]["name"] for each in loaded(answer.body)}


# Commits of the reviewed buffer only


def test_a_dry_run_names_what_it_validated(site: DocumentApi) -> None:
    site.add("a", document("one"), policy())
    result = site.commit(dryrun="true").json
    buffer = site.ask("GET", "/document-buffer")
    assert (result["revision"], result["digest"]) == (1, buffer.json["digest"])
    assert site.commit(dryrun="true").headers["Etag"] == buffer.headers["Etag"]
    assert site.commit(revision=1).status == 200


@pytest.mark.parametrize("by", ["revision", "etag"])
def test_a_buffer_that_moved_is_not_committed(site: DocumentApi, by: str) -> None:
    site.add("a", document("one"), policy())
    reviewed = site.commit(dryrun="true")
    site.add("b", document("two"))
    if by == "revision":
        answer = site.commit(revision=reviewed.json["revision"], force="true")
    else:
        known = {"If-Match": reviewed.headers["Etag"]}
        answer = site.send("POST", f"{API}/commitconfigdocs", None, known)
    assert (answer.status, answer.json["message"]) == (409, "The buffer has moved")
    assert set(site.status().values()) == {"created"}
    etag = site.ask("GET", "/document-buffer").headers["Etag"]
    assert site.send("POST", f"{API}/commitconfigdocs", None, {"If-Match": etag}).status == 200


@pytest.mark.parametrize("how", [{}, {"confirm_within": "600"}])
def test_a_commit_answers_with_the_etag_of_the_buffer_that_it_leaves(
    site: DocumentApi, how: dict[str, str]
) -> None:
    site.add("a", document("one"), policy())
    site.add("b", document("two"))
    reviewed = site.commit(dryrun="true").headers["Etag"]
    left = site.commit(**how)
    assert left.headers["Etag"] != reviewed
    assert left.headers["Etag"] == site.ask("GET", "/document-buffer").headers["Etag"]
    site.add("a", document("one", 2), policy())
    known = {"If-Match": left.headers["Etag"]}
    assert site.send("POST", f"{API}/commitconfigdocs", None, known).status == 409


@pytest.mark.parametrize("revision", ["x", "0", "-1", "1.5", str(1 << 70)])
def test_an_invalid_revision_is_refused(site: DocumentApi, revision: str) -> None:
    site.add("a", document("one"), policy())
    assert site.commit(revision=revision).status == 400


@pytest.mark.parametrize(
    "path",
    ["/configdocs", "/configdocs/a", "/renderedconfigdocs", "/renderedconfigdocs?version=buffer"],
)
def test_every_reading_has_an_etag_that_holds_until_it_changes(
    site: DocumentApi, path: str
) -> None:
    site.add("a", document("one"), policy())
    first = site.send("GET", f"{API}{path}")
    known = {"If-None-Match": first.headers["Etag"]}
    again = site.send("GET", f"{API}{path}", None, known)
    assert (again.status, again.body) == (304, b"")
    assert site.post("a", document("one", 2), policy(), buffermode="replace").status == 201
    changed = site.send("GET", f"{API}{path}", None, known)
    assert changed.status == 200
    assert changed.headers["Etag"] != first.headers["Etag"]


def test_a_collection_is_edited_only_as_it_was_read(site: DocumentApi) -> None:
    site.committed("a", document("one"), policy())
    etag = site.get("/configdocs/a", version="committed").headers["Etag"]

    def edit(value: int, **headers: str) -> int:
        body = stream(document("one", value), policy())
        named = {name.replace("_", "-"): text for name, text in headers.items()}
        path = f"{API}/configdocs/a?buffermode=replace"
        return site.send("POST", path, body, named).status

    assert edit(1, If_Match=etag) == 201
    assert edit(2, If_Match=etag) == 409
    assert edit(3, If_None_Match="*") == 409
    assert edit(4, If_Match="*") == 201
    path = f"{API}/configdocs/new?buffermode=append"
    new = stream(document("new"))
    assert site.send("POST", path, new, {"If-Match": "*"}).status == 409
    assert site.send("POST", path, new, {"If-None-Match": "*"}).status == 201


# Confirmed commits


def later(database: Database, seconds: int = 3600) -> None:
    """Let this time pass for commits that wait for confirmation."""
    execute(
        database,
        "UPDATE document_commits SET confirm_until = confirm_until - make_interval(secs => :s)",
        s=seconds,
    )


def test_an_unconfirmed_commit_is_undone(site: DocumentApi, database: Database) -> None:
    site.committed("a", document("one"), policy())
    site.add("a", document("two"), policy())
    assert site.commit(confirm_within=600).status == 200
    undo_overdue(site.services.locks)
    assert names(site.get("/configdocs/a", version="committed")) == {"two", "layering-policy"}
    later(database)
    undo_overdue(site.services.locks)
    undo_overdue(site.services.locks)
    assert names(site.get("/configdocs/a", version="committed")) == {"one", "layering-policy"}
    assert set(site.status().values()) == {"unmodified"}
    newest, undone, _ = site.ask("GET", "/document-revisions").json["items"]
    assert (newest["kind"], newest["copied_from"], newest["caller"]) == ("undone", 1, "worker")
    assert undone["commit"]["undone_in"] == newest["number"] == 3
    assert "not confirmed in time" in newest["reason"]
    events = (
        "SELECT kind, actor FROM document_events WHERE revision = 2 ORDER BY number DESC LIMIT 1"
    )
    assert select(database, events) == [("undo", "worker")]
    assert site.ask("POST", "/document-revisions/2/confirm").status == 409


def test_undoing_a_commit_keeps_documents_posted_since(
    site: DocumentApi, database: Database
) -> None:
    site.committed("a", document("one"), policy())
    site.add("a", document("two"), policy())
    site.commit(confirm_within=600)
    site.add("b", document("three"))
    later(database)
    undo_overdue(site.services.locks)
    assert names(site.get("/configdocs/a", version="committed")) == {"one", "layering-policy"}
    assert site.status() == {"a": "modified", "b": "created"}
    assert names(site.get("/configdocs/b")) == {"three"}


def test_the_first_commit_of_all_is_undone_to_nothing(
    site: DocumentApi, database: Database
) -> None:
    site.add("a", document("one"), policy())
    site.commit(confirm_within=1)
    later(database)
    undo_overdue(site.services.locks)
    assert site.get("/configdocs/a", version="committed").status == 404
    assert site.status() == {}


@pytest.mark.parametrize("how", ["confirm", "another commit"])
def test_a_confirmed_commit_stays(site: DocumentApi, database: Database, how: str) -> None:
    site.add("a", document("one"), policy())
    site.commit(confirm_within=600)
    if how == "confirm":
        assert site.ask("POST", "/document-revisions/1/confirm").status == 200
        assert site.ask("POST", "/document-revisions/1/confirm").status == 409
    else:
        site.committed("b", document("two"))
    later(database)
    undo_overdue(site.services.locks)
    assert set(site.status().values()) == {"unmodified"}
    commit = site.ask("GET", "/document-revisions/1").json["commit"]
    assert commit["confirmed_by"] == "anonymous"
    assert commit["undone_in"] is None


def test_confirming_too_late_is_refused(site: DocumentApi, database: Database) -> None:
    site.add("a", document("one"), policy())
    site.commit(confirm_within=600)
    later(database)
    assert site.ask("POST", "/document-revisions/1/confirm").status == 409


@pytest.mark.parametrize("how", ["", "revision=2", "force=true", "confirm_within=60", "stage=true"])
def test_a_commit_after_the_time_to_confirm_undoes_the_overdue_one_and_is_refused(
    site: DocumentApi, database: Database, how: str
) -> None:
    site.committed("a", document("one"), policy())
    site.add("a", document("two"), policy())
    site.commit(confirm_within=600)
    site.add("b", document("three"))
    later(database)
    refused = site.send("POST", f"{API}/commitconfigdocs?{how}")
    assert refused.status == 409
    assert "revision 2 was not confirmed in time" in refused.json["reason"]
    overdue = site.ask("GET", "/document-revisions/2").json["commit"]
    assert (overdue["confirmed_at"], overdue["undone_in"]) == (None, 4)
    assert names(site.get("/configdocs/a", version="committed")) == {"one", "layering-policy"}
    assert site.status() == {"a": "modified", "b": "created"}
    assert site.commit().status == 200
    assert set(site.status().values()) == {"unmodified"}


def test_a_dry_run_after_the_time_to_confirm_leaves_the_overdue_commit(
    site: DocumentApi, database: Database
) -> None:
    site.add("a", document("one"), policy())
    site.commit(confirm_within=600)
    site.add("b", document("two"))
    later(database)
    assert site.commit(dryrun="true").json["revision"] == 2
    overdue = site.ask("GET", "/document-revisions/1").json["commit"]
    assert (overdue["confirmed_at"], overdue["undone_in"]) == (None, None)


def test_a_commit_whose_validations_outlast_the_time_to_confirm_confirms_nothing(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    ends: list[bool] = []
    with (
        validator(200, GOOD, lambda: ends and later(database)) as (url, _),
        document_api(database_url, tmp_path, documents_validators=f"v={url}") as site,
    ):
        site.committed("a", document("one"), policy())
        site.add("a", document("two"), policy())
        site.commit(confirm_within=600)
        site.add("b", document("three"))
        ends.append(True)
        assert site.commit().status == 409
        overdue = site.ask("GET", "/document-revisions/2").json["commit"]
        assert overdue["confirmed_at"] is None
        assert site.ask("GET", "/document-buffer").json["committed"] == 2
        assert site.commit().status == 409
        assert site.ask("GET", "/document-buffer").json["committed"] == 4


def test_undoing_waits_while_another_request_changes_documents(
    site: DocumentApi, other_site: DocumentApi, database: Database
) -> None:
    site.add("a", document("one"), policy())
    site.commit(confirm_within=600)
    later(database)
    with hold(other_site.services.locks, CONFIGDOCS_UPDATE, GLOBAL, RequestOrigin("another")):
        undo_overdue(site.services.locks)
        assert site.ask("GET", "/document-revisions/1").json["commit"]["undone_in"] is None
    undo_overdue(site.services.locks)
    assert site.ask("GET", "/document-revisions/1").json["commit"]["undone_in"] == 2


def read(site: DocumentApi, path: str, known: str = "") -> Answer:
    """Read a path, with If-None-Match if an ETag is given."""
    return site.send("GET", API + path, None, {"If-None-Match": known} if known else {})


POLLED = ["/document-buffer", "/configdocs", "/configdocs?versions=committed,last_site_action"]


@pytest.mark.parametrize("buffered", [False, True])
def test_polled_answers_show_when_a_commit_is_undone(
    site: DocumentApi, database: Database, buffered: bool
) -> None:
    site.committed("a", document("one"), policy())
    assert site.ask("GET", "/document-buffer").json["unconfirmed"] is None
    assert all("confirm_until" not in each for each in site.get("/configdocs").json)
    site.add("a", document("two"), policy())
    committed = site.commit(confirm_within=600).json
    ((until,),) = select(database, "SELECT confirm_until FROM document_commits WHERE revision = 2")
    assert datetime.fromisoformat(committed["confirm_until"]) == until
    if buffered:
        site.add("b", document("three"))
    waiting = site.ask("GET", "/document-buffer").json["unconfirmed"]
    assert waiting["revision"] == 2
    assert datetime.fromisoformat(waiting["confirm_until"]) == until
    entries = site.get("/configdocs").json
    assert {each["collection_name"] for each in entries} == {"a", *(["b"] if buffered else [])}
    assert {datetime.fromisoformat(each["confirm_until"]) for each in entries} == {until}


def test_versions_that_are_final_say_nothing_of_a_commit_that_waits(site: DocumentApi) -> None:
    for tag in ("success", "failure"):
        site.committed("a", document(tag), policy())
        site.ask("POST", "/document-site-actions", {"outcome": tag})
    site.add("a", document("three"), policy())
    assert "confirm_until" in site.commit(confirm_within=600).json
    both = ["last_site_action", "successful_site_action"]
    assert "confirm_until" not in site.get("/configdocs", versions=both).json[0]
    one = ["committed", "last_site_action"]
    assert "confirm_until" in site.get("/configdocs", versions=one).json[0]


@pytest.mark.parametrize("ends", ["confirmed", "undone", "superseded"])
@pytest.mark.parametrize("path", POLLED)
def test_polling_with_an_etag_shows_how_a_commit_ended(
    site: DocumentApi, database: Database, path: str, ends: str
) -> None:
    site.committed("a", document("one"), policy())
    site.ask("POST", "/document-site-actions", {"outcome": "success"})
    site.add("a", document("two"), policy())
    assert site.commit(confirm_within=600).status == 200
    waiting = read(site, path)
    assert b"confirm_until" in waiting.body
    assert read(site, path, waiting.headers["Etag"]).status == 304
    if ends == "confirmed":
        assert site.ask("POST", "/document-revisions/2/confirm").status == 200
    elif ends == "undone":
        later(database)
        undo_overdue(site.services.locks)
    else:
        site.committed("b", document("three"))
    after = read(site, path, waiting.headers["Etag"])
    assert after.status == 200
    assert b'"confirm_until"' not in after.body
    assert read(site, path, after.headers["Etag"]).status == 304


@pytest.mark.parametrize("confirmed", [False, True])
@pytest.mark.parametrize("path", ["/document-buffer", "/configdocs"])
def test_what_was_reviewed_is_committed_also_if_the_commit_below_is_confirmed_meanwhile(
    site: DocumentApi, path: str, confirmed: bool
) -> None:
    site.committed("a", document("one"), policy())
    site.add("a", document("two"), policy())
    site.commit(confirm_within=600)
    site.add("b", document("three"))
    reviewed = {"If-Match": read(site, path).headers["Etag"]}
    site.add("c", document("four"))
    assert site.send("POST", f"{API}/commitconfigdocs", None, reviewed).status == 409
    reviewed = {"If-Match": read(site, path).headers["Etag"]}
    if confirmed:
        assert site.ask("POST", "/document-revisions/2/confirm").status == 200
    assert site.send("POST", f"{API}/commitconfigdocs", None, reviewed).status == 200


@pytest.mark.parametrize("given", [{}, {"dryrun": "true", "confirm_within": 600}])
def test_an_answer_has_no_time_to_confirm_if_nothing_waits(
    site: DocumentApi, given: dict[str, Any]
) -> None:
    site.add("a", document("one"), policy())
    assert "confirm_until" not in site.commit(**given).json


@pytest.mark.parametrize("seconds", ["0", "-1", "x", "1000000"])
def test_a_time_to_confirm_that_makes_no_sense_is_refused(site: DocumentApi, seconds: str) -> None:
    site.add("a", document("one"), policy())
    assert site.commit(confirm_within=seconds).status == 400
    assert site.status() == {"a": "created"}


# Discard, rollback, tags


def test_discard_drops_one_collection_or_all(site: DocumentApi) -> None:
    for name in ("a", "b"):
        site.add(name, document(name))
    site.committed("p", policy())
    site.add("a", document("a", 2))
    site.post("b", buffermode="append", empty_collection="true")
    site.add("c", document("c"))
    result = site.ask("DELETE", "/document-buffer/b", reason="a mistake").json
    assert result["collections"] == ["a", "c"]
    assert site.status() == {"a": "modified", "b": "unmodified", "c": "created", "p": "unmodified"}
    assert site.ask("DELETE", "/document-buffer/b").status == 404
    assert site.ask("DELETE", "/document-buffer").json["collections"] == []
    revisions = site.ask("GET", "/document-revisions", limit=2).json["items"]
    assert [each["kind"] for each in revisions] == ["discarded", "discarded"]
    assert revisions[1]["reason"] == "a mistake"
    before = site.ask("GET", "/document-buffer").json
    assert site.ask("DELETE", "/document-buffer").json == before


def test_a_rollback_to_any_revision_is_exact(site: DocumentApi) -> None:
    site.committed("a", document("one"), policy())
    site.committed("b", document("two"), document("three"))
    site.committed("a", document("three and a half"), policy())
    site.post("b", empty_collection="true")
    site.commit()
    states = {1: {"a"}, 2: {"a", "b"}, 3: {"a", "b"}, 4: {"a"}, 0: set()}
    for number, collections in states.items():
        body = {"over_buffer": True, "reason": f"back to {number}"}
        answer = site.ask("POST", f"/document-revisions/{number}/rollback", body)
        assert answer.status in {201, 409}, "409: it is there already"
        there = {name for name, became in site.status().items() if became != "deleted"}
        assert there == collections
    assert site.ask("POST", "/document-revisions/2/rollback", {}).status == 409


def test_a_rollback_digest_is_that_of_the_revision(site: DocumentApi) -> None:
    site.committed("a", document("one"), policy())
    first = site.ask("GET", "/document-revisions/1").json["digest"]
    site.committed("a", document("two"), policy())
    made = site.ask("POST", "/document-revisions/1/rollback", {}).json
    assert made["digest"] == first
    assert made["collections"] == ["a"]


def test_tags_name_revisions(site: DocumentApi) -> None:
    site.committed("a", document("one"), policy())
    site.ask("PUT", "/document-revisions/1/tags/good", {"data": {"n": 1}, "reason": "tested"})
    result = site.ask("PUT", "/document-revisions/1/tags/good", {"data": {"n": 2}}).json
    (tag,) = result["tags"]
    assert (tag["tag"], tag["data"]) == ("good", {"n": 2})
    assert site.ask("DELETE", "/document-revisions/1/tags/good").json["tags"] == []
    assert site.ask("DELETE", "/document-revisions/1/tags/good").status == 404


@pytest.mark.parametrize("data", ["\0", ["\0"], {"\0": 1}, {"a": [{"b": "x\0"}]}])
def test_a_tag_with_a_nul_is_refused(site: DocumentApi, data: Any) -> None:
    site.committed("a", document("one"), policy())
    answer = site.ask("PUT", "/document-revisions/1/tags/x", {"data": data})
    assert answer.problem == (400, "invalid_request")


def test_a_site_action_is_of_a_committed_revision(site: DocumentApi) -> None:
    body = {"outcome": "success"}
    assert site.ask("POST", "/document-site-actions", body).status == 409
    site.add("a", document("one"), policy())
    assert site.ask("POST", "/document-site-actions", {**body, "revision": 1}).status == 409
    assert site.ask("POST", "/document-site-actions", {**body, "revision": 9}).status == 404
    site.commit()
    assert site.ask("POST", "/document-site-actions", body).status == 201


def test_the_record_has_caller_time_and_reason(site: DocumentApi, database: Database) -> None:
    marker = "0b2f9a3e-3f0d-4a54-9a50-0d6f6f1c2f11"
    headers = {"X-Context-Marker": marker}
    path = f"{API}/configdocs/a?reason=a+new+site"
    site.send("POST", path, stream(document("one"), policy()), headers)
    site.commit(reason="it was reviewed")
    assert select(
        database,
        "SELECT e.kind, e.actor, e.reason, e.name, l.outcome, e.fence = l.fence,"
        " e.reference_id FROM document_events e JOIN api_locks l ON l.id = e.lock_id"
        " ORDER BY e.number",
    ) == [
        ("revision", "anonymous", "a new site", "a", "released", True, marker),
        ("commit", "anonymous", "it was reviewed", None, "released", True, None),
    ]


# Validators and rules


class _Validator(BaseHTTPRequestHandler):
    """A validator with a fixed response that records the requests it receives."""

    def do_POST(self) -> None:
        """Answer one request with the server's response."""
        server: Any = self.server
        body = self.rfile.read(int(self.headers["Content-Length"]))
        server.sent.append((json.loads(body), dict(self.headers)))
        server.meeting()
        status, answer = server.answer
        self.send_response(status)
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: Any) -> None:
        """Log nothing."""


@contextmanager
def validator(
    status: int, answer: object, meeting: Any = lambda: None
) -> Iterator[tuple[str, list[Any]]]:
    """Yield the address of a validator and the list of requests that it received."""
    server: Any = ThreadingHTTPServer(("127.0.0.1", 0), _Validator)
    body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
    server.answer, server.sent, server.meeting = (status, body), [], meeting
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/validatedesign", server.sent
    finally:
        server.shutdown()
        server.server_close()


def of_messages(*messages: Any) -> dict[str, Any]:
    """Return a validator's response with messages."""
    return {"details": {"messageList": list(messages)}}


GOOD = of_messages({"message": "all is well", "error": False, "source": "itself"})
BAD = of_messages({"message": "a port is missing", "error": True, "name": "V1"})


def test_validators_run_in_parallel_and_their_messages_are_merged(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    assert database is not None
    meeting = threading.Barrier(3, timeout=30)
    with (
        validator(200, GOOD, meeting.wait) as (one, sent),
        validator(400, BAD, meeting.wait) as (two, _),
        validator(500, b"broken", meeting.wait) as (three, _),
    ):
        chosen = f"drydock={one}, armada={two},promenade={three}"
        with document_api(database_url, tmp_path, documents_validators=chosen) as site:
            site.add("a", document("one"), policy())
            result = site.commit().json
    assert result["status"] == "Failure"
    assert result["details"]["errorCount"] == 2
    by_source = {each["source"]: each for each in result["details"]["messageList"]}
    assert set(by_source) == {"itself", "armada", "promenade"}
    assert (by_source["itself"]["level"], by_source["armada"]["level"]) == ("Info", "Error")
    assert by_source["armada"]["documents"] == []
    assert by_source["promenade"]["message"] == (
        "promenade unable to validate configdocs or an invalid response has been returned"
    )
    assert "status 500" in by_source["promenade"]["diagnostic"]
    body, headers = sent[0]
    assert body["rel"] == "design"
    assert body["href"].endswith("/api/v1.0/renderedconfigdocs?revision=1")
    assert headers["Content-Type"] == "application/json"


@pytest.mark.parametrize(
    ("status", "answer"),
    [
        (200, b"no json"),
        (200, []),
        (200, {"details": {"messageList": "x"}}),
        (200, {"details": {"messageList": [1]}}),
        (400, of_messages()),
        (404, GOOD),
        (302, GOOD),
    ],
)
def test_an_invalid_answer_of_a_validator_is_an_error(
    database: Database, database_url: str, tmp_path: Path, status: int, answer: object
) -> None:
    assert database is not None
    with (
        validator(status, answer) as (url, _),
        document_api(database_url, tmp_path, documents_validators=f"v={url}") as site,
    ):
        site.add("a", document("one"), policy())
        assert site.commit().json["details"]["errorCount"] == 1
        assert site.commit(force="true").status == 200


def test_a_hanging_validator_is_given_up_after_its_time(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    assert database is not None
    released = threading.Event()
    with validator(200, GOOD, released.wait) as (url, _):
        with document_api(
            database_url, tmp_path, documents_validators=f"v={url}", documents_validator_seconds=0.5
        ) as site:
            site.add("a", document("one"), policy())
            (message,) = site.commit().json["details"]["messageList"]
        released.set()
    assert "Timeout" in message["diagnostic"]


def test_validators_do_not_run_if_rendering_fails(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    assert database is not None
    with (
        validator(200, GOOD) as (url, sent),
        document_api(database_url, tmp_path, documents_validators=f"v={url}") as site,
    ):
        site.add("a", document("one"))
        assert site.commit().status == 400
        assert sent == []


@pytest.mark.parametrize("level", ["Skip", "INFO", "warning", "Error"])
def test_the_deployment_version_rule(
    database: Database, database_url: str, tmp_path: Path, level: str
) -> None:
    assert database is not None
    with document_api(database_url, tmp_path, documents_deployment_version=level) as site:
        answer = site.post("a", document("one"), policy())
        if level == "Error":
            assert answer.status == 400
            assert answer.json["message"] == "Deployment version document missing from collection"
            right = document("deployment-version", schema="pegleg/DeploymentData/v1")
            answer = site.post("a", right, policy())
            level = "Skip"
        result = answer.json
        assert (answer.status, result["status"], result["details"]["errorCount"]) == (
            *(201, "Success"),
            0,
        )
        levels = [each["level"] for each in result["details"]["messageList"]]
        assert levels == ([] if level == "Skip" else [level.lower()])
        assert site.post("a", empty_collection="true", buffermode="replace").status == 201


@pytest.mark.parametrize(
    "beside",
    [
        [policy()],
        [],
        [policy(), document("one", layeringDefinition={"abstract": False, "layer": "unknown"})],
    ],
    ids=["what renders", "what cannot be rendered yet", "what never renders"],
)
def test_an_invalid_schema_is_refused_when_it_is_posted(
    site: DocumentApi, beside: list[Any]
) -> None:
    schema = {
        "schema": "deckhand/DataSchema/v1",
        "metadata": {"schema": "metadata/Control/v1", "name": SCRIPT},
        "data": {"type": "nonsense"},
    }
    site.add("other", document("other"))
    answer = site.post("a", schema, *beside, buffermode="append")
    assert answer.status == 400
    assert "InvalidDataSchema" in answer.body.decode()
    assert site.status() == {"other": "created"}


def test_warnings_of_rendering_are_shown_and_stop_nothing(site: DocumentApi) -> None:
    source = {"schema": SCRIPT, "name": "source", "path": "."}
    taken = {"src": source, "dest": {"path": ".text", "pattern": "NOT THERE"}}
    target = document("target", {"text": "fixed"}, substitutions=[taken])
    posted = site.post("a", policy(), document("source", "value"), target)
    committed = site.commit()
    for answer, status in ((posted, 201), (committed, 200)):
        assert (answer.status, answer.json["status"]) == (status, "Success")
        details = answer.json["details"]
        assert details["errorCount"] == 0
        (message,) = details["messageList"]
        assert (message["level"], message["error"]) == ("Warning", False)
        assert message["documents"][0]["name"] == "target"


def test_data_that_its_schema_refuses_is_reported_by_the_post_and_not_committed(
    site: DocumentApi,
) -> None:
    schema = {
        "schema": "deckhand/DataSchema/v1",
        "metadata": {"schema": "metadata/Control/v1", "name": SCRIPT},
        "data": {"type": "object", "required": ["port"]},
    }
    answer = site.post(
        "a", schema, policy(), document("one", {"value": 1}), document("two", {"port": 1})
    )
    assert answer.status == 201
    result = answer.json
    assert (result["status"], result["code"]) == ("Failure", "400 Bad Request")
    (message,) = result["details"]["messageList"]
    assert (message["name"], message["documents"][0]["name"]) == ("D002", "one")
    assert site.commit().status == 400


# Provenance


def test_a_document_says_where_its_values_came_from_and_who_uses_it(site: DocumentApi) -> None:
    base = document(
        "base",
        {"kept": 1, "changed": 1},
        labels={"of": "base"},
        layeringDefinition={"layer": "global", "abstract": False},
    )
    child = document(
        "child",
        {"changed": 2},
        layeringDefinition={
            "layer": "site",
            "parentSelector": {"of": "base"},
            "actions": [{"method": "merge", "path": "."}],
        },
        substitutions=[
            {
                "src": {"schema": SCRIPT, "name": "source", "path": ".deep"},
                "dest": {"path": ".taken"},
            }
        ],
    )
    site.add("a", policy(), base, child, document("source", {"deep": {"x": 1}}), document("other"))
    result = site.get(f"/documents/{SCRIPT}/child", provenance="true").json
    assert result["data"] == {"kept": 1, "changed": 2, "taken": {"x": 1}}
    origins = {each["path"]: each for each in result["provenance"]}
    assert origins[".taken"]["document"]["name"] == "source"
    assert origins[".taken"]["origin_path"] == ".deep"
    assert "substitutions[0]" in origins[".taken"]["steps"][0]
    assert {each["document"]["name"] for each in origins.values()} == {"base", "child", "source"}
    assert result["parent"]["name"] == "base"
    for name, users in {"source": ["child"], "base": ["child"], "child": [], "other": []}.items():
        used = site.get(f"/documents/{SCRIPT}/{name}").json["used_by"]
        assert [each["name"] for each in used] == users
    one = site.get(f"/documents/{SCRIPT}/child", provenance="true", path=".kept").json
    assert [(each["path"], each["origin_path"]) for each in one["provenance"]] == [
        (".kept", ".kept")
    ]
    assert one["data"] == 1


def test_provenance_shows_no_secret(site: DocumentApi) -> None:
    taken = {
        "src": {"schema": SCRIPT, "name": "password", "path": ".swordfish"},
        "dest": {"path": ".x"},
    }
    site.add(
        "a",
        policy(),
        secret("password", {"swordfish": "marlin"}),
        document("u", {}, substitutions=[taken]),
    )
    for name in ("u", "password"):
        answer = site.get(f"/documents/{SCRIPT}/{name}", provenance="true")
        assert answer.status == 200
        assert b"swordfish" not in answer.body
        assert b"marlin" not in answer.body
        assert answer.json["redacted"] is True
        shown = site.get(f"/documents/{SCRIPT}/{name}", cleartext_secrets="true")
        assert b"marlin" in shown.body


@pytest.mark.parametrize(
    ("path", "status"),
    [
        (f"/documents/{SCRIPT}/never", 404),
        (f"/documents/{SCRIPT}/one?path=.never", 404),
        (f"/documents/{SCRIPT}/one?path=..", 400),
        (f"/documents/{SCRIPT}/one?version=x", 400),
        (f"/documents/{SCRIPT}/one?version=99", 404),
        (f"/documents/{SCRIPT}/one?version=committed", 404),
        (f"/documents/{SCRIPT}/one?version=1", 200),
        ("/documents/pegleg%2FScript%2Fv1/one", 200),
    ],
)
def test_a_document_path_has_its_status(site: DocumentApi, path: str, status: int) -> None:
    site.add("a", document("one"), policy())
    assert site.send("GET", f"{API}{path}").status == status
