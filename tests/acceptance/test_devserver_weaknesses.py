"""The nine weaknesses of the devserver of 2012, each tested against running pods."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from staging_api.db.engine import Database
from tests.builds import (
    FULL_PAYLOAD,
    MANIFEST,
    NTON_PAYLOAD,
    Objects,
    build,
    build_path,
    zipped,
)
from tests.devserver_client import DevServer2012, DevServer2013, DevServerError
from tests.rows import check_read_once, check_store, select, states, temporary_files
from tests.service import Pod, Service, eventually
from tests.source import ArchiveSource

CLIENTS = 20
TEST_IMAGE = "chromiumos_test_image.bin"


@pytest.fixture
def devserver(pods: list[Pod]) -> DevServer2012:
    return DevServer2012(pods[0].url)


def without(objects: Objects, *names: str) -> Objects:
    """Return the build without some objects that its manifest still names."""
    return {name: content for name, content in objects.items() if name not in names}


def test_1_a_folder_that_exists_is_not_a_build_that_is_staged(
    pods: list[Pod], cluster: Service, source: ArchiveSource, devserver: DevServer2012
) -> None:
    path, objects = build_path(), build()
    url = source.add(path, objects)
    held = source.hold(url, "stateful.tgz", after_bytes=10_000)
    (victim,) = cluster.api()
    with ThreadPoolExecutor(3) as pool:
        killed = pool.submit(DevServer2012(victim.url).trigger_download, url)
        held.wait_until_reached()
        others = [pool.submit(devserver.trigger_download, url) for _ in range(2)]
        half_way = devserver.call("is_staged", archive_url=url, artifacts="full_payload,stateful")
        victim.kill()
        held.release()
        assert killed.exception() is not None
        for other in others:
            other.result()
    assert half_way == b"False"
    assert devserver.staged_file(path, "update.gz") == objects[FULL_PAYLOAD]
    assert devserver.staged_file(path, "stateful.tgz") == objects["stateful.tgz"]
    assert devserver.staged_file(path, "autotest/server/control")


def test_2_symbols_that_are_staged_first_do_not_make_the_build_staged(
    source: ArchiveSource, devserver: DevServer2012
) -> None:
    path, objects = build_path(), build()
    url = source.add(path, objects)
    devserver.stage_symbols(url)
    assert devserver.call("is_staged", archive_url=url, artifacts="build") == b"False"
    devserver.trigger_download(url)
    assert devserver.staged_file(path, "update.gz") == objects[FULL_PAYLOAD]

    absent = f"{source.url}/{build_path()}"
    for method in ("stage_debug", "download", "wait_for_status"):
        with pytest.raises(DevServerError):
            devserver.call(method, archive_url=absent, upload_wait_seconds=0)


def test_3_nothing_outside_the_store_is_looked_at_or_touched(
    cluster: Service, source: ArchiveSource, devserver: DevServer2012, tmp_path: Path
) -> None:
    secret = cluster.store.parent / "secret"
    secret.write_text("not yours")
    before = {path: path.stat().st_mtime_ns for path in cluster.store.parent.iterdir()}
    up = "/".join([".."] * 12)
    for archive_url in (
        source.url,
        f"{source.url}/{up}{tmp_path}",
        f"{source.url}/a/%2e%2e/%2e%2e/b",
        f"{source.url}/a%2f..%2fb",
        f"file://{tmp_path}",
    ):
        for method in ("download", "wait_for_status", "stage_debug", "list_image_dir"):
            with pytest.raises(DevServerError):
                devserver.call(method, archive_url=archive_url)
    for path in (f"../{secret.name}", f"..%2f{secret.name}", f"x/..//../{secret.name}", "%00"):
        for below in ("api/fileinfo", "static"):
            with pytest.raises(DevServerError):
                devserver.send(f"{devserver.url}/{below}/{path}")
        with pytest.raises(DevServerError):
            devserver.control_file("board/R17", path)
    with pytest.raises(DevServerError):
        devserver.call("stage", archive_url=f"{source.url}/a/b", files=f"../{secret.name}")
    after = {path: path.stat().st_mtime_ns for path in cluster.store.parent.iterdir()}
    assert after == before


@pytest.mark.parametrize("method", ["download", "stage_debug", "stage_images", "stage"])
def test_4_no_text_of_a_request_reaches_a_shell(
    source: ArchiveSource, devserver: DevServer2012, tmp_path: Path, method: str
) -> None:
    mark = tmp_path / "ran"
    for injected in (f"$(touch$IFS{mark})", f";touch$IFS{mark};", f"`touch$IFS{mark}`"):
        url = f"{source.url}/board/R17{injected}"
        given = {
            "image_types": "test",
            "artifacts": "stateful",
            "files": injected,
            "upload_wait_seconds": 0,
        }
        with pytest.raises(DevServerError):
            devserver.call(method, archive_url=url, **given)
        with pytest.raises(DevServerError):
            devserver.call("latestbuild", target=injected)
    assert not mark.exists()


def test_5_a_failure_takes_nothing_with_it_and_the_next_request_tries_again(
    source: ArchiveSource, devserver: DevServer2012, rows: Database
) -> None:
    path, whole = build_path(), build()
    images = {"chromiumos_test_image.bin": b"test", "chromiumos_base_image.bin": b"base"}
    url = source.add(path, without(whole, "autotest.tar") | {"image.zip": zipped(images)})
    devserver.stage_images(url, "test")
    with pytest.raises(DevServerError, match="recovery_image"):
        devserver.stage_images(url, "recovery")
    assert devserver.staged_file(path, TEST_IMAGE) == b"test"
    assert devserver.staged_file(f"images/{path}", TEST_IMAGE) == b"test"

    devserver.trigger_download(url, synchronous=False)
    for _ in range(2):
        with pytest.raises(DevServerError, match=r"autotest\.tar"):
            devserver.finish_download(url)
    assert devserver.staged_file(path, "update.gz") == whole[FULL_PAYLOAD]

    source.add(path, whole)
    devserver.trigger_download(url)
    devserver.stage_images(url, "recovery")
    assert devserver.staged_file(path, "autotest/server/control")
    assert set(states(rows, url).values()) <= {"staged", "missing"}


def test_6_builds_of_two_buckets_do_not_collide_nor_do_their_symbols_mix(
    source: ArchiveSource,
    second_source: ArchiveSource,
    devserver: DevServer2012,
    pods: list[Pod],
) -> None:
    path = f"two-buckets/{build_path()}"
    builds = {source: build("one"), second_source: build("other")}
    for place, objects in builds.items():
        url = place.add(path, objects)
        devserver.trigger_download(url)
        devserver.stage_symbols(url)
        (payload,) = (
            artifact
            for artifact in pods[0]
            .client.get(f"/api/v1.0/artifacts?archive_url={url}")
            .json["items"]
            if artifact["name"] == "full_payload"
        )
        served = devserver.send(f"{devserver.url}{payload['url']}")
        assert served == objects[FULL_PAYLOAD]
        folder = payload["path"].removesuffix("/update.gz")
        assert devserver.staged_file(folder, "debug/breakpad/lib.so.sym")
    assert devserver.staged_file(path, "update.gz") == builds[source][FULL_PAYLOAD]
    target, _, name = path.rpartition("/")
    assert devserver.latest_build(target) == name
    with pytest.raises(DevServerError):
        devserver.send(f"{devserver.url}/static/debug/breakpad/lib.so.sym")


def test_7_a_late_upload_is_found_under_its_own_address(
    source: ArchiveSource, devserver: DevServer2012, rows: Database
) -> None:
    path, objects = build_path(), build()
    url = f"{source.url}/{path}"
    with pytest.raises(DevServerError):
        devserver.call("download", archive_url=url, upload_wait_seconds=0)
    source.add(path, without(objects, MANIFEST))
    with pytest.raises(DevServerError):
        devserver.call("download", archive_url=url, upload_wait_seconds=0)
    source.add(path, objects)
    devserver.trigger_download(url)
    addresses = select(
        rows,
        "SELECT name, source_url FROM staged_artifacts"
        " WHERE archive_url = :url AND state = 'staged' AND name LIKE '%payload'",
        url=url,
    )
    assert dict(addresses) == {
        "full_payload": f"{url}/{FULL_PAYLOAD}",
        "nton_payload": f"{url}/{NTON_PAYLOAD}",
    }


def test_8_bad_types_are_refused_by_name_and_leave_no_lock(
    cluster: Service, source: ArchiveSource, devserver: DevServer2012, rows: Database
) -> None:
    url = source.add(build_path(), build())
    for types in ("floppy", "test,floppy", "symbols", ""):
        with pytest.raises(DevServerError, match=r"image_types|floppy") as refused:
            devserver.stage_images(url, types)
        assert "Traceback" not in str(refused.value)
    devserver.trigger_download(url)
    devserver.stage_symbols(url)
    devserver.stage_images(url, "test", "base")

    def released() -> bool:
        ended = select(rows, "SELECT DISTINCT outcome FROM api_locks WHERE scope = :url", url=url)
        return ended == [("released",)]

    eventually(released, "a lock is still held")
    assert {path.name for path in cluster.store.iterdir()} <= {"sha256", "tmp", "store-id"}
    assert all(len(path.name) == 64 for path in (cluster.store / "sha256").glob("*/*"))


def test_9_races_of_one_url_and_of_its_waiters_have_one_outcome(
    cluster: Service, pods: list[Pod], source: ArchiveSource, rows: Database
) -> None:
    # Files left by a killed pod are removed by age.
    before = temporary_files(cluster.store)
    path, objects = build_path(), build()
    url = source.add(path, objects)
    gate = threading.Barrier(CLIENTS)

    def ask(number: int) -> bytes:
        gate.wait()
        client = DevServer2012(pods[number % 2].url)
        client.trigger_download(url)
        client.finish_download(url)
        client.finish_download(url)
        return client.staged_file(path, "update.gz")

    with ThreadPoolExecutor(CLIENTS) as pool:
        assert set(pool.map(ask, range(CLIENTS))) == {objects[FULL_PAYLOAD]}
    check_read_once(source, rows, url)

    failing = source.add(build_path(), without(build(), "autotest.tar"))
    DevServer2012(pods[0].url).trigger_download(failing, synchronous=False)
    with ThreadPoolExecutor(4) as pool:
        waits = [
            pool.submit(DevServer2012(pods[number % 2].url).finish_download, failing)
            for number in range(4)
        ]
        for wait in waits:
            with pytest.raises(DevServerError, match=r"autotest\.tar"):
                wait.result()
    DevServer2013(pods[0].url).stage(failing, ["symbols"])
    assert set(temporary_files(cluster.store)) <= set(before)
    check_store(rows, cluster.store)
