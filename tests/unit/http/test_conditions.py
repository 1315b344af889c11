"""Conditional requests, and the part of a file that a Range requests."""

from datetime import UTC, datetime

import pytest
from falcon import Request, Response
from falcon.testing import create_environ

from staging_api.http.conditions import Range, must_send, not_modified, ranged

SIZE = 100
WHOLE = Range(0, SIZE, partial=False)
MADE = datetime(2026, 11, 30, 9, 0, 0, tzinfo=UTC)
BEFORE, THEN, LATER = (f"Mon, 30 Nov 2026 {at} GMT" for at in ("08:59:59", "09:00:00", "09:00:01"))


def request(**headers: str) -> Request:
    return Request(
        create_environ(headers={name.replace("_", "-"): value for name, value in headers.items()})
    )


def requested(header: str, modified: datetime | None = None, **headers: str) -> Range | None:
    return ranged(request(Range=header, **headers), '"etag"', modified, SIZE)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, None),
        ({"Accept": "*/*"}, None),
        ({"If_Match": '"etag"'}, None),
        ({"If_Match": '"a", "etag"'}, None),
        ({"If_Match": "*"}, None),
        ({"If_Match": '"a"'}, 412),
        ({"If_Match": 'W/"etag"'}, 412),
        ({"If_Unmodified_Since": BEFORE}, 412),
        ({"If_Unmodified_Since": THEN}, None),
        ({"If_Unmodified_Since": LATER}, None),
        ({"If_Unmodified_Since": "yesterday"}, None),
        ({"If_None_Match": '"etag"'}, 304),
        ({"If_None_Match": 'W/"etag"'}, 304),
        ({"If_None_Match": "*"}, 304),
        ({"If_None_Match": '"a"'}, None),
        ({"If_Modified_Since": BEFORE}, None),
        ({"If_Modified_Since": THEN}, 304),
        ({"If_Modified_Since": LATER}, 304),
        ({"If_Modified_Since": "yesterday"}, None),
        # A date counts only if no ETag is given; If-Match comes first.
        ({"If_Match": '"etag"', "If_Unmodified_Since": BEFORE}, None),
        ({"If_None_Match": '"a"', "If_Modified_Since": LATER}, None),
        ({"If_Match": '"a"', "If_None_Match": '"etag"'}, 412),
        ({"If_Match": '"etag"', "If_None_Match": '"etag"'}, 304),
        ({"If_Unmodified_Since": BEFORE, "If_None_Match": '"etag"'}, 412),
    ],
)
def test_preconditions_are_met_in_the_order_of_the_rfc(
    headers: dict[str, str], status: int | None
) -> None:
    resp = Response()
    assert must_send(request(**headers), resp, '"etag"', MADE) == (status is None)
    assert resp.status_code == (status or 200)


@pytest.mark.parametrize("name", ["If_Unmodified_Since", "If_Modified_Since"])
@pytest.mark.parametrize("time", [BEFORE, LATER])
def test_a_file_without_a_time_meets_no_condition_on_it(name: str, time: str) -> None:
    resp = Response()
    assert must_send(request(**{name: time}), resp, '"etag"', None)
    assert resp.status_code == 200


@pytest.mark.parametrize("etag", ['"etag"', 'W/"etag"'])
@pytest.mark.parametrize(
    ("known", "is_it"),
    [('"etag"', True), ('"a", W/"etag"', True), ("*", True), ('"a"', False), (None, False)],
)
def test_what_the_caller_has_is_not_sent_whether_its_version_is_a_weak_one_or_not(
    etag: str, known: str | None, is_it: bool
) -> None:
    resp = Response()
    asked = request(**({} if known is None else {"If_None_Match": known}))
    assert not_modified(asked, resp, etag) == is_it
    assert (resp.status_code, resp.get_header("ETag")) == (304 if is_it else 200, etag)


@pytest.mark.parametrize(
    ("validator", "modified", "holds"),
    [
        ('"etag"', None, True),
        ('"etag"', MADE, True),
        ('W/"etag"', None, False),
        ('"a"', MADE, False),
        (THEN, MADE, True),
        (BEFORE, MADE, False),
        (LATER, MADE, False),
        (THEN, None, False),
        ("yesterday", None, False),
    ],
)
def test_a_range_is_of_the_version_that_if_range_names_or_is_the_whole_file(
    validator: str, modified: datetime | None, holds: bool
) -> None:
    found = requested("bytes=0-9", modified, If_Range=validator)
    assert found == (Range(0, 10, partial=True) if holds else WHOLE)


def test_without_a_range_all_of_it_is_sent_whatever_if_range_says() -> None:
    assert ranged(request(If_Range='"etag"'), '"etag"', MADE, SIZE) == WHOLE


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("bytes=0-9", Range(0, 10, partial=True)),
        ("bytes=90-", Range(90, 10, partial=True)),
        ("bytes=-10", Range(90, 10, partial=True)),
        ("bytes=90-999999999999999999", Range(90, 10, partial=True)),
        ("bytes=-999999999999999999", Range(0, SIZE, partial=True)),
        ("bytes=100-", None),
        ("bytes=-0", None),
        ("bytes=9-0", WHOLE),
        ("bytes=0-9,20-29", WHOLE),
        ("bytes=-", WHOLE),
    ],
)
def test_a_range_is_cut_to_the_file(header: str, expected: Range | None) -> None:
    assert requested(header) == expected


@pytest.mark.parametrize("header", ["bytes=0-{}", "bytes={}-", "bytes=-{}"])
def test_numbers_that_python_does_not_read_get_the_whole_file(header: str) -> None:
    assert requested(header.format("9" * 5000)) == WHOLE
