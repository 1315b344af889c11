"""Names of an HTTP archive's objects, from each kind of list that servers offer."""

import contextlib
import functools
import http.server
import threading

import pytest

from staging_api.errors import (
    ArchiveNotFound,
    ArchiveUnsafe,
    LimitExceeded,
    SourceFailed,
    SourceRefused,
)
from staging_api.sources import open_archive
from staging_api.sources.allowlist import AllowList
from staging_api.sources.model import SourceOptions
from staging_api.sources.url import parse
from tests.scripted_http import Reply, scripted_http

HTML = {"Content-Type": "text/html"}


@contextlib.contextmanager
def archive(pages, path="/b/R17", allow="", **options):
    """Yield an archive of a server that has these responses by path, and 404 for other paths."""

    def script(asked):
        page = pages.get(asked.path, 404)
        if isinstance(page, int):
            return Reply(page)
        return page if isinstance(page, Reply) else Reply(body=page)

    with scripted_http(script) as server:
        allowed = AllowList.parse(", ".join(server.url + entry for entry in allow.split() or [""]))
        chosen = SourceOptions(sleep=lambda _seconds: None, attempts=2, **options)
        source = open_archive(parse(server.url + path), allowed, chosen)
        try:
            yield source, server
        finally:
            source.close()


def links(*names):
    return Reply(body="".join(f'<a href="{n}">x</a>' for n in names).encode(), headers=HTML)


def bucket(*keys, token=None):
    contents = "".join(f"<Contents><Key>{key}</Key></Contents>" for key in keys)
    more = f"<IsTruncated>true</IsTruncated><NextContinuationToken>{token}</NextContinuationToken>"
    xml = f"<ListBucketResult>{contents}{more if token else ''}</ListBucketResult>"
    return Reply(body=xml.encode(), headers={"Content-Type": "application/xml"})


def test_the_pages_of_a_folder_and_of_those_in_it_are_walked():
    pages = {
        "/b/R17/": links("../", "?C=N", "image.zip", "logs/"),
        "/b/R17/logs/": links("../", "a%20b.log", "old/"),
        "/b/R17/logs/old/": 403,
    }
    with archive(pages) as (source, _):
        assert source.names() == ["image.zip", "logs/a b.log"]


def test_the_real_pages_of_python_are_walked(tmp_path):
    (tmp_path / "R17" / "sub").mkdir(parents=True)
    for name in ("image.zip", "g++ 1.bin", "sub/x.bin"):
        (tmp_path / "R17" / name).write_bytes(b"x")

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    handler = functools.partial(Quiet, directory=tmp_path)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        url = f"http://127.0.0.1:{server.server_port}"
        source = open_archive(parse(f"{url}/R17"), AllowList.parse(url))
        try:
            assert sorted(source.names()) == ["g++ 1.bin", "image.zip", "sub/x.bin"]
            assert source.stat("g++ 1.bin").size_bytes == 1
        finally:
            source.close()
            server.shutdown()
            thread.join()


def test_a_page_names_objects_by_percent_encoded_links():
    page = links("build%20log.txt", "build%2520log.txt", "a%252Fb.txt", "image.zip")
    with archive({"/b/R17/": page, "/b/R17/build%2520log.txt": b"log"}) as (source, _):
        names = source.names()
        assert names == ["build log.txt", "build%20log.txt", "image.zip"]
        assert names.left_out == ("a%2Fb.txt",)
        assert source.stat("build%20log.txt").size_bytes == 3


def test_a_key_of_a_bucket_is_literal():
    first = "/?list-type=2&encoding-type=url&prefix=b%2FR17%2F"
    with archive({first: bucket("b/R17/build%20log.txt", "b/R17/sub//x.bin")}) as (source, _):
        names = source.names()
        assert (names, names.left_out) == (["build%20log.txt"], ("sub//x.bin",))


def test_a_manifest_counts_before_any_page():
    pages = {"/b/R17/UPLOADED": b"image.zip\n", "/b/R17/": links("other.zip")}
    with archive(pages) as (source, _):
        assert source.names() == ["image.zip"]


def test_the_first_manifest_that_is_there_counts():
    pages = {"/b/R17/list.json": b'["image.zip"]'}
    with archive(pages, manifests=("UPLOADED", "list.json")) as (source, _):
        assert source.names() == ["image.zip"]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("SHA256SUMS", b"e3b0c442" * 8 + b"  image.zip\n"),
        ("MD5SUMS", b"d41d8cd98f00b204e9800998ecf8427e *image.zip\n"),
        ("manifest.json", b'{"name": "image.zip"}\n'),
    ],
)
def test_a_list_beside_the_objects_is_read(name, content):
    with archive({f"/b/R17/{name}": content}) as (source, _):
        assert source.names() == ["image.zip", name]


def test_a_bucket_is_listed_page_by_page():
    first = "/?list-type=2&encoding-type=url&prefix=b%2FR17%2F"
    pages = {
        "/b/R17/": 403,
        first: bucket("b/R17/image.zip", "b/R17/", token="t/1="),
        f"{first}&continuation-token=t%2F1%3D": bucket("b/R17/sub/x.bin"),
    }
    with archive(pages) as (source, _):
        assert source.names() == ["image.zip", "sub/x.bin"]


def test_a_bucket_that_is_the_first_segment_is_listed():
    pages = {"/b?list-type=2&encoding-type=url&prefix=R17%2F": bucket("R17/image.zip")}
    with archive(pages) as (source, _):
        assert source.names() == ["image.zip"]


def test_a_listing_outside_the_allow_list_is_not_asked_for():
    pages = {"/?list-type=2&encoding-type=url&prefix=b%2FR17%2F": bucket("b/R17/image.zip")}
    with archive(pages, allow="/b/") as (source, server):
        with pytest.raises(ArchiveNotFound, match="STAGING_SOURCES should allow more: http"):
            source.names()
        assert all(each.path.startswith("/b") for each in server.asked)


def test_the_files_of_a_release_are_listed():
    release = "/o/n/releases/download/v1"
    pages = {"/api/v3/repos/o/n/releases/tags/v1": b'{"assets": [{"name": "a.zip"}]}'}
    with archive(pages, release) as (source, _):
        assert source.names() == ["a.zip"]


def test_without_any_list_the_error_says_what_could_be_one():
    with archive({}) as (source, _):
        with pytest.raises(ArchiveNotFound, match=r"UPLOADED.*SHA256SUMS.*file:NAME"):
            source.names()


def test_a_server_that_wants_a_credential_is_not_an_empty_archive():
    with archive({"/b/R17/": 401, "/b/R17/UPLOADED": 401}) as (source, _):
        with pytest.raises(SourceRefused, match="refused access to what lists the objects"):
            source.names()


def test_a_credential_that_something_else_wants_says_nothing_of_an_archive():
    root = "/?list-type=2&encoding-type=url&prefix=b%2FR17%2F"
    with archive({root: 401}) as (source, server):
        with pytest.raises(ArchiveNotFound):
            source.names()
        assert root in [each.path for each in server.asked]
    with archive({"/b/R17/": 401, "/b/R17/SHA256SUMS": f"{'0' * 64}  x\n".encode()}) as (source, _):
        assert source.names() == ["x", "SHA256SUMS"]


def test_a_page_to_sign_in_is_no_list():
    pages = {
        "/b/R17/": Reply(302, headers={"Location": "/login/"}),
        "/b/R17/UPLOADED": Reply(302, headers={"Location": "/login/"}),
        "/login/": links("/b/R17/fake.zip", "image.zip"),
    }
    with archive(pages) as (source, _):
        with pytest.raises(ArchiveNotFound):
            source.names()


def test_a_site_that_shows_a_page_for_everything_has_no_objects():
    page = Reply(body=b"<!doctype html><html><a href='/about'>x</a></html>", headers=HTML)
    everything = {f"/b/R17/{name}": page for name in ("", "SHA256SUMS", "manifest.json")}
    with archive(everything) as (source, _):
        with pytest.raises(ArchiveNotFound):
            source.names()


def test_a_page_that_links_out_of_the_archive_names_nothing_there():
    pages = {"/b/R17/": links("/etc/passwd", "../../x", "..%2f..%2fx", "%2e%2e/x", "fine.zip")}
    with archive(pages) as (source, _):
        assert source.names() == ["fine.zip"]


def test_a_bucket_with_a_hostile_key_is_refused():
    first = "/?list-type=2&encoding-type=url&prefix=b%2FR17%2F"
    with archive({first: bucket("b/R17/../../etc/passwd")}) as (source, _):
        with pytest.raises(ArchiveUnsafe):
            source.names()


def test_folders_without_end_are_not_walked_for_ever():
    most = 200 - 1  # outside the archive
    pages = {"/b/R17/": links("x.bin", *(f"{number}/" for number in range(most)))}
    with archive(pages) as (source, server):
        assert source.names() == ["x.bin"]
        pages["/b/R17/"] = links("x.bin", *(f"{number}/" for number in range(most + 1)))
        with pytest.raises(LimitExceeded, match="more than 200 folders"):
            source.names()
        assert len(server.asked) < 2 * 210


def test_a_bucket_whose_listing_never_ends_is_left():
    keys = (f"b/R17/{number}" for number in range(1000))
    with scripted_http(lambda asked: bucket(next(keys), token="again")) as server:
        source = open_archive(
            parse(f"{server.url}/b/R17"),
            AllowList.parse(server.url),
            SourceOptions(manifests=(), most_names=1000),
        )
        assert len(source.names()) == 1000 // 100 + 1
        source.close()


def test_a_folder_within_itself_is_left_at_some_depth():
    with scripted_http(lambda _asked: links("again/", "x.bin")) as server:
        source = open_archive(
            parse(f"{server.url}/b/R17"),
            AllowList.parse(server.url),
            SourceOptions(manifests=("none.bin",)),
        )
        assert len(source.names()) == 9
        source.close()


def test_a_list_that_is_too_long_is_refused():
    pages = {"/b/R17/SHA256SUMS": b"x" * ((16 << 20) + 1)}
    with archive(pages) as (source, _):
        with pytest.raises(LimitExceeded):
            source.names()


def test_a_list_that_trickles_is_cut():
    slow = {"slowest_window_seconds": 0, "slowest_bytes_per_second": 1 << 50}
    with archive({"/b/R17/SHA256SUMS": b"x\n"}, **slow, manifests=()) as (source, _):
        with pytest.raises(SourceFailed, match="sends too slowly"):
            source.names()


@pytest.mark.parametrize("status", [429, 503])
def test_a_server_that_is_overloaded_is_not_an_empty_archive(status):
    pages = {"/b/R17/": status}
    with archive(pages) as (source, _):
        with pytest.raises(SourceFailed, match=str(status)) as failed:
            source.names()
        assert failed.value.retryable
