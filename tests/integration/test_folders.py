"""Folders below /static: listed a page at a time, by what the tables say is there."""

import threading

import pytest
from falcon import testing

from staging_api.http.app import create_app
from staging_api.http.bodies import ArtifactBody
from staging_api.shutdown import Shutdown
from staging_api.staging.accesses import Accesses
from staging_api.staging.watch import Watch
from tests.factories import ORIGIN
from tests.parts import parts_of
from tests.stagings import bench, packed

FILES = {
    "suites/a": b"1",
    "suites/a.b": b"22",
    "suites/a0": b"333",
    "suites/a/deep/one": b"4",
    "suites/a/deep/two": b"5",
    "suites/b/three": b"6",
    "suites/ü": b"7",
}


@pytest.fixture
def at(database, database_url, tmp_path):
    with bench(database, database_url, tmp_path) as made:
        yield made


@pytest.fixture
def accesses(at):
    made = Accesses(at.database)
    yield made
    made.close()


@pytest.fixture
def client(at, accesses):
    watch = Watch(at.database, threading.Semaphore(1), Shutdown())
    yield testing.TestClient(create_app(parts_of(at.service, watch, accesses=accesses)))
    watch.close()


def staged(at, **files: bytes) -> str:
    """Stage a build whose suites have these files; gives the folder of the build."""
    names = {name: content for name, content in FILES.items() if name != "suites/a"}
    staging = at.stage(at.build(suites_tgz=packed({**names, **files})), "suites")
    return f"/static/{staging.artifacts[0].path}"


def names(answer) -> list[str]:
    return [item["name"] for item in answer.json["items"]]


def test_the_url_of_an_unpacked_artifact_leads_to_what_is_in_it(at, client):
    url = staged(at)
    assert url.endswith("/R17-1/")
    top = client.simulate_get(url)
    assert (names(top), top.json["next"]) == (["suites/"], None)
    inside = client.simulate_get(top.json["items"][0]["url"])
    assert names(inside) == ["a.b", "a/", "a0", "b/", "ü"]
    file = inside.json["items"][0]
    assert (file["size_bytes"], len(file["sha256"])) == (2, 64)
    assert inside.json["items"][1]["sha256"] is None
    for item in inside.json["items"]:
        assert client.simulate_get(item["url"]).status_code == 200


def test_pages_follow_each_other_without_a_gap(at, client):
    url = staged(at) + "suites/"
    found: list[str] = []
    after = ""
    while after is not None:
        page = client.simulate_get(url, params={"limit": 1, **({"after": after} if after else {})})
        found += names(page)
        after = page.json["next"]
    assert found == ["a.b", "a/", "a0", "b/", "ü"]


def test_a_folder_has_nothing_of_its_neighbour_with_a_longer_name(at, client):
    url = staged(at)
    at.stage(at.build("R17-10", suites_tgz=packed({"other": b"x"})), "suites")
    assert names(client.simulate_get(url)) == ["suites/"]


@pytest.mark.parametrize("path", ["/static/board/", "/static/board/R17-1/nothing/"])
def test_a_folder_in_which_nothing_is_staged_is_not_found(at, client, path):
    answer = client.simulate_get(path)
    assert (answer.status_code, answer.json["code"]) == (404, "not_found")


def test_what_is_evicted_is_not_listed(at, client):
    url = staged(at)
    [(artifact_id,)] = at.rows("SELECT id FROM staged_artifacts")
    at.service.artifacts.evict(artifact_id, ORIGIN)
    assert client.simulate_get(url).status_code == 404


@pytest.mark.parametrize("limit", ["0", "1001", "x"])
def test_a_page_has_one_to_a_thousand_items(at, client, limit):
    answer = client.simulate_get(staged(at), params={"limit": limit})
    assert (answer.status_code, answer.json["code"]) == (400, "invalid_request")


def test_head_says_what_get_would_without_the_list(at, client):
    answer = client.simulate_head(staged(at))
    assert (answer.status_code, answer.text) == (200, "")


def test_reading_a_file_counts_for_its_artifact(at, client, accesses):
    client.simulate_get(staged(at) + "suites/a.b")
    accesses.flush()
    assert at.rows("SELECT caller, hits, bytes FROM artifact_accesses") == [("anonymous", 1, 2)]


ODD_NAMES = ["report#2.txt", "report", "50% off?.txt", "a b;c=d", "größe.txt", "q&a+1"]


def test_the_url_of_an_artifact_leads_to_its_own_bytes_whatever_its_name(at, client):
    url = at.build()
    folder = at.builds / "board" / "R17-1"
    for name in ODD_NAMES:
        (folder / name).write_text(f"content of {name}")
    staging = at.stage(url, *[f"file:{name}" for name in ODD_NAMES])
    for artifact in map(ArtifactBody.of, staging.artifacts):
        content = client.simulate_get(artifact.url).content.decode()
        assert content == f"content of {artifact.path.rpartition('/')[2]}"
