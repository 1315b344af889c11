"""Browser tab of a page: a dot for the page's mood, and whether the page updates itself."""

import re
from datetime import timedelta

import pytest

from staging_api.db.engine import Database
from staging_api.locks import store
from staging_api.locks.hold import hold
from staging_api.locks.model import ARCHIVE
from staging_api.processes.services import Services
from staging_api.ui.formats import build_url
from tests.factories import ORIGIN, lock_request
from tests.integration.ui.conftest import Builds
from tests.integration.ui.test_service_screens import beat
from tests.pages import Page, Site
from tests.rows import execute
from tests.service import API


def mood(page: Page) -> str:
    (icon,) = page.all("link", rel="icon")
    found = re.fullmatch(r"/ui/assets/icon-(\w+)\.\w+\.svg", icon.attributes["href"])
    assert found is not None
    return found[1]


def tab(page: Page) -> tuple[str, bool]:
    """Return the mood of a page, and whether it is live."""
    return mood(page), "data-live-page" in page.all("body")[0].attributes


def test_pages_of_what_has_ended_are_at_rest_and_show_how_it_ended(
    site: Site, builds: Builds, services: Services
) -> None:
    stagings = services.stagings
    staged, failed = builds.staged("R1"), builds.staged("R2", other_txt=b"")
    queued, cancelled = (
        stagings.queue(stagings.check_request(builds.add(name), ()), ORIGIN)
        for name in ("R3", "R4")
    )
    stagings.cancel(cancelled.id, ORIGIN)
    payloads = [each.artifacts[0] for each in (staged, queued, failed)]
    with hold(services.locks, ARCHIVE, "gs://b/held", ORIGIN) as held:
        assert tab(site.get(f"/ui/locks/{held.lease.id}")) == ("busy", True)
    expected = {
        "/": ("bad", True),
        "/ui/builds": ("ok", True),
        build_url(staged.archive_url): ("ok", True),
        build_url(failed.archive_url): ("bad", True),
        build_url(queued.archive_url): ("busy", True),
        f"/ui/stagings/{staged.id}": ("ok", False),
        f"/ui/stagings/{failed.id}": ("bad", False),
        f"/ui/stagings/{cancelled.id}": ("warn", False),
        f"/ui/stagings/{queued.id}": ("busy", True),
        f"/ui/artifacts/{payloads[0].id}": ("ok", False),
        f"/ui/artifacts/{payloads[1].id}": ("busy", True),
        f"/ui/artifacts/{payloads[2].id}": ("bad", True),
        f"/ui/content/{payloads[0].sha256}": ("ok", False),
        f"/ui/locks/{held.lease.id}": ("ok", False),
        "/ui/wall": ("bad", True),
    }
    assert {path: tab(site.get(path)) for path in expected} == expected
    assert tab(site.get("/ui/stagings/none")) == ("bad", False)
    tried = {**site.get("/ui/catalogue").form("try"), "archive_url": staged.archive_url}
    assert tab(site.post("/ui/catalogue", tried)) == ("ok", False)


def test_pages_of_an_empty_service_are_calm_and_those_that_cannot_change_at_rest(
    site: Site,
) -> None:
    archive = {"name": "tools", "suites": [{"name": "stable"}]}
    assert site.client.simulate_post(f"{API}/apt-archives", json=archive).status_code == 201
    live = (
        "/",
        "/ui/builds",
        "/ui/locks",
        "/ui/apt",
        "/ui/apt/tools",
        "/ui/documents",
        "/ui/store",
    )
    at_rest = (
        *("/ui/catalogue", "/ui/audit", "/ui/audit?question=unverified", "/ui/api"),
        *("/ui/api?op=list_stagings", "/ui/search?q=R1", "/ui/store?prune=none", "/ui/sign-in"),
    )
    pages = {path: site.get(path) for path in (*live, *at_rest)}
    assert {page.status for page in pages.values()} == {200}
    assert {path: tab(page) for path, page in pages.items()} == {
        path: ("ok", path in live) for path in pages
    }


def test_now_is_the_worst_of_what_it_has_to_say(
    site: Site, builds: Builds, services: Services, database: Database
) -> None:
    def now() -> tuple[str, str]:
        page = site.get("/")
        return mood(page), page.title.partition(" · ")[0]

    stagings = services.stagings
    assert now() == ("ok", "All is well: nothing runs")
    beat(database, "worker-1", kind="worker")
    stagings.queue(stagings.check_request(builds.add("R1"), ()), ORIGIN)
    assert now() == ("busy", "All is well: 1 staging running")
    lock = lock_request("gs://b/stuck", lease_seconds=3600)
    with database.connect() as conn:
        store.acquire(conn, lock)
    assert now()[0] == "busy"
    aged = timedelta(seconds=10 * services.locks.lease_seconds + 5)
    execute(database, "UPDATE api_locks SET acquired_at = acquired_at - :aged", aged=aged)
    shown, sentence = now()
    assert (shown, sentence[:16]) == ("warn", "1 lock held for ")
    beat(database, "lost:1:A")
    execute(
        database,
        "UPDATE service_processes SET seen_at = seen_at - interval '1 h' WHERE name = 'lost:1:A'",
    )
    assert now() == ("warn", "1 process not seen: lost:1:A")
    builds.staged("R2", other_txt=b"")
    assert now() == ("bad", "1 staging failed in the last hour")
    execute(database, "UPDATE stagings SET finished_at = finished_at - interval '61 min'")
    assert now()[0] == "warn"


@pytest.mark.parametrize("trouble", ["none", "lost", "builds", "worker"])
def test_processes_are_looked_at_if_one_is_lost_another_build_or_no_worker(
    site: Site, database: Database, trouble: str
) -> None:
    beat(database, "pod-1")
    if trouble != "worker":
        beat(
            database,
            "worker-1",
            kind="worker",
            build="new" if trouble == "builds" else "0123456789ab",
        )
    if trouble == "lost":
        beat(database, "pod-2")
        execute(
            database,
            "UPDATE service_processes SET seen_at = seen_at - interval '1 h' WHERE name = 'pod-2'",
        )
    page = site.get("/ui/processes")
    assert mood(page) == ("ok" if trouble == "none" else "warn")
    # The pods alone: a worker accepts no requests.
    assert "3 of 64request places" in page.text


def test_the_wall_is_busy_while_something_runs_and_warns_of_a_lock_held_long(
    site: Site, builds: Builds, services: Services, database: Database
) -> None:
    def tiles() -> list[tuple[str, str]]:
        page = site.get("/ui/wall")
        found = [each for each in page.all("div") if "tile" in each.attributes["class"].split()]
        return [(each.attributes["class"][5:], " ".join(each.text.split())) for each in found]

    stagings = services.stagings
    stagings.queue(stagings.check_request(builds.add("R1"), ()), ORIGIN)
    with database.connect() as conn:
        store.acquire(conn, lock_request("gs://b/a", lease_seconds=3600))
    assert tiles()[0] == ("busy", "1 staging under way")
    assert tiles()[3][0] == ""
    assert mood(site.get("/ui/wall")) == "busy"
    aged = timedelta(seconds=10 * services.locks.lease_seconds + 5)
    execute(database, "UPDATE api_locks SET acquired_at = acquired_at - :aged", aged=aged)
    assert tiles()[3][0] == "warn"
    assert "lock held, the oldest for" in tiles()[3][1]
    assert mood(site.get("/ui/wall")) == "warn"
