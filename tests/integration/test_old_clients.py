"""Calls of the gs_cache and devserver clients, with their responses to the byte."""

import gzip
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from falcon import testing

from staging_api.catalogue.catalogue import Catalogue
from staging_api.db.engine import Database
from staging_api.http.app import create_app
from staging_api.http.resources.devserver.help import OUT_OF_SCOPE
from staging_api.shutdown import Shutdown
from staging_api.sources.allowlist import AllowList
from staging_api.sources.opening import open_archive
from staging_api.staging.catalogues import Catalogues
from staging_api.staging.resuming import resume
from staging_api.staging.service import StagingService
from staging_api.staging.uploads import UploadTerms
from staging_api.staging.watch import Watch
from staging_api.store.folder_store import FolderStore
from tests.builds import FULL_PAYLOAD, build, build_path, tar
from tests.conformance import places
from tests.factories import ORIGIN, locks_of
from tests.parts import parts_of

TESTS = tar({"./autotest/control": b"one", "autotest/a/control.b": b"two", "other": b"3"})
#: Objects at the root of the bucket, and in a folder of it.
OBJECTS = {
    "root.txt": b"at the root",
    "b/1/plain.bin": b"0123456789",
    "b/1/tests.tgz": gzip.compress(TESTS, mtime=0),
    "b/1/tests.tar": TESTS,
    "b/1/log.xz": b"not compressed, as the name says",
    "b/1/deep/er.txt": b"deeper",
    "b/1/name with space": b"odd",
}


@pytest.fixture(scope="module")
def place() -> Iterator[places.Gcs]:
    """Yield a bucket on loopback."""
    with places.gcs() as running:
        for path, content in OBJECTS.items():
            running.put(path, content)
        yield running


@pytest.fixture
def service(
    place: places.Gcs, database: Database, database_url: str, tmp_path: Path
) -> Iterator[StagingService]:
    """Yield a service that reads the bucket, and would wait long for unfinished uploads."""
    allowed = AllowList.parse(f"{place.root}/")
    with locks_of(database, database_url) as locks:
        yield StagingService(
            database=database,
            locks=locks,
            catalogues=Catalogues(Catalogue.load()),
            allowed=allowed,
            blobs=FolderStore(tmp_path / "store"),
            open_archive=lambda url: open_archive(url, allowed, place.options),
            uploads=UploadTerms(wait_seconds=600, options=place.options),
        )


@pytest.fixture
def client(service: StagingService) -> Iterator[testing.TestClient]:
    watch = Watch(service.database, threading.Semaphore(4), Shutdown())
    yield testing.TestClient(create_app(parts_of(service, watch)))
    watch.close()


LISTED = b"".join(
    b"gs://conformance/b/1/%s\n" % name
    for name in (b"log.xz", b"name with space", b"plain.bin", b"tests.tar", b"tests.tgz", b"deep/")
)
TWICE = "file=autotest%2Fcontrol&file=./autotest/control"
#: Call, status, body.
ANSWERED = [
    ("download/conformance/b/1/plain.bin", 200, b"0123456789"),
    ("gscache/download/conformance/b/1/plain.bin", 200, b"0123456789"),
    ("download/conformance/root.txt", 200, b"at the root"),
    ("download/conformance/b/1/deep/er.txt", 200, b"deeper"),
    ("download/conformance/b/1/name%20with%20space", 200, b"odd"),
    ("extract/conformance/b/1/tests.tgz?file=autotest/control", 200, b"one"),
    ("extract/conformance/b/1/tests.tgz?file=./autotest/control", 200, b"one"),
    (f"extract/conformance/b/1/tests.tgz?{TWICE}", 200, b"one"),
    ("gscache/extract/conformance/b/1/tests.tar?file=other", 200, b"3"),
    ("decompress/conformance/b/1/tests.tgz", 200, TESTS),
    ("decompress/conformance/b/1/log.xz", 200, OBJECTS["b/1/log.xz"]),
    ("list_dir/conformance/b/1", 200, LISTED),
]
#: Call, status, parts of the text.
REFUSED = [
    ("download/conformance/b/1/absent", 404, "nearest of"),
    ("download/conformance/absent", 404, "the root of a bucket is not listed"),
    ("download/conformance/no/such/folder/x", 404, "has no objects"),
    ("extract/conformance/b/1/tests.tgz?file=no/such", 404, "nearest of 3 members"),
    ("extract/conformance/b/1/absent.tgz?file=x", 404, "absent.tgz"),
    ("extract/conformance/b/1/tests.tgz", 400, "file: must be given"),
    ("extract/conformance/b/1/plain.bin?file=x", 502, "tar"),
    ("decompress/conformance/b/1/absent.tgz", 404, "absent.tgz"),
    ("list_dir/conformance/no/such", 404, "has no objects"),
    ("download/elsewhere/b/x", 403, "allowed"),
    ("gscache/extract/conformance/b/1/tests.tgz?file=no/such", 404, "nearest of 3 members"),
    ("stage?local_path=/srv/build&delete_source=True", 500, "DownloaderException: local_path: "),
    ("stage?target=x&branch=git_x&build_id=1&os_type=android", 500, "Android's build servers"),
    ("is_staged?archive_url=&artifacts=a", 500, "DownloaderException: archive_url: must be given"),
    *((path, 404, reason) for path, reason in OUT_OF_SCOPE.items()),
    *((f"{path}/a/b.tar", 404, reason) for path, reason in OUT_OF_SCOPE.items()),
]


@pytest.mark.parametrize(("call", "status", "body"), ANSWERED)
def test_a_call_is_answered_to_the_byte(
    client: testing.TestClient, call: str, status: int, body: bytes
) -> None:
    answer = client.simulate_get(f"/{call}")
    assert (answer.status_code, answer.content) == (status, body)
    path, _, query = call.partition("?")
    again = client.simulate_get(f"/{path}", query_string=query)
    assert again.content == body


def test_what_is_not_there_is_refused_at_once_in_text(client: testing.TestClient) -> None:
    for call, status, says in [each for each in REFUSED for _ in range(2)]:
        answer = client.simulate_get(f"/{call}")
        kind = answer.headers["content-type"][:10]
        assert (call, answer.status_code, kind) == (call, status, "text/plain")
        assert says in answer.text, call
        assert "\n" not in answer.text, call


def test_head_tells_the_length_of_an_object_and_stages_nothing(
    client: testing.TestClient, service: StagingService
) -> None:
    for path in ("download/conformance/b/1/plain.bin", "download/conformance/root.txt"):
        answer = client.simulate_head(f"/{path}")
        length = str(len(OBJECTS[path.removeprefix("download/conformance/")]))
        assert (answer.status_code, answer.headers["content-length"]) == (200, length)
        assert answer.headers["accept-ranges"] == "bytes"
    assert service.page(limit=10).items == []
    assert client.simulate_head("/download/conformance/b/1/absent").status_code == 404
    client.simulate_get("/download/conformance/b/1/plain.bin")
    staged = client.simulate_head("/download/conformance/b/1/plain.bin")
    assert (staged.headers["content-length"], len(staged.headers["etag"])) == ("10", 66)
    member = client.simulate_head("/extract/conformance/b/1/tests.tgz?file=other")
    assert (member.status_code, member.headers["content-length"]) == (200, "1")


def test_an_object_that_comes_after_a_miss_is_found(
    client: testing.TestClient, place: places.Gcs
) -> None:
    assert client.simulate_get("/download/conformance/b/late/x").status_code == 404
    place.put("b/late/other", b"other")
    assert client.simulate_get("/download/conformance/b/late/x").status_code == 404
    place.put("b/late/x", b"came")
    head = client.simulate_head("/download/conformance/b/late/x")
    assert (head.status_code, head.headers["content-length"]) == (200, "4")
    assert client.simulate_get("/download/conformance/b/late/x").content == b"came"


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("file=autotest/control&file=other", {"autotest/control": "one", "other": "3"}),
        ("file=*/control*", {"autotest/control": "one", "autotest/a/control.b": "two"}),
        ("file=no*", {}),
    ],
)
def test_several_members_come_as_json(
    client: testing.TestClient, query: str, found: dict[str, str]
) -> None:
    answer = client.simulate_get("/extract/conformance/b/1/tests.tgz", query_string=query)
    assert (answer.status_code, answer.json) == (200, found)


@pytest.fixture
def path(place: places.Gcs) -> str:
    """Return the path of a complete build."""
    found = build_path()
    later = {
        "control_files.tar": tar({"autotest/server/control": b"later"}),
        "autotest_packages.tar": tar({"autotest/packages/dep": b"d"}),
        "notes.log": b"text",
        "a.sym": b"1",
        "b.sym": b"2",
    }
    objects = {**build(found), **later}
    for name, content in objects.items():
        place.put(f"{found}/{name}", content)
    names = "".join(f"{name}\n" for name in objects)
    place.put(f"{found}/UPLOADED", names.encode())
    return found


def stage(client: testing.TestClient, service: StagingService, path: str, query: str) -> str:
    """Stage, let a worker do the rest, and return the response of is_staged."""
    asked = f"archive_url=gs://conformance/{path}&{query}"
    answer = client.simulate_get("/stage", query_string=f"{asked}&async=True")
    assert answer.text == "Success"
    for staging in service.page(limit=10).items:
        resume(service, staging, ORIGIN)
    return client.simulate_get("/is_staged", query_string=asked).text


def test_test_suites_bring_control_files_and_packages(
    client: testing.TestClient, service: StagingService, path: str
) -> None:
    assert stage(client, service, path, "artifacts=test_suites") == "True"
    listed = client.simulate_get("/controlfiles", query_string=f"build={path}").text
    assert "server/control" in listed.split("\n")
    assert client.simulate_get(f"/static/{path}/autotest/packages/dep").content == b"d"


def test_test_suites_alone_are_staged_from_a_build_without_control_files(
    client: testing.TestClient, service: StagingService, place: places.Gcs
) -> None:
    bare = build_path()
    place.put(f"{bare}/test_suites.tar.bz2", build()["test_suites.tar.bz2"])
    place.put(f"{bare}/UPLOADED", b"test_suites.tar.bz2\n")
    assert stage(client, service, bare, "artifacts=test_suites") == "True"
    refused = stage(client, service, bare, "artifacts=test_suites,control_files")
    assert refused.startswith("DownloaderException: control_files is not in")


def test_globs_name_several_files(
    client: testing.TestClient, service: StagingService, path: str
) -> None:
    assert stage(client, service, path, "files=*.sym,notes.log") == "True"
    for name, content in {"a.sym": b"1", "b.sym": b"2", "notes.log": b"text"}.items():
        assert client.simulate_get(f"/static/{path}/{name}").content == content


def test_a_file_is_located_by_its_name_and_found_below_archive_too(
    client: testing.TestClient, service: StagingService, path: str
) -> None:
    assert stage(client, service, path, "artifacts=test_suites,full_payload") == "True"
    asked = f"archive_url=gs://conformance/{path}&file_name="
    found = client.simulate_get("/locate_file", query_string=f"{asked}control.bvt")
    assert found.text == "autotest/test_suites/control.bvt"
    assert stage(client, service, path, "artifacts=delta_payloads") == "True"
    # The match at the top level, although au/... sorts before it.
    found = client.simulate_get("/locate_file", query_string=f"{asked}update.gz")
    assert found.text == "update.gz"
    absent = client.simulate_get("/locate_file", query_string=f"{asked}none")
    assert (absent.status_code, "named none" in absent.text) == (500, True)
    payload = build(path)[FULL_PAYLOAD]
    assert client.simulate_get(f"/static/archive/{path}/update.gz").content == payload
    assert client.simulate_head(f"/static/archive/{path}/update.gz").status_code == 200
    assert client.simulate_get(f"/static/archive/{path}/").json["items"]
    assert client.simulate_get("/static/archive/none").status_code == 404


def test_text_has_a_type_of_text_and_a_folder_is_a_page_for_browsers(
    client: testing.TestClient, service: StagingService, path: str
) -> None:
    stage(client, service, path, "files=notes.log,UPLOADED&artifacts=control_files,stateful")
    for name, kind in {
        "notes.log": "text/plain; charset=utf-8",
        "autotest/server/control": "text/plain; charset=utf-8",
        "stateful.tgz": "application/octet-stream",
    }.items():
        assert client.simulate_get(f"/static/{path}/{name}").headers["content-type"] == kind
    browser = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
    page = client.simulate_get(f"/static/{path}/", params={"limit": 2}, headers=browser)
    assert page.headers["content-type"].startswith("text/html")
    assert '<a href="./au/">au/</a>' in page.text
    assert '<a href="?after=au%2F">more</a>' in page.text
    assert "default-src 'none'" in page.headers["content-security-policy"]
    for accept in ("*/*", "application/json"):
        listed = client.simulate_get(f"/static/{path}/", headers={"Accept": accept})
        assert json.loads(listed.text)["items"]


def test_the_page_of_these_clients_has_every_path_that_is_not_served() -> None:
    page = Path(__file__).parents[2] / "docs" / "reference" / "devserver.md"
    _, _, not_served = page.read_text().partition("## Not served")
    assert [path for path in OUT_OF_SCOPE if f"`{path}`" not in not_served] == []
