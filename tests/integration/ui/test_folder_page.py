"""Folders of staged files: a dashboard page for browsers, the previous JSON for programs."""

from staging_api.db.engine import Database
from tests.integration.ui.conftest import Builds
from tests.pages import Site
from tests.rows import select
from tests.stagings import packed

HOSTILE = "<img src=x onerror=alert(1)>'&.bin"


def folder_of(builds: Builds, **files: bytes) -> str:
    """Stage a build whose suites archive has these files; return the path of their folder."""
    members = {f"suites/{name}": content for name, content in files.items()}
    staging = builds.staged("R17-5", payload_bin=b"payload", suites_tgz=packed(members))
    suites = next(each for each in staging.artifacts if each.name == "suites")
    return f"/static/{suites.path}suites/"


def test_a_browser_sees_a_folder_with_its_place_and_digests(site: Site, builds: Builds) -> None:
    path = folder_of(builds, **{"control": b"12", "deep/one": b"1"})
    page = site.get(path, Accept="text/html")
    assert page.status == 200
    assert page.title.startswith("suites/")
    assert {"./control", "./deep/", "../"} <= set(page.links())
    (control,) = (row for row in page.all("tr") if "control" in row.text)
    assert "2 bytes" in control.text
    assert "curl -fsS -o control" in control.text
    crumb = "/".join(path.split("/")[:-2]) + "/"
    assert crumb in page.links()
    assert page.headers["vary"] == "Accept"


def test_a_program_gets_json_from_the_same_address(site: Site, builds: Builds) -> None:
    path = folder_of(builds, control=b"12", other=b"3")
    for accept in ("*/*", "application/json", ""):
        listed = site.client.simulate_get(path, headers={"Accept": accept} if accept else {})
        assert [each["name"] for each in listed.json["items"]] == ["control", "other"]


def test_pages_of_a_folder_follow_each_other(site: Site, builds: Builds) -> None:
    path = folder_of(builds, a=b"1", b=b"2", c=b"3")
    page = site.get(f"{path}?limit=2", Accept="text/html")
    assert "?after=b" in page.links()
    following = site.get(f"{path}?after=b", Accept="text/html")
    assert "./c" in following.links()
    assert "./a" not in following.links()


def test_a_name_is_text_in_the_page_and_one_word_in_the_shell(site: Site, builds: Builds) -> None:
    page = site.get(folder_of(builds, **{HOSTILE: b"x", "plain": b"y"}), Accept="text/html")
    assert page.all("img") == []
    commands = [each.text for each in page.all("pre") if each.text.startswith("curl")]
    assert any("""'<img src=x onerror=alert(1)>'"'"'&.bin'""" in each for each in commands)


def test_a_folder_in_which_nothing_is_staged_is_not_found(site: Site, builds: Builds) -> None:
    path = folder_of(builds, a=b"1", b=b"2")
    assert (
        site.client.simulate_get(f"{path}nothing/", headers={"Accept": "text/html"}).status_code
        == 404
    )


def test_the_sql_of_a_folder_selects_its_files_and_those_of_no_other(
    site: Site, builds: Builds, database: Database
) -> None:
    path = folder_of(builds, **{"control": b"12", "it's/one": b"1", "its/two": b"2"})
    builds.staged("R17-50", suites_tgz=packed({"suites/other": b"3"}))
    for below, names in (("", ["control", "it's/one", "its/two"]), ("it's/", ["it's/one"])):
        statement = site.get(f"{path}{below}", Accept="text/html").copies()["SQL"]
        found = [row[0] for row in select(database, statement.replace(":", r"\:"))]
        assert sorted(found) == [f"{path.removeprefix('/static/')}{name}" for name in names]
