"""Response headers of a source, in every form that RFC 9110 allows."""

import base64
from datetime import UTC, datetime

import pytest
from urllib3 import HTTPHeaderDict

from staging_api.sources.headers import (
    ContentRange,
    content_length,
    content_range,
    declared_digests,
    media_type,
    refuses_ranges,
    retry_after_seconds,
    strong_etag,
)

NOON = datetime(1994, 11, 6, 8, 49, 7, tzinfo=UTC)


def one(name, value):
    return HTTPHeaderDict({name: value})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("bytes 42-1233/1234", ContentRange(42, 1234, 1234)),
        ("bytes 42-1233/*", ContentRange(42, 1234, None)),
        ("Bytes  0-0/1", ContentRange(0, 1, 1)),
        ("bytes */1234", ContentRange(None, None, 1234)),
        ("bytes 10-9/20", None),
        ("pages 1-2/3", None),
        ("bytes \u0661-\u0662/\u0663", None),
        ("", None),
    ],
)
def test_content_range(text, expected):
    assert content_range(one("Content-Range", text)) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [("0", 0), (" 12 ", 12), ("12, 12", 12), ("12, 13", None), ("-1", None), ("", None)],
)
def test_content_length(text, expected):
    assert content_length(one("Content-Length", text)) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("120", 120.0),
        ("Sun, 06 Nov 1994 08:49:37 GMT", 30.0),
        ("Sunday, 06-Nov-94 08:49:37 GMT", 30.0),
        ("Sun Nov  6 08:49:37 1994", 30.0),
        ("Sun, 06 Nov 1994 08:00:00 GMT", 0.0),
        ("soon", None),
        ("1.5", None),
        ("", None),
    ],
)
def test_retry_after_is_a_number_or_a_date_in_three_forms(text, expected):
    assert retry_after_seconds(one("Retry-After", text), NOON) == expected


def test_a_date_is_counted_from_the_clock_of_the_server():
    headers = one("Retry-After", "Sun, 06 Nov 1994 08:49:37 GMT")
    headers["Date"] = "Sun, 06 Nov 1994 08:49:30 GMT"
    assert retry_after_seconds(headers) == 7.0


@pytest.mark.parametrize(
    ("text", "expected"),
    [('"xyzzy"', '"xyzzy"'), ('W/"xyzzy"', None), ('""', '""'), ("xyzzy", None), ("", None)],
)
def test_only_a_strong_etag_says_that_bytes_are_the_same(text, expected):
    assert strong_etag(one("ETag", text)) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [("none", True), ("None", True), ("bytes", False), ("pages, bytes", False), ("", False)],
)
def test_accept_ranges(text, expected):
    assert refuses_ranges(one("Accept-Ranges", text)) is expected


def test_a_media_type_has_no_case_and_its_parameters_are_dropped():
    assert media_type(one("Content-Type", ' Text/HTML; charset="utf-8"')) == "text/html"


def test_digests_of_a_part_are_not_those_of_the_object():
    md5 = one("Content-MD5", "1B2M2Y8AsgTpgAmY7PhCfg==")
    assert set(declared_digests(md5)) == {"md5"}
    md5["Content-Range"] = "bytes 0-0/10"
    assert declared_digests(md5) == {}


def test_digests_are_read_from_each_header_that_has_them():
    sha256 = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="
    for header, value in (
        ("Digest", f"SHA-256={sha256}"),
        ("Repr-Digest", f"sha-256=:{sha256}:;note=1, unixsum=:AA==:"),
        ("x-amz-checksum-sha256", sha256),
    ):
        assert set(declared_digests(one(header, value))) == {"sha256"}, header
    assert declared_digests(one("Digest", "SHA-256=AA==")) == {}


LENGTHS = {"sha256": 32, "md5": 16, "crc32c": 4}


@pytest.mark.parametrize(
    ("header", "name", "algorithm"),
    [
        ("x-goog-hash", "md5", "md5"),
        ("x-goog-hash", "crc32c", "crc32c"),
        ("Digest", "SHA-256", "sha256"),
        ("Digest", "MD5", "md5"),
        ("Repr-Digest", "sha-256", "sha256"),
    ],
)
def test_a_digest_is_one_by_its_name_and_its_length(header, name, algorithm):
    length = LENGTHS[algorithm]
    for given in (length - 1, length, length + 1):
        raw = bytes(range(given))
        value = f"{name}={base64.b64encode(raw).decode()}"
        expected = {algorithm: raw.hex()} if given == length else {}
        assert declared_digests(one(header, value)) == expected


@pytest.mark.parametrize("algorithm", ["sha256", "crc32c"])
def test_a_checksum_of_amazons_is_of_its_length_or_of_parts_and_none(algorithm):
    raw = bytes(range(LENGTHS[algorithm]))
    value = base64.b64encode(raw).decode()
    header = f"x-amz-checksum-{algorithm}"
    assert declared_digests(one(header, value)) == {algorithm: raw.hex()}
    assert declared_digests(one(header, f"{value}-3")) == {}
    assert declared_digests(one(header, base64.b64encode(raw + b"x").decode())) == {}
