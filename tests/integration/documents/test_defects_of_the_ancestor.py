"""Defects D1 to D14 of this API's ancestors, each shown with one or two requests.

The numbers are those of the list of defects in the specification of this API.
"""

import json
import logging
from typing import Any

import pytest

from staging_api.db.engine import Database
from tests.documents import (
    POLICY_SCHEMA,
    SCRIPT,
    DocumentApi,
    document,
    loaded,
    policy,
    secret,
    stream,
)
from tests.rows import dump

ELSEWHERE = "Documents may not exist in more than one collection"
SECRET = "swordfish"


def by_name(text: bytes) -> dict[str, Any]:
    """Return the data of each document of a YAML stream, by name."""
    return {each["metadata"]["name"]: each["data"] for each in loaded(text)}


def rendered(site: DocumentApi, **query: Any) -> dict[str, Any]:
    """Return the data of each rendered document of the buffer, by name."""
    answer = site.get("/renderedconfigdocs", **query)
    assert answer.status == 200, answer.body
    return by_name(answer.body)


def of(name: str, path: str = ".") -> dict[str, Any]:
    """Return the source of a substitution."""
    return {"schema": SCRIPT, "name": name, "path": path}


def on_layer(layer: str, **more: Any) -> dict[str, Any]:
    """Return a layering definition."""
    return {"layer": layer, **more}


@pytest.mark.parametrize("both", [document("one"), policy()])
def test_d1_and_d2_hold_against_what_replace_takes_back(site: DocumentApi, both: Any) -> None:
    site.add("a", both)
    site.add("b", document("two"))
    assert site.commit(force=True).status == 200
    site.add("a", document("three"))
    before = site.ask("GET", "/document-buffer").json
    answer = site.post("b", both, buffermode="replace")
    assert (answer.status, answer.json["message"]) == (409, ELSEWHERE)
    assert "'a'" in answer.json["reason"]
    assert site.ask("GET", "/document-buffer").json == before
    # Without the other document it may move.
    site.add("b", both)
    assert site.status() == {"a": "modified", "b": "modified"}


@pytest.mark.parametrize("between", [0, 1, 3])
def test_d1_a_document_is_in_one_collection_whatever_was_posted_in_between(
    site: DocumentApi, between: int
) -> None:
    site.add("a", document("one"))
    for number in range(between):
        site.add(f"b{number}", document(f"b{number}"))
    answer = site.post("c", document("one"), buffermode="append")
    assert (answer.status, answer.json["message"]) == (409, ELSEWHERE)
    assert site.status()["a"] == "created"
    # The operations that failed in the ancestor afterwards.
    assert site.post("d", document("d"), buffermode="replace").status == 201
    body = {"over_buffer": True}
    assert site.ask("POST", "/document-revisions/1/rollback", body).status == 201
    assert site.status() == {"a": "created"}


def test_d1_also_when_the_other_one_was_committed_long_ago(site: DocumentApi) -> None:
    site.committed("a", document("one"), policy())
    site.committed("b", document("two"))
    answer = site.post("c", document("one"), document("three"))
    assert (answer.status, answer.json["message"]) == (409, ELSEWHERE)
    # The document may move after it was removed from its collection.
    assert site.post("a", policy()).status == 201
    assert site.post("c", document("one"), buffermode="append").status == 201


def test_d1_a_replacement_is_not_the_document_that_it_replaces(site: DocumentApi) -> None:
    base = document("one", {"a": 1}, labels={"of": "one"}, layeringDefinition=on_layer("global"))
    over = document(
        "one",
        {"a": 2},
        replacement=True,
        layeringDefinition=on_layer(
            "site",
            parentSelector={"of": "one"},
            actions=[{"method": "merge", "path": "."}],
        ),
    )
    site.add("global", policy(), base)
    site.add("site", over)
    assert rendered(site)["one"] == {"a": 2}
    assert site.post("third", over, buffermode="append").status == 409


def test_d2_one_layering_policy_in_all_collections(site: DocumentApi) -> None:
    site.add("a", policy("one"))
    site.add("b", document("two"))
    answer = site.post("c", policy("another"), buffermode="append")
    assert (answer.status, answer.json["message"]) == (409, ELSEWHERE)
    assert "LayeringPolicy" in answer.json["reason"]
    assert site.post("d", policy("x"), policy("y"), buffermode="append").status in {400, 409}
    assert site.status() == {"a": "created", "b": "created"}


def replacing(layer: str) -> Any:
    """Return a replacement of the document ``one``."""
    actions = [{"method": "merge", "path": "."}]
    layering = on_layer(layer, parentSelector={"of": "one"}, actions=actions)
    return document("one", replacement=True, layeringDefinition=layering)


@pytest.mark.parametrize(
    ("both", "fault"),
    [
        ([document("one"), document("one", 2)], "DuplicateDocument"),
        (
            [document("one"), document("one", layeringDefinition=on_layer("type"))],
            "InvalidDocumentReplacement",
        ),
        ([replacing("type"), replacing("site")], "InvalidDocumentReplacement"),
        ([policy("one"), policy("two")], "LayeringPolicyNotUnique"),
        (
            [policy(), {**policy(), "schema": "deckhand/LayeringPolicy/v2"}],
            "LayeringPolicyNotUnique",
        ),
    ],
)
@pytest.mark.parametrize("mode", ["append", "replace"])
def test_d13_documents_that_exclude_each_other_in_one_post_are_refused(
    site: DocumentApi, both: list[Any], fault: str, mode: str
) -> None:
    site.add("there", document("there"))
    answer = site.post("a", *both, document("other"), buffermode=mode)
    assert answer.status == 400, answer.body
    [message] = answer.json["details"]["messageList"]
    assert message["message"].startswith(f"{fault}: ")
    assert site.status() == {"there": "created"}


def test_two_schemas_of_one_name_in_two_collections_are_found_and_not_committed(
    site: DocumentApi,
) -> None:
    def schema(version: str, kind: str) -> Any:
        metadata = {"schema": "metadata/Control/v1", "name": SCRIPT}
        return {
            "schema": f"deckhand/DataSchema/{version}",
            "metadata": metadata,
            "data": {"type": kind},
        }

    site.committed("a", document("one"), policy(), schema("v1", "object"))
    answer = site.post("b", schema("v2", "object"))
    assert (answer.status, answer.json["status"]) == (201, "Failure")
    [message] = answer.json["details"]["messageList"]
    assert [each["schema"] for each in message["documents"]] == [
        "deckhand/DataSchema/v1",
        "deckhand/DataSchema/v2",
    ]
    assert site.commit().status == 400
    assert site.status() == {"a": "unmodified", "b": "created"}


@pytest.mark.parametrize("path", ["/configdocs/a", "/renderedconfigdocs"])
def test_d3_secrets_are_hidden_unless_requested(site: DocumentApi, path: str) -> None:
    site.add("a", policy(), secret("password"), document("open", "for all"))
    for query in ({}, {"cleartext-secrets": "false"}):
        body = site.get(path, **query).body
        assert SECRET.encode() not in body
        assert b"for all" in body
    assert SECRET.encode() in site.get(path, **{"cleartext-secrets": "true"}).body


@pytest.mark.parametrize("path", ["/configdocs/a", "/renderedconfigdocs"])
def test_d4_and_d5_what_one_caller_may_see_another_does_not_get(
    site: DocumentApi, path: str
) -> None:
    copied = {"src": of("password"), "dest": {"path": ".copy"}}
    site.add("a", policy(), secret("password"), document("user", {}, substitutions=[copied]))
    hidden: list[bytes] = []
    shown: list[bytes] = []
    for turn in range(6):
        cleartext = turn % 2 == 0
        answer = site.get(path, **{"cleartext-secrets": str(cleartext).lower()})
        (shown if cleartext else hidden).append(answer.body)
    assert len(set(hidden)) == len(set(shown)) == 1
    assert SECRET.encode() in shown[0]
    assert SECRET.encode() not in hidden[0]


def test_d6_secrets_are_followed_through_layers_and_substitutions(site: DocumentApi) -> None:
    base = document(
        "base",
        {"open": 1},
        labels={"of": "base"},
        layeringDefinition=on_layer("global", abstract=True),
        substitutions=[{"src": of("password"), "dest": {"path": ".password"}}],
    )
    child = document(
        "child",
        {"own": 2},
        layeringDefinition=on_layer(
            "site", parentSelector={"of": "base"}, actions=[{"method": "merge", "path": "."}]
        ),
    )
    grandchild = document(
        "second hand", {}, substitutions=[{"src": of("child", ".password"), "dest": {"path": ".x"}}]
    )
    site.add("a", policy(), secret("password"), base, child, grandchild)
    found = rendered(site)
    assert SECRET not in json.dumps(found)
    assert rendered(site, cleartext_secrets="true")["child"] == {
        "open": 1,
        "own": 2,
        "password": SECRET,
    }


def test_d7_what_stands_for_a_secret_is_not_a_plain_digest(
    site: DocumentApi, database: Database
) -> None:
    import hashlib

    site.add("a", policy(), secret("password"), secret("the same"))
    seen = site.get("/configdocs/a").body + site.get("/renderedconfigdocs").body
    seen += json.dumps(dump(database)).encode()
    for plain in (SECRET, json.dumps(SECRET)):
        digest = hashlib.sha256(plain.encode()).hexdigest()
        assert digest.encode() not in seen
        assert digest[:16].encode() not in seen


def test_d8_cleartext_is_the_secret_itself_also_of_raw_documents(site: DocumentApi) -> None:
    text = stream(secret("password", {"user": "me", "password": SECRET}))
    assert site.post_text("a", text).status == 201
    assert site.get("/configdocs/a", cleartext_secrets="true").body == text


def test_d9_going_back_leaves_nothing_of_what_was_added_later(site: DocumentApi) -> None:
    site.committed("a", document("one"), policy())
    site.committed("a", document("one"), document("later"), policy())
    answer = site.ask("POST", "/document-revisions/1/rollback", {})
    assert answer.status == 201
    assert set(by_name(site.get("/configdocs/a").body)) == {"one", "layering-policy"}
    assert site.commit().status == 200
    versions = site.get("/configdocs").json
    assert {each["new_status"] for each in versions} == {"unmodified"}
    # The same with a replacing post: the buffer is the commit plus the new collection.
    site.add("a", document("one"), document("again"), policy())
    assert site.post("b", document("two"), buffermode="replace").status == 201
    assert site.status() == {"a": "unmodified", "b": "created"}


@pytest.mark.parametrize(
    "refused",
    [
        b"a: [",
        stream({"schema": "x", "metadata": {}, "data": 1}),
        stream(document("committed")),
        b"",
    ],
)
def test_d10_a_replace_that_is_refused_leaves_the_buffer_as_it_was(
    site: DocumentApi, database: Database, refused: bytes
) -> None:
    site.committed("c", document("committed"), policy())
    site.add("a", document("one"))
    site.add("b", document("two"))
    but = ("api_locks", "lock_scopes")
    before = dump(database, but)
    assert site.post_text("new", refused, buffermode="replace").status in {400, 409}
    assert dump(database, but) == before
    assert site.status() == {"a": "created", "b": "created", "c": "unmodified"}


def test_d11_values_are_not_templates_and_sources_are_not_changed(site: DocumentApi) -> None:
    template = r"\1 and \g<0> and \d"
    site.add(
        "a",
        policy(),
        document("source", {"deep": {"text": template, "list": [1]}}),
        document(
            "user",
            {"text": "say X1 and X2", "copy": {}},
            substitutions=[
                {
                    "src": of("source", ".deep.text"),
                    "dest": {"path": ".text", "pattern": "X[0-9]"},
                },
                {"src": of("source", ".deep"), "dest": {"path": ".copy"}},
                {"src": of("source", ".deep.list"), "dest": {"path": ".copy.text"}},
            ],
        ),
    )
    found = rendered(site)
    assert found["user"]["text"] == f"say {template} and {template}"
    assert found["user"]["copy"]["text"] == [1]
    assert found["source"] == {"deep": {"text": template, "list": [1]}}


def test_d12_what_get_gives_can_be_posted(site: DocumentApi) -> None:
    site.committed("a", document("one", {"mode": "0644", "e": "1e3"}), secret("s"), policy())
    before = by_name(site.get("/configdocs/a", version="committed", cleartext_secrets="true").body)
    got = site.get("/configdocs/a", version="committed", cleartext_secrets="true").body
    assert site.post("a", empty_collection="true").status == 201
    assert site.post_text("a", got, buffermode="replace").status == 400, "nothing changes"
    edited = got + stream(document("added"))
    assert site.post_text("a", edited, buffermode="replace").status == 201
    assert site.get("/configdocs/a", cleartext_secrets="true").body == edited
    again = by_name(site.get("/configdocs/a", cleartext_secrets="true").body)
    assert {**before, "added": {"value": 1}} == again


def test_d12_a_rendered_stream_can_be_posted_too(site: DocumentApi) -> None:
    site.add("a", document("one", {"date": "2020-01-01", "n": 5}), policy())
    text = site.get("/renderedconfigdocs").body
    before = rendered(site)
    assert site.post_text("b", text, buffermode="replace").status == 201
    assert rendered(site) == before


def test_d12_ids_and_states_of_the_ancestor_are_ignored(site: DocumentApi) -> None:
    old = {**document("one"), "id": 7, "status": {"bucket": "a", "revision": 3}}
    assert site.post("a", old).status == 201


@pytest.mark.parametrize(
    "text",
    [
        stream({**document("one"), "schema": "a/B"}),
        stream(document("one", labels={"x": ["a", "list"]})),
        stream(document("x" * 65)),
        b"---\n" + stream(document("one", "DATE")).replace(b"DATE", b"2020-01-01"),
        stream(document("one", "NUL")).replace(b"NUL", rb'"\0"'),
        stream(document("one", "NAN")).replace(b"NAN", b".nan"),
        stream(document("one", "BIG")).replace(b"BIG", b"9" * 5000),
        stream(document("one", "BIN")).replace(b"BIN", b"!!binary aGk="),
        stream(document("one", {1: 2})),
        stream(document("one", "TWICE")).replace(b"TWICE", b"{a: 1, a: 2}"),
        b"\xff\xfe",
        b"a: &a [*a]",
        b"[" * 10_000,
        b"%YAML 9.9\n---\na: 1",
        b"!!python/object/apply:os.system [true]",
    ],
    ids=lambda text: text[-40:].decode(errors="replace"),
)
def test_d13_odd_documents_are_taken_or_refused_never_a_500(site: DocumentApi, text: bytes) -> None:
    answer = site.post_text("a", text)
    assert answer.status in {201, 400}
    if answer.status == 400:
        assert answer.json["details"]["messageList"]
    else:
        assert site.get("/configdocs/a").status == 200


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", f"/configdocs/{'c' * 37}", 400),
        ("POST", "/configdocs/%20", 400),
        ("POST", "/configdocs/a?buffermode=hippo", 400),
        ("POST", "/configdocs/never?empty-collection=true", 400),
        ("PUT", "/document-revisions/7/tags/x", 404),
        ("PUT", f"/document-revisions/{1 << 80}/tags/x", 404),
        ("PUT", f"/document-revisions/1/tags/{'t' * 65}", 400),
        ("PUT", "/document-revisions/1/tags/committed", 400),
        ("POST", "/document-revisions/99/rollback", 404),
        ("POST", "/document-revisions/1/confirm", 409),
    ],
)
def test_d13_odd_requests_are_refused_never_a_500(
    site: DocumentApi, method: str, path: str, status: int
) -> None:
    site.committed("there", document("there"), policy())
    if "configdocs" in path:
        answer = site.send(method, f"/api/v1.0{path}", stream(document("one")))
    else:
        answer = site.ask(method, path, None if "confirm" in path else {})
    assert answer.status == status, answer.body


def test_d13_integer_keys_and_dates_of_data_come_back_as_they_were(site: DocumentApi) -> None:
    text = stream(document("one", {"when": "2020-01-01", "code": "007"}))
    assert site.post_text("a", text).status == 201
    assert by_name(site.get("/configdocs/a").body)["one"] == {"when": "2020-01-01", "code": "007"}


@pytest.mark.parametrize(
    "path", ["/nothing", "/configdocs/a/b", "/configdocs/none", "/renderedconfigdocs"]
)
def test_d14_every_refusal_names_its_own_fault(
    site: DocumentApi, path: str, caplog: pytest.LogCaptureFixture
) -> None:
    answer = site.ask("GET", path)
    result = answer.json
    assert answer.status == 404
    assert result.get("message") or result.get("detail")
    assert "unknown exception" not in str(result).lower()
    assert "Deckhand" not in str(result)
    assert not [each for each in caplog.records if each.levelno >= logging.ERROR]


def test_d14_the_reason_of_bad_yaml_is_a_sentence_not_an_inner_answer(site: DocumentApi) -> None:
    result = site.post_text("a", b"a: b: c").json
    assert "apiVersion" not in result["reason"]
    assert "line 1" in result["reason"]
    assert POLICY_SCHEMA not in result["reason"]
