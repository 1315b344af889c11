"""Headers of a served file: type by its name, version, time and cache lifetime."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from falcon import Request, Response
from falcon.testing import create_environ

from staging_api.http.sending import SendableFile, describe, describe_content

SHA256 = "47ee7bc3e3fb4b1a42570019e5fbb83c1d4087a1b0cfefb335b61cca06f96f0b"
MADE = datetime(2026, 11, 30, 10, 30, 0, 999_999, tzinfo=timezone(timedelta(hours=1, minutes=30)))
TEXT, BYTES = "text/plain; charset=utf-8", "application/octet-stream"


@pytest.mark.parametrize(
    ("name", "media"),
    [
        *(("a/build.log", TEXT), ("a/BUILD.LOG", TEXT), ("notes.cfg", TEXT), ("x.sha256", TEXT)),
        *(("deep/README", TEXT), ("SHA256SUMS", TEXT), ("control.bvt", TEXT), ("a.txt", TEXT)),
        *(("a.html", "text/html; charset=utf-8"), ("a.json", "application/json")),
        *(("a.tar", "application/x-tar"), ("stateful.tgz", BYTES), ("a.log.gz", BYTES)),
        *(("disk.unknown", BYTES), ("README.unknown", BYTES), ("log", BYTES), ("a.log/b", BYTES)),
    ],
)
def test_the_type_follows_from_the_name_and_what_is_packed_is_bytes(name: str, media: str) -> None:
    resp = Response()
    describe_content(resp, name)
    assert resp.get_header("Content-Type") == media
    assert resp.get_header("Content-Security-Policy") == "sandbox; default-src 'none'"


def described(file: SendableFile, **headers: str) -> tuple[Response, object]:
    resp = Response()
    return resp, describe(Request(create_environ(headers=headers)), resp, file)


def test_a_file_has_its_digest_and_its_time_in_whole_seconds_of_utc() -> None:
    resp, part = described(SendableFile("a.bin", SHA256, 10, MADE))
    assert part is not None
    assert {name: resp.get_header(name) for name in ("ETag", "Last-Modified", "Repr-Digest")} == {
        "ETag": f'"{SHA256}"',
        "Last-Modified": "Mon, 30 Nov 2026 09:00:00 GMT",
        "Repr-Digest": "sha-256=:R+57w+P7SxpCVwAZ5fu4PB1Ah6Gwz++zNbYcygb5bws=:",
    }
    assert resp.get_header("Accept-Ranges") == "bytes"
    assert resp.get_header("Cache-Control") == "no-cache"


def test_what_never_changes_is_kept_for_ever_and_what_may_change_twice_a_second_has_no_time() -> (
    None
):
    lasting, _ = described(SendableFile("a.bin", SHA256, 10, None, lasting=True))
    assert lasting.get_header("Cache-Control") == "public, max-age=31536000, immutable"
    assert lasting.get_header("Last-Modified") is None


def test_a_time_of_a_fraction_of_a_second_meets_the_condition_on_its_second() -> None:
    file = SendableFile("a.bin", SHA256, 10, MADE)
    shown = described(file)[0].get_header("Last-Modified") or ""
    resp, part = described(file, **{"If-Modified-Since": shown})
    assert (resp.status_code, part) == (304, None)
    assert file.modified_at is not None
    assert file.modified_at.astimezone(UTC).hour == 9


@pytest.mark.parametrize(
    ("asked", "status", "content_range"),
    [
        ("bytes=0-3", 206, "bytes 0-3/10"),
        ("bytes=9-", 206, "bytes 9-9/10"),
        ("bytes=-4", 206, "bytes 6-9/10"),
        ("bytes=10-", 416, "bytes */10"),
        ("lines=1-2", 200, None),
    ],
)
def test_a_range_is_described_by_its_first_and_last_byte(
    asked: str, status: int, content_range: str | None
) -> None:
    resp, part = described(SendableFile("a.bin", SHA256, 10, MADE), Range=asked)
    assert (resp.status_code, resp.get_header("Content-Range")) == (status, content_range)
    assert (part is None) is (status == 416)
