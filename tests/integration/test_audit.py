"""Questions of docs/how-to/audit.md, run with the read-only role of auditors."""

import csv
import io
import json
import re
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from staging_api.cli import main
from staging_api.db.audit_queries import audit_queries
from staging_api.db.engine import Database
from staging_api.staging.accesses import Accesses
from tests.factories import ORIGIN
from tests.jumped_clock import DAY_SECONDS, run_jumped
from tests.million import a_million_artifacts
from tests.rows import refused_by_database
from tests.stagings import bench

DOCUMENT = Path(__file__).parents[2] / "docs" / "how-to" / "audit.md"
QUERIES = {
    int(number): query
    for number, query in re.findall(
        r"^## (\d+)\..*?```sql\n(.*?)```", DOCUMENT.read_text(), re.DOTALL | re.MULTILINE
    )
}
NOW = datetime.now(UTC)
GIVEN: Mapping[str, Any] = {
    "since": NOW - timedelta(days=1),
    "until": NOW + timedelta(days=1),
    "caller": "tester",
    "path": "board/R17-1/payload.bin",
    "sha256": "0" * 64,
    "allowed": ["gs://builds/"],
    "moment": NOW + timedelta(days=1),
    "schema": "pegleg/Script/v1",
    "name": "one",
}


@pytest.fixture
def at(database, database_url, tmp_path):
    with bench(database, database_url, tmp_path) as made:
        yield made


def ask(database: Database, number: int, **given: Any) -> list[dict[str, Any]]:
    """Return the rows that answer one question, as an auditor."""
    query = QUERIES[number].rstrip().removesuffix(";")
    wanted = set(re.findall(r"(?<!:):([a-z0-9_]+)", query))
    with database.begin() as conn:
        conn.execute(text("SET LOCAL ROLE staging_audit"))
        rows = conn.execute(text(query), {name: {**GIVEN, **given}[name] for name in wanted})
        return [dict(row._mapping) for row in rows]


def asked(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """Return exit code, output and errors of the command line."""
    with pytest.raises(SystemExit) as ended:
        main(["audit", *arguments])
    printed = capsys.readouterr()
    return int(ended.value.code or 0), printed.out, printed.err


def test_the_page_shows_the_questions_of_the_command_line():
    headings = dict(re.findall(r"^## (\d+)\. (.*)$", DOCUMENT.read_text(), re.MULTILINE))
    assert {str(each.number): each.question for each in audit_queries()} == headings
    assert {each.number: f"{each.sql};\n" for each in audit_queries()} == QUERIES
    names = dict(re.findall(r"^\| (\d+) \| `([a-z-]+)` \|", DOCUMENT.read_text(), re.MULTILINE))
    assert {str(each.number): each.name for each in audit_queries()} == names


def test_the_command_line_answers_as_table_csv_and_json(at, database_url, monkeypatch, capsys):
    monkeypatch.setenv("STAGING_DATABASE_URL", database_url)
    at.stage(at.build())
    code, out, _ = asked(capsys, "staged-by", "caller=tester", "--csv")
    assert code == 0
    rows = list(csv.DictReader(io.StringIO(out)))
    assert sorted(row["name"] for row in rows) == ["notes", "payload", "suites"]
    code, out, _ = asked(capsys, "4", "caller=tester", "since=2020-01-01", "--json")
    items = json.loads(out)["items"]
    assert {item["name"]: item["size_bytes"] for item in items} == {
        row["name"]: int(row["size_bytes"]) if row["size_bytes"] else None for row in rows
    }
    code, out, _ = asked(capsys, "staged-by", "caller=tester")
    assert out.split()[:3] == ["id", "created_at", "reference_id"]
    assert len(out.splitlines()) == 4
    assert asked(capsys, "staged-by", "caller=none") == (0, "", "no rows\n")
    assert asked(capsys, "staged-by", "caller=tester", "until=2020-01-01") == (0, "", "no rows\n")


@pytest.mark.parametrize("query", audit_queries(), ids=lambda query: query.name)
def test_each_question_is_asked_by_the_command_line(
    at, database_url, monkeypatch, capsys, query
) -> None:
    monkeypatch.setenv("STAGING_DATABASE_URL", database_url)
    needed = set(query.parameters) - {"since", "until", "moment", "allowed"}
    code, _, err = asked(capsys, query.name, *(f"{name}={GIVEN[name]}" for name in needed))
    assert code == 0, err


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ([], "staged-by needs caller=..."),
        (["caller=x", "since=soon"], "'soon' is no time"),
        (["caller=x", "path=y"], "staged-by takes caller=..., since=..., until=..."),
        (["tester"], "staged-by takes caller=..."),
    ],
    ids=["none", "no-time", "unknown", "no-name"],
)
def test_a_parameter_that_is_wrong_is_refused(capsys, given, said):
    code, out, err = asked(capsys, "staged-by", *given)
    assert (code, out) == (4, "")
    assert said in err


@pytest.mark.parametrize("jump", [DAY_SECONDS, -400 * DAY_SECONDS])
def test_a_question_that_names_no_time_is_of_now_by_the_clock_of_the_database(
    at, database_url, monkeypatch, jump
):
    at.stage(at.build("R17-1"), "payload")
    monkeypatch.setenv("STAGING_DATABASE_URL", database_url)
    said = run_jumped(jump, "staging_api", "audit", "staged-by", "caller=tester", "--json")
    assert len(json.loads(said)["items"]) == 1


@pytest.mark.parametrize("jump", [400 * DAY_SECONDS, -400 * DAY_SECONDS])
def test_what_a_machine_did_whose_clock_is_wrong_is_listed_by_the_clock_of_the_database(
    at, database, monkeypatch, jump
):
    right = time.time_ns
    for number in range(3):
        with monkeypatch.context() as patched:
            if number == 1:
                patched.setattr(time, "time_ns", lambda: right() + int(jump * 1e9))
            at.stage(at.build(f"R17-{number}"), "payload")
    listed = [each.archive_url for each in at.service.page(limit=9).items]
    assert [url.rpartition("/")[2] for url in listed] == ["R17-2", "R17-1", "R17-0"]
    artifacts = at.service.artifacts.page(limit=9).items
    assert [each.archive_url for each in artifacts] == listed
    assert [row["archive_url"] for row in ask(database, 4)] == listed[::-1]
    assert ask(database, 10)[0]["events"] == at.rows("SELECT count(*) FROM staging_events")[0][0]
    at.tamper("UPDATE api_locks SET outcome = 'expired', expires_at = ended_at")
    lost = [row["scope"] for row in ask(database, 8)]
    assert list(dict.fromkeys(lost)) == listed[::-1]


def test_there_are_fourteen_questions():
    assert sorted(QUERIES) == list(range(1, 15))


def test_the_answers_say_what_happened(at, database):
    at.stage(at.build())
    [digest] = [
        row[0] for row in at.rows("SELECT sha256 FROM staged_artifacts WHERE name = 'payload'")
    ]
    staged = at.rows("SELECT id, source_url FROM staged_artifacts WHERE name = 'payload'")[0]
    accesses = Accesses(database)
    accesses.note(staged[0], "reader", 20)
    accesses.close()
    [first] = ask(database, 1)
    assert (first["actor"], first["source_url"]) == ("tester", staged[1])
    assert first["file_sha256"] == first["source_sha256"] == digest
    assert ask(database, 2) == []
    assert {row["name"] for row in ask(database, 3)} == {"payload", "suites"}
    assert sorted(row["name"] for row in ask(database, 4)) == ["notes", "payload", "suites"]
    [used] = ask(database, 5, sha256=digest)
    assert (used["name"], used["caller"], used["hits"]) == ("payload", "reader", 1)
    [waits] = ask(database, 6)
    assert (waits["artifacts"], waits["upload_seconds"]) == (2, None)
    assert ask(database, 7) == []
    assert ask(database, 8) == []
    assert [(row["source"], row["archives"]) for row in ask(database, 9)] == [("file://", 1)]
    assert ask(database, 9, allowed=["file:///"]) == []
    [whole] = ask(database, 10)
    assert (whole["events"], whole["broken_links"], whole["stagings_cut_off"]) == (13, 0, 0)


def test_an_eviction_and_a_second_fetch_show(at, database):
    url = at.build()
    staging = at.stage(url)
    payload = next(each for each in staging.artifacts if each.name == "payload")
    at.service.artifacts.evict(payload.id, ORIGIN)
    at.stage(url)
    [evicted] = ask(database, 7)
    assert (evicted["name"], evicted["evict_reason"]) == ("payload", "asked")
    assert evicted["fetched_again_at"] > evicted["evicted_at"]
    [twice] = ask(database, 2)
    assert (twice["name"], twice["fetches"]) == ("payload", 2)


def test_a_lease_that_ran_out_shows_with_who_took_over_first(at, database):
    taken, left = at.build("R17-1"), at.build("R17-2")
    at.stage(left, "payload")
    at.stage(taken, "payload")
    at.tamper(
        "UPDATE api_locks SET outcome = 'superseded', expires_at = ended_at, holder = 'a dead one'"
        " WHERE id IN (SELECT max(id) FROM api_locks GROUP BY scope)"
    )
    request = at.service.check_request(taken, ["payload"])
    for _ in range(2):  # the second caller is not the one who took over
        at.service.stage(request, ORIGIN)
    at.tamper("UPDATE api_locks SET holder = 'the last' WHERE id = (SELECT max(id) FROM api_locks)")
    lost = {row["scope"]: row for row in ask(database, 8)}
    assert len(ask(database, 8)) == len(lost) == 2
    assert {row["holder"] for row in lost.values()} == {"a dead one"}
    assert lost[request.archive_url]["next_holder"] == "this-process"
    assert lost[request.archive_url]["taken_over_after"] > timedelta(0)
    other = at.service.check_request(left, ()).archive_url
    assert (lost[other]["next_holder"], lost[other]["taken_over_after"]) == (None, None)


def test_events_outside_the_time_window_are_not_shown(at, database):
    url = at.build()
    for artifact in at.stage(url).artifacts:
        if artifact.state == "staged":
            at.service.artifacts.evict(artifact.id, ORIGIN)
    at.stage(url)
    at.tamper("UPDATE api_locks SET outcome = 'expired', expires_at = ended_at")
    for number in (2, 4, 6, 7, 8):
        assert ask(database, number), number
        assert ask(database, number, until=GIVEN["since"]) == [], number
        assert ask(database, number, since=GIVEN["until"]) == [], number


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE staging_events SET message = 'x' WHERE number = 3",
        "DELETE FROM staging_events WHERE number = 3",
        "DELETE FROM staging_events WHERE number = 13",
    ],
)
def test_a_broken_record_shows(at, database, statement):
    at.stage(at.build())
    at.tamper(statement)
    [found] = ask(database, 10)
    assert found["broken_links"] + found["stagings_cut_off"] > 0


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM stagings",
        "INSERT INTO blobs VALUES (repeat('0', 64), 1)",
        "SELECT body FROM idempotency_keys",
        "SELECT lock_break('x', 'y', 'z')",
    ],
)
def test_an_auditor_changes_nothing_and_reads_no_kept_answers(at, database, statement):
    url = at.build()
    at.stage(url)
    if "lock_break" in statement:
        [(lock_id,)] = at.rows("SELECT max(id) FROM api_locks")
        at.tamper(
            "UPDATE lock_scopes SET lock_id = :id, caller = 'x', holder = 'x',"
            " acquired_at = clock_timestamp(), expires_at = clock_timestamp() + interval '1 h'"
            " WHERE kind = 'archive'",
            id=lock_id,
        )
        statement = statement.replace("'x',", f"'{lock_id}',", 1)
    with refused_by_database("permission denied"), database.begin() as conn:
        conn.execute(text("SET LOCAL ROLE staging_audit"))
        conn.execute(text(statement))


# The million artifacts have no rows for these: questions 11 to 13 are about documents.
_EMPTY = frozenset({2, 5, 8, 11, 12, 13, 14})


@pytest.mark.prove
@pytest.mark.timeout(900)
def test_each_question_is_answered_within_a_second_on_a_million_artifacts(at, database):
    a_million_artifacts(database)
    with database.connect() as conn:
        [(path, sha256)] = conn.execute(
            text("SELECT path, sha256 FROM staged_files ORDER BY artifact_id LIMIT 1 OFFSET 500000")
        ).all()
    given = {
        "path": path,
        "sha256": sha256,
        "caller": "caller 7",
        "since": datetime(2026, 3, 1, tzinfo=UTC),
        "until": datetime(2026, 3, 8, tzinfo=UTC),
    }
    seconds: dict[int, list[float]] = {number: [] for number in QUERIES}
    for number in [*QUERIES] * 3:
        began = time.perf_counter()
        answer = ask(database, number, **given)
        seconds[number].append(round(time.perf_counter() - began, 3))
        assert answer or number in _EMPTY
    print(f"seconds by question, first to third try: {seconds}")
    # The machine's other activity is left out.
    assert max(min(tries) for tries in seconds.values()) < 1.0, seconds


@pytest.mark.parametrize(
    ("moment", "lowest"),
    [
        ("1969-12-31 23:59:59.999+00", "0" * 26),
        ("0044-03-15 00:00+00 BC", "0" * 26),
        ("-infinity", "0" * 26),
        ("1970-01-01 00:00:00.001+00", "0000000001" + "0" * 16),
        ("2026-01-01 00:00+00", "01KDVDNA00" + "0" * 16),
        ("10889-08-02 05:31:50.655+00", "7ZZZZZZZZZ" + "0" * 16),
        ("20000-01-01 00:00+00", "7ZZZZZZZZZ" + "0" * 16),
        ("infinity", "7ZZZZZZZZZ" + "0" * 16),
        (None, None),
    ],
)
def test_the_lowest_ulid_of_a_time_is_within_those_that_ulids_can_have(database, moment, lowest):
    with database.connect() as conn:
        asked = {"moment": moment}
        found = conn.execute(text("SELECT ulid_floor(CAST(:moment AS timestamptz))"), asked)
        assert found.scalar_one() == lowest


def test_ulids_of_one_millisecond_sort_by_the_order_in_which_they_were_made(database):
    """Else the events and artifacts of one request would be listed in any order."""
    made = text("SELECT ulid_of(clock_timestamp()) FROM generate_series(1, 500)")
    with database.connect() as conn:
        found = list(conn.execute(made).scalars())
    assert found == sorted(found)


@pytest.mark.parametrize(
    ("moment", "first"),
    [
        ("2026-01-01 00:00+00", "01KDVDNA0000"),
        ("2026-01-01 00:00:00.000999+00", "01KDVDNA00Z7"),
        ("2026-01-01 00:00:59.999999+00", "01KDVDQ4JZZ7"),
        ("1969-12-31 23:59:59.999001+00", "000000000001"),
        ("infinity", "7ZZZZZZZZZ00"),
    ],
)
def test_a_ulid_begins_with_milliseconds_and_microseconds(database, moment, first):
    with database.connect() as conn:
        made = conn.execute(text("SELECT ulid_of(CAST(:m AS timestamptz))"), {"m": moment})
        assert made.scalar_one()[:12] == first


def test_a_ulid_of_a_time_has_fourteen_digits_of_all_that_there_are(database):
    digits = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
    made = text("SELECT ulid_of('2026-01-01 00:00+00') FROM generate_series(1, 200)")
    with database.connect() as conn:
        found = set(conn.execute(made).scalars())
    assert len(found) == 200
    assert {(len(each), each[:12]) for each in found} == {(26, "01KDVDNA0000")}
    assert {digit for each in found for digit in each[12:]} == set(digits)
    # Half of the ids would mean that a bit always has the same value.
    assert min(len({each[place] for each in found}) for place in range(12, 26)) > 16


def test_a_question_since_ever_finds_what_one_since_yesterday_does(at):
    at.stage(at.build())
    found = ask(at.database, 4)
    assert found
    assert ask(at.database, 4, since=datetime(1, 1, 1, tzinfo=UTC)) == found
