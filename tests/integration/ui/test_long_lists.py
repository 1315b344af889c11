"""Lists longer than a page: as many rows as a reader can take in, and the way to the rest."""

from staging_api.db.engine import Database
from staging_api.locks import store
from staging_api.locks.model import IDEMPOTENCY
from staging_api.processes.services import Services
from staging_api.ui.formats import build_url
from tests.documents import document, policy, stream
from tests.factories import ORIGIN, lock_request
from tests.integration.ui.conftest import Builds
from tests.integration.ui.test_service_screens import beat
from tests.pages import Page, Site
from tests.rows import execute
from tests.service import API
from tests.stagings import packed


def rows(page: Page, caption: str) -> int:
    """How many rows the table of this caption has."""
    table = page.html.partition(f">{caption}</caption>")[2].partition("</table>")[0]
    assert table, f"no table {caption}"
    return table.count("<tr") - 1


def more(page: Page) -> str:
    """The address of the page after this one."""
    (link,) = [each for each in page.all("a") if each.text in ("Next page", "More files")]
    return link.attributes["href"]


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
    assert rows(site.get("/ui/search?q=R"), "What fits") == 20


def test_what_failed_and_what_runs_on_now(
    site: Site, builds: Builds, services: Services, database: Database
) -> None:
    failed = builds.staged("R", other_txt=b"")
    beat(database, "worker-1", kind="worker")
    for number in range(101):
        url = builds.add(f"R{number:03}")
        services.stagings.queue(services.stagings.check_request(url, ()), ORIGIN)
    # However many are newer than it.
    page = site.get("/")
    assert page.title.startswith("1 staging failed in the last hour")
    assert f"/ui/stagings/{failed.id}" in page.links()
    execute(database, "UPDATE stagings SET finished_at = finished_at - interval '61 min'")
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
    assert rows(site.get(build_url(url)), "Stagings") == 10


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
    # Locks of keys are left out unless they are wanted, or one is named.
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
    # The numbers are of all, wherever the only worker stands.
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
    for _ in range(21):
        site.post("/ui/apt/tools", {"action": "publish"})
    assert rows(site.get("/ui/apt/tools"), "Runs of the publisher, newest first") == 20
    assert "Nothing was published yet" in site.get("/ui/apt/other").text


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
