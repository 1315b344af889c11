"""Screens for auditors and programmers: questions, proof of the record, and the API reference."""

import csv
import io
import json
from collections.abc import Iterator
from urllib.parse import urlencode

import pytest

from staging_api.db.audit_queries import audit_queries
from staging_api.db.engine import Database
from staging_api.identity.issuing import add_to_file, make_token
from staging_api.identity.model import Role
from staging_api.processes.services import Services
from tests.contract import of_this_version
from tests.integration.ui.conftest import Builds
from tests.pages import Site, process, site_over
from tests.rows import execute

QUESTIONS = {query.name: query for query in audit_queries()}
HOSTILE = "=HYPERLINK(1)<img src=x onerror=alert(1)>"


def test_every_question_is_a_link_to_its_form_with_its_sql(site: Site) -> None:
    page = site.get("/ui/audit")
    for name, query in QUESTIONS.items():
        assert f"/ui/audit?question={name}" in page.links()
        assert query.question in page.text
        one = site.get(f"/ui/audit?question={name}")
        assert one.status == 200
        assert one.all("details", id="sql")[0].text.endswith(f"{query.sql};")
        inputs = [each.attributes["name"] for each in one.all("input", type="text")]
        assert inputs == [f"p.{parameter}" for parameter in query.parameters]


def test_a_question_is_answered_as_a_table_and_as_a_file(
    site: Site, builds: Builds, database: Database
) -> None:
    staging = builds.staged("R1")
    execute(database, "UPDATE stagings SET caller = :caller", caller=HOSTILE)
    query = urlencode({"question": "staged-by", "run": "yes", "p.caller": HOSTILE})
    page = site.get(f"/ui/audit?{query}")
    assert staging.id in page.text
    assert "payload" in page.text
    (link,) = [link for link in page.links() if link.startswith("/ui/audit/csv?")]
    path, _, rest = link.partition("?")
    answer = site.client.simulate_get(path, query_string=rest)
    assert answer.headers["Content-Type"].startswith("text/csv")
    assert answer.headers["Content-Disposition"] == 'attachment; filename="staged-by.csv"'
    assert answer.headers["Content-Security-Policy"] == "default-src 'none'"
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert {row["name"] for row in rows} == {"payload", "suites", "notes"}
    assert {row["id"] for row in rows} == {staging.id}


def test_a_file_has_no_cell_that_a_spreadsheet_runs(
    site: Site, builds: Builds, database: Database
) -> None:
    builds.staged("R1")
    execute(database, "UPDATE staged_artifacts SET evict_reason = NULL, name = '=1+1' || name")
    answer = site.client.simulate_get("/ui/audit/csv", params={"question": "unverified"})
    cells = [cell for row in csv.reader(io.StringIO(answer.text)) for cell in row]
    assert any(cell.startswith("'=1+1") for cell in cells)
    assert not any(cell.startswith("=") for cell in cells)


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("question=staged-by&run=yes", "needs caller"),
        ("question=evicted&run=yes&p.since=soon", "is no time"),
        ("question=evicted&run=yes&p.since=9999-12-31T23:59:59-10:00", "is no time"),
        ("question=evicted&run=yes&p.other=1", "takes since"),
    ],
    ids=["missing", "no-time", "beyond-time", "unknown"],
)
def test_a_wrong_parameter_is_said(site: Site, query: str, words: str) -> None:
    page = site.get(f"/ui/audit?{query}")
    assert page.status == 400
    assert words in page.text or words in page.html


def test_a_question_that_is_none_is_not_found(site: Site) -> None:
    assert site.get("/ui/audit?question=nothing").status == 404
    assert site.client.simulate_get("/ui/audit/csv?question=nothing").status_code == 404


def test_the_record_is_verified_and_a_break_is_shown(
    site: Site, builds: Builds, database: Database
) -> None:
    staging = builds.staged("R1")
    form = site.get("/ui/audit").form("verify")
    whole = site.post("/ui/audit", form)
    assert whole.title.startswith("The record is whole")
    assert "of 1 stagings" in whole.text
    with database.begin() as conn:
        conn.exec_driver_sql("SET LOCAL session_replication_role = 'replica'")
        conn.exec_driver_sql("UPDATE staging_events SET actor = 'other' WHERE number = 2")
    broken = site.post("/ui/audit", form)
    assert broken.title.startswith("The record is broken")
    assert f"staging {staging.id}, event 2" in broken.text
    wrong = site.post("/ui/audit", {**form, "since": "soon"})
    assert (wrong.status, "wrong-since" in wrong.html) == (400, True)


def test_every_operation_of_the_document_has_its_page(site: Site) -> None:
    index = site.get("/ui/api")
    assert len(index.html) < 60_000
    paths = of_this_version()["paths"]
    shown = [operation for path in paths.values() for operation in path.values()]
    for operation in shown:
        assert f"/ui/api?op={operation['operationId']}" in index.links()
    for operation in shown[::7]:
        page = site.get(f"/ui/api?op={operation['operationId']}")
        assert page.status == 200
        assert operation["summary"] in page.text
    assert site.get("/ui/api?op=nothing").status == 404


def test_an_example_is_spread_over_lines_where_it_is_read_and_one_line_where_it_is_copied(
    site: Site,
) -> None:
    for operation, name, value in (
        ("update_suite", "auto_accept", "true"),
        ("prune_store", "idle_seconds", "604800"),
    ):
        page = site.get(f"/ui/api?op={operation}")
        assert page.all("pre")[0].text == f'{{\n  "{name}": {value}\n}}'
        assert json.dumps({name: json.loads(value)}) in page.copies()["curl"]


def test_trying_a_get_makes_its_address_and_needs_what_is_in_the_path(
    site: Site, services: Services
) -> None:
    made = site.get("/ui/api?op=list_stagings&try=yes&p.state=failed&p.caller=a%26b%3Cc")
    assert "/api/v1.0/stagings?state=failed&caller=a%26b%3Cc" in made.links()
    missing = site.get("/ui/api?op=get_staging&try=yes")
    assert "Fill in staging_id." in missing.text
    path = site.get("/ui/api?op=get_staging&try=yes&p.staging_id=a/b")
    assert "/api/v1.0/stagings/a%2Fb" in path.links()


@pytest.fixture(scope="module")
def signed(
    database_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Site, Site]]:
    """Yield pages with authentication: without a credential, and for an auditor."""
    home = tmp_path_factory.mktemp("signed")
    tokens = home / "tokens.yaml"
    token, lines = make_token("reader", [Role.AUDITOR], 1)
    add_to_file(tokens, lines)
    with process(database_url, home, auth="tokens", tokens_file=tokens) as made:
        yield site_over(made), site_over(made, Authorization=f"Bearer {token}")


def test_an_auditor_asks_and_verifies_and_a_stranger_reads_the_reference_alone(
    signed: tuple[Site, Site], database: Database
) -> None:
    stranger, auditor = signed
    assert stranger.get("/ui/audit").status == 401
    assert stranger.client.simulate_get("/ui/audit/csv?question=unverified").status_code == 401
    assert stranger.get("/ui/api").status == 200
    page = auditor.get("/ui/audit")
    assert auditor.post("/ui/audit", page.form("verify")).status == 200
    tried = auditor.get("/ui/api?op=list_stagings&try=yes")
    assert "/api/v1.0/stagings" not in tried.links()
    assert "from the Authorization header only" in tried.text
