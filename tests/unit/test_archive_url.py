"""Archive URLs: one canonical spelling per archive, and refused forms."""

import pytest

from staging_api.errors import Invalid
from staging_api.sources.url import is_safe_name, parse


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("gs://bucket/board/R17-1", "gs://bucket/board/R17-1"),
        ("gs://bucket/board/R17-1/", "gs://bucket/board/R17-1"),
        ("GS://bucket/R17-1", "gs://bucket/R17-1"),
        ("https://Archive.Example:443/b/R17", "https://archive.example/b/R17"),
        ("http://archive.example:443/b", "http://archive.example:443/b"),
        ("http://archive.example:0080/b", "http://archive.example/b"),
        ("https://b\u00fccher.example/b", "https://xn--bcher-kva.example/b"),
        ("http://[2001:DB8:0:0::1]:8080/b", "http://[2001:db8::1]:8080/b"),
        ("http://[::1]/b", "http://[::1]/b"),
        ("http://127.0.0.1:9/b", "http://127.0.0.1:9/b"),
        ("https://h.example/a%7Eb/%43+x", "https://h.example/a~b/C+x"),
        ("https://h.example/a b/c", "https://h.example/a%20b/c"),
        ("file:///srv/archive/R17", "file:///srv/archive/R17"),
    ],
)
def test_spellings_of_one_archive_become_one_text(text, canonical):
    assert parse(text).canonical == canonical
    assert parse(canonical) == parse(text)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "missing"),
        ("board/R17", "absolute"),
        ("/board/R17", "absolute"),
        ("gs:/bucket/R17", "absolute"),
        ("ftp://host/R17", "scheme"),
        ("javascript://host/R17", "scheme"),
        ("gs:///R17", "bucket"),
        ("gs://bucket", "no build"),
        ("gs://bucket/", "no build"),
        ("gs://Bucket/b", "bucket must"),
        ("gs://a..b/b", "bucket must"),
        ("gs://user@bucket/b", "user name"),
        ("https://user:pw@host.example/b", "user name"),
        ("gs://builds/b?X-Signature=1", "query"),
        ("https://host.example/b#x", "fragment"),
        ("gs://bucket//b", "empty"),
        ("gs://bucket/b//", "empty"),
        ("gs://bucket/a//b", "empty"),
        ("gs://bucket/./b", ". or .."),
        ("gs://bucket/../b", ". or .."),
        ("gs://bucket/%2e%2E/b", ". or .."),
        ("gs://bucket/a%2fb", "separator"),
        ("gs://bucket/a%5Cb", "separator"),
        ("gs://bucket/a%252fb", "twice"),
        ("gs://bucket/a%zz", "hexadecimal"),
        ("gs://bucket/a%", "hexadecimal"),
        ("gs://bucket/a%ff", "UTF-8"),
        ("gs://bucket/a%00b", "control"),
        ("gs://bucket/a\x00b", "control"),
        ("gs://bucket/a\nb", "control"),
        ("gs://bucket/a\u202eb", "control"),
        (" gs://bucket/b\n", "control"),
        ("gs://bucket\\b/c", "backslash"),
        ("gs://bucket/" + "a" * 256, "segment longer"),
        ("gs://bucket/" + "\u00e9" * 128, "segment longer"),
        ("gs://bucket/" + "a/" * 600 + "b", "longer than 1024"),
        ("gs://bucket/" + "/".join(["\u00e9" * 80] * 4), "longer than 1024"),
        ("file://host/srv/b", "no host"),
        ("file:///", "no build"),
        ("http://2130706433/b", "IPv4"),
        ("http://0x7f000001/b", "IPv4"),
        ("http://0x7f.1/b", "IPv4"),
        ("http://127.1/b", "IPv4"),
        ("http://0177.0.0.1/b", "IPv4"),
        ("http://\uff11\uff12\uff17.1/b", "IPv4"),
        ("http://127.0.0.1./b", "trailing dot"),
        ("http://host.example./b", "trailing dot"),
        ("http://host\u3002example\u3002/b", "trailing dot"),
        ("http://[::1%25eth0]/b", "IPv6"),
        ("http://[::1/b", "IPv6"),
        ("http://[zz]/b", "IPv6"),
        ("http://-a.example/b", "valid name"),
        ("http://a..b/b", "valid name"),
        ("http://a b/b", "valid name"),
        ("http://host:0/b", "port"),
        ("http://host:65536/b", "port"),
        ("http://host:/b", "port"),
        ("http://host:\u0661/b", "port"),
    ],
)
def test_whatever_has_a_second_meaning_is_refused(text, words):
    with pytest.raises(Invalid) as refused:
        parse(text)
    assert refused.value.errors[0].field == "archive_url"
    assert words in refused.value.errors[0].message


def test_a_url_and_its_parts_have_a_greatest_length():
    longest = f"https://h.example/{'a/' * 502}".ljust(1024, "b")
    assert parse(longest).canonical == longest
    with pytest.raises(Invalid, match="longer than 1024"):
        parse(longest + "b")
    assert parse(f"gs://{'b' * 222}/{'a' * 255}").build == "a" * 255
    with pytest.raises(Invalid, match="bucket must"):
        parse(f"gs://{'b' * 223}/b")
    host = ".".join(["a" * 63, "b" * 63, "c" * 63, "d" * 61])
    assert parse(f"https://{host}:1/b").authority == f"{host}:1"
    with pytest.raises(Invalid, match="valid name"):
        parse(f"https://{host}e/b")
    query = f"https://h.example/b?X-Amz-Signature={'1' * (7168 - 16)}"
    assert parse(query).has_credential
    with pytest.raises(Invalid, match="at most 7168"):
        parse(query + "1")


def test_a_refusal_does_not_repeat_a_password():
    with pytest.raises(Invalid) as refused:
        parse("https://user:hunter2@host.example/b")
    assert "hunter2" not in refused.value.detail


def test_the_facts_that_make_the_static_path():
    url = parse("gs://bucket/trybot/board/R17-1")
    assert url.segments == ("trybot", "board", "R17-1")
    assert url.build == "R17-1"
    assert parse("file:///srv/archive/R17").segments == ("srv", "archive", "R17")
    assert parse("gs://bucket/R17").segments == ("R17",)


def test_an_object_lies_below_its_archive():
    assert parse("gs://b-1/R17").below("au/x y.gz").canonical == "gs://b-1/R17/au/x%20y.gz"


@pytest.mark.parametrize(
    "name",
    [
        *("", "/a", "a/", "a//b", "../a", "a/..", "..\\b", "a\nb", "\u202ea", "\udcff"),
        *(
            "%2e",
            "%2e%2e",
            "a%25252520b",
            "a%2Fb",
            "a%5cb",
            "a/%252e%252e",
            "a%00",
            "a%0ab",
            "%25252525252e",
        ),
    ],
)
def test_an_unsafe_name_is_known_as_one(name):
    assert not is_safe_name(name)
    assert is_safe_name("chromeos_R17_full-dev.bin")


@pytest.mark.parametrize(
    "name",
    [
        *(r"system-systemd\x2dfsck.slice", "a\u00a0b", "a\u202fb", "a\u200db"),
        *("build%20log.txt", "100%", "a%zz", "a%2520b", "a%252520b", "a%ffb", "%E2%82%AC.txt"),
    ],
)
def test_an_odd_name_is_ordinary_and_encoded_in_the_url_of_its_object(name):
    assert is_safe_name(name)
    url = parse("gs://b-1/R17").below(name).canonical
    assert url.isascii()
    assert "\\" not in url
