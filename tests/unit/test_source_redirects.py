"""Redirects of a source: their targets, and those that are refused."""

import pytest

from staging_api.errors import SourceFailed, SourceNotAllowed
from staging_api.sources.target import RequestTarget, redirected, target_of
from staging_api.sources.url import parse

OBJECT = target_of(parse("https://one.test:8443/builds/R1/image.bin"), "signature=a")
#: Maximum length of a Location, including everything before the path.
LONGEST = "/" + "a" * ((16 << 10) - 1)


@pytest.mark.parametrize(
    ("location", "origin", "path"),
    [
        ("https://two.test/x/y?z=1", "https://two.test", "/x/y?z=1"),
        ("//two.test/x", "https://two.test", "/x"),
        ("http://two.test", "http://two.test", "/"),
        ("/x%2Fy", OBJECT.origin, "/x%2Fy"),
        ("other.bin", OBJECT.origin, "/builds/R1/other.bin"),
        ("  other.bin\t", OBJECT.origin, "/builds/R1/other.bin"),
        ("a b", OBJECT.origin, "/builds/R1/a%20b"),
        ("gr\xc3\xbcn", OBJECT.origin, "/builds/R1/gr%C3%BCn"),
        ("/a%252520b", OBJECT.origin, "/a%252520b"),
        (LONGEST, OBJECT.origin, LONGEST),
    ],
)
def test_a_redirect_is_followed_octet_for_octet(location: str, origin: str, path: str) -> None:
    found = redirected(OBJECT, location)
    assert (found.origin, found.path, found.redirected) == (origin, path, True)


def test_what_a_redirect_means_is_decoded_once_for_the_allow_list() -> None:
    assert redirected(OBJECT, "/x%2Fy//z").url.segments == ("x/y", "z")


@pytest.mark.parametrize(
    "location",
    [
        "",
        " \t",
        LONGEST + "a",
        "/a\nb",
        "/a\x00b",
        "/a%0Ab",
        "/a%250Ab",
        "/a%2F..%2Fb",
        "/a%5C..%5Cb",
        "/a/%252e%252e/b",
        "/a%25252520b",
        "https://two.test:port/",
    ],
)
def test_a_redirect_that_is_no_url_or_leads_upwards_is_refused(location: str) -> None:
    with pytest.raises(SourceFailed, match=r"\Aredirected to an invalid URL(: .*)?\Z"):
        redirected(OBJECT, location)


def test_a_redirect_to_another_scheme_is_refused() -> None:
    with pytest.raises(SourceNotAllowed, match="redirected to the scheme gs"):
        redirected(OBJECT, "gs://bucket/object")


def test_an_objects_own_target_is_no_redirect() -> None:
    assert isinstance(OBJECT, RequestTarget)
    assert not OBJECT.redirected
    assert OBJECT.path == "/builds/R1/image.bin?signature=a"
    assert target_of(parse("http://one.test/a%2Bb")).path == "/a%2Bb"
