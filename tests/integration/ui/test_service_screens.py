"""Screens about the whole service: store, processes, catalogue, wall."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from staging_api import about
from staging_api.db.engine import Database
from staging_api.heartbeats import rows
from staging_api.heartbeats.model import ProcessDescription, ProcessLoad
from staging_api.identity.issuing import add_to_file, make_token
from staging_api.identity.model import Role
from staging_api.staging.store_report import count_usage
from staging_api.vocabulary.reports import ProcessKind
from tests.factories import ORIGIN
from tests.integration.ui.conftest import Builds
from tests.pages import Page, Site, process, site_over
from tests.rows import execute, select
from tests.stagings import CATALOGUE

SCREENS = ("store", "processes", "catalogue", "wall")
HOSTILE = '"><img src=x onerror=alert(1)>'


def path(page: Page) -> str:
    """Return the path of a redirect, without its message."""
    assert page.status == 303, page.text
    return page.headers["Location"].partition("done=")[0].rstrip("?&")


def beat(
    database: Database,
    name: str,
    kind: ProcessKind = "api",
    build: str = "0123456789ab",
    refused: int = 0,
) -> None:
    described = ProcessDescription(name, kind, "1.0", build, "0029", HOSTILE, 64)
    load = ProcessLoad(busy=3, refused=refused)
    with database.connect() as conn:
        rows.beat(conn, described, load, threads=70, every_seconds=5)


def test_refusals_of_all_processes_that_live_are_one_number(site: Site, database: Database) -> None:
    for name, refused in (("pod-1:1:A", 3), ("pod-2:1:B", 4), ("lost:1:C", 8)):
        beat(database, name, refused=refused)
    execute(
        database,
        "UPDATE service_processes SET seen_at = seen_at - interval '1 h' WHERE name = 'lost:1:C'",
    )
    assert (
        "7 refused in the last minute, because another request held the lock" in site.get("/").text
    )
    assert "7refused in the last minute" in site.get("/ui/processes").text


def test_the_store_shows_its_space_and_what_is_idle_large_and_pinned(
    site: Site, builds: Builds
) -> None:
    first, _ = builds.staged("R1", payload_bin=b"1" * 3000), builds.staged("R2")
    stagings = builds.services.stagings
    pinned = next(each for each in first.artifacts if each.name == "payload")
    stagings.artifacts.pin(pinned.id, datetime.now(UTC) + timedelta(days=1), ORIGIN)
    before = site.get("/ui/store")
    assert "a worker counts it" in before.text
    count_usage(stagings.upkeep)
    page = site.get("/ui/store")
    assert page.title.startswith("Store ")
    assert page.all("rect", **{"class": "u-pinned"})
    assert page.all("tr", **{"data-key": f"p-{pinned.id}"})
    assert not page.all("tr", **{"data-key": f"i-{pinned.id}"})
    assert page.all("tr", **{"data-key": "l-1"})[0].text.startswith("R1")


def test_a_prune_is_previewed_and_then_done_with_a_reason(
    site: Site, builds: Builds, database: Database
) -> None:
    builds.staged("R1")
    execute(database, "UPDATE staged_artifacts SET staged_at = staged_at - interval '2 days'")
    form = site.get("/ui/store").form("preview")
    preview = path(site.post("/ui/store", {**form, "idle_days": "1", "keep_gb": "0"}))
    page = site.get(preview)
    assert "2 artifacts" in page.text
    assert set(select(database, "SELECT state FROM staged_artifacts")) >= {("staged",)}
    filled = page.form("prune")
    refused = site.post(preview, {**filled, "reason": "x"})
    assert (refused.status, "at least 3" in refused.text) == (400, True)
    reason = f"make room {HOSTILE}"
    done = site.get(path(site.post(preview, {**filled, "reason": reason})))
    assert "2 of 2 artifacts" in done.text
    assert reason in done.text
    assert ("staged",) not in select(database, "SELECT state FROM staged_artifacts")
    assert reason in site.get("/ui/store").text


@pytest.mark.parametrize("number", ["nan", "inf", "1e300", "-1", "many"])
def test_a_preview_of_no_usable_number_is_refused(site: Site, number: str) -> None:
    form = site.get("/ui/store").form("preview")
    assert site.post("/ui/store", {**form, "keep_gb": number}).status == 400
    assert site.post("/ui/store", {**form, "idle_days": number}).status == 400


def test_a_preview_of_nothing_and_one_that_is_gone_say_so(site: Site, builds: Builds) -> None:
    builds.staged("R1")
    form = site.get("/ui/store").form("preview")
    nothing = site.get(path(site.post("/ui/store", {**form, "idle_days": "30"})))
    assert "Nothing would be evicted" in nothing.text
    gone = site.get("/ui/store?prune=01ARZ3NDEKTSV4RRFFQ69G5FAV")
    assert "This preview is gone" in gone.text
    wrong = site.post("/ui/store", {**form, "idle_days": "many"})
    assert (wrong.status, "must be a number" in wrong.text) == (400, True)


def test_processes_show_who_is_lost_and_that_builds_differ(site: Site, database: Database) -> None:
    assert "No process was seen yet" in site.get("/ui/processes").text
    beat(database, "pod-1")
    beat(database, f"pod-2 {HOSTILE}", build="another")
    beat(database, "worker-1", kind="worker")
    execute(
        database,
        "UPDATE service_processes SET seen_at = seen_at - interval '1 min' WHERE name = 'pod-1'",
    )
    page = site.get("/ui/processes")
    assert page.title.startswith("2 processes alive, 1 not seen")
    assert "Processes of 2 builds run at once" in page.text
    assert about.build() in page.text
    assert HOSTILE in page.text


def test_the_catalogue_lists_its_entries_and_those_of_one_archive(
    site: Site, builds: Builds
) -> None:
    for query in ("", f"?u={builds.add('R1')}"):
        page = site.get(f"/ui/catalogue{query}")
        keys = [each.attributes.get("data-key", "") for each in page.all("tr")]
        assert [key.rpartition("-")[2] for key in keys if key] == [
            *("payload", "suites", "notes", "symbols")
        ]
        assert "payload.bin" in page.text
    outside = site.get("/ui/catalogue?u=gs://elsewhere/board/R1")
    assert "outside the allowed sources" in outside.text


def test_a_catalogue_is_tried_against_an_archive_and_nothing_is_staged(
    site: Site, builds: Builds, database: Database
) -> None:
    url = builds.add("R1", payload_bin=b"1", extra_txt=b"2")
    form = site.get("/ui/catalogue").form("try")
    page = site.post("/ui/catalogue", {**form, "archive_url": url, "catalogue": CATALOGUE})
    assert page.status == 200
    assert "found" in page.all("tr", **{"data-key": "r-payload"})[0].text
    assert "missing" in page.all("tr", **{"data-key": "r-suites"})[0].text
    assert "extra.txt" in page.text
    assert select(database, "SELECT count(*) FROM stagings") == [(0,)]
    wrong = site.post("/ui/catalogue", {**form, "archive_url": url, "catalogue": HOSTILE})
    assert (wrong.status, "wrong-catalogue" in wrong.html) == (400, True)
    assert wrong.form("try")["archive_url"] == url


def test_the_wall_has_six_numbers_and_no_controls(site: Site, builds: Builds) -> None:
    builds.staged("R1")
    builds.staged("R2", other_txt=b"")
    page = site.get("/ui/wall")
    tiles = [each for each in page.all("div") if each.attributes["class"].startswith("tile")]
    assert len(tiles) == 6
    assert page.title.startswith("1 failed, 0 under way")


def test_the_wall_warns_of_processes_that_are_not_seen(site: Site, database: Database) -> None:
    for name in ("pod-1:1:A", "pod-2:1:B", "lost:1:C"):
        beat(database, name)

    def last() -> tuple[str, str]:
        tile = site.get("/ui/wall").all("div", **{"data-key": "t-6"})[0]
        return tile.attributes["class"].strip(), tile.text

    assert last() == ("tile", "3processes alive")
    execute(
        database,
        "UPDATE service_processes SET seen_at = seen_at - interval '1 h' WHERE name = 'lost:1:C'",
    )
    mood, text = last()
    assert mood == "tile warn"
    assert text.endswith("processes alive, 1 not seen")


@pytest.fixture(scope="module")
def viewers(
    database_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Site, Site]]:
    """Yield the pages for a caller without a credential, and for a viewer."""
    home = tmp_path_factory.mktemp("viewers")
    tokens = home / "tokens.yaml"
    token, lines = make_token("reader", [Role.VIEWER], 1)
    add_to_file(tokens, lines)
    with process(database_url, home, auth="tokens", tokens_file=tokens) as made:
        yield site_over(made), site_over(made, Authorization=f"Bearer {token}")


@pytest.mark.parametrize("screen", SCREENS)
def test_a_viewer_sees_each_screen_and_may_press_nothing(
    viewers: tuple[Site, Site], database: Database, screen: str
) -> None:
    stranger, viewer = viewers
    assert stranger.get(f"/ui/{screen}").status == 401
    page = viewer.get(f"/ui/{screen}")
    assert page.status == 200
    for form in (form for form in page.forms if form.fields.get("action")):
        name = form.fields["action"]
        assert viewer.post(f"/ui/{screen}", {**form.fields, "action": name}).status == 403
