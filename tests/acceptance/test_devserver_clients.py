"""Flows of old devserver clients, on two pods and a worker."""

import json
import threading
from base64 import b64decode
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from hashlib import sha256

import pytest

from staging_api.db.engine import Database
from tests.builds import FULL_PAYLOAD, build, build_path, tar, with_manifest
from tests.devserver_client import (
    DevServer,
    DevServer2012,
    DevServer2013,
    DevServerError,
    DevServerOverSsh,
)
from tests.rows import check_read_once, select, states
from tests.service import STAGINGS, Pod, eventually
from tests.source import ArchiveSource

CLIENTS = 10


def together(count: int, ask: Callable[[int], None]) -> list["Future[None]"]:
    """Start `count` clients at the same moment."""
    gate = threading.Barrier(count)

    def one(number: int) -> None:
        gate.wait()
        ask(number)

    with ThreadPoolExecutor(count) as pool:
        return [pool.submit(one, number) for number in range(count)]


def build_for_tests() -> dict[str, bytes]:
    """Return a build of a later builder: control files and packages are also separate objects."""
    control = {"autotest/client/site_tests/sleep/control": b'NAME = "sleep"\n'}
    package = {"autotest/packages/dep.tar.bz2": b"packed"}
    later = {"control_files.tar": tar(control), "autotest_packages.tar": tar(package)}
    return with_manifest({**build(), **later})


def test_a_client_of_2012_downloads_a_build_and_waits_for_the_rest(
    pods: list[Pod], source: ArchiveSource, rows: Database
) -> None:
    path, objects = build_path(), build()
    url = source.add(path, objects)
    client = DevServer2012(pods[0].url)
    assert client.healthy()
    client.trigger_download(url)
    assert client.staged_file(path, "update.gz") == objects[FULL_PAYLOAD]
    assert client.staged_file(path, "autotest/server/control")
    assert client.list_control_files(path) == ["server/control", "test_suites/control.bvt"]
    assert set(states(rows, url).values()) == {"staged", "missing"}


def test_a_client_since_2013_stages_for_a_device_and_its_tests(
    pods: list[Pod], source: ArchiveSource
) -> None:
    path = build_path()
    url = source.add(path, build_for_tests())
    client = DevServer2013(pods[1].url)
    assert client.healthy(least_disk_gigabytes=0)
    client.trigger_download(url)
    control = "client/site_tests/sleep/control"
    assert control in client.list_control_files(path)
    assert client.control_file(path, control) == b'NAME = "sleep"\n'
    assert client.staged_file(path, "autotest/packages/dep.tar.bz2") == b"packed"


def test_many_clients_of_both_kinds_join_one_download(
    pods: list[Pod], source: ArchiveSource, rows: Database
) -> None:
    path = build_path()
    url = source.add(path, build_for_tests())
    held = source.hold(url, FULL_PAYLOAD, after_bytes=100_000)
    threading.Timer(1, held.release).start()

    def ask(number: int) -> None:
        kind = (DevServer2012, DevServer2013)[number // 2 % 2]
        kind(pods[number % 2].url).trigger_download(url)

    for asked in together(CLIENTS, ask):
        asked.result()
    check_read_once(source, rows, url)


def test_a_second_caller_waits_on_the_other_pod_for_what_the_first_brings(
    pods: list[Pod], source: ArchiveSource, rows: Database
) -> None:
    url = source.add(build_path(), build())
    held = source.hold(url, FULL_PAYLOAD, after_bytes=100_000)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(DevServer2012(pods[0].url).trigger_download, url, synchronous=False)
        held.wait_until_reached()
        second = pool.submit(DevServer2012(pods[1].url).trigger_download, url, synchronous=False)
        assert DevServer(pods[1].url).call("is_staged", archive_url=url, artifacts="build") == (
            b"False"
        )
        assert not second.done()
        held.release()
        first.result()
        second.result()
    assert select(rows, "SELECT count(*) FROM stagings WHERE archive_url = :url", url=url) == [(1,)]


def test_a_request_for_more_than_the_first_waits_behind_it(
    pods: list[Pod], source: ArchiveSource
) -> None:
    path, objects = build_path(), build()
    url = source.add(path, objects)
    held = source.hold(url, FULL_PAYLOAD, after_bytes=100_000)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(DevServer2012(pods[0].url).trigger_download, url, synchronous=False)
        held.wait_until_reached()
        more = pool.submit(DevServer2013(pods[1].url).stage, url, files=["debug.tgz"])
        held.release()
        first.result()
        more.result()
    assert DevServer(pods[0].url).staged_file(path, "debug.tgz") == objects["debug.tgz"]


def test_all_clients_of_a_joined_download_get_its_error(
    pods: list[Pod], source: ArchiveSource
) -> None:
    objects = build()
    del objects["test_suites.tar.bz2"]
    url = source.add(build_path(), objects)
    held = source.hold(url, FULL_PAYLOAD, after_bytes=100_000)
    with ThreadPoolExecutor(4) as pool:
        first = pool.submit(DevServer2012(pods[0].url).trigger_download, url)
        held.wait_until_reached()
        others = [pool.submit(DevServer2012(pods[1].url).trigger_download, url) for _ in range(3)]
        held.release()
        for one in (first, *others):
            with pytest.raises(DevServerError, match=r"test_suites"):
                one.result()


@pytest.mark.parametrize("kind", [DevServer2013, DevServerOverSsh])
def test_a_polling_client_sees_a_failure_with_or_without_a_status(
    pods: list[Pod], source: ArchiveSource, kind: type[DevServer2013]
) -> None:
    url = source.add(build_path(), build())
    with pytest.raises(DevServerError, match=r"DownloaderException: file:nothing.bin"):
        kind(pods[0].url).stage(url, files=["nothing.bin"])


def test_files_are_staged_as_they_are_beside_artifacts(
    pods: list[Pod], source: ArchiveSource
) -> None:
    path, objects = build_path(), build()
    url = source.add(path, objects)
    client = DevServer2013(pods[0].url)
    client.stage(url, ["stateful"], ["debug.tgz", "image.zip"])
    assert client.staged_file(path, "image.zip") == objects["image.zip"]
    assert client.staged_file(path, "stateful.tgz") == objects["stateful.tgz"]
    info = json.loads(client.send(f"{client.url}/api/fileinfo/{path}/image.zip"))
    assert info["size"] == len(objects["image.zip"])
    assert b64decode(info["sha256"]) == sha256(objects["image.zip"]).digest()


def test_clean_stages_again_what_changed_at_the_source(
    pods: list[Pod], source: ArchiveSource
) -> None:
    path = build_path()
    url = source.add(path, build("first"))
    client = DevServer(pods[0].url)
    assert client.call("stage", archive_url=url, artifacts="stateful") == b"Success"
    again = build("second")
    source.add(path, again)
    assert client.call("stage", archive_url=url, artifacts="stateful", clean="False") == b"Success"
    assert client.staged_file(path, "stateful.tgz") != again["stateful.tgz"]
    assert client.call("stage", archive_url=url, artifacts="stateful", clean="True") == b"Success"
    assert client.staged_file(path, "stateful.tgz") == again["stateful.tgz"]


def absent_payload(source: ArchiveSource) -> str:
    """Return the URL of a build whose manifest names a missing full payload."""
    objects = with_manifest(build())
    del objects[FULL_PAYLOAD]
    return source.add(build_path(), objects)


def test_an_absent_object_does_not_take_along_what_was_accepted(
    pods: list[Pod], source: ArchiveSource, rows: Database
) -> None:
    client, url = DevServer(pods[0].url), absent_payload(source)
    both = {"archive_url": url, "artifacts": "full_payload,stateful"}
    one = {"archive_url": url, "artifacts": "stateful"}
    assert client.call("stage", **both, **{"async": "True"}) == b"Success"
    assert client.call("stage", **one, **{"async": "True"}) == b"Success"
    eventually(lambda: client.call("is_staged", **one) == b"True", "stateful was lost")
    with pytest.raises(DevServerError, match="full_payload"):
        client.call("is_staged", **both)
    with pytest.raises(DevServerError, match=f"{FULL_PAYLOAD} is not in the archive"):
        client.call("stage", **both)
    assert client.call("stage", **one) == b"Success"
    assert states(rows, url) == {"full_payload": "failed", "stateful": "staged"}


def test_a_missing_build_leaves_no_work_behind(
    pods: list[Pod], source: ArchiveSource, rows: Database
) -> None:
    url = f"{source.url}/{build_path()}"
    assert pods[0].client.stage(url).problem == (404, "archive_not_found")
    [staging] = pods[0].client.get(f"{STAGINGS}?archive_url={url}").json["items"]
    assert staging["state"] == "failed"
    assert {a["error"]["code"] for a in staging["artifacts"]} == {"archive_not_found"}
    assert set(states(rows, url).values()) == {"failed"}


def test_cancelling_a_staging_does_not_lose_what_others_left_to_it(
    pods: list[Pod], source: ArchiveSource, rows: Database
) -> None:
    url = source.add(build_path(), build())
    held = [source.hold(url, name) for name in (FULL_PAYLOAD, "stateful.tgz")]
    first = pods[0].client.stage(url, "full_payload", "stateful", Prefer="respond-async")
    for each in held:
        each.wait_until_reached()
    one = {"archive_url": url, "artifacts": "stateful"}
    client = DevServer(pods[1].url)
    assert client.call("stage", **one, **{"async": "True"}) == b"Success"
    location = first.headers["Location"]
    assert pods[0].client.delete(location).status == 202
    # The source is silent: else the build might be staged before the worker's next poll.
    cancelled = pods[0].client.wait(location, "cancelled")
    for each in held:
        each.release()
    eventually(lambda: client.call("is_staged", **one) == b"True", "stateful was lost")
    cancelled = pods[0].client.get(location).json
    shown = {a["name"]: (a["state"], a["brought_since_by"]) for a in cancelled["artifacts"]}
    assert shown["full_payload"] == ("failed", None)
    assert shown["stateful"][0] == "failed"
    since = pods[0].client.get(f"{STAGINGS}/{shown['stateful'][1]}").json
    assert (since["state"], since["requested"]) == ("staged", ["stateful"])


def test_the_latest_build_is_the_newest_whole_one_of_the_milestone(
    pods: list[Pod], source: ArchiveSource
) -> None:
    client = DevServer2012(pods[0].url)
    target = "x86-newest-release"
    for name in ("R17-9.0.0-a1-b2", "R17-10.0.0-a1-b1", "R18-1.0.0-a1-b1"):
        client.trigger_download(source.add(f"{target}/{name}", build()))
    broken = build()
    del broken["stateful.tgz"]
    with pytest.raises(DevServerError):
        client.trigger_download(source.add(f"{target}/R19-1.0.0-a1-b1", broken))
    # Newer builds, staged in part, or complete except for the background artifacts.
    parts = (("R20-1.0.0-a1-b1", "stateful"), ("R20-2.0.0-a1-b1", "symbols"))
    for name, artifact in (*parts, ("R20-3.0.0-a1-b1", "test_image")):
        url = source.add(f"{target}/{name}", build())
        assert pods[0].client.stage(url, artifact).status == 201
    untested = with_manifest({**build(), "autotest.tar": b"not a tar" * 1000})
    with pytest.raises(DevServerError):
        client.trigger_download(source.add(f"{target}/R20-4.0.0-a1-b1", untested))
    assert client.latest_build(target) == "R18-1.0.0-a1-b1"
    assert client.latest_build(target, "r17") == "R17-10.0.0-a1-b1"
    for unknown in ((target, "R20"), (target, "R21"), ("no-such-target", "")):
        with pytest.raises(DevServerError, match="no build of"):
            client.latest_build(*unknown)
