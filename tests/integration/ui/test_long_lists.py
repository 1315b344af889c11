"""Lists longer than a page: a limited number of rows, and a link to the rest."""

from collections.abc import Sequence

from sqlalchemy import text

from staging_api.db.engine import Database
from staging_api.locks import store
from staging_api.locks.model import IDEMPOTENCY, new_id
from staging_api.processes.services import Services
from staging_api.ui.formats import build_url
from tests.documents import document, policy, stream
from tests.factories import ORIGIN, lock_request
from tests.integration.ui.conftest import Builds
from tests.integration.ui.test_more_screens import call, upload
from tests.integration.ui.test_service_screens import beat
from tests.pages import Page, Site
from tests.rows import execute
from tests.service import API
from tests.stagings import packed


def rows(page: Page, caption: str) -> int:
    """Return the number of rows of the table with this caption."""
    table = page.html.partition(f">{caption}</caption>")[2].partition("</table>")[0]
    assert table, f"no table {caption}"
    return table.count("<tr") - 1


def more(page: Page) -> str:
    """Return the address of the next page."""
    (link,) = [each for each in page.all("a") if each.text in ("Next page", "More files")]
    return link.attributes["href"]


def copies(database: Database, artifact_id: str, names: Sequence[str]) -> None:
    """Add copies of an artifact's build, one for each name."""
    execute(
        database,
        "INSERT INTO staged_artifacts SELECT (jsonb_populate_record(a, jsonb_build_object("
        "'id', given.id, 'name', given.name, 'path', a.path || given.name))).*"
        " FROM staged_artifacts a, unnest(CAST(:ids AS text[]), CAST(:names AS text[]))"
        " AS given (id, name) WHERE a.id = :of",
        ids=[new_id() for _ in names],
        names=list(names),
        of=artifact_id,
    )


def test_stagings_and_builds(site: Site, builds: Builds, services: Services) -> None:
    stagings = services.stagings
    for number in range(51):
        stagings.queue(stagings.check_request(builds.add(f"R{number:02}"), ()), ORIGIN)
    now = site.get("/")
    assert rows(now, "Newest stagings") == 20
    assert rows(now, "Stagings that run") == 50
    assert "Running50+" in now.text.replace(" ", "")
    first = site.get("/ui/builds")
    assert rows(first, "Builds") == 50
    assert rows(site.get(more(first)), "Builds") == 1
    found = site.get("/ui/search?q=R")
    assert (rows(found, "What fits"), "There are more results" in found.text) == (20, True)
    twenty = site.get("/ui/search?q=R0").text + site.get("/ui/search?q=R4").text
    assert "More fits" not in twenty
    # Twenty of each kind: other kinds are shown whole if they fit.
    asked = site.get(f"/ui/search?q={ORIGIN.caller}")
    assert (rows(asked, "What fits"), "There are more results" in asked.text) == (20, True)


def test_what_failed_and_what_runs_on_now(
    site: Site, builds: Builds, services: Services, database: Database
) -> None:
    failed = builds.staged("R", other_txt=b"")
    beat(database, "worker-1", kind="worker")
    for number in range(101):
        url = builds.add(f"R{number:03}")
        services.stagings.queue(services.stagings.check_request(url, ()), ORIGIN)
    # However many stagings are newer than the failed one.
    page = site.get("/")
    assert page.title.startswith("1 staging failed in the last hour")
    assert f"/ui/stagings/{failed.id}" in page.links()
    execute(database, "UPDATE stagings SET finished_at = finished_at - interval '61 min'")
    # Renewed: on a busy machine the requests above take longer than a beat counts.
    beat(database, "worker-1", kind="worker")
    assert site.get("/").title.startswith("All is well: 50+ stagings running")
    execute(
        database,
        "UPDATE stagings SET state = 'failed', finished_at = clock_timestamp(),"
        " error_code = 'internal' WHERE finished_at IS NULL",
    )
    assert site.get("/").title.startswith("100+ stagings failed in the last hour")


def test_stagings_of_one_build(site: Site, builds: Builds, services: Services) -> None:
    stagings = services.stagings
    url = builds.add("R1")
    for _ in range(11):
        made = stagings.queue(stagings.check_request(url, ()), ORIGIN)
        stagings.cancel(made.id, ORIGIN)
        shown = site.get(build_url(url))
    assert rows(shown, "Stagings") == 10
    assert rows(site.get(more(shown)), "Stagings") == 1
    for _ in range(10):
        other = stagings.queue(stagings.check_request(builds.add("R2"), ()), ORIGIN)
        stagings.cancel(other.id, ORIGIN)
    whole = site.get(build_url(other.archive_url))
    assert rows(whole, "Stagings") == 10
    assert "Next page" not in whole.text


def test_artifacts_of_a_build_and_pins(site: Site, builds: Builds, database: Database) -> None:
    names = [f"A{number:03}" for number in range(201)]
    one, other = builds.staged("R1"), builds.staged("R2")
    for staging, count in ((one, 201), (other, 200)):
        artifact = next(each for each in staging.artifacts if each.name == "payload")
        copies(database, artifact.id, names[: count - len(staging.artifacts)])
    page = site.get(build_url(one.archive_url))
    assert rows(page, "Artifacts of R1") == 200
    assert rows(site.get(more(page)), "Artifacts of R1") == 1
    # Of an artifact that was staged again, only the newest row is shown, on whichever page.
    execute(
        database,
        "INSERT INTO staged_artifacts SELECT (jsonb_populate_record(a, jsonb_build_object("
        "'id', '01A' || substr(id, 4), 'state', 'evicted',"
        " 'evicted_at', clock_timestamp(), 'evict_reason', 'asked'))).* FROM staged_artifacts a"
        " WHERE a.archive_url = :url AND name = 'payload'",
        url=other.archive_url,
    )
    whole = site.get(build_url(other.archive_url))
    assert rows(whole, "Artifacts of R2") == 200
    assert "Next page" not in whole.text
    execute(
        database,
        "UPDATE staged_artifacts SET pinned_until = clock_timestamp() + interval '1 day'"
        " WHERE name BETWEEN 'A000' AND 'A009'",
    )
    assert rows(site.get("/ui/store"), "Artifacts that are pinned now") == 20
    assert "Next page" not in site.get("/ui/store").text
    execute(
        database,
        "UPDATE staged_artifacts SET pinned_until = clock_timestamp() + interval '1 day'"
        " WHERE name = 'A010'",
    )
    page = site.get("/ui/store")
    assert rows(page, "Artifacts that are pinned now") == 20
    assert rows(site.get(more(page)), "Artifacts that are pinned now") == 2


def test_files_of_an_artifact_and_of_a_folder(site: Site, builds: Builds) -> None:
    many = packed({f"suites/control.{number:03}": b"c" for number in range(101)})
    staging = builds.staged("R1", payload_bin=b"p", suites_tgz=many)
    (suites,) = (each for each in staging.artifacts if each.name == "suites")
    page = site.get(f"/ui/artifacts/{suites.id}")
    assert rows(page, "Files") == 100
    rest = site.get(more(page))
    assert rows(rest, "Files") == 1
    assert "control.100" in rest.text
    here = build_url(staging.archive_url)
    folder = next(link for link in site.get(here).links() if link.endswith("in=suites%2F"))
    shown = site.get(folder)
    assert rows(shown, "Files") == 100
    assert rows(site.get(more(shown)), "Files") == 1


def test_locks_that_are_held_and_what_hides_among_them(site: Site, database: Database) -> None:
    with database.connect() as conn:
        for number in range(51):
            store.acquire(conn, lock_request(f"gs://b/R{number}"))
        key = lock_request("a key of somebody", kind=IDEMPOTENCY)
        store.acquire(conn, key)
    page = site.get("/ui/locks")
    assert page.title.startswith("50+ locks held")
    assert rows(page, "Locks that are held now") == 50
    rest = site.get(more(page))
    assert rows(rest, "Locks that are held now") == 1
    # Locks of idempotency keys are hidden unless requested, or unless one is named.
    assert key.scope not in rest.text
    named = site.get("/ui/locks?scope=a+key+of+somebody")
    assert (rows(named, "Locks that are held now"), key.scope in named.text) == (1, True)
    with_keys = site.get(more(site.get("/ui/locks?keys=yes")))
    assert rows(with_keys, "Locks that are held now") == 2
    assert key.scope in with_keys.text


def test_processes(site: Site, builds: Builds, services: Services, database: Database) -> None:
    for number in range(201):
        beat(database, f"pod-{number:03}")
    beat(database, "worker-1", kind="worker")
    page = site.get("/ui/processes")
    assert rows(page, "Processes of the service") == 200
    rest = site.get(more(page))
    assert rows(rest, "Processes of the service") == 2
    assert "pod-200" in rest.text
    # The numbers count all rows, whichever process the only worker runs in.
    for each in (page, rest):
        assert each.title.startswith("202 processes alive")
        assert "201API processes 1worker 603 of 12864request places" in each.text
    assert "202processes alive" in site.get("/ui/wall").text
    services.stagings.queue(services.stagings.check_request(builds.add("R1"), ()), ORIGIN)
    assert "worker" not in site.get("/").title


def test_runs_of_an_archive(site: Site) -> None:
    for name in ("tools", "other"):
        archive = {"name": name, "suites": [{"name": "stable"}]}
        assert site.client.simulate_post(f"{API}/apt-archives", json=archive).status_code == 201
    for _ in range(20):
        site.post("/ui/apt/tools", {"action": "publish"})
    assert "Next page" not in site.get("/ui/apt/tools").text
    site.post("/ui/apt/tools", {"action": "publish"})
    page = site.get("/ui/apt/tools")
    assert rows(page, "Runs of the publisher, newest first") == 20
    rest = site.get(more(page))
    assert rows(rest, "Runs of the publisher, newest first") == 1
    assert "First page" in rest.text
    assert "Nothing was published yet" in site.get("/ui/apt/other").text


def test_uploads_that_wait_come_before_those_that_came_after_them(site: Site) -> None:
    for name in ("tools", "other"):
        suites = [
            {"name": name, "architectures": ["amd64"], "auto_accept": name == "open"}
            for name in ("stable", "open")
        ]
        call(site, "POST", "/apt-archives", {"name": name, "suites": suites})
    first, second = upload(site, "first"), upload(site, "second")
    for number in range(21):
        upload(site, f"later{number}", suite="open")
    page = site.get("/ui/apt/tools")
    assert "2 to decide" in page.text
    keys = [each.attributes["data-key"] for each in page.all("tr") if "data-key" in each.attributes]
    # Besides the suites; of the decided ones the newest twenty.
    assert keys[2:5] == [second, first, keys[4]]
    assert rows(page, "Uploads, those to decide first") == 22
    assert "later20" in page.text
    assert "later0_" not in page.text
    assert "0 to decide" in site.get("/ui/apt/other").text
    rest = site.get(more(page))
    assert rows(rest, "Uploads, those to decide first") == 3
    assert "later0_" in rest.text


def test_revisions_of_documents(site: Site) -> None:
    for number in range(51):
        posted = site.client.simulate_post(
            f"{API}/configdocs/one",
            params={"buffermode": "replace"},
            body=stream(policy(), document("one", {"value": number})),
            headers={"Content-Type": "application/x-yaml"},
        )
        assert posted.status_code == 201, posted.text
    page = site.get("/ui/documents")
    assert rows(page, "Revisions, newest first") == 50
    rest = site.get(more(page))
    assert rows(rest, "Revisions, newest first") == 1
    assert "/ui/documents/revisions/1" in rest.links()


def test_locks_on_now_and_on_the_wall_and_who_waits_for_one(site: Site, database: Database) -> None:
    with database.connect() as conn:
        held = lock_request("gs://b/R0")
        store.acquire(conn, held)
        for number in range(1, 100):
            store.acquire(conn, lock_request(f"gs://b/R{number}"))
    assert "100locks held" in site.get("/ui/wall").text
    with database.connect() as conn:
        store.acquire(conn, lock_request("gs://b/R100"))
        for _ in range(51):
            store.wait(conn, lock_request("gs://b/R0"), 60)
    assert "100+locks held" in site.get("/ui/wall").text
    page = site.get(f"/ui/locks/{held.id}")
    assert rows(page, "Requests that wait for this lock, in order") == 50
    assert "51waiting behind it" in page.text
    assert rows(site.get(more(page)), "Requests that wait for this lock, in order") == 1
    execute(database, "UPDATE api_locks SET acquired_at = acquired_at - interval '1 h'")
    page = site.get("/")
    # Other problems and running work must not be below a hundred rows with one cause.
    assert rows(page, "What needs attention") == 11
    assert "90+ locks more, held as long" in page.text
    assert page.title.startswith("100+ locks held for 1 h")


def test_prunes_that_were_done(site: Site, builds: Builds, database: Database) -> None:
    caption = "Prunes that were done"
    for number in range(6):
        builds.staged(f"R{number}")
        execute(database, "UPDATE staged_artifacts SET staged_at = staged_at - interval '2 days'")
        preview = site.post("/ui/store", {"action": "preview", "idle_days": "1"})
        where = preview.headers["Location"]
        form = site.get(where).form("prune")
        done = site.post(where, {**form, "reason": f"reason {number}"})
        assert done.status == 303, done.text
        page = site.get("/ui/store")
        assert rows(page, caption) == min(number + 1, 5)
    assert "reason 5" in page.text
    assert "reason 0" not in page.text
    assert "reason 0" in site.get(more(page)).text


def test_events_of_a_staging(site: Site, builds: Builds, database: Database) -> None:
    for name, count in (("R1", 1000), ("R2", 1001)):
        staging = builds.staged(name)
        with database.begin() as conn:
            conn.exec_driver_sql("SET LOCAL session_replication_role = 'replica'")
            conn.execute(
                text(
                    "INSERT INTO staging_events SELECT (jsonb_populate_record(e,"
                    " jsonb_build_object('number', given.number, 'id', given.id))).*"
                    " FROM staging_events e, unnest(CAST(:ids AS text[]), CAST(:numbers AS int[]))"
                    " AS given (id, number) WHERE e.staging_id = :of AND e.number = 2"
                ),
                {
                    "of": staging.id,
                    "ids": [new_id() for _ in range(staging.events_count, count)],
                    "numbers": list(range(staging.events_count + 1, count + 1)),
                },
            )
            conn.execute(
                text("UPDATE stagings SET events_count = :count WHERE id = :id"),
                {"count": count, "id": staging.id},
            )
        page = site.get(f"/ui/stagings/{staging.id}")
        assert rows(page, "Events") == 1000
        assert ("drawn from the first 1000 events" in page.text) is (count > 1000)
        assert ("Next page" in page.text) is (count > 1000)
    assert rows(site.get(more(page)), "Events") == 1
    assert site.get(f"/ui/stagings/{staging.id}?events_after=x").status == 400


def test_rows_of_an_answer_and_places_of_a_content(
    site: Site, builds: Builds, database: Database
) -> None:
    one = builds.staged("R1", payload_bin=b"1")
    payload = next(each for each in one.artifacts if each.name == "payload")
    where = f"/ui/content/{payload.sha256}"
    made = 1
    for count in (100, 101, 199, 200):
        copies(database, payload.id, [f"A{number:03}" for number in range(made, count)])
        made = count
        page = site.get(where)
        assert f": {min(count, 100)}{'+' if count > 100 else ''} artifacts" in page.title
        answer = site.get("/ui/audit?question=unverified").all("section", id="answer")[0].text
        # The other staged artifacts of the build have no signature either.
        others = sum(each.state == "staged" for each in one.artifacts) - 1
        found = count + others
        assert answer.startswith(f"{min(found, 200)}{'+' if found > 200 else ''} rows")
