"""Allow-list: comparison of parsed URLs instead of texts, and the permitted networks."""

import pytest

from staging_api.errors import Invalid, SourceNotAllowed
from staging_api.sources.allowlist import AllowList
from staging_api.sources.url import parse

LIST = (
    "gs://builds/, https://archive.example/releases/ ,file:///srv/archive/, http://h.example:8080"
)


@pytest.mark.parametrize(
    "text",
    [
        "gs://builds/R17",
        "gs://builds/board/R17",
        "https://archive.example/releases/R17",
        "https://archive.example:443/releases",
        "file:///srv/archive/board/R17",
        "http://h.example:8080/x",
    ],
)
def test_what_lies_below_an_entry_is_allowed(text):
    assert AllowList.parse(LIST).check(parse(text)).url.covers(parse(text))


@pytest.mark.parametrize(
    "text",
    [
        "gs://builds-evil/R17",
        "s3://builds/R17",
        "https://archive.example/releases-evil/R17",
        "https://archive.example/R17",
        "http://archive.example/releases/R17",
        "https://archive.example:8443/releases/R17",
        "https://archive.example.evil.example/releases/R17",
        "file:///srv/archives/R17",
        "http://h.example/x",
    ],
)
def test_what_only_looks_like_an_entry_is_not_allowed(text):
    with pytest.raises(SourceNotAllowed):
        AllowList.parse(LIST).check(parse(text))


def test_an_empty_list_allows_nothing():
    with pytest.raises(SourceNotAllowed):
        AllowList.parse("").check(parse("gs://builds/R17"))


@pytest.mark.parametrize(
    "setting", ["builds", "https://u:p@h/", "gs://b-1/ 10.0.0.0/99", "file:///"]
)
def test_a_bad_entry_is_refused_by_the_name_of_the_setting(setting):
    with pytest.raises(Invalid) as refused:
        AllowList.parse(setting)
    assert refused.value.errors[0].field == "STAGING_SOURCES"


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ("builds.example.org", "'builds.example.org': must be absolute"),
        ("ftp://old/", "'ftp://old/': the scheme must be one of"),
        ("file:///", "'file:///': a file entry must name a folder"),
        ("http://b/ 10.0.0.300", "'10.0.0.300': after its URL"),
    ],
)
def test_a_bad_entry_among_others_is_named(entry, said):
    with pytest.raises(Invalid) as raised:
        AllowList.parse(f"gs://builds/,{entry},https://c/")
    assert said in raised.value.detail


@pytest.mark.parametrize("entry", ["https//me:secret@host/", "https://host/?sig=secret"])
def test_a_bad_entry_that_may_hold_a_password_is_not_repeated(entry):
    with pytest.raises(Invalid) as raised:
        AllowList.parse(entry)
    assert "secret" not in str(raised.value.errors) + raised.value.detail


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.0.0.1",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",
        "224.0.0.1",
        "255.255.255.255",
        "240.0.0.1",
        "::",
        "::1",
        "fe80::1",
        "fc00::1",
        "fd00:ec2::254",
        "fec0::1",
        "ff02::1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "64:ff9b::10.0.0.1",
        "64:ff9b:1::1",
        "2002:7f00:1::",
        "2001:0:0:0:0:0:0:1",
        "2001:db8::1",
    ],
)
def test_an_address_off_the_public_internet_is_not_permitted(address):
    entry = AllowList.parse("https://archive.example/").entries[0]
    assert not entry.permits(address)


@pytest.mark.parametrize("address", ["93.184.216.34", "2606:4700::1111", "64:ff9b::93.184.216.34"])
def test_a_public_address_is_permitted(address):
    assert AllowList.parse("https://archive.example/").entries[0].permits(address)


@pytest.mark.parametrize(
    ("entry", "address", "permitted"),
    [
        ("http://10.0.0.5/", "10.0.0.5", True),
        ("http://10.0.0.5/", "10.0.0.6", False),
        ("http://[::1]:80/", "::1", True),
        ("http://localhost:8080/", "127.0.0.1", True),
        ("http://localhost:8080/", "10.0.0.1", False),
        ("http://depot.internal/ 10.2.0.0/16 fd00::/8", "10.2.3.4", True),
        ("http://depot.internal/ 10.2.0.0/16 fd00::/8", "fd12::1", True),
        ("http://depot.internal/ 10.2.0.0/16", "10.3.0.1", False),
    ],
)
def test_a_private_address_is_permitted_only_by_the_entry_that_names_it(entry, address, permitted):
    assert AllowList.parse(entry).entries[0].permits(address) is permitted


def test_the_most_specific_entry_decides():
    allowed = AllowList.parse("file:///srv, file:///srv/archive")
    entry = allowed.check(parse("file:///srv/archive/R17"))
    assert entry.url.segments == ("srv", "archive")
