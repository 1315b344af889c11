"""Short responses: heads, redirects to other pages, keys of forms, and parts of one build."""

import pytest

from staging_api.db.engine import Database
from staging_api.sizes import size
from staging_api.ui.formats import build_url
from tests.documents import document, policy, stream
from tests.factories import ORIGIN
from tests.integration.ui.conftest import Builds
from tests.integration.ui.test_more_screens import call, upload
from tests.pages import Site
from tests.rows import execute
from tests.stagings import packed


def test_a_head_is_answered_without_a_body(site: Site, builds: Builds) -> None:
    staging = builds.staged("R1")
    style = site.get("/").all("link", rel="stylesheet")[0].attributes["href"]
    badge = {"u": staging.archive_url}
    for path in ("/", "/ui/builds", "/ui/sign-in", style, "/ui/badge"):
        params = badge if path == "/ui/badge" else {}
        headers = {"Accept": "text/html"}
        answer = site.client.simulate_head(path, params=params, headers=headers)
        assert (answer.status_code, answer.content) == (200, b""), path


def test_the_first_screen_is_a_page_or_what_the_api_answers_there(site: Site) -> None:
    assert (site.get("/").status, site.get("/").headers["Vary"]) == (200, "Accept")
    program = site.client.simulate_get("/", headers={"Accept": "application/json"})
    assert (program.status_code, program.headers["Vary"]) == (200, "Accept")
    assert "version" in program.text
    assert "Vary" not in site.get("/ui/builds").headers
    old = site.get("/ui")
    assert (old.status, old.headers["Location"]) == (303, "/")


def test_the_form_to_sign_in_is_there_without_sessions_too(site: Site) -> None:
    page = site.get("/ui/sign-in")
    assert (page.status, page.title.startswith("Sign in")) == (200, True)
    refused = site.post("/ui/sign-in", {"action": "sign_in", "token": "no token"})
    assert refused.status == 400


def test_a_form_that_was_refused_keeps_its_key_or_gets_one(site: Site, builds: Builds) -> None:
    where = build_url(builds.add("R1"))
    form = site.get(where).form("stage")
    refused = site.post(where, {**form, "artifacts": "nothing of it"})
    assert refused.status >= 400
    assert refused.form("stage")["once"] == form["once"]
    without = site.post(where, {**form, "artifacts": "nothing of it", "once": ""})
    assert without.form("stage")["once"] not in ("", form["once"])


def test_a_key_that_no_page_gave_is_refused_and_others_are_taken(
    site: Site, builds: Builds
) -> None:
    where = build_url(builds.add("R1"))
    form = site.get(where).form("stage")
    long = site.post(where, {**form, "once": "0123456789" * 400})
    assert (long.status, "once: must be at most 100 characters" in long.text) == (400, True)
    view = site.post("/ui/audit", {"action": "verify", "once": "1"})
    assert (view.status, "once: is for what changes something" in view.text) == (400, True)
    assert site.post("/ui/audit", {"action": "verify"}).status == 200
    assert site.post(where, {**form, "once": "0123456789" * 10}).status == 303


def test_a_build_shows_the_foreground_first_and_each_folder_on_the_way(
    site: Site, builds: Builds
) -> None:
    members = {"suites/deep/one": b"1", "suites/deep/two": b"2", "suites/three": b"3"}
    staging = builds.staged("R1", payload_bin=b"p", suites_tgz=packed(members))
    where = build_url(staging.archive_url)
    page = site.get(where)
    order = [(a.phase != "foreground", a.name) for a in staging.artifacts]
    shown = [each.text for each in page.all("a", **{"class": "name"})]
    assert shown == [name for _, name in sorted(order)]
    deep = site.get(f"{where}&in=suites%2Fdeep%2F")
    crumbs = [link for link in deep.links() if "in=" in link]
    assert [link.partition("in=")[2] for link in crumbs] == ["suites%2F", "suites%2Fdeep%2F"]
    files = deep.all("section", id="files")[0].text
    assert "one" in files
    assert "two" in files
    assert "three" not in files


@pytest.mark.parametrize(
    ("query", "curl", "cli", "python"),
    [
        ("", "/locks", "locks", "'held'"),
        ("?scope=gs://b/R1", "/locks?scope=gs%3A%2F%2Fb%2FR1", "locks", "'held'"),
        ("?state=all", "/locks?state=all", "locks --all", "'all'"),
        ("?state=other", "/locks", "locks", "'held'"),
    ],
)
def test_a_list_of_locks_is_the_same_for_programs(
    site: Site, query: str, curl: str, cli: str, python: str
) -> None:
    copies = site.get(f"/ui/locks{query}").copies()
    assert copies["curl"].rstrip("'").endswith(f"/api/v1.0{curl}")
    assert copies["command line"].endswith(f"staging-api {cli}")
    assert f"client.locks({python})" in copies["Python"]


def test_an_archive_says_what_its_clients_do_not_see_yet(site: Site, database: Database) -> None:
    for name in ("tools", "other"):
        suite = {"name": "stable", "architectures": ["amd64"]}
        call(site, "POST", "/apt-archives", {"name": name, "suites": [suite]})
        assert "/api/v1.0/apt-archives/" in site.get(f"/ui/apt/{name}").copies()["curl"]
    assert site.get("/ui/apt").title.startswith("2 APT archives")
    upload(site, "first")
    site.post("/ui/apt/tools", {"action": "publish"})
    page = site.get("/ui/apt/tools")
    assert page.title.startswith("tools: generation 1 is live ")
    assert "/api/v1.0/distributions/tools" in page.copies()["curl"]
    execute(database, "UPDATE suites SET dirty_since = clock_timestamp()")
    waits = site.get("/ui/apt/tools").title
    assert waits.startswith("tools: generation 1 is live, changes wait to be published ")
    assert site.get("/ui/apt/other").title.startswith("other: not published yet ")


def test_a_revision_shows_fifty_changes_and_says_that_there_are_more(site: Site) -> None:
    for count, more in ((49, False), (50, True)):
        documents = [document(f"d{number:02}", {"value": count}) for number in range(count)]
        raw = stream(*documents, policy())
        media = {"Content-Type": "application/x-yaml"}
        call(site, "POST", "/configdocs/one?buffermode=replace", raw, **media)
        revision = call(site, "GET", "/document-revisions")["items"][0]["number"]
        page = site.get(f"/ui/documents/revisions/{revision}?old=0")
        assert ("More documents differ" in page.text) is more


def test_the_wall_says_what_was_fetched_and_what_is_not_known_is_no_rate(
    site: Site, builds: Builds
) -> None:
    builds.staged("R1")
    builds.staged("R2", other_txt=b"")
    stagings = builds.services.stagings
    queued = stagings.queue(stagings.check_request(builds.add("R3"), ()), ORIGIN)
    page = site.get("/ui/wall")
    tiles = [page.all("div", **{"data-key": key})[0] for key in ("t-2", "t-3")]
    failed, staged = (" ".join(each.text.split()) for each in tiles)
    assert failed == "1 failed in the last hour"
    assert staged.startswith("1staged in the last hour: ")
    assert staged.endswith(f"fetched, {size(0)} spared")
    assert "/s" not in site.get(f"/ui/stagings/{queued.id}").all("section", id="head")[0].text


@pytest.mark.parametrize(("number", "status"), [("9" * 9, 404), ("9" * 10, 400), ("-1", 400)])
def test_a_number_of_a_revision_has_nine_digits_at_most(
    site: Site, number: str, status: int
) -> None:
    assert site.get(f"/ui/documents/revisions/{number}").status == status
