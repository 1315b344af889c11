"""Which part of a file a Range header requests."""

import pytest
from falcon import Request
from falcon.testing import create_environ

from staging_api.http.conditions import Range, ranged

SIZE = 100
WHOLE = Range(0, SIZE, partial=False)


def requested(header: str) -> Range | None:
    return ranged(Request(create_environ(headers={"Range": header})), '"etag"', None, SIZE)


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
