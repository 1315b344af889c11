"""Devserver paths, byte by byte: responses, errors, and the effects of settings."""

import gzip
import json
import re
import stat
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from email.message import Message
from pathlib import Path

import pytest

from staging_api.db.engine import Database
from tests.builds import FULL_PAYLOAD, Objects, build, build_path, tar, with_manifest
from tests.devserver_client import DevServer2012, DevServer2013, DevServerError
from tests.minidumps import elf, minidump
from tests.rows import grants
from tests.service import Pod, Service, service
from tests.source import ArchiveSource

BUILD_ID = bytes(range(16))
DEBUG_ID = "030201000504070608090A0B0C0D0E0F0"
#: Stand-in for minidump_stackwalk: prints the symbol files that it is given.
STACKWALK = """#!/bin/sh
grep -q FAIL "$1" && { echo "no <stack> in it" >&2; exit 3; }
cd "$2" && find . -name '*.sym' | sort | while read -r name; do echo "$name"; cat "$name"; done
"""


def get(pod: Pod, path: str) -> tuple[int, Message, bytes]:
    """Return status, headers and body of a response with any status."""
    try:
        with urllib.request.urlopen(f"{pod.url}/{path}") as answer:
            return answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.headers, error.read()


def with_symbols(text: bytes) -> Objects:
    """Return a build with the symbols of one library."""
    symbols = tar({f"debug/breakpad/lib.so/{DEBUG_ID}/lib.so.sym": text})
    return with_manifest({**build(), "debug.tgz": gzip.compress(symbols, mtime=0)})


@pytest.fixture(scope="module")
def stackwalk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    program = tmp_path_factory.mktemp("programs") / "stackwalk"
    program.write_text(STACKWALK)
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return program


@pytest.fixture(scope="module")
def one_slot(
    pods: list[Pod],
    cluster: Service,
    cluster_url: str,
    stackwalk: Path,
    tmp_path_factory: pytest.TempPathFactory,
    _source: ArchiveSource,
) -> Iterator[Pod]:
    """Yield a pod with one slot for devserver clients, and a program for stack traces."""
    settings = {
        "devserver_waiters": "1",
        "max_upload_bytes": "65536",
        "stackwalk": str(stackwalk),
        "store": f"file://{cluster.store}",
    }
    folder = tmp_path_factory.mktemp("one-slot")
    with service(folder, cluster_url, f"{_source.url}/", **settings) as found:
        yield found.api()[0]


@pytest.fixture(scope="module")
def literal(
    pods: list[Pod],
    cluster: Service,
    cluster_url: str,
    tmp_path_factory: pytest.TempPathFactory,
    _source: ArchiveSource,
) -> Iterator[Pod]:
    """Yield a pod that refuses a second caller because the lock is held."""
    settings = {"devserver_conflict": "409", "store": f"file://{cluster.store}"}
    folder = tmp_path_factory.mktemp("literal")
    with service(folder, cluster_url, f"{_source.url}/", **settings) as found:
        yield found.api()[0]


def test_success_and_true_are_these_bytes_and_no_more(
    pods: list[Pod], source: ArchiveSource
) -> None:
    url = source.add(build_path(), build())
    asked = f"archive_url={url}"
    for path, body in {
        f"is_staged?artifacts=stateful&{asked}": b"False",
        f"download?{asked}": b"Success",
        f"wait_for_status?{asked}": b"Success",
        f"stage_debug?{asked}/": b"Success",
        f"stage_images?image_types=test,base&{asked}": b"Success",
        f"stage?files=&artifacts=stateful&async=True&{asked}": b"Success",
        f"stage?milestone=&artifacts=stateful&{asked}": b"Success",
        f"is_staged?files=&artifacts=stateful,test_image&{asked}": b"True",
        f"is_staged?artifacts=stateful,recovery_image&{asked}": b"False",
    }.items():
        status, headers, got = get(pods[0], path)
        assert (status, got) == (200, body), path
        assert headers["Content-Type"].startswith("text/plain")
        assert headers["Content-Length"] == str(len(body))


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("download", "archive_url"),
        ("download?archive_url=", "archive_url"),
        ("wait_for_status?archive_url={url}", "no staging brings"),
        ("stage?archive_url={url}", "artifacts or files"),
        ("stage?archive_url={url}&artifacts=floppy", "floppy"),
        ("stage_images?archive_url={url}", "image_types"),
        ("is_staged?artifacts=stateful", "archive_url"),
        ("latestbuild?milestone=R17", "target"),
        ("controlfiles?build=no-such/build", "no tests"),
        ("controlfiles?build=no-such/build&control_path=control", "no control file"),
        ("list_image_dir?archive_url={url}", "nothing"),
    ],
)
def test_devserver_failures_are_500_with_a_line_of_text(
    pods: list[Pod], source: ArchiveSource, path: str, reason: str
) -> None:
    url = f"{source.url}/{build_path()}"
    status, headers, body = get(pods[0], path.format(url=url))
    assert status == 500
    assert headers["Content-Type"].startswith("text/plain")
    assert re.search(reason, body.decode())
    assert b"\n" not in body


def test_refusals_from_outside_the_responders_are_text_as_well(
    one_slot: Pod, pods: list[Pod]
) -> None:
    status, headers, body = get(pods[0], "stage_debug?archive_url=http://elsewhere.example/a/b")
    assert (status, headers["Content-Type"][:10]) == (403, "text/plain")
    assert b"allowed" in body
    by_post = urllib.request.Request(f"{pods[0].url}/download", data=b"")
    with pytest.raises(DevServerError, match="GET, not POST"):
        DevServer2012(pods[0].url).send(by_post)
    with pytest.raises(DevServerError, match=r"70149 bytes, .* at most 65536") as refused:
        DevServer2012(one_slot.url).symbolicate(bytes(70_000))
    assert "{" not in str(refused.value)


@pytest.mark.parametrize(
    "path", ["update", "update/a/b", "xbuddy/local/x", "cros_au", "build?pkg=x", "api/hostlog"]
)
def test_a_path_that_is_out_of_scope_is_refused_with_the_reason(pods: list[Pod], path: str) -> None:
    status, headers, body = get(pods[0], path)
    assert status == 404
    assert headers["Content-Type"].startswith("text/plain")
    assert len(body) > 20


def test_the_index_names_every_path_and_doc_explains_each(pods: list[Pod]) -> None:
    listed = get(pods[0], "index")[2].decode().splitlines()[1:]
    names = [re.match(r"[a-z_/]+[a-z]", line)[0] for line in listed]  # type: ignore[index]
    assert {"download", "stage", "is_staged", "check_health", "api/fileinfo"} <= set(names)
    for name in names:
        status, _, body = get(pods[0], f"doc/{name}")
        assert status == 200
        assert body.decode().startswith(name)
    assert get(pods[0], "doc/update")[0] == get(pods[0], "doc/nothing")[0] == 404
    assert get(pods[0], "latestbuild")[2] == get(pods[0], "doc/latestbuild")[2]


def test_doc_alone_says_how_to_ask_and_knows_the_paths_of_help_and_files(pods: list[Pod]) -> None:
    for path in ("doc", "doc/", "doc/doc", "doc/doc/"):
        status, _, body = get(pods[0], path)
        assert (status, body[:8]) == (200, b"doc/NAME")
    assert get(pods[0], "doc/index")[0] == get(pods[0], "doc/static")[0] == 200


def test_a_slash_at_the_end_of_a_path_is_nothing_as_the_devserver_took_it(pods: list[Pod]) -> None:
    assert get(pods[0], "index/")[2] == get(pods[0], "index")[2]
    assert get(pods[0], "latestbuild/")[2] == get(pods[0], "latestbuild")[2]
    assert get(pods[0], "check_health/")[0] == 200
    assert get(pods[0], "stage/?artifacts=x")[2] == get(pods[0], "stage?artifacts=x")[2]


def test_an_object_of_a_bucket_has_a_name(pods: list[Pod]) -> None:
    for verb in ("download", "decompress", "gscache/download"):
        status, _, body = get(pods[0], f"{verb}/bucket/folder/")
        assert status == 400
        assert body.startswith(b"path: must name an object")


def test_health_has_every_number_that_clients_read(pods: list[Pod]) -> None:
    load = DevServer2013(pods[0].url).load()
    assert set(load) == {
        "free_disk",
        "cpu_percent",
        "network_total_bytes_per_second",
        "disk_total_bytes_per_second",
        "au_process_count",
        "staging_thread_count",
    }
    assert all(value >= 0 for value in load.values())


def test_the_folder_of_a_build_is_listed_one_level_deep(
    pods: list[Pod], source: ArchiveSource
) -> None:
    path, objects = build_path(), build()
    url = source.add(path, objects)
    DevServer2012(pods[0].url).trigger_download(url)
    heading, *lines = get(pods[0], f"list_image_dir?archive_url={url}")[2].decode().split("\n")
    assert heading == f"Listing contents of :{path} "
    line = re.compile(r"Name: (\S+) Accessed: \S+ \S+ Modified: \S+ \S+ Size: (\d+) bytes\.")
    found = {match[1]: match[2] for one in lines if (match := line.fullmatch(one))}
    assert len(found) == len(lines)
    assert set(found) == {
        f"{path}/{name}" for name in ("au", "autotest", "stateful.tgz", "update.gz")
    }
    assert found[f"{path}/update.gz"] == str(len(objects[FULL_PAYLOAD]))


def test_fileinfo_of_a_file_that_is_not_staged_is_404(pods: list[Pod]) -> None:
    assert get(pods[0], "api/fileinfo/no/such/file")[0] == 404


def test_the_tests_of_one_suite_are_those_of_its_map(
    pods: list[Pod], source: ArchiveSource
) -> None:
    path, sleep = build_path(), "client/site_tests/sleep/control"
    suites = {"bvt": [sleep, "not/there/control"], "empty": []}
    tests = {
        f"autotest/{sleep}": b"sleep",
        "autotest/server/control.srv": b"srv",
        "autotest/server/controlled": b"",
        "autotest/test_suites/suite_to_control_file_map": json.dumps(suites).encode(),
    }
    url = source.add(path, with_manifest({"control_files.tar": tar(tests)}))
    client = DevServer2013(pods[0].url)
    client.stage(url, ["control_files"])
    assert client.list_control_files(path) == [sleep, "server/control.srv"]
    assert get(pods[0], f"controlfiles?suite_name=bvt&build={path}")[2].decode() == sleep
    assert get(pods[0], f"controlfiles?suite_name=none&build={path}")[2] == b""
    assert json.loads(get(pods[0], f"list_suite_controls?suite_name=bvt&build={path}")[2]) == {
        sleep: "sleep"
    }


def test_stack_traces_need_a_program(pods: list[Pod]) -> None:
    with pytest.raises(DevServerError, match="STAGING_STACKWALK"):
        DevServer2012(pods[0].url).symbolicate(b"MDMP")


def test_a_stack_trace_comes_from_the_symbols_of_its_own_build(
    one_slot: Pod, source: ArchiveSource
) -> None:
    urls = [source.add(build_path(), with_symbols(text)) for text in (b"first", b"second")]
    client = DevServer2012(one_slot.url)
    symbol = f"./lib.so/{DEBUG_ID}/lib.so.sym\n"
    dump = minidump([elf("/usr/lib/lib.so", BUILD_ID)])
    for url, text in zip(urls, ("first", "second"), strict=True):
        assert client.symbolicate(dump, f"?archive_url={url}") == symbol + text


def test_without_a_build_symbols_are_found_by_what_the_dump_names(
    one_slot: Pod, source: ArchiveSource
) -> None:
    client = DevServer2012(one_slot.url)
    client.stage_symbols(source.add(build_path(), with_symbols(b"found")))
    known = minidump([elf("/usr/lib/lib.so", BUILD_ID), elf("/usr/lib/other.so", BUILD_ID)])
    assert client.symbolicate(known) == f"./lib.so/{DEBUG_ID}/lib.so.sym\nfound"
    assert client.symbolicate(minidump([elf("/lib.so", BUILD_ID[::-1])])) == ""
    with pytest.raises(DevServerError, match="minidump"):
        client.symbolicate(b"no dump")


def test_a_stackwalk_that_fails_says_why(one_slot: Pod, source: ArchiveSource) -> None:
    url = source.add(build_path(), with_symbols(b"any"))
    with pytest.raises(DevServerError, match=r"status 3.*no \(stack\) in it"):
        DevServer2012(one_slot.url).symbolicate(b"FAIL", f"?archive_url={url}")


def test_without_a_waiter_slot_a_client_retries_and_the_pod_goes_on(
    one_slot: Pod, source: ArchiveSource
) -> None:
    url, other = (source.add(build_path(), build()) for _ in range(2))
    held = source.hold(url, FULL_PAYLOAD, after_bytes=100_000)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(get, one_slot, f"download?archive_url={url}")
        held.wait_until_reached()
        for waits in (f"download?archive_url={url}", f"stage_debug?archive_url={other}"):
            status, _, body = get(one_slot, waits)
            assert (status, body) == (200, b"Service Unavailable")
        polled = get(one_slot, f"is_staged?archive_url={url}&artifacts=full_payload")
        assert polled[2] == b"False"
        assert DevServer2013(one_slot.url).load()["staging_thread_count"] == 1
        held.release()
        assert first.result()[2] == b"Success"
    DevServer2013(one_slot.url).stage(other, ["symbols"])


def test_with_conflict_409_a_second_client_gets_409(
    literal: Pod, pods: list[Pod], source: ArchiveSource, rows: Database
) -> None:
    url = source.add(build_path(), build())
    held = [source.hold(url, name) for name in (FULL_PAYLOAD, "stateful.tgz")]
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(get, pods[0], f"download?archive_url={url}")
        for each in held:
            each.wait_until_reached()
        for second in ("download?", "stage?artifacts=stateful&async=True&"):
            status, headers, body = get(literal, f"{second}archive_url={url}")
            assert status == 409
            assert int(headers["Retry-After"]) >= 1
            assert b"lock" in body
        for each in held:
            each.release()
        assert first.result()[2] == b"Success"
    assert get(literal, f"download?archive_url={url}")[2] == b"Success"
    assert grants(rows, url)
