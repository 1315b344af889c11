"""Object names in a bucket or folder that cannot be requested: other names are unaffected."""

import hashlib
import os
import urllib.parse
import urllib.request
from datetime import UTC, datetime
from types import MappingProxyType

import pytest
from botocore.auth import S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from staging_api.errors import ArchiveUnsafe, SourceFailed
from staging_api.sources.allowlist import AllowList
from staging_api.sources.model import SourceOptions, warnings_of
from staging_api.sources.opening import open_archive
from staging_api.sources.url import parse
from tests.buckets import KEY, SECRET
from tests.conformance import places
from tests.scripted_http import Reply, scripted_http

ORDINARY = ["a.txt", "sub/-dash", "sub/0", "sub/z", "sp ace+plus", "build%20log", "zz"]
ODD = ["sub//odd", "/lead", "./dot", "ctl\x1b[2J", "sub/./x"]


@pytest.fixture(scope="module", params=["s3", "gs"])
def place(request):
    with places.s3() if request.param == "s3" else places.gcs() as running:
        yield running


def put(place, key):
    """Create an object with a key that the library would refuse to send."""
    if isinstance(place, places.Gcs):
        place.put(key, b"x")
        return
    url = (
        f"{place.options.buckets['s3']['endpoint']}/conformance/{urllib.parse.quote(key, safe='')}"
    )
    request = urllib.request.Request(url, b"x", method="PUT")
    urllib.request.urlopen(request).close()


def names(place, archive):
    source = open_archive(
        parse(f"{place.root}/{archive}"), AllowList.parse(place.root), place.options
    )
    return source.names()


def test_odd_keys_are_left_out_and_named(place):
    # fake-gcs-server replaces a control character in its listing.
    odd = [name for name in ODD if name.isprintable() or not isinstance(place, places.Gcs)]
    for name in (*ORDINARY, *odd):
        put(place, f"b/odd/{name}")
    put(place, "b/odd/folder/")
    found = names(place, "b/odd")
    assert sorted(found) == sorted(ORDINARY)
    assert len(found.left_out) == len(odd)
    (warning,) = warnings_of(found)
    assert f"{len(odd)} of the names" in warning
    assert warning.isprintable()


def test_folder_markers_are_no_objects_but_empty_objects_are(place):
    place.put("b/marked/empty", b"")
    place.put("b/marked/folder/a.txt", b"a")
    for folder in ("", "folder/", "folder/deep/", "alone/"):
        put(place, f"b/marked/{folder}")
    found = names(place, "b/marked")
    assert sorted(found) == ["empty", "folder/a.txt"]
    assert found.left_out == ()


def test_a_key_that_leads_upwards_is_hostile(place):
    put(place, "b/up/a.txt")
    put(place, "b/up/../../etc/passwd")
    with pytest.raises(ArchiveUnsafe):
        names(place, "b/up")


PAGE = """<?xml version="1.0" encoding="UTF-8"?>
<ListBucketResult><IsTruncated>{more}</IsTruncated><EncodingType>url</EncodingType>{keys}
<NextContinuationToken>{token}</NextContinuationToken></ListBucketResult>"""
KEYS = [*(f"b/R17/{number:04}" for number in range(5)), "b/R17/a%2F%2Fodd", "b/R17/z+%25"]


def page(keys, token=""):
    contents = "".join(f"<Contents><Key>{key}</Key></Contents>" for key in keys)
    more = "true" if token else "false"
    return PAGE.format(more=more, keys=contents, token=token).encode()


def pages_of(asked):
    given = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(asked.path).query))
    if "encoding-type" not in given:
        whole = page(["b/R17//odd"]).decode()
        for field in ("<LastModified>2026-11-29T12:06:11.000Z</LastModified><Size>0</Size>",):
            whole = whole.replace("</Key>", f"</Key>{field}<ETag>1</ETag>")
        return Reply(body=whole.replace("%2F", "/").encode())
    token = given.get("continuation-token")
    return Reply(
        body=page(KEYS[4:] if token == "next/1=" else KEYS[:4], "" if token else "next/1=")
    )


def test_the_link_to_a_listing_is_signed_as_the_service_wants_it(monkeypatch):
    """The signature equals botocore's for the same request at the same time."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("AWS_SESSION_TOKEN", "token/of+session=")
    with scripted_http(pages_of) as server:
        where = {"s3": {"endpoint": server.url, "region": "eu-west-1"}}
        source = open_archive(
            parse("s3://builds/b/R17"),
            AllowList.parse("s3://builds"),
            SourceOptions(buckets=where, manifests=(), attempts=1),
        )
        assert source.names() == ["0000", "0001", "0002", "0003", "0004", "z %"]
        links = [each.path for each in server.asked if "X-Amz-Signature" in each.path]
        assert len(links) == 2
        for link in links:
            assert "X-Amz-Expires=300" in link
            assert signed_by_botocore(server.url, link) == signature_in(link)


def listed_after(refused):
    """Return the names listed by a bucket that first answers the list request with this."""
    left = [refused]

    def script(asked):
        if "encoding-type" in asked.path and left:
            return left.pop()
        return pages_of(asked)

    with scripted_http(script) as server:
        options = SourceOptions(
            buckets={"s3": {"endpoint": server.url}},
            anonymous=frozenset({"s3://builds"}),
            manifests=(),
            attempts=2,
            sleep=lambda _seconds: None,
        )
        source = open_archive(parse("s3://builds/b/R17"), AllowList.parse("s3://builds"), options)
        return source.names()


@pytest.mark.parametrize("status", [408, 429, 500, 503, 599])
def test_a_list_that_is_not_there_for_a_moment_is_asked_for_again(status):
    assert listed_after(Reply(status)) == ["0000", "0001", "0002", "0003", "0004", "z %"]
    assert listed_after(Reply(hang_up=True)) == ["0000", "0001", "0002", "0003", "0004", "z %"]


@pytest.mark.parametrize(
    "refused", [Reply(400), Reply(403), Reply(407), Reply(409), Reply(430), Reply(body=b"no list")]
)
def test_a_refused_list_request_is_an_error(refused):
    with pytest.raises(SourceFailed, match="did not deliver its listing"):
        listed_after(refused)


def test_a_203_list_of_a_proxy_is_accepted():
    assert listed_after(Reply(203, page(KEYS))) == ["0000", "0001", "0002", "0003", "0004", "z %"]


@pytest.mark.parametrize(
    "headers", [{f"X-{number}": "1" for number in range(120)}, {"X-Long": "x" * 70_000}]
)
def test_a_list_with_a_head_that_is_not_read_is_not_asked_for_again(headers):
    with pytest.raises(SourceFailed, match="more than 100 headers") as failed:
        listed_after(Reply(headers=headers))
    assert not failed.value.retryable


def signature_in(link):
    return dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(link).query))["X-Amz-Signature"]


def signed_by_botocore(url, link):
    parts = urllib.parse.urlsplit(link)
    pairs = urllib.parse.parse_qsl(parts.query)
    given = dict(pairs)
    signed = ("X-Amz-",)
    own = [(name, value) for name, value in pairs if not name.startswith(signed)]
    query = "&".join(f"{n}={urllib.parse.quote(v, safe='')}" for n, v in own)
    request = AWSRequest("GET", f"{url}{parts.path}?{query}")
    credentials = Credentials(KEY, SECRET, given.get("X-Amz-Security-Token"))
    auth = S3SigV4QueryAuth(credentials, "s3", "eu-west-1", int(given["X-Amz-Expires"]))
    at = datetime.strptime(given["X-Amz-Date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    with pytest.MonkeyPatch.context() as clock:
        clock.setattr("botocore.auth.get_current_datetime", lambda: at)
        auth.add_auth(request)
    return signature_in(request.url)


def azure_list(names, marker=""):
    """Return a page of Azure's list; the library refuses a name that is not a path to it."""
    properties = (
        "<Properties><Last-Modified>Sun, 29 Nov 2026 12:06:11 GMT</Last-Modified><Content-Length>0"
        "</Content-Length><Content-Type>x</Content-Type><Etag>1</Etag></Properties>"
    )
    blobs = "".join(f"<Blob>{name}{properties}</Blob>" for name in names)
    return Reply(
        body=f'<?xml version="1.0"?><EnumerationResults><Blobs>{blobs}</Blobs>'
        f"<NextMarker>{marker}</NextMarker></EnumerationResults>".encode()
    )


ODD_AT_AZURE = [
    "<Name>b/R17//odd</Name>",
    "<Name>b/R17/a.txt</Name>",
    '<Name Encoded="true">b/R17/no%EF%BF%BE%2B</Name>',
    "<Name>b/R17/z%25+</Name>",
    "<Name>b/R17/folder/</Name>",
]


def at_azure(server, **options):
    chosen = SourceOptions(
        buckets={"az": {"endpoint": f"{server.url}/account", "account": "account"}},
        manifests=(),
        attempts=1,
        **options,
    )
    return open_archive(parse("az://builds/b/R17"), AllowList.parse("az://builds"), chosen)


def test_odd_names_at_azure_are_left_out_where_its_list_needs_no_signature():
    def script(asked):
        return (
            azure_list(ODD_AT_AZURE)
            if "marker" in asked.path
            else azure_list(["<Name>b/R17//x</Name>"], "next/1=")
        )

    with scripted_http(script) as server:
        names = at_azure(server, anonymous=frozenset({"az://builds"})).names()
        ours = [each.path for each in server.asked if "restype=container&comp=list" in each.path]
    assert (names, names.left_out) == (["a.txt", "no\ufffe+", "z%25+"], ("/x", "/odd"))
    first = "/account/builds?restype=container&comp=list&prefix=b%2FR17%2F"
    assert ours[-2:] == [first, f"{first}&marker=next%2F1%3D"]


def test_a_folder_with_objects_is_no_object_where_exact_keys_are_not_to_be_had(monkeypatch):
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_KEY", "a2V5")
    keys = [f"<Name>b/R17/{name}</Name>" for name in ("folder/", "folder/sub/x", "empty")]
    with scripted_http(lambda _asked: azure_list(keys)) as server:
        assert at_azure(server).names() == ["folder/sub/x", "empty"]


def test_a_list_that_cannot_be_signed_is_refused_with_the_name_and_the_cure(monkeypatch):
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_KEY", "a2V5")
    with scripted_http(lambda _asked: azure_list(ODD_AT_AZURE)) as server:
        with pytest.raises(SourceFailed, match=r"b/R17//odd.*manifest"):
            at_azure(server).names()


def test_what_is_no_file_of_a_folder_is_left_out_and_named(tmp_path):
    root = tmp_path / "builds"
    (root / "b" / "logs").mkdir(parents=True)
    for name in ("a.txt", "logs/z", "ctl\x07x", "new\nline", "rtl\u202egnp.exe", "back\\slash"):
        (root / "b" / name).write_text("x")
    (root / "b" / os.fsdecode(b"latin-\xe9")).write_text("x")
    (root / "b" / "link").symlink_to("a.txt")
    (root / "b" / "latest").symlink_to("logs")
    os.mkfifo(root / "b" / "pipe")
    url = parse(f"file://{root}/b")
    options = SourceOptions(proxies=MappingProxyType({}))
    found = open_archive(url, AllowList.parse(f"file://{root}"), options).names()
    assert sorted(found) == ["a.txt", "back\\slash", "logs/z"]
    assert len(found.left_out) == 7
    assert warnings_of(found)[0].isprintable()
    kept = found.everything
    assert hashlib.sha256("\n".join(kept).encode()).hexdigest()
    assert found.parted(kept) == found
