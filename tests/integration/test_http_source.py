"""HTTP source against a server with every known kind of misbehaviour."""

import hashlib
import ssl

import pytest
import trustme

from staging_api.errors import (
    ArchiveCorrupt,
    ArchiveNotFound,
    ArchiveUnsafe,
    ArtifactNotFound,
    SourceChanged,
    SourceFailed,
    SourceNotAllowed,
    SourceRefused,
)
from staging_api.sources import open_archive
from staging_api.sources.allowlist import AllowList
from staging_api.sources.model import SourceOptions
from staging_api.sources.retrying import Interrupted
from staging_api.sources.url import parse
from tests.http_server import http_server
from tests.slow_answers import dripping

BODY = bytes(range(256)) * 4096  # 1 MiB
UPLOADED = b"image.zip\nsub/object.bin\n\n"


@pytest.fixture
def server():
    objects = {"/b/R17/object.bin": BODY, "/b/R17/UPLOADED": UPLOADED, "/b/R17/empty": b""}
    with http_server(objects) as served:
        yield served


@pytest.fixture
def pauses():
    return []


@pytest.fixture
def reader(server, pauses):
    """Yield a function that opens an archive with short timeouts, by default of the server."""
    opened = []

    def open_it(base=server.url, allow=None, **options):
        chosen = {"read_timeout_seconds": 0.3, "sleep": pauses.append, **options}
        allowed = AllowList.parse(allow or server.url)
        source = open_archive(parse(f"{base}/b/R17"), allowed, SourceOptions(**chosen))
        opened.append(source)
        return source

    yield open_it
    for source in opened:
        source.close()


def read(source, name="object.bin", start=0, end=None):
    with source.open(source.stat(name), start, end) as chunks:
        return b"".join(chunks)


def test_an_object_is_described_and_read(server, reader):
    source = reader()
    found = source.stat("object.bin")
    assert (found.size_bytes, found.url) == (len(BODY), f"{server.url}/b/R17/object.bin")
    assert found.version == f'"{hashlib.md5(BODY).hexdigest()}"'
    assert read(source) == BODY
    assert read(source, "empty") == b""


@pytest.mark.parametrize(("start", "end"), [(0, 10), (5, 5), (100, 5000), (1 << 19, None)])
@pytest.mark.parametrize("ranges", [True, False])
def test_a_part_is_read_whether_the_server_has_ranges_or_not(server, reader, ranges, start, end):
    server.wrong.no_ranges = not ranges
    assert read(reader(), start=start, end=end) == BODY[start:end]


def test_names_come_from_the_manifest(reader):
    assert reader().names() == ["image.zip", "sub/object.bin"]


def test_without_a_manifest_there_is_no_archive(server, reader):
    del server.objects["/b/R17/UPLOADED"]
    with pytest.raises(ArchiveNotFound):
        reader().names()


@pytest.mark.parametrize("line", [b"../x\n", b"/etc/passwd\n", b"a\\..\\b\n", b"a\0b\n"])
def test_a_manifest_with_an_unsafe_name_is_refused_for_good(server, reader, line):
    server.objects["/b/R17/UPLOADED"] = b"fine\n" + line
    with pytest.raises(ArchiveUnsafe) as refused:
        reader().names()
    assert not refused.value.retryable


@pytest.mark.parametrize("name", ["a//b", "build%2Flog.txt", pytest.param("x" * 300, id="long")])
def test_a_name_that_cannot_be_asked_for_is_left_out_of_a_manifest(server, reader, name, caplog):
    server.objects["/b/R17/UPLOADED"] = f"{name}\nfine\n".encode()
    names = reader().names()
    assert (names, names.left_out) == (["fine"], (name,))
    assert "1 of the names in the archive's list are no safe" in caplog.text


def test_a_manifest_names_objects_literally(server, reader):
    server.objects["/b/R17/UPLOADED"] = b"build%20log.txt\n100%\n"
    server.objects["/b/R17/build%20log.txt"] = b"log"
    source = reader()
    assert source.names() == ["build%20log.txt", "100%"]
    assert read(source, "build%20log.txt") == b"log"
    assert source.stat("build%20log.txt").url.endswith("/build%2520log.txt")


def test_a_manifest_that_is_no_text_is_damaged(server, reader):
    server.objects["/b/R17/UPLOADED"] = b"fine\n\xff\n"
    with pytest.raises(ArchiveCorrupt):
        reader().names()


def test_a_missing_object_is_not_retried(reader, pauses):
    with pytest.raises(ArtifactNotFound):
        reader().stat("none.bin")
    assert pauses == []


def test_a_cut_body_goes_on_where_it_was_cut(server, reader, pauses):
    server.wrong.cuts, server.wrong.cut_after = 2, 300_000
    assert read(reader()) == BODY
    ranges = [each.headers.get("range") for each in server.asked("GET", "/b/R17/object.bin")]
    assert ranges[0] is None
    assert len(ranges) == 3
    assert all(each.startswith("bytes=") for each in ranges[1:])
    assert (
        sum(each.sent_bytes for each in server.asked("GET", "/b/R17/object.bin")) <= len(BODY) * 2
    )
    assert len(pauses) == 2


def test_a_cut_body_goes_on_also_without_ranges(server, reader):
    server.wrong.no_ranges = True
    server.wrong.cuts, server.wrong.cut_after = 1, 300_000
    assert read(reader()) == BODY


def test_an_object_that_changed_meanwhile_is_not_sewn_together(server, reader):
    source = reader()
    found = source.stat("object.bin")
    server.wrong.etags = [found.version, '"other"']
    server.wrong.cuts, server.wrong.cut_after = 1, 300_000
    with pytest.raises(SourceChanged), source.open(found) as chunks:
        b"".join(chunks)


def test_an_object_that_changed_before_it_was_read_is_noticed(server, reader):
    source = reader()
    found = source.stat("object.bin")
    server.objects["/b/R17/object.bin"] = BODY[::-1]
    with pytest.raises(SourceChanged), source.open(found) as chunks:
        b"".join(chunks)


def test_a_cut_body_without_validators_is_not_resumed(server, reader):
    server.wrong.no_validators = True
    server.wrong.cuts, server.wrong.cut_after = 1, 300_000
    with pytest.raises(SourceFailed):
        read(reader())
    server.wrong.cuts = 0
    assert read(reader()) == BODY


def test_a_stalling_body_times_out_and_the_attempts_are_bounded(server, reader, pauses):
    server.wrong.stall = True
    with pytest.raises(SourceFailed, match="stopped sending"):
        read(reader(attempts=2))
    assert len(pauses) == 1


def test_a_server_that_fails_for_a_moment_is_retried(server, reader, pauses):
    server.wrong.refuse, server.wrong.fail = 1, 2
    assert read(reader()) == BODY
    assert len(pauses) == 3
    assert pauses[1] > 0


def test_retry_after_is_kept(server, reader, pauses):
    server.wrong.fail, server.wrong.headers = 1, {"Retry-After": "7"}
    assert read(reader()) == BODY
    assert pauses == [7.0]


def test_a_server_that_stays_away_is_given_up(server, reader, pauses):
    server.wrong.fail = 100
    with pytest.raises(SourceFailed, match="503") as failed:
        reader(attempts=3).stat("object.bin")
    assert failed.value.retryable
    assert len(pauses) == 2


@pytest.mark.parametrize("status", [401, 403])
def test_a_refusal_is_not_tried_again(server, reader, pauses, status):
    server.wrong.status = status
    with pytest.raises(SourceRefused):
        reader().stat("object.bin")
    assert pauses == []


def test_a_refused_connection_is_a_failed_source(reader, pauses):
    with pytest.raises(SourceFailed, match="could not be connected to"):
        reader("http://127.0.0.1:9", "http://127.0.0.1:9", attempts=2).stat("object.bin")
    assert len(pauses) == 1


def test_a_length_that_is_too_long_is_noticed(server, reader):
    server.wrong.lie = 100
    with pytest.raises(SourceFailed):
        read(reader(attempts=2))


def test_a_length_that_differs_between_two_answers_is_noticed(server, reader):
    source = reader()
    found = source.stat("object.bin")
    server.wrong.lie = -100
    with pytest.raises(SourceChanged), source.open(found) as chunks:
        b"".join(chunks)


def test_a_body_without_a_length_is_refused(server, reader):
    source = reader()
    found = source.stat("object.bin")
    server.wrong.no_length = True
    with pytest.raises(SourceFailed, match="where the body ends"), source.open(found) as chunks:
        b"".join(chunks)
    with pytest.raises(SourceFailed, match="where the body ends"), source.take("object.bin"):
        pass


def test_a_chunked_body_is_read_and_its_cut_noticed(server, reader):
    server.wrong.chunked = True
    assert read(reader()) == BODY
    server.wrong.cuts, server.wrong.cut_after = 9, 300_000
    with pytest.raises(SourceFailed):
        read(reader(attempts=2))


def test_a_chunked_body_longer_than_declared_is_noticed(server, reader):
    source = reader()
    found = source.stat("object.bin")
    server.wrong.chunked, server.wrong.etags = True, [found.version]
    server.objects["/b/R17/object.bin"] = BODY + b"more"
    with pytest.raises(SourceChanged), source.open(found) as chunks:
        b"".join(chunks)


def test_a_server_without_head_gets_a_get(server, reader):
    server.wrong.no_head = True
    assert reader().stat("object.bin").size_bytes == len(BODY)


def test_digests_are_read_from_the_headers(server, reader):
    server.wrong.headers = {
        "x-goog-hash": "crc32c=AAAAAA==,md5=1B2M2Y8AsgTpgAmY7PhCfg==",
        "Repr-Digest": "sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:, unknown=:AA==:",
        "x-amz-checksum-crc32c": "AAAAAQ==-3",
    }
    assert reader().stat("empty").digests == {
        "crc32c": "00000000",
        "md5": hashlib.md5(b"").hexdigest(),
        "sha256": hashlib.sha256(b"").hexdigest(),
    }


def test_a_redirect_within_the_list_is_followed_with_its_query(server, reader):
    server.objects["/elsewhere/object.bin?signature=1"] = BODY

    def once(_path):
        server.wrong.redirect = None
        return "/elsewhere/object.bin?signature=1"

    server.wrong.redirect = once
    assert reader().stat("object.bin").size_bytes == len(BODY)
    assert server.requests[-1].path == "/elsewhere/object.bin?signature=1"


@pytest.mark.parametrize(
    "location",
    [
        "http://169.254.169.254/latest/meta-data",
        "http://localhost:1/x",
        "file:///etc/passwd",
        "gs://bucket/x",
    ],
)
def test_a_redirect_outside_the_allow_list_is_not_followed(server, reader, location):
    server.wrong.redirect = lambda _path: location
    with pytest.raises(SourceNotAllowed):
        reader().stat("object.bin")
    assert len(server.requests) == 1


@pytest.mark.parametrize("location", ["http://user:pw@127.0.0.1/x", "http://[bad/x", "http:///x"])
def test_a_redirect_to_an_invalid_url_is_not_followed(server, reader, location):
    server.wrong.redirect = lambda _path: location
    with pytest.raises(SourceFailed):
        reader().stat("object.bin")


def test_a_redirect_without_end_is_left(server, reader):
    server.wrong.redirect = lambda path: path
    with pytest.raises(SourceFailed, match="redirected more than 5 times"):
        reader().stat("object.bin")
    assert len(server.requests) == 6


def test_a_credential_stays_with_its_origin(server, reader):
    with http_server({"/b/R17/object.bin": BODY}) as other:
        server.wrong.redirect = lambda path: other.url + path
        source = reader(
            allow=f"{server.url}, {other.url}", authorization={server.url: "Bearer secret"}
        )
        source.stat("object.bin")
    assert server.requests[0].headers["authorization"] == "Bearer secret"
    assert "authorization" not in other.requests[0].headers


def test_a_name_that_leads_to_our_own_network_is_not_connected_to(server, reader):
    port = server.url.rpartition(":")[2]
    url = f"http://archive.example:{port}"
    source = reader(url, url, resolve=lambda _host, _port: ["127.0.0.1"])
    with pytest.raises(SourceNotAllowed):
        source.stat("object.bin")
    assert server.requests == []


def test_a_host_with_one_private_address_is_refused(reader):
    url = "http://archive.example:9"
    source = reader(url, url, resolve=lambda _host, _port: ["93.184.216.34", "10.0.0.1"])
    with pytest.raises(SourceNotAllowed):
        source.stat("object.bin")


def test_a_name_that_changes_its_address_later_gains_nothing(server, reader):
    port = server.url.rpartition(":")[2]
    url = f"http://depot.internal:{port}"
    answers = [["127.0.0.1"], ["127.0.0.2"]]
    source = reader(url, f"{url} 127.0.0.1/32", resolve=lambda _host, _port: answers.pop(0))
    for _ in range(3):
        assert source.stat("object.bin").size_bytes == len(BODY)
    assert server.requests[0].headers["host"] == f"depot.internal:{port}"
    assert len(answers) == 1


def test_after_a_failure_the_next_address_of_a_name_is_connected_to(server, reader, pauses):
    port = server.url.rpartition(":")[2]
    url = f"http://depot.internal:{port}"
    both = ["127.0.0.2", "127.0.0.1"]  # the server listens only on the second address
    source = reader(url, f"{url} 127.0.0.0/8", resolve=lambda _host, _port: both, attempts=2)
    assert source.stat("object.bin").size_bytes == len(BODY)
    assert len(pauses) == 1
    last = reader(url, f"{url} 127.0.0.0/8", resolve=lambda _host, _port: both[::-1])
    assert last.stat("object.bin").size_bytes == len(BODY)
    assert len(pauses) == 1


def test_the_environment_names_no_proxy(server, reader, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    assert read(reader()) == BODY


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


@pytest.mark.parametrize(
    ("certified", "trusted"),
    [("depot.internal", True), ("other.internal", True), ("depot.internal", False)],
)
def test_tls_proves_the_name_though_the_address_is_connected_to(
    authority, tmp_path, certified, trusted
):
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(certified).configure_cert(context)
    (authority if trusted else trustme.CA()).cert_pem.write_to_path(tmp_path / "ca.pem")
    with http_server({"/b/R17/object.bin": BODY}, context) as server:
        base = f"https://depot.internal:{server.url.rpartition(':')[2]}"
        options = SourceOptions(
            ca_file=str(tmp_path / "ca.pem"), resolve=lambda _host, _port: ["127.0.0.1"]
        )
        allowed = AllowList.parse(f"{base} 127.0.0.0/8")
        source = open_archive(parse(f"{base}/b/R17"), allowed, options)
        if certified == "depot.internal" and trusted:
            assert read(source) == BODY
        else:
            with pytest.raises(SourceRefused, match="certificate"):
                source.stat("object.bin")
            with pytest.raises(SourceRefused, match="certificate"):
                source.names()
        source.close()


def test_errors_do_not_repeat_a_query(server, reader):
    server.wrong.redirect = lambda _path: server.url + "/b/x?X-Signature=hunter2"
    with pytest.raises(SourceFailed) as failed:
        reader().stat("object.bin")
    assert "hunter2" not in str(failed.value)


def test_a_head_that_trickles_is_cut(reader, pauses):
    with dripping(b"HTTP/1.1 200 ") as url:
        source = reader(
            url, url, connect_timeout_seconds=0.1, slowest_window_seconds=0.1, attempts=1
        )
        with pytest.raises(Interrupted, match="sends too slowly"):
            source.stat("object.bin")
    assert pauses == []


def test_a_body_that_trickles_is_cut(reader, pauses):
    source = reader(slowest_window_seconds=0, slowest_bytes_per_second=1 << 50, attempts=3)
    with pytest.raises(SourceFailed, match="sends too slowly"):
        read(source)
    assert len(pauses) == 2
