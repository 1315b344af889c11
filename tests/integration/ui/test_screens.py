"""Screens of the work: builds, stagings and locks, and the actions on them."""

import re
from datetime import UTC, datetime, timedelta
from http.cookies import SimpleCookie
from pathlib import Path
from urllib.parse import quote

import pytest

from staging_api.db.engine import Database
from staging_api.errors import LockLost, Unavailable
from staging_api.locks import store
from staging_api.locks.hold import hold
from staging_api.locks.model import ARCHIVE
from staging_api.locks.service import LockService
from staging_api.processes.services import Services
from staging_api.publishing.apt_archives import AptArchiveService
from staging_api.publishing.model import ArchiveAttention
from staging_api.staging.repository.upload_rows import begin_upload_wait
from staging_api.ui.formats import build_url
from tests.factories import ORIGIN, lock_request
from tests.integration.ui.conftest import Builds
from tests.pages import Page, Site, process, site_over
from tests.rows import select


def path(page: Page) -> str:
    """Return the path of a redirect, without its message."""
    assert page.status == 303, page.text
    return page.headers["Location"].partition("done=")[0].rstrip("?&")


def test_now_says_what_runs_and_what_failed_by_its_cause(site: Site, builds: Builds):
    queued = builds.services.stagings.check_request(builds.add("R1"), ())
    builds.services.stagings.queue(queued, ORIGIN)
    builds.staged("R2", other_txt=b"")
    builds.staged("R3", other_txt=b"")
    page = site.get("/")
    assert page.title.startswith("2 stagings failed in the last hour")
    assert page.all("tr", **{"data-key": "f-artifact_not_found-payload-suites"})
    assert "R1" in page.text
    assert "queued" in page.text


def test_now_says_that_no_worker_is_seen_while_something_waits(site: Site, builds: Builds):
    queued = builds.services.stagings.check_request(builds.add("R1"), ())
    builds.services.stagings.queue(queued, ORIGIN)
    assert site.get("/").title.startswith("No worker is seen, and 3 artifacts to stage")


def test_now_draws_what_the_last_hour_brought(site: Site, builds: Builds):
    builds.staged("R1")
    page = site.get("/")
    assert page.all("rect", **{"class": "c-staged"})
    assert [each.text for each in page.all("b")][:2] == ["1", "2"]


def test_an_empty_service_explains_how_to_begin(site: Site, services: Services):
    page = site.get("/")
    assert "three steps" in page.text
    assert services.settings.sources.rstrip("/") in page.text


def test_builds_are_listed_by_url_and_found_by_its_beginning(site: Site, builds: Builds):
    first, second = builds.staged("R1"), builds.staged("R2")
    page = site.get("/ui/builds")
    assert build_url(first.archive_url) in page.links()
    only = site.get(f"/ui/builds?prefix={second.archive_url}")
    assert build_url(second.archive_url) in only.links()
    assert build_url(first.archive_url) not in only.links()
    none = site.get("/ui/builds?prefix=gs://nothing/")
    assert "No build has a URL that begins so." in none.text
    assert "/ui/builds" in none.links()


def test_a_build_shows_its_artifacts_files_stagings_and_locks(site: Site, builds: Builds):
    staging = builds.staged("R1")
    page = site.get(build_url(staging.archive_url))
    assert page.title.startswith("R1 staged")
    (payload,) = [each for each in staging.artifacts if each.name == "payload"]
    assert f"/static/{payload.path}" in page.links()
    assert page.all("button", **{"data-copy": payload.sha256 or ""})
    assert f"/ui/stagings/{staging.id}" in page.links()
    assert f"/ui/locks/{staging.lock_id}" in page.links()
    folder = next(link for link in page.links() if link.endswith("in=suites%2F"))
    assert "control" in site.get(folder).text


def test_a_build_shows_its_ten_newest_locks_and_those_of_no_other(
    site: Site, builds: Builds, services: Services
):
    staging, other = builds.staged("R1"), builds.staged("R2")
    for _ in range(9):
        with hold(services.locks, ARCHIVE, staging.archive_url, ORIGIN):
            pass
    with hold(services.locks, ARCHIVE, staging.archive_url, ORIGIN) as held:
        page = site.get(build_url(staging.archive_url))
    shown = [link for link in page.links() if re.fullmatch(r"/ui/locks/\w{26}", link)]
    assert len(shown) == 10
    assert shown[0] == f"/ui/locks/{held.lease.id}"
    assert not {f"/ui/locks/{each.lock_id}" for each in (staging, other)} & set(shown)


def test_what_was_evicted_later_and_what_is_not_there_are_shown_as_such(site: Site, builds: Builds):
    staging = builds.staged("R1")
    page = site.get(f"/ui/stagings/{staging.id}")
    whole = f"{len(staging.artifacts)} of {len(staging.artifacts)} artifacts"
    assert whole in page.text
    (payload,) = (each for each in staging.artifacts if each.name == "payload")
    builds.services.stagings.artifacts.evict(payload.id, ORIGIN)
    assert whole in site.get(f"/ui/stagings/{staging.id}").text
    (lacking,) = (each for each in staging.artifacts if each.state == "missing")
    (row,) = site.get(build_url(staging.archive_url)).all("tr", **{"data-key": lacking.id})
    assert "not in the archive" in row.text
    assert "looks for it again" in row.text
    assert "does not have it" in site.get(f"/ui/artifacts/{lacking.id}").text


def test_a_build_that_nobody_asked_for_is_staged_by_its_page(site: Site, builds: Builds):
    url = builds.add("R1")
    page = site.get(build_url(url))
    # Not 404: the page exists where it is requested.
    assert page.status == 200
    assert "No build of this URL was requested." in page.text
    form = page.form("stage")
    assert form["archive_url"] == url
    answer = site.post(build_url(url), form)
    staging = builds.work_on(path(answer).rpartition("/")[2])
    assert staging.state == "staged"
    assert site.get(answer.headers["Location"]).all("p", role="status")[0].text.startswith("Req")


def test_a_form_that_is_sent_twice_is_done_once(site: Site, builds: Builds, database: Database):
    page = site.get(build_url(builds.add("R1")))
    form = page.form("stage")
    first, second = (site.post("/ui/builds", form) for _ in range(2))
    assert path(first) == path(second)
    assert select(database, "SELECT count(*) FROM stagings") == [(1,)]
    other = site.post("/ui/builds", {**form, "artifacts": "suites"})
    assert other.status == 422
    assert "sent before with other values" in other.text


def test_a_url_outside_of_the_sources_cannot_be_staged(site: Site):
    page = site.get(build_url("gs://elsewhere/R1"))
    assert page.status == 404
    assert "it lies outside of the allowed sources" in page.text
    assert not [form for form in page.forms if form.fields.get("action") == "stage"]


def test_a_build_whose_source_is_allowed_no_more_is_shown_and_cannot_be_staged(
    builds: Builds, database_url: str, tmp_path: Path
):
    staging = builds.staged("R1")
    with process(database_url, tmp_path, sources="gs://elsewhere/") as later:
        page = site_over(later).get(build_url(staging.archive_url))
    assert page.status == 200
    assert "This build cannot be staged" in page.text
    assert f"/ui/stagings/{staging.id}" in page.links()
    assert not [form for form in page.forms if form.fields.get("action") == "stage"]


def test_a_staging_shows_its_way_its_events_and_that_the_chain_is_whole(
    site: Site, builds: Builds, database: Database
):
    staging = builds.staged("R1")
    page = site.get(f"/ui/stagings/{staging.id}")
    assert page.title.startswith("R1 staged")
    assert f"{staging.events_count} events, chain whole" in page.text
    assert page.all("rect", **{"class": "l-done"})
    with database.begin() as conn:
        conn.exec_driver_sql("SET LOCAL session_replication_role = 'replica'")
        conn.exec_driver_sql("UPDATE staging_events SET actor = 'mallory' WHERE number = 1")
    assert "event 1: it was altered" in site.get(f"/ui/stagings/{staging.id}").text


def test_a_cause_that_artifacts_share_is_told_once(site: Site, builds: Builds):
    stagings = builds.services.stagings
    request = stagings.check_request(f"file://{builds.folder}/nothing", ())
    staging = builds.work_on(stagings.queue(request, ORIGIN).id)
    told = [each.failure.message for each in staging.artifacts if each.failure]
    assert (len(told), len(set(told))) == (len(staging.artifacts), 1)
    page = site.get(build_url(staging.archive_url))
    assert page.text.count(told[0]) == 1
    assert page.text.count("for the same reason as") == len(told) - 1


def test_stagings_are_listed_by_state_error_and_caller(site: Site, builds: Builds):
    stagings = builds.services.stagings
    staged, failed = builds.staged("R1"), builds.staged("R2", other_txt=b"")
    waits = stagings.queue(stagings.check_request(builds.add("R3"), ()), ORIGIN)
    assert failed.failure
    links = {f"/ui/stagings/{each.id}": each for each in (staged, failed, waits)}

    def found(query: str) -> list[str]:
        page = site.get(f"/ui/stagings{query}")
        return [links[link].state for link in page.links() if link in links]

    assert found("") == ["queued", "failed", "staged"]
    assert found("?state=unfinished") == ["queued"]
    assert found(f"?state=failed&error_code={failed.failure.code}") == ["failed"]
    assert found("?error_code=no_such") == []
    assert found(f"?caller={ORIGIN.caller}&state=staged") == ["staged"]
    assert found("?after=" + failed.id) == ["staged"]
    assert site.get("/ui/stagings?state=lost").status == 400
    now = site.get("/")
    (link,) = [link for link in now.links() if "error_code=" in link]
    assert found(link.removeprefix("/ui/stagings")) == ["failed"]


def test_without_a_script_only_pages_with_nothing_to_fill_in_load_themselves_again(
    site: Site, builds: Builds, database: Database
):
    stagings = builds.services.stagings
    waits = stagings.queue(stagings.check_request(builds.add("R1"), ()), ORIGIN)
    with database.connect() as conn:
        lock = lock_request("gs://b/R1")
        store.acquire(conn, lock)
    again = {
        path: bool(site.get(path).all("meta", **{"http-equiv": "refresh"}))
        for path in ("/", f"/ui/stagings/{waits.id}", "/ui/wall", f"/ui/locks/{lock.id}")
    }
    assert list(again.values()) == [True, True, True, False]


def test_a_failed_staging_says_why_and_is_asked_again(site: Site, builds: Builds):
    staging = builds.staged("R1", other_txt=b"")
    page = site.get(f"/ui/stagings/{staging.id}?only=failures")
    assert "Why it failed" in page.text
    assert page.title.startswith("R1 failed")
    builds.add("R1")
    answer = site.post(f"/ui/stagings/{staging.id}", page.form("stage_again"))
    assert builds.work_on(path(answer).rpartition("/")[2]).state == "staged"


def test_a_staging_is_cancelled(site: Site, builds: Builds):
    stagings = builds.services.stagings
    staging = stagings.queue(stagings.check_request(builds.add("R1"), ()), ORIGIN)
    page = site.get(f"/ui/stagings/{staging.id}")
    assert path(site.post(f"/ui/stagings/{staging.id}", page.form("cancel")))
    assert stagings.find(staging.id).state == "cancelled"


def test_locks_show_who_holds_them_and_one_is_broken_with_a_reason(
    site: Site, builds: Builds, services: Services, database: Database
):
    url = builds.add("R1")
    with pytest.raises(LockLost), hold(services.locks, ARCHIVE, url, ORIGIN) as held:
        page = site.get("/ui/locks")
        assert page.title.startswith("1 lock held")
        link = f"/ui/locks/{held.lease.id}"
        assert link in page.links()
        form = site.get(link).form("break")
        short = site.post(link, {**form, "reason": "x", "typed": "R1"})
        assert short.status == 400
        assert short.all("span", id="wrong-reason")
        mistyped = site.post(link, {**form, "reason": "it hangs", "typed": "R2"})
        assert mistyped.status == 400
        assert "must be R1" in mistyped.all("span", id="wrong-typed")[0].text
        assert mistyped.all("textarea")[0].text == "it hangs"
        assert path(site.post(link, {**form, "reason": "it hangs", "typed": "R1"})) == link
    assert select(database, "SELECT outcome, ended_by, reason FROM api_locks") == [
        ("broken", "anonymous", "it hangs")
    ]
    assert "it hangs" in site.get("/ui/locks?state=all").text


def test_a_lock_that_is_held_refuses_a_form_with_its_holder(
    site: Site, builds: Builds, database: Database
):
    url = builds.add("R1")
    form = site.get(build_url(url)).form("stage")
    with database.connect() as conn:
        lock = lock_request(url)
        store.acquire(conn, lock)
    page = site.post(build_url(url), form)
    assert page.status == 409
    assert f"/ui/locks/{lock.id}" in page.links()
    (countdown,) = (each for each in page.all("b") if "data-countdown" in each.attributes)
    assert countdown.text == page.headers["Retry-After"]
    # Sent again while the lock is held: the same response; afterwards: the staging itself.
    again = page.form("stage")
    assert {**again, "artifacts": again["artifacts"].split("\n")} == form
    assert site.post(build_url(url), again).status == 409
    LockService(database).break_lock(lock.id, "operator", "its holder is gone")
    assert path(site.post(build_url(url), again)).startswith("/ui/stagings/")


def test_an_upload_that_is_waited_for_is_named_with_its_limit(
    site: Site, builds: Builds, database: Database
):
    stagings = builds.services.stagings
    waits, other = (
        stagings.queue(stagings.check_request(builds.add(name), ()), ORIGIN)
        for name in ("R1", "R2")
    )
    with database.begin() as conn:
        begin_upload_wait(conn, waits.id, "payload", 90.0)
    page = site.get("/")
    assert "2, 1 of them wait for an upload" in page.text
    row, others = (page.all("tr", **{"data-key": each.id})[0].text for each in (waits, other))
    assert "waits for the upload of payload, at most" in row
    assert "waits for" not in others


def test_history_of_locks_turns_its_pages_from_the_newest(
    site: Site, services: Services, database: Database
):
    for number in range(60):
        with hold(services.locks, ARCHIVE, f"gs://b/R{number}", ORIGIN):
            pass
    assert database
    page = site.get("/ui/locks?state=all")
    names = re.findall(r"gs://b/R(\d+)", page.text)
    assert names == [str(number) for number in range(59, 9, -1)]
    after = next(link for link in page.links() if "after=" in link)
    assert re.findall(r"gs://b/R(\d+)", site.get(after).text) == [str(n) for n in range(9, -1, -1)]


def test_a_form_that_met_an_outage_is_not_sent_again_by_itself(
    site: Site, database: Database, monkeypatch: pytest.MonkeyPatch
):
    with database.connect() as conn:
        lock = lock_request("gs://b/R1")
        store.acquire(conn, lock)

    def away(*_: object) -> None:
        raise Unavailable("the database cannot be reached")

    where = f"/ui/locks/{lock.id}"
    with monkeypatch.context() as patched:
        patched.setattr(LockService, "find", away)
        assert "data-reload" in site.get(where).html
        form = {"action": "break", "reason": "it <hangs>", "typed": "R1"}
        page = site.post(where, form)
    assert page.status == 503
    # A browser that reloads the response to a form sends the form again.
    assert "data-reload" not in page.html
    assert not page.all("meta", **{"http-equiv": "refresh"})
    assert "It is unknown whether it was carried out" in page.text
    assert page.form("break") == form
    assert site.post(where, page.form("break")).status == 303
    refused = site.post(where, {**form, "typed": "R2"})
    assert "must be R1" in refused.text
    assert "Break this lock" not in refused.text


def test_history_of_locks_shows_those_that_ended_in_one_way(
    site: Site, services: Services, database: Database
):
    with hold(services.locks, ARCHIVE, "gs://b/released", ORIGIN):
        pass
    with database.connect() as conn:
        lock = lock_request("gs://b/broken")
        store.acquire(conn, lock)
        store.break_lock(conn, lock.id, "operator", "it hangs")
    page = site.get("/ui/locks?state=all&outcome=broken")
    assert "gs://b/broken" in page.text
    assert "gs://b/released" not in page.text
    assert page.all("option", selected="")[0].text == "broken"
    assert "No grant" in site.get("/ui/locks?state=all&outcome=expired").text
    assert site.get("/ui/locks?state=all&outcome=lost").status == 400


def test_now_says_how_long_stagings_took_and_that_the_store_is_full(
    site: Site, builds: Builds, monkeypatch: pytest.MonkeyPatch
):
    assert "99th percentile" not in site.get("/").text
    builds.staged("R1")
    shown = site.get("/")
    assert "median of the last 1 staging;" in shown.text
    assert "The store is" not in shown.text
    monkeypatch.setattr("staging_api.ui.attention.used_share", lambda _: 0.93)
    full = site.get("/")
    assert "The store is 93% full" in full.text
    assert "/ui/store" in full.links()


def test_now_says_what_needs_a_person(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "Needs you" not in site.get("/").text
    monkeypatch.setattr(
        "staging_api.ui.attention.expiry_warning", lambda _key, _now: "The key expires"
    )
    waits = ArchiveAttention("tools", "decision", 3, datetime.now(UTC) - timedelta(hours=50), None)
    monkeypatch.setattr(AptArchiveService, "needing_attention", lambda _: [waits])
    shown = site.get("/")
    assert shown.title.startswith("The key expires: extend or replace it")
    assert "Uploads to tools wait for a decision" in shown.text
    assert "2 d 1 h ago" in shown.text.replace("2 d 2 h", "2 d 1 h")
    assert {"/ui/apt", "/ui/apt/tools"} <= set(shown.links())


def test_an_artifact_is_pinned_unpinned_and_evicted(site: Site, builds: Builds, database: Database):
    staging = builds.staged("R1")
    here = build_url(staging.archive_url)
    form = site.get(here).form("pin")
    until = (datetime.now(UTC) + timedelta(days=2)).date().isoformat()
    assert site.post(here, {**form, "until": "soon"}).status == 400
    assert path(site.post(here, {**form, "until": until})) == here
    refused = site.post(here, {**form, "action": "evict"})
    assert refused.status == 409
    assert "is pinned until" in refused.text
    assert path(site.post(here, site.get(here).form("unpin"))) == here
    assert path(site.post(here, {**form, "action": "evict"})) == here
    states = select(database, "SELECT state FROM staged_artifacts ORDER BY state")
    assert [state for (state,) in states] == ["evicted", "missing", "staged"]


@pytest.mark.parametrize("what", ["staging", "lock", "sha256", "url", "path", "artifact", "name"])
def test_search_leads_to_the_page_of_what_was_pasted(site: Site, builds: Builds, what: str):
    staging = builds.staged("R1")
    payload = next(each for each in staging.artifacts if each.name == "payload")
    pasted, page = {
        "staging": (staging.id.lower(), f"/ui/stagings/{staging.id}"),
        "lock": (staging.lock_id, f"/ui/locks/{staging.lock_id}"),
        "sha256": (payload.sha256, f"/ui/content/{payload.sha256}"),
        "url": (f"{staging.archive_url}/", build_url(staging.archive_url)),
        "path": (f"/static/{payload.path}", f"/ui/artifacts/{payload.id}"),
        "name": ("R1", build_url(staging.archive_url)),
        "artifact": (payload.id, f"/ui/artifacts/{payload.id}"),
    }[what]
    answer = site.get(f"/ui/search?q={pasted}")
    assert (answer.status, answer.headers["Location"]) == (303, page)


@pytest.mark.parametrize("text", ["http://[::1", "http://h:x/static/a/b", "gs://[", "://"])
def test_search_takes_what_is_no_url_for_a_build_that_is_not_there(site: Site, text: str):
    answer = site.get(f"/ui/search?q={quote(text)}")
    assert (answer.status, answer.headers["Location"]) == (303, build_url(text))


def test_search_lists_stagings_of_a_caller_and_says_when_nothing_fits(site: Site, builds: Builds):
    staging = builds.staged("R1")
    builds.staged("R2")
    assert f"/ui/stagings/{staging.id}" in site.get(f"/ui/search?q={ORIGIN.caller}").links()
    assert "Nothing here is called <nobody>" in site.get("/ui/search?q=<nobody>").text


def test_a_badge_has_the_name_and_the_state(site: Site, builds: Builds):
    staging = builds.staged("R1<&")
    answer = site.client.simulate_get("/ui/badge", params={"u": staging.archive_url})
    assert answer.headers["Content-Type"] == "image/svg+xml"
    # A badge that is opened by itself is a document of this origin.
    assert answer.headers["Content-Security-Policy"] == "default-src 'none'"
    assert ">R1%3C&amp;<" in answer.text
    assert ">staged<" in answer.text
    assert site.client.simulate_get("/ui/badge", params={"u": "gs://b/x"}).status_code == 404


@pytest.mark.parametrize("path", ["/ui/stagings/01M8KHZ6PCZE3XYJXC573E5JBW", "/ui/locks/x"])
def test_what_is_not_there_is_a_page_that_says_so(site: Site, path: str):
    page = site.get(path)
    assert page.status == 404
    assert "there is no" in page.text


def test_colours_are_chosen_without_a_script(site: Site):
    answer = site.post("/ui/theme?back=/ui/locks", {})
    assert answer.headers["Location"] == "/ui/locks"
    (chosen,) = SimpleCookie(answer.headers["Set-Cookie"]).values()
    assert (chosen.key, chosen.value) == ("staging-theme", "light")
    assert (chosen["max-age"], chosen["path"], chosen["samesite"]) == ("31536000", "/", "Strict")
    # Our script writes the cookie too, also on pages without TLS.
    assert (chosen["httponly"], chosen["secure"]) == ("", "")
    # A program that does not name the page of its request may call the API, and sets no cookie.
    assert site.post("/ui/theme", {}, Accept_Language="en").status == 403
    page = site.get("/", Cookie="staging-theme=dark")
    assert page.all("html")[0].attributes["data-theme"] == "dark"
    assert site.post("/ui/theme?back=//evil.example/", {}).headers["Location"] == "/"
    strange = site.get("/", Cookie="staging-theme=<b>")
    assert strange.all("html")[0].attributes["data-theme"] == "auto"
