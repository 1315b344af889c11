"""Names of members: both ways to fold a name (drop empty segments and dots) agree."""

from itertools import product

import pytest

from staging_api.formats.names import folded

SEGMENTS = ["a", "", ".", "b.", "é"]
NAMES = ["/".join(segments) for n in range(1, 5) for segments in product(SEGMENTS, repeat=n)]


def test_each_name_is_its_segments_without_empty_ones_and_dots() -> None:
    for name in NAMES:
        kept = [segment for segment in name.split("/") if segment not in {"", "."}]
        assert folded(name) == "/".join(kept), name


@pytest.mark.parametrize(
    ("name", "result"),
    [("a//b", "a/b"), ("a/./b", "a/b"), ("/a", "a"), ("./a", "a"), ("a/", "a"), ("a/.", "a")],
)
def test_an_ascii_name_that_needs_folding_is_folded(name: str, result: str) -> None:
    assert folded(name) == result
