"""Bucket source against a server that speaks the protocol and then misbehaves."""

import dataclasses
import gzip
import ssl

import pytest
import trustme
from obstore.exceptions import GenericError

from staging_api.errors import ArchiveNotFound, SourceChanged, SourceFailed, SourceRefused
from staging_api.sources import open_archive
from staging_api.sources.allowlist import AllowList
from staging_api.sources.bucket_failures import bucket_failures
from staging_api.sources.model import SourceOptions
from staging_api.sources.url import parse
from staging_api.store.bucket import Bucket
from tests.buckets import CREDENTIALS
from tests.http_server import http_server
from tests.scripted_http import Reply, scripted_http, served

BODY = bytes(range(256)) * 16_384  # 4 MiB
PATH = "/builds/R17/object.bin"
MODIFIED = {"Last-Modified": "Sun, 22 Nov 2026 02:38:51 GMT"}


@pytest.fixture
def server():
    with http_server({PATH: BODY}) as served:
        served.wrong.headers = dict(MODIFIED)
        yield served


@pytest.fixture
def source(server):
    options = SourceOptions(
        buckets={"gs": {"endpoint": server.url}},
        anonymous=frozenset({"gs://builds"}),
        attempts=3,
        backoff_seconds=0.01,
        read_timeout_seconds=0.3,
    )
    return open_archive(parse("gs://builds/R17"), AllowList.parse("gs://builds"), options)


def read(source, found=None):
    with source.open(found or source.stat("object.bin")) as chunks:
        return b"".join(chunks)


def test_a_cut_body_goes_on_where_it_was_cut(server, source):
    server.wrong.cuts, server.wrong.cut_after = 1, 3 << 20
    assert read(source) == BODY
    assert sum(each.sent_bytes for each in server.requests) < len(BODY) * 1.5


def test_an_object_that_changed_meanwhile_is_not_sewn_together(server, source):
    found = source.stat("object.bin")
    server.wrong.etags = [found.version, '"other"']
    server.wrong.cuts, server.wrong.cut_after = 1, 3 << 20
    with pytest.raises(SourceFailed):
        read(source, found)


def test_an_object_of_another_version_than_was_found_is_noticed(server, source):
    found = dataclasses.replace(source.stat("object.bin"), version='"other"')
    with pytest.raises(SourceChanged):
        read(source, found)


def test_a_server_that_fails_for_a_moment_is_retried(server, source):
    server.wrong.fail = 1
    assert read(source) == BODY


def test_a_server_that_stays_away_is_given_up_without_repeating_its_address(server, source):
    server.wrong.fail = 100
    with pytest.raises(SourceFailed) as failed:
        source.stat("object.bin")
    assert len(server.requests) == 3
    assert server.url not in str(failed.value)


@pytest.mark.parametrize("status", [401, 403])
def test_a_denied_request_is_source_refused(server, source, status):
    server.wrong.status = status
    with pytest.raises(SourceRefused, match="check that it exists"):
        source.stat("object.bin")


@pytest.mark.parametrize(
    ("status", "code", "error", "words"),
    [
        (
            403,
            "AccessDenied",
            SourceRefused,
            "refused access to its listing.*403 AccessDenied; che",
        ),
        (403, "SignatureDoesNotMatch", SourceRefused, "the secret does not belong to the access"),
        (401, "", SourceRefused, "it answered 401"),
        (404, "NoSuchBucket", ArchiveNotFound, "s3://builds is not there: .*404 NoSuchBucket"),
        (404, "", ArchiveNotFound, "s3://builds is not there: .*404"),
        (301, "PermanentRedirect", SourceFailed, "another region than STAGING_SOURCES_S3_REGION"),
        (400, "AuthorizationHeaderMalformed", SourceFailed, "another region than STAGING_SOURCES"),
        (400, "ExpiredToken", SourceFailed, "the credential has expired"),
        (400, "", SourceFailed, "it answered 400, which may mean another region, or a credential"),
        (500, "Odd", SourceFailed, "did not deliver its listing: it answered 500 Odd"),
    ],
)
def test_a_bucket_that_does_not_list_says_why_and_whether_to_come_again(status, code, error, words):
    """The bucket's objects can be read even without a listing."""
    body = f"<Error><Code>{code}</Code><Message>hunter2</Message></Error>".encode()

    def script(asked):
        if asked.path.endswith("/UPLOADED"):
            return Reply(404)
        listed = "list-type=2" in asked.path
        return Reply(status, body) if listed else served(b"bytes", asked, ETag='"1"', **MODIFIED)

    with scripted_http(script) as server:
        options = SourceOptions(
            buckets={"s3": {"endpoint": server.url, "region": "eu-central-1"}},
            anonymous=frozenset({"s3://builds"}),
            attempts=1,
        )
        source = open_archive(parse("s3://builds/R17"), AllowList.parse("s3://builds"), options)
        with pytest.raises(error, match=words) as failed:
            source.names()
        assert read(source) == b"bytes"
    assert failed.value.retryable == (
        status == 500 or (status == 400 and code in ("", "ExpiredToken"))
    )
    assert "hunter2" not in failed.value.detail


@pytest.mark.parametrize("name", ["AWS_ENDPOINT", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"])
def test_the_endpoint_of_the_settings_counts_before_each_of_the_environment(monkeypatch, name):
    for variable, value in {**CREDENTIALS, name: "http://127.0.0.1:9"}.items():
        monkeypatch.setenv(variable, value)
    with scripted_http(lambda asked: served(b"x", asked, ETag='"1"', **MODIFIED)) as server:
        options = SourceOptions(buckets={"s3": {"endpoint": server.url}}, attempts=1)
        source = open_archive(parse("s3://builds/R17"), AllowList.parse("s3://builds"), options)
        assert read(source) == b"x"
        store = Bucket.parse(f"s3://builds?endpoint={server.url}").connect()
        assert bytes(store.get("object.bin").bytes()) == b"x"


@pytest.mark.parametrize("trusted", [True, False])
def test_a_bucket_has_to_prove_its_name(tmp_path, trusted):
    authority, context = trustme.CA(), ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(context)
    (authority if trusted else trustme.CA()).cert_pem.write_to_path(tmp_path / "ca.pem")
    with http_server({PATH: BODY}, context) as server:
        server.wrong.headers = dict(MODIFIED)
        endpoint = f"https://localhost:{server.url.rpartition(':')[2]}"
        options = SourceOptions(
            buckets={"gs": {"endpoint": endpoint}},
            anonymous=frozenset({"gs://builds"}),
            attempts=1,
            ca_file=str(tmp_path / "ca.pem"),
        )
        source = open_archive(parse("gs://builds/R17"), AllowList.parse("gs://builds"), options)
        if trusted:
            assert read(source) == BODY
            return
        with pytest.raises(SourceRefused, match="UnknownIssuer; STAGING_SOURCES_CA_FILE"):
            source.stat("object.bin")


@pytest.mark.parametrize(
    ("text", "code", "retryable", "words"),
    [
        ("InvalidContentType", "source_refused", False, "did not answer in TLS"),
        ("NotPartial", "source_failed", False, "it has no ranges"),
        ("dns error", "source_failed", True, "a host of no known name"),
        ("Connection refused", "source_failed", True, "it could not be connected to"),
        ("TimedOut", "source_failed", True, "it did not answer in time"),
        (
            "secret words",
            "source_failed",
            True,
            "did not deliver x: it did not answer .GenericError",
        ),
        (
            "PUT http://169.254.169.254/latest/api/token: status code: 403",
            "source_failed",
            True,
            "no credential is set, and this machine's platform gave none",
        ),
    ],
)
def test_a_bucket_that_gives_no_answer_says_why(text, code, retryable, words):
    with pytest.raises(SourceFailed, match=words) as failed:
        with bucket_failures(parse("gs://builds/R17"), "x"):
            raise GenericError(text)
    assert (failed.value.code, failed.value.retryable) == (code, retryable)
    assert failed.value.detail.startswith("gs://builds did not ")
    assert "secret" not in failed.value.detail


def test_a_stalling_body_is_given_up(server, source):
    found = source.stat("object.bin")
    server.wrong.stall = True
    with pytest.raises(SourceFailed):
        read(source, found)


def test_a_body_shorter_than_the_object_is_noticed(server, source):
    found = dataclasses.replace(source.stat("object.bin"), size_bytes=len(BODY) + 1)
    with pytest.raises(SourceFailed, match="whole"):
        read(source, found)


def test_a_body_that_trickles_is_cut(server, source):
    options = SourceOptions(
        buckets={"gs": {"endpoint": server.url}},
        anonymous=frozenset({"gs://builds"}),
        slowest_window_seconds=0,
        slowest_bytes_per_second=1 << 50,
    )
    slow = open_archive(parse("gs://builds/R17"), AllowList.parse("gs://builds"), options)
    with pytest.raises(SourceFailed, match="sends too slowly"):
        read(slow)
    assert read(source) == BODY


def test_the_etag_is_the_md5_only_where_the_operator_leaves_it_so(server, source):
    assert set(source.stat("object.bin").digests) == {"md5"}
    options = SourceOptions(
        buckets={"gs": {"endpoint": server.url}},
        anonymous=frozenset({"gs://builds"}),
        etag_is_md5=False,
    )
    other = open_archive(parse("gs://builds/R17"), AllowList.parse("gs://builds"), options)
    assert other.stat("object.bin").digests == {}


def test_an_object_stored_with_gzip_by_google_is_read_as_stored():
    plain = b"line\n" * 4000
    stored = gzip.compress(plain, mtime=0)
    headers = {"Last-Modified": "Sun, 06 Nov 1994 08:49:07 GMT", "ETag": '"1"'}

    def script(asked):
        if "gzip" not in asked.headers.get("accept-encoding", ""):
            return Reply(body=plain, headers=headers, has_length=False)
        return served(stored, asked, **headers, **{"Content-Encoding": "gzip"})

    with scripted_http(script) as server:
        options = SourceOptions(
            buckets={"gs": {"endpoint": server.url}},
            anonymous=frozenset({"gs://builds"}),
            attempts=1,
        )
        source = open_archive(parse("gs://builds/R17"), AllowList.parse("gs://builds"), options)
        found = source.stat("lines.txt")
        with source.open(found) as chunks:
            assert b"".join(chunks) == stored
        with source.open(found, 10, 20) as chunks:
            assert b"".join(chunks) == stored[10:20]
