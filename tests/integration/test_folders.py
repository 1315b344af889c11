"""Folders below /static: listed page by page, from the rows in the tables."""

import gzip
import io
import tarfile
import threading
import zipfile

import pytest
from falcon import testing

from staging_api import metrics
from staging_api.formats.unpacking import new_zstd
from staging_api.http.app import create_app
from staging_api.http.staging_bodies import ArtifactBody
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
    # Names that continue a file's name with characters that sort before and after the `/`.
    "suites/c": b"8",
    "suites/c-d": b"9",
    "suites/c0": b"0",
    "suites/ü": b"7",
}
#: The listed names; a file cannot exist beside a folder of its name.
NAMES = ["a.b", "a/", "a0", "b/", "c", "c-d", "c0", "ü"]


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
    """Stage a build whose suites archive has these files, and return the folder of the build."""
    names = {name: content for name, content in FILES.items() if name != "suites/a"}
    staging = at.stage(at.build(suites_tgz=packed({**names, **files})), "suites")
    return f"/static/{staging.artifacts[0].path}"


def names(answer) -> list[str]:
    return [item["name"] for item in answer.json["items"]]


def test_the_url_of_an_unpacked_artifact_leads_to_its_files(at, client):
    url = staged(at)
    assert url.endswith("/R17-1/")
    top = client.simulate_get(url)
    assert (names(top), top.json["next"]) == (["suites/"], None)
    inside = client.simulate_get(top.json["items"][0]["url"])
    assert names(inside) == NAMES
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
    assert found == NAMES


def test_a_folder_has_nothing_of_its_neighbour_with_a_longer_name(at, client):
    url = staged(at)
    at.stage(at.build("R17-10", suites_tgz=packed({"other": b"x"})), "suites")
    assert names(client.simulate_get(url)) == ["suites/"]


def test_a_page_behind_the_last_entry_is_empty(at, client):
    """What followed when the page before was read may have been evicted."""
    page = client.simulate_get(staged(at) + "suites/", params={"after": NAMES[-1]})
    assert (page.status_code, names(page), page.json["next"]) == (200, [], None)


@pytest.mark.parametrize("path", ["/static/board/", "/static/board/R17-1/nothing/"])
def test_a_folder_in_which_nothing_is_staged_is_not_found(at, client, path):
    answer = client.simulate_get(path)
    assert (answer.status_code, answer.json["code"]) == (404, "not_found")


def test_an_evicted_artifact_is_not_listed(at, client):
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
    url = staged(at) + "suites/a.b"
    before = metrics.SERVED_BYTES._value.get()
    client.simulate_get(url)
    client.simulate_head(url)
    accesses.flush()
    assert at.rows("SELECT caller, hits, bytes FROM artifact_accesses") == [("anonymous", 1, 2)]
    assert metrics.SERVED_BYTES._value.get() == before + 2


def test_without_the_dashboard_a_browser_gets_links_that_run_nothing(at, client):
    url = staged(at) + "suites/"
    page = client.simulate_get(url, headers={"Accept": "text/html"})
    assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert page.headers["content-security-policy"] == "sandbox; default-src 'none'"
    (digest,) = at.rows(
        "SELECT sha256 FROM staged_files WHERE path LIKE '%suites/a.b'",
    )
    row = f'<tr><td><a href="./a.b">a.b</a></td><td>2</td><td>{digest[0]}</td></tr>'
    assert row in page.text
    assert '<tr><td><a href="./a/">a/</a></td><td></td><td></td></tr>' in page.text
    assert "more" not in page.text
    listed = client.simulate_get(url)
    for answer in (page, listed):
        assert (answer.headers["vary"], answer.headers["cache-control"]) == ("Accept", "no-cache")


def read_at(at) -> dict[str, bool]:
    """Return, for each artifact, whether it was read."""
    return dict(at.rows("SELECT name, last_accessed_at IS NOT NULL FROM staged_artifacts"))


def test_of_a_folder_the_files_of_one_artifact_are_sent_and_it_alone_is_protected(at, client):
    content = {f"suites/{number}": b"x" * 500 for number in range(3)}
    url = at.build(payload_bin=b"payload", suites_tgz=packed(content))
    staging = at.stage(url, "payload", "suites")
    ids = {artifact.name: artifact.id for artifact in staging.artifacts}
    at.tamper("UPDATE staged_artifacts SET last_accessed_at = NULL")
    before = metrics.SERVED_BYTES._value.get()
    asked = {"archive": "zip", "artifact": ids["suites"]}
    answer = client.simulate_get("/static/board/R17-1/", params=asked)
    assert unpacked("zip", answer.content) == {
        f"R17-1/{name}": data for name, data in content.items()
    }
    assert metrics.SERVED_BYTES._value.get() == before + len(answer.content)
    assert read_at(at) == {"payload": False, "suites": True}
    whole = client.simulate_get("/static/board/R17-1/", params={"archive": "zip"})
    assert len(unpacked("zip", whole.content)) == 4
    assert whole.headers["etag"] != answer.headers["etag"]
    absent = client.simulate_get("/static/board/R17-1/", params={**asked, "artifact": "other"})
    assert (absent.status_code, "artifact other has no files" in absent.text) == (404, True)


ODD_NAMES = ["report#2.txt", "report", "50% off?.txt", "a b;c=d", "größe.txt", "q&a+1"]


def test_the_url_of_an_artifact_leads_to_its_own_bytes_whatever_its_name(at, client):
    url = at.build()
    folder = at.builds / "board" / "R17-1"
    for name in ODD_NAMES:
        (folder / name).write_text(f"content of {name}")
    staging = at.stage(url, *[f"file:{name}" for name in ODD_NAMES])
    assert len(staging.artifacts) == len(ODD_NAMES)
    for artifact in map(ArtifactBody.of, staging.artifacts):
        content = client.simulate_get(artifact.url).content.decode()
        assert content == f"content of {artifact.path.rpartition('/')[2]}"


def unpacked(form: str, packed: bytes) -> dict[str, bytes]:
    """Return the files of a stream, as read by the standard library."""
    if form == "zip":
        with zipfile.ZipFile(io.BytesIO(packed)) as archive:
            assert archive.testzip() is None
            return {name: archive.read(name) for name in archive.namelist()}
    if form == "tar.gz":
        packed = gzip.decompress(packed)
    elif form == "tar.zst":
        packed = new_zstd(128 << 20).decompress(packed)
    with tarfile.open(fileobj=io.BytesIO(packed), mode="r:") as archive:
        return {m.name: (archive.extractfile(m) or io.BytesIO()).read() for m in archive}


@pytest.mark.parametrize("form", ["tar", "tar.gz", "tar.zst", "zip"])
def test_a_folder_comes_as_one_stream(at, client, form):
    files = {"suites/deep/er/one": b"1" * 70_000, "suites/none": b"", f"suites/{'long' * 60}": b"x"}
    url = staged(at, **files)
    answer = client.simulate_get(f"{url}suites/", params={"archive": form})
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-disposition"] == f'attachment; filename="suites.{form}"'
    wanted = {name: content for name, content in {**FILES, **files}.items() if name != "suites/a"}
    assert unpacked(form, answer.content) == wanted
    etag = answer.headers["etag"]
    assert answer.headers["cache-control"] == "no-cache"
    for known in (etag, f'"another", {etag}', etag.removeprefix("W/")):
        again = client.simulate_get(
            f"{url}suites/", params={"archive": form}, headers={"If-None-Match": known}
        )
        assert (again.status_code, again.content) == (304, b"")
    head = client.simulate_head(f"{url}suites/", params={"archive": form})
    assert (head.status_code, head.content, head.headers["etag"]) == (200, b"", etag)


@pytest.mark.parametrize(
    ("query", "protocol", "says"),
    [
        ("archive=rar", "HTTP/1.1", "must be one of tar, tar.gz, tar.zst, zip"),
        ("archive=", "HTTP/1.1", "must be one of"),
        ("archive=tar", "HTTP/1.0", "needs HTTP/1.1"),
    ],
)
def test_a_form_that_cannot_be_sent_is_refused(at, client, query, protocol, says):
    answer = client.simulate_get(
        staged(at), query_string=query, extras={"SERVER_PROTOCOL": protocol}
    )
    assert (answer.status_code, says in answer.json["detail"]) == (400, True)


def test_a_stream_whose_file_is_lost_meanwhile_is_cut_and_one_whose_first_is_lost_is_refused(
    at, client
):
    url = staged(at, **{"suites/0": b"first" * 200_000, "suites/z": b"last"})
    blobs = dict(at.rows("SELECT path, sha256 FROM staged_files"))
    folder = url.removeprefix("/static/")

    def lose(name: str) -> None:
        digest = blobs[folder + name]
        (at.store / "sha256" / digest[:2] / digest).unlink()

    lose("suites/z")
    with pytest.raises(ConnectionResetError):
        client.simulate_get(url, params={"archive": "tar"})
    at.stage(f"file://{at.builds}/board/R17-1", "suites")
    lose("suites/0")
    answer = client.simulate_get(f"{url}suites/", params={"archive": "zip"})
    assert answer.status_code == 404
