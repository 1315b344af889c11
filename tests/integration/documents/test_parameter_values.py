"""Every configdocs parameter with every unusual value: no status 500, and no partial change."""

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from staging_api.db.engine import Database
from staging_api.db.tables import metadata
from tests.documents import API, DocumentApi, document, policy, secret, stream
from tests.rows import dump, select
from tests.service import Answer

#: Values that a client may send, as written in the URL.
VALUES = {
    "empty": "",
    "space": "%20",
    "unicode": quote("ünï💡"),
    "right-to-left": quote("\u202etrue"),
    "arabic digit": quote("٣"),
    "NUL": "%00",
    "true and NUL": "true%00",
    "10 kB": "x" * 10_240,
    "10 kB of digits": "9" * 10_240,
    "10 kB encoded": "%C3%BC" * 1_700,
    "no UTF-8": "%FF%FE",
    "broken escape": "%",
    "half an escape": "tr%u0065%2",
    "encoded": "%74%72%75%65",
    "encoded twice": "%2574rue",
    "comma": "true,false",
    "brackets": "[true]",
    "quote": "'%22--",
    "negative": "-1",
    "huge": str(1 << 200),
    "exponent": "1e3",
    "fraction": "1.5",
    "infinite": "inf",
    "null": "null",
    "line end": "true%0D%0AX:%20y",
}
PARAMETERS = {
    "POST /configdocs/new": [
        *("buffermode", "empty-collection", "reason", "verbosity"),
    ],
    "POST /configdocs/a": [*("buffermode", "empty-collection", "reason")],
    "POST /commitconfigdocs": [
        *("force", "dryrun", "revision", "confirm_within", "stage", "reason", "verbosity"),
    ],
    "GET /configdocs": ["versions", "version", "verbosity"],
    "GET /configdocs/a": ["version", "cleartext-secrets", "verbosity"],
    "GET /renderedconfigdocs": ["version", "revision", "cleartext-secrets", "verbosity"],
    "DELETE /document-buffer": ["reason"],
    "GET /document-differences": ["old", "new", "rendered", "cleartext-secrets", "after", "limit"],
    "GET /document-revisions": ["before", "limit"],
    "GET /documents/pegleg/Script/v1/hidden": [
        "version",
        "provenance",
        "path",
        "cleartext-secrets",
    ],
}
#: Values that are sent in every spelling; other values are sent in one.
SPELLED = ("empty", "NUL", "10 kB", "encoded")
NOT_DOCUMENTS = [
    table.name for table in metadata.sorted_tables if not table.name.startswith("document_")
]


def queries(name: str) -> Iterator[str]:
    """Yield queries with every value of a parameter, in every spelling."""
    for kind, value in VALUES.items():
        yield f"{name}={value}"
        if kind in SPELLED:
            yield from spellings(name, value)


def spellings(name: str, value: str) -> Iterator[str]:
    """Yield other spellings of a parameter: repeated, or with a similar name."""
    yield f"{name}={value}&{name}={value}"
    yield f"{name}={value}&{name}=false"
    yield f"{name.upper()}={value}"
    yield f"{name.title()}={value}"
    yield f"%{name[:1].encode().hex()}{name[1:]}={value}"
    yield f"{name}[]={value}"
    yield f"unknown={value}&{value}=unknown"
    yield f"{name}"


def sent(site: DocumentApi, request: str, query: str) -> Answer:
    """Send a request with a raw query; a POST has a document as its body."""
    method, path = request.split(" ")
    body = stream(document("new"), policy("other")) if "configdocs/" in path else b""
    headers = {"Content-Type": "application/x-yaml", "Content-Length": str(len(body))}
    if method != "POST":
        return site.send(method, f"{API}{path}?{query}")
    return site.send(method, f"{API}{path}?{query}", body, headers)


def revisions(database: Database) -> tuple[int, int]:
    """Return the numbers of revisions and of commits."""
    query = "SELECT (SELECT count(*) FROM document_revisions), count(*) FROM document_commits"
    ((made, committed),) = select(database, query)
    return int(made), int(committed)


def whole(site: DocumentApi, database: Database) -> None:
    """Assert that the newest revision is complete: its digest, its documents, its event."""
    buffer = site.ask("GET", "/document-buffer").json
    newest = site.ask("GET", f"/document-revisions/{buffer['revision']}").json
    assert newest["digest"] == buffer["digest"]
    assert select(database, "SELECT count(*) FROM api_locks WHERE outcome IS NULL") == [(0,)]
    ((events,),) = select(
        database, "SELECT count(*) FROM document_events WHERE kind IN ('revision', 'commit')"
    )
    assert events == sum(revisions(database))


@pytest.fixture
def full(site: DocumentApi) -> DocumentApi:
    """Return a site with a commit, and a buffer that can be committed."""
    site.committed("a", document("one"), secret("hidden"), policy())
    site.add("b", document("two"))
    return site


@pytest.mark.prove  # takes minutes: over a thousand requests, each compared with the tables
@pytest.mark.parametrize(
    ("request_line", "name"),
    [(request, name) for request, names in PARAMETERS.items() for name in names],
)
def test_an_odd_value_is_taken_or_refused_and_leaves_nothing_half_done(
    full: DocumentApi, database: Database, request_line: str, name: str
) -> None:
    for query in queries(name):
        before, made = dump(database, NOT_DOCUMENTS), revisions(database)
        answer = sent(full, request_line, query)
        assert answer.status < 500, (query[:99], answer.body)
        if answer.status >= 400 or request_line.startswith("GET"):
            assert dump(database, NOT_DOCUMENTS) == before, query[:99]
            assert answer.body, query[:99]
            continue
        whole(full, database)
        after = revisions(database)
        assert sum(after) - sum(made) in {0, 1}, query[:99]
        if after != made:
            renew(full)


def renew(site: DocumentApi) -> None:
    """Restore the initial state: `a` is committed, `b` is buffered, `new` does not exist."""
    assert site.ask("POST", "/document-revisions/1/rollback", {"over_buffer": True}).status in {
        *(201, 409),
    }
    site.commit(force="true")
    site.add("b", document("two"))


FLAG = st.sampled_from(["true", "false", "True", "", "maybe", "0", "ON"])


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    query=st.lists(
        st.tuples(
            st.sampled_from(
                [*("force", "dryrun", "revision", "confirm_within", "stage", "verbosity", "x")]
            ),
            FLAG | st.integers(-2, 20).map(str) | st.text(max_size=5).map(lambda s: quote(s, "")),
        ),
        max_size=5,
    )
)
def test_any_parameters_of_a_commit_commit_the_whole_buffer_or_nothing(
    full: DocumentApi, database: Database, query: list[tuple[str, str]]
) -> None:
    made = revisions(database)
    answer = sent(full, "POST /commitconfigdocs", "&".join("=".join(pair) for pair in query))
    assert answer.status < 500, answer.body
    whole(full, database)
    committed = revisions(database)[1] > made[1]
    assert revisions(database)[0] == made[0]
    assert full.status() == {"a": "unmodified", "b": "unmodified" if committed else "created"}
    if committed:
        assert answer.status == 200
        assert "DRYRUN" not in answer.json["message"]
        renew(full)


# A viewer and an administrator in alternation

SECRET = b"swordfish"
READS = [
    *("/configdocs", "/configdocs/a?version=committed", "/configdocs/a?version=buffer"),
    *("/renderedconfigdocs?version=committed", "/renderedconfigdocs"),
    *("/documents/pegleg/Script/v1/hidden", "/documents/pegleg/Script/v1/user?provenance=true"),
    *("/document-differences?old=0&new=1", "/document-differences?rendered=true"),
    *("/document-revisions", "/document-revisions/1", "/document-buffer"),
]
#: Our own paths that have no secrets, and refuse a request for secrets.
NO_SECRETS = ("/document-revisions", "/document-buffer")
TURNS = st.tuples(
    st.sampled_from(["viewer", "operator"]), st.booleans(), st.sampled_from(READS), st.booleans()
)


@pytest.fixture
def shared(callers: dict[str, DocumentApi]) -> dict[str, DocumentApi]:
    """Return callers of a site with secrets, one of which another document substitutes."""
    source: dict[str, Any] = {"schema": "pegleg/Script/v1", "name": "hidden", "path": "."}
    user = document("user", {}, substitutions=[{"src": source, "dest": {"path": ".copy"}}])
    operator = callers["operator"]
    operator.committed("a", policy(), secret("hidden"), user)
    operator.add("a", policy(), secret("hidden", "swordfish-2"), user)
    return callers


@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(turns=st.lists(TURNS, min_size=2, max_size=12))
def test_callers_who_take_turns_never_see_each_others_answer(
    shared: dict[str, DocumentApi], turns: list[tuple[str, bool, str, bool]]
) -> None:
    bodies: dict[tuple[str, str], bytes] = {}
    latest: dict[str, str] = {}
    for name, wants, path, knows in turns:
        asks = wants and not path.startswith(NO_SECRETS)
        known = {"If-None-Match": latest[path]} if knows and path in latest else {}
        query = "" if not asks else f"{'&' if '?' in path else '?'}cleartext-secrets=true"
        answer = shared[name].send("GET", f"{API}{path}{query}", None, known)
        assert answer.headers["Cache-Control"] == "no-store"
        if asks and name == "viewer" and answer.status == 403:
            assert SECRET not in answer.body
            assert "Etag" not in answer.headers
            continue
        etag = answer.headers["Etag"]
        if answer.status == 304:
            # Only a caller who would get the same body gets 304.
            again = shared[name].send("GET", f"{API}{path}{query}")
            assert (again.headers["Etag"], again.body) == (etag, bodies[path, etag])
            continue
        assert answer.status == 200, answer.body
        if name == "viewer" or not asks:
            assert SECRET not in answer.body
        # One ETag identifies one response, for every caller.
        assert bodies.setdefault((path, etag), answer.body) == answer.body
        latest[path] = etag


@pytest.mark.parametrize(
    ("name", "value", "is_taken"),
    [
        *(("confirm_within", "1", True), ("confirm_within", "604800", True)),
        *(("confirm_within", "0", False), ("confirm_within", "604801", False)),
        *(("revision", "1", True), ("revision", str((1 << 63) - 1), True)),
        *(("revision", "0", False), ("revision", str(1 << 63), False)),
        *(("reason", "x" * 500, True), ("reason", "x" * 501, False)),
    ],
)
def test_a_number_or_a_reason_at_its_limit_is_taken_and_one_beyond_is_refused(
    site: DocumentApi, name: str, value: str, is_taken: bool
) -> None:
    answer = site.send("POST", f"{API}/commitconfigdocs?dryrun=true&{name}={value}")
    assert (answer.status == 400 and name in answer.body.decode()) is not is_taken
