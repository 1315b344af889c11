"""Cached responses: equal to newly made ones, whichever pod changed the rows."""

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from falcon.testing import Result, TestClient

from staging_api.db.engine import Database, open_database
from staging_api.http.app import create_app
from staging_api.identity.model import Authenticator, Principal, Role
from staging_api.locks.hold import hold
from staging_api.locks.model import ARCHIVE
from staging_api.shutdown import Shutdown
from staging_api.staging.damage import evict_holders
from staging_api.staging.model import AnswerRows
from staging_api.staging.repository import found_files, joined, reading, seen_rows
from staging_api.staging.watch import Watch
from tests.factories import ORIGIN, locks_of
from tests.parts import parts_of
from tests.rows import execute, select
from tests.stagings import Bench, bench

STAGINGS = "/api/v1.0/stagings"
#: Fields that differ in each response, or with the time.
OF_ONE_ANSWER = {"x-request-id"}
WHO = Authenticator(
    lambda environ: (
        Principal(environ["HTTP_X_WHO"], frozenset({Role.STAGER, Role.VIEWER}))
        if environ.get("HTTP_X_WHO")
        else None
    )
)


@dataclass
class Pod:
    """A process of the API, simulated by its caches."""

    at: Bench
    client: TestClient

    def post(self, url: str, *names: str, **headers: str) -> Result:
        body = {"archive_url": url, **({"artifacts": list(names)} if names else {})}
        return self.client.simulate_post(STAGINGS, json=body, headers=named(headers))

    def get(self, staging_id: str, **headers: str) -> Result:
        return self.client.simulate_get(f"{STAGINGS}/{staging_id}", headers=named(headers))


def named(headers: dict[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in headers.items()}


def rows_of(database: Database, *ids: str) -> list[AnswerRows | None]:
    """Return the rows of each of these stagings, each read separately."""
    return [seen_rows.answer_rows(database, [each])[each] for each in ids]


def pod_of(at: Bench, authenticator: Authenticator | None = None) -> Pod:
    parts = parts_of(at.service, Watch(at.database, threading.BoundedSemaphore(1), Shutdown()))
    if authenticator is not None:
        nobody = Principal("anonymous", frozenset())
        parts = replace(parts, authenticator=authenticator, anonymous=nobody)
    return Pod(at, TestClient(create_app(parts)))


def told(answer: Result) -> tuple[Any, ...]:
    """Return the response without the fields that differ each time."""
    headers = {k: v for k, v in answer.headers.items() if k not in OF_ONE_ANSWER}
    return answer.status_code, headers, answer.content


@dataclass
class Reads:
    """Counts the reads of stagings with all rows that responses show."""

    count: int = 0

    @contextmanager
    def none(self) -> Iterator[None]:
        before = self.count
        yield
        assert self.count == before, "the answer was made anew"


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> Reads:
    seen, read = Reads(), joined.read

    def counted(*args: Any) -> Any:
        seen.count += 1
        return read(*args)

    monkeypatch.setattr(joined, "read", counted)
    return seen


@pytest.fixture
def pods(database: Database, database_url: str, tmp_path: Path) -> Iterator[tuple[Pod, Pod]]:
    with ExitStack() as open_:
        both = [open_.enter_context(bench(database, database_url, tmp_path)) for _ in "ab"]
        yield pod_of(both[0]), pod_of(both[1])


def staged(pod: Pod, build: str) -> tuple[str, str]:
    """Stage a build, and read it until its response is cached; return its URL and staging."""
    url = pod.at.build(build)
    pod.at.stage(url, "payload", "suites")
    answer = pod.post(url, "payload", "suites")
    pod.post(url, "suites")
    pod.post(url, "payload", "suites")
    pod.get(answer.json["id"])
    return url, answer.json["id"]


def test_an_answer_is_kept_and_is_the_one_that_would_be_made_anew(
    pods: tuple[Pod, Pod], reads: Reads
) -> None:
    pod, other = pods
    url, staging_id = staged(pod, "R17-1")
    with reads.none():
        again = [pod.post(url, "payload", "suites"), pod.get(staging_id), pod.post(url, "suites")]
    fresh = [other.post(url, "payload", "suites"), other.get(staging_id), other.post(url, "suites")]
    assert [answer.status_code for answer in again] == [200] * 3
    assert list(map(told, again)) == list(map(told, fresh))
    assert reads.count > 0


def artifact(pod: Pod, url: str, name: str) -> str:
    ((found,),) = select(
        pod.at.database,
        "SELECT id FROM staged_artifacts WHERE archive_url = :u AND name = :n"
        " AND state <> 'evicted'",
        u=url,
        n=name,
    )
    return str(found)


def evict(pod: Pod, url: str) -> None:
    pod.at.service.artifacts.evict(artifact(pod, url, "payload"), ORIGIN)


def lose(pod: Pod, url: str) -> None:
    ((sha256,),) = select(
        pod.at.database,
        "SELECT f.sha256 FROM loose_files f WHERE f.artifact_id = :a",
        a=artifact(pod, url, "payload"),
    )
    assert evict_holders(pod.at.service.upkeep, sha256, "lost")


def restage(pod: Pod, url: str) -> None:
    evict(pod, url)
    pod.at.stage(url, "payload")


def fail(pod: Pod, url: str) -> None:
    """Evict the build, then remove its object and stage again."""
    evict(pod, url)
    Path(url.removeprefix("file://"), "payload.bin").unlink()
    assert pod.post(url, "payload").status_code >= 400


def ask_for_more(pod: Pod, url: str) -> None:
    pod.at.stage(url, "payload", "symbols")


def by_hand(column: str, value: str) -> Callable[[Pod, str], None]:
    """Return a statement as an operator runs it, without triggers: no version increases."""

    def change(pod: Pod, url: str) -> None:
        pod.at.tamper(
            f"UPDATE staged_artifacts SET {column} = {value} WHERE id = :i",
            i=artifact(pod, url, "payload"),
        )

    return change


CHANGES: list[Callable[[Pod, str], None]] = [
    evict,
    lose,
    restage,
    fail,
    ask_for_more,
    by_hand("size_bytes", "size_bytes + 1"),
    by_hand("path", "path || 'x'"),
    by_hand("warnings", "ARRAY['odd']"),
]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__qualname__.split(".")[0])
def test_nothing_kept_outlives_a_change_that_another_pod_makes(
    pods: tuple[Pod, Pod], reads: Reads, change: Callable[[Pod, str], None]
) -> None:
    pod, other = pods
    url, staging_id = staged(pod, "R17-1")
    untouched, untouched_id = staged(pod, "R17-2")
    kept = told(pod.get(staging_id)), told(pod.post(untouched, "payload", "suites"))
    change(other, url)
    assert told(pod.get(staging_id)) == told(pod_of(other.at).get(staging_id))
    for _ in range(2):
        answers = pod.post(url, "suites"), pod_of(other.at).post(url, "suites")
        assert told(answers[0]) == told(answers[1])
    with reads.none():
        assert told(pod.post(untouched, "payload", "suites")) == kept[1]
        assert pod.get(untouched_id).status_code == 200
    if change is not ask_for_more:
        assert told(pod.get(staging_id))[1:] != kept[0][1:]


def test_only_the_evicted_one_of_two_artifacts_is_staged_again(pods: tuple[Pod, Pod]) -> None:
    pod, other = pods
    url, staging_id = staged(pod, "R17-1")
    evict(other, url)
    assert pod.post(url, "suites").status_code == 200
    again = pod.post(url, "payload")
    assert (again.status_code, again.json["id"] == staging_id) == (201, False)
    assert [pod.post(url, name).status_code for name in ("payload", "suites")] == [200, 200]


def test_a_read_of_a_file_makes_the_answer_anew_at_most(pods: tuple[Pod, Pod]) -> None:
    pod, other = pods
    url, staging_id = staged(pod, "R17-1")
    kept = told(pod.get(staging_id))
    execute(
        pod.at.database,
        "UPDATE staged_artifacts SET last_accessed_at = clock_timestamp() WHERE archive_url = :u",
        u=url,
    )
    assert told(pod.get(staging_id)) == kept == told(other.get(staging_id))


def test_a_staging_is_seen_with_the_rows_that_its_answer_shows(pods: tuple[Pod, Pod]) -> None:
    pod, other = pods
    url, first = staged(pod, "R17-1")
    beside_url, beside = staged(pod, "R17-2")
    evict(other, url)
    second = pod.post(url, "payload").json["id"]
    assert pod.post(url, "payload").json["state"] == "staged"
    found = {}
    for archive in (url, beside_url):
        for artifact_id, *row in select(
            pod.at.database,
            "SELECT id, name, state FROM staged_artifacts WHERE archive_url = :u ORDER BY id",
            u=archive,
        ):
            before = rows_of(pod.at.database, first, second, beside)
            execute(
                pod.at.database,
                "UPDATE staged_artifacts SET last_accessed_at = clock_timestamp() WHERE id = :i",
                i=artifact_id,
            )
            after = rows_of(pod.at.database, first, second, beside)
            differs = [one != two for one, two in zip(before, after, strict=True)]
            found[archive == url, *row] = differs
    assert found == {
        (True, "payload", "evicted"): [True, False, False],
        (True, "payload", "staged"): [True, True, False],
        (True, "suites", "staged"): [True, False, False],
        (False, "payload", "staged"): [False, False, True],
        (False, "suites", "staged"): [False, False, True],
    }


def test_conditional_requests_have_the_same_results_with_cached_responses(
    pods: tuple[Pod, Pod],
) -> None:
    pod, other = pods
    url, staging_id = staged(pod, "R17-1")
    etag = pod.get(staging_id).headers["etag"]
    same = (etag, f'"another", {etag}', "*", f"W/{etag}")
    for asked in (*same, '"another"', f'W/"another", {etag[:-1]}'):
        for prefer in ({}, {"Prefer": "wait=1"}):
            headers = {"If_None_Match": asked, **prefer}
            kept = told(pod.get(staging_id, **headers))
            assert kept == told(pod_of(other.at).get(staging_id, **headers)), headers
            assert kept[0] == (304 if asked in same else 200)
            assert kept[1]["etag"] == etag
    heads = [each.client.simulate_head(f"{STAGINGS}/{staging_id}") for each in pods]
    assert told(heads[0]) == told(heads[1])
    evict(other, url)
    changed = pod.get(staging_id, If_None_Match=etag)
    assert (changed.status_code, changed.headers["etag"] == etag) == (200, False)


def test_a_long_poll_waits_for_news_of_the_version_that_a_proxy_made_a_weak_one(
    pods: tuple[Pod, Pod],
) -> None:
    pod, _ = pods
    request = pod.at.service.check_request(pod.at.build("R17-1"), ["payload"])
    staging_id = pod.at.service.queue(request, ORIGIN).id
    etag = pod.get(staging_id).headers["etag"]
    for asked in (etag, f"W/{etag}"):
        waited = pod.get(staging_id, If_None_Match=asked, Prefer="wait=1")
        assert (waited.status_code, waited.headers["preference-applied"]) == (304, "wait=1")
    for news in ({"If_None_Match": '"another"', "Prefer": "wait=1"}, {"Prefer": "wait=1"}):
        at_once = pod.get(staging_id, **news)
        assert (at_once.status_code, "preference-applied" in at_once.headers) == (200, False)


def test_what_is_kept_for_one_caller_is_given_to_those_who_may_have_it(
    pods: tuple[Pod, Pod], reads: Reads
) -> None:
    pod = pod_of(pods[0].at, WHO)
    url = pod.at.build("R17-1")
    pod.at.stage(url, "payload")
    first = [pod.post(url, "payload", X_Who="ann") for _ in range(2)][-1]
    with reads.none():
        assert told(pod.post(url, "payload", X_Who="bob")) == told(first)
    staging_id = first.json["id"]
    assert pod.get(staging_id).status_code == 401
    assert pod.post(url, "payload").status_code == 401
    answer = pod.post(url, "payload", X_Who="bob", X_Context_Marker="none")
    assert answer.json["code"] == "invalid_request"


def test_a_body_is_known_by_its_bytes_and_its_type(pods: tuple[Pod, Pod]) -> None:
    pod, _ = pods
    url, _ = staged(pod, "R17-1")
    wrong = pod.client.simulate_post(
        STAGINGS,
        body=pod.client.simulate_post(STAGINGS, json={"archive_url": url}).text,
        headers={"Content-Type": "application/json"},
    )
    assert wrong.json["code"] == "invalid_request"
    form = pod.client.simulate_post(
        STAGINGS, body=f'{{"archive_url": "{url}"}}', headers={"Content-Type": "text/plain"}
    )
    assert form.status_code == 415
    for _ in range(2):
        assert pod.post(url, "nothing").json["code"] == "invalid_request"
        assert pod.post("file:///elsewhere", "payload").json["code"] == "source_not_allowed"


def test_a_key_is_kept_by_a_request_whose_answer_is_known(pods: tuple[Pod, Pod]) -> None:
    pod, _ = pods
    url, _ = staged(pod, "R17-1")
    first = pod.post(url, "payload", Idempotency_Key="k")
    again = pod.post(url, "payload", Idempotency_Key="k")
    assert (first.status_code, again.headers["idempotent-replayed"]) == (200, "true")
    assert pod.post(url, "suites", Idempotency_Key="k").json["code"] == "idempotency_key_reused"


def test_a_refusal_is_found_by_one_look_and_is_that_of_the_lock(
    pods: tuple[Pod, Pod], database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pod, _ = pods
    url, free = pod.at.build("R17-1"), pod.at.build("R17-2")
    assert pod.post(url, "nothing").status_code == 400
    pod.at.stage(url, "suites")
    with (
        locks_of(pod.at.database, database_url, holder="another") as locks,
        hold(locks, ARCHIVE, url, ORIGIN),
    ):
        pod.post(url, "payload")  # this body is cached from now on
        made = pod.post(url, "payload", Prefer="respond-async")
        statements: list[str] = []
        read = Database.read
        monkeypatch.setattr(
            Database, "read", lambda *given: statements.append(given[1]) or read(*given)
        )
        monkeypatch.setattr(Database, "connect", None)
        monkeypatch.setattr(Database, "begin", None)
        seen = pod.post(url, "payload")
        monkeypatch.undo()
        assert len(statements) == 1
        assert (seen.status_code, seen.headers.keys()) == (409, made.headers.keys())
        assert plain(seen.json) == plain(made.json)
        assert pod.post(url, "suites").status_code == 200  # staged artifacts need no lock
        assert pod.post(free, "payload").status_code == 201  # neither does another build wait
    assert pod.post(url, "payload").status_code == 201


def plain(problem: dict[str, Any]) -> dict[str, Any]:
    """Return a refusal without the fields that depend on the time."""
    lock = {k: v for k, v in problem["lock"].items() if not k.startswith("expires")}
    return {**problem, "request_id": None, "detail": problem["detail"][:40], "lock": lock}


# The numbers of sequential scans of each table, and of each index's scans, by this connection.
_SCANS = """
    SELECT c.relname, pg_stat_get_xact_numscans(c.oid) AS scans,
        pg_stat_get_xact_tuples_returned(c.oid) AS rows
    FROM pg_class c
    WHERE c.relkind IN ('r', 'i', 'p') AND c.relnamespace = current_schema()::regnamespace
"""
QUESTIONS = {
    "SELECT staging_seen(%(id)s)": 10,
    "SELECT staging_asked(%(url)s, ARRAY['payload', 'suites'], ARRAY['archive'])": 10,
    "SELECT * FROM file_served(%(path)s)": 10,
    "SELECT i, staging_seen(i) FROM unnest(ARRAY[%(id)s, 'x']) i WHERE i <> 'x'": 10,
    "SELECT f.* FROM unnest(ARRAY[%(path)s, 'none']) p CROSS JOIN LATERAL file_served(p) f": 10,
}


@pytest.fixture
def alone(own_url: str, tmp_path: Path) -> Iterator[Pod]:
    """Yield a pod on its own database, without statistics (as after a restore) or dead rows."""
    pools = open_database(own_url, pool_size=2)
    for table in ("archives", "stagings", "staged_artifacts", "loose_files"):
        execute(pools, f"ALTER TABLE {table} SET (autovacuum_enabled = false)")
    with bench(pools, own_url, tmp_path) as at:
        yield pod_of(at)
    pools.close()


@pytest.mark.parametrize("others", [0, 300, 3000])
def test_each_question_reads_a_few_rows_by_indexes_however_many_there_are(
    alone: Pod, others: int
) -> None:
    pod = alone
    url, staging_id = staged(pod, "R17-1")
    ((path,),) = select(
        pod.at.database, "SELECT path FROM loose_files WHERE path LIKE '%payload.bin'"
    )
    fill(pod.at, others)
    given = {"id": staging_id, "url": url, "path": path}
    for question, most in QUESTIONS.items():
        with pod.at.database.begin() as conn:
            before = {row.relname: row for row in conn.exec_driver_sql(_SCANS)}
            assert conn.exec_driver_sql(question, given).one()[0] is not None
            after = {row.relname: row for row in conn.exec_driver_sql(_SCANS)}
        used = [name for name, row in after.items() if row.scans > before[name].scans]
        assert used, question
        assert all(name.endswith(("_idx", "_key", "_pkey")) for name in used), (question, used)
        assert sum(after[name].rows - before[name].rows for name in used) <= most, question


def fill(at: Bench, others: int) -> None:
    """Add other builds, each with an artifact that is a file."""
    with at.database.begin() as conn:
        conn.exec_driver_sql("SET LOCAL session_replication_role = 'replica'")
        conn.exec_driver_sql(
            "INSERT INTO archives (archive_url, static_prefix)"
            " SELECT 'x' || i, 'x' || i FROM generate_series(1, %(n)s) i",
            {"n": others},
        )
        conn.exec_driver_sql(
            "INSERT INTO stagings (id, archive_url, state, requested, caller,"
            " foreground_staged_at, finished_at)"
            " SELECT '00' || lpad(i::text, 24, '0'), 'x' || i, 'staged', '{payload}', 'x',"
            " now(), now() FROM generate_series(1, %(n)s) i",
            {"n": others},
        )
        conn.exec_driver_sql(
            "INSERT INTO staged_artifacts SELECT (jsonb_populate_record(a, jsonb_build_object("
            " 'id', '00' || lpad(i::text, 24, '0'), 'archive_url', 'x' || i))).*"
            " FROM staged_artifacts a, generate_series(1, %(n)s) i"
            " WHERE a.id = (SELECT max(id) FROM staged_artifacts WHERE state = 'staged')",
            {"n": others},
        )
        conn.exec_driver_sql(
            "INSERT INTO loose_files (artifact_id, path, sha256, size_bytes)"
            " SELECT '00' || lpad(i::text, 24, '0'), 'x' || i, repeat('0', 64), 1"
            " FROM generate_series(1, %(n)s) i",
            {"n": others},
        )


def test_requests_read_together_get_the_same_responses_as_alone(pods: tuple[Pod, Pod]) -> None:
    pod, other = pods
    database = pod.at.database
    urls = [staged(pod, "R17-1"), staged(pod, "R17-2")]
    busy = pod.at.build("R17-3")
    questions = [
        pod.at.service.check_request(url, names).question
        for url, names in [
            (urls[0][0], ["payload"]),
            (urls[1][0], ["suites", "payload"]),
            (busy, ["payload"]),
            (pod.at.build("R17-4"), ["payload"]),
        ]
    ]
    ids = [urls[0][1], "01ARZ3NDEKTSV4RRFFQ69G5FAV", urls[1][1]]
    paths = [path for (path,) in select(database, "SELECT path FROM staged_files ORDER BY path")]
    paths.insert(1, "nothing/there")
    assert len(paths) > 3
    with hold(other.at.service.locks, ARCHIVE, busy, ORIGIN):
        together = seen_rows.standing_answers(database, questions)
        alone = [seen_rows.standing_answers(database, [each])[each] for each in questions]
    assert [together[each].seen for each in questions] == [each.seen for each in alone]
    refused = [
        (together[each].refusal, one.refusal) for each, one in zip(questions, alone, strict=True)
    ]
    assert [one is None for one, _ in refused] == [True, True, False, True]
    both = [each._replace(remaining_seconds=0) for each in refused[2] if each is not None]
    assert both[0] == both[1]
    assert both[0].scope == busy
    states = found_files.outcomes_at(database, questions)
    assert states == {each: found_files.outcomes_at(database, [each])[each] for each in questions}
    assert [sorted(state.name for state in states[each]) for each in questions] == [
        ["payload"],
        ["payload", "suites"],
        [],
        [],
    ]
    seen = seen_rows.answer_rows(database, ids)
    assert seen == dict(zip(ids, rows_of(database, *ids), strict=True))
    assert [each for each in ids if seen[each] is None] == [ids[1]]
    served = reading.files_served(database, paths)
    assert served == {path: reading.files_served(database, [path])[path] for path in paths}
    assert [path for path in paths if served[path] is None] == ["nothing/there"]


def test_a_missing_staging_has_no_rows(pods: tuple[Pod, Pod]) -> None:
    pod, _ = pods
    assert pod.get("01ARZ3NDEKTSV4RRFFQ69G5FAV").status_code == 404
    assert rows_of(pod.at.database, "01ARZ3NDEKTSV4RRFFQ69G5FAV") == [None]
