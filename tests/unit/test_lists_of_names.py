"""Lists of names beside objects, in every usual format."""

import codecs
import json

import pytest

from staging_api.errors import ArchiveCorrupt
from staging_api.sources.bucket_listing import read_listing
from staging_api.sources.index_page import read_index
from staging_api.sources.lists import is_markup, names_in, sums_in
from staging_api.sources.model import Names
from staging_api.sources.releases import release_names, release_target
from staging_api.sources.url import parse

MD5, SHA256 = "d41d8cd98f00b204e9800998ecf8427e", "e3b0c442" * 8
CLEAR = "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\n"
SIGNATURE = "-----BEGIN PGP SIGNATURE-----\n\niQEz\n-----END PGP SIGNATURE-----\n"
PAGE = "http://depot.example/b/R17/"

NGINX = """<html>
<head><title>Index of /b/R17/</title></head>
<body><h1>Index of /b/R17/</h1><hr><pre><a href="../">../</a>
<a href="logs/">logs/</a>                         29-Nov-2026 04:00       -
<a href="a%20b%2Bc.zip">a b+c.zip</a>             29-Nov-2026 04:00     123
<a href="image.zip">image.zip</a>                 29-Nov-2026 04:00     123
</pre><hr></body></html>"""
APACHE = """<!DOCTYPE HTML PUBLIC "-//W3C//DTD HTML 3.2 Final//EN"><html><body>
<table><tr><th><a href="?C=N;O=D">Name</a></th><th><a href="?C=M;O=A">Last modified</a></th></tr>
<tr><td><a href="/b/">Parent Directory</a></td></tr>
<tr><td><img src="/icons/compressed.gif"></td><td><a href="image.zip">image.zip</a></td></tr>
<tr><td><a href="logs/">logs/</a></td></tr></table></body></html>"""
CADDY = """<!doctype html><html><main><a href=".."><span>Up</span></a>
<a href="./?sort=name&order=desc">Name</a>
<a href="./logs/"><span class="name">logs</span></a>
<a href="./image.zip"><span class="name">image.zip</span></a></main>
<footer>Served with <a rel="noopener" href="https://caddyserver.com">Caddy</a></footer></html>"""
PYTHON = """<!DOCTYPE HTML><html lang="en"><body><h1>Directory listing for /b/R17/</h1><hr><ul>
<li><a href="image.zip">image.zip</a></li>
<li><a href="link.zip">link.zip@</a></li>
<li><a href="logs/">logs/</a></li></ul></body></html>"""
SIGN_IN = """<!doctype html><html><a href="/login?next=/b/R17/">Sign in</a>
<a href="https://elsewhere.example/b/R17/image.zip">x</a><a href="//depot.example:81/b/R17/x">y</a>
<a href="../R18/image.zip">z</a><a href="#top">top</a><a href="">self</a><a>none</a>
<a href="http://[bad">bad</a><a href="sub/deeper.zip">deeper</a></html>"""


@pytest.mark.parametrize(
    ("page", "names"),
    [
        (NGINX, ["a b+c.zip", "image.zip"]),
        (APACHE, ["image.zip"]),
        (CADDY, ["image.zip"]),
        (PYTHON, ["image.zip", "link.zip"]),
    ],
    ids=["nginx", "apache", "caddy", "python"],
)
def test_the_page_of_a_folder_is_read(page, names):
    found = read_index(page.encode(), "text/html", PAGE)
    assert (found.names, found.folders) == (names, ["logs/"])


def test_a_name_that_is_not_utf_8_is_left_out_of_a_page_and_the_others_are_not():
    page = b'<a href="gr\xf6.txt">x</a> <a href="gr%F6n.txt">gr\xf6n</a> <a href="image.zip">i</a>'
    names = Names.parted(read_index(page, "text/html", PAGE).names)
    assert (names, len(names.left_out)) == (["image.zip"], 2)


def test_a_page_that_shows_no_folder_names_nothing():
    found = read_index(SIGN_IN.encode(), "text/html", PAGE)
    assert (found.names, found.folders) == ([], [])


@pytest.mark.parametrize(
    "entries",
    [
        [{"name": "logs", "type": "directory"}, {"name": "image.zip", "type": "file", "size": 3}],
        [{"name": "logs/", "is_dir": True}, {"name": "image.zip", "is_dir": False}],
    ],
    ids=["nginx", "caddy"],
)
def test_the_json_of_a_folder_is_read(entries):
    found = read_index(json.dumps(entries).encode(), "application/json", PAGE)
    assert (found.names, found.folders) == (["image.zip"], ["logs/"])


@pytest.mark.parametrize(
    "text",
    [
        "image.zip\nsub/x.bin\n",
        ".//image.zip\n./sub/x.bin\n",
        "image.zip\r\nsub/\r\nsub/./x.bin\r\n",
        f"{SHA256}  image.zip\n{SHA256} *sub/x.bin\n",
        f"# made by a script\n{MD5}  ./image.zip\n{MD5}\tsub/x.bin\n",
        f"SHA256 (image.zip) = {SHA256}\nMD5 (sub/x.bin) = {MD5}\n",
        f"SHA256(image.zip)= {SHA256}\nMD5(sub/x.bin)= {MD5}\n",
        f"SHA2-256(image.zip)= {SHA256}\nSHA2-256(./sub/x.bin)= {SHA256}\n",
        f"sha256:{SHA256}  image.zip\nmd5:{MD5} *sub/x.bin\n",
        f"{CLEAR}{SHA256}  image.zip\n{MD5}  sub/x.bin\n{SIGNATURE}",
        f"{CLEAR}image.zip\nsub/x.bin\n{SIGNATURE}".replace("\n", "\r\n"),
        '["image.zip", "sub/x.bin"]',
        '[{"name": "image.zip", "size": 1}, {"path": "sub/x.bin"}, {"type": "directory"}, 7]',
        '{"files": [{"path": "image.zip"}, {"path": "sub/x.bin"}], "name": "R17"}',
        '{"name": "image.zip"}\n{"name": "sub/x.bin"}\n',
        '{"image.zip": {"sha256": "x"}, "sub/x.bin": {}}',
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_list_is_read_in_each_form_and_encoding(text, encoding):
    assert names_in(text.encode(encoding), "UPLOADED") == ["image.zip", "sub/x.bin"]


def test_text_that_only_begins_like_json_is_text():
    assert names_in(b"[draft].zip\nx\n", "UPLOADED") == ["[draft].zip", "x"]
    assert names_in(b"[" * 100_000, "UPLOADED") == ["[" * 100_000]


@pytest.mark.parametrize("raw", [b"fine\n\xff\n", codecs.BOM_UTF16_LE + b"\x00"])
def test_what_is_no_text_is_no_list(raw):
    with pytest.raises(ArchiveCorrupt):
        names_in(raw, "UPLOADED")


@pytest.mark.parametrize(
    "text",
    ['{"files": ["a",', '{\n  "files": [\n    "a",\n', '["a", "b', '[{"name": "a"}', '{"name": "a'],
)
def test_json_that_is_cut_off_is_no_text(text):
    with pytest.raises(ArchiveCorrupt, match=r"^UPLOADED begins as JSON and is none"):
        names_in(text.encode(), "UPLOADED")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "latin-1"])
def test_a_page_is_one_in_any_encoding(encoding):
    assert is_markup("\n<html><p>pas trouv\xe9".encode(encoding))
    assert not is_markup("trouv\xe9.bin\n<html>\n".encode(encoding))


def test_checksums_say_their_algorithm_and_unescape_names():
    assert sums_in(f"{SHA256.upper()}  a\n{MD5} *b\n\\{MD5}  c\\\\d\\ne\n") == {
        "a": ("sha256", SHA256),
        "b": ("md5", MD5),
        "c\\d\ne": ("md5", MD5),
    }
    assert sums_in(f"{SHA256}  a\nno sum\n") == {"a": ("sha256", SHA256)}


@pytest.mark.parametrize("kind", ["SHA3-256", "BLAKE2s", "SHA512/256", "BLAKE3"])
def test_a_digest_of_another_algorithm_is_not_taken_for_sha256(kind):
    text = f"{kind} (a) = {SHA256}\n{kind} (b) = {SHA256}\nSHA256 (b) = {SHA256}\nMD5 (a) = {MD5}\n"
    assert sums_in(text) == {"a": ("md5", MD5), "b": ("sha256", SHA256)}
    assert sums_in(f"{kind} (a) = {SHA256}\n") == {"a": (kind, SHA256)}
    assert names_in(text.encode(), "SUMS") == ["a", "b"]


@pytest.mark.parametrize("line", ["\\{0}  {1}\n", "\\{0} *./{1}\r\n", "\\SHA256 ({1}) = {0}\n"])
@pytest.mark.parametrize(
    ("escaped", "name"),
    [(r"a\nb", "a\nb"), (r"a\\nb", r"a\nb"), (r"a\rb\\", "a\rb\\"), (r"a) = \\", "a) = \\")],
)
def test_the_escapes_of_sha256sum_are_those_of_both_of_its_forms(line, escaped, name):
    assert sums_in(line.format(SHA256.upper(), escaped)) == {name: ("sha256", SHA256)}


def test_a_backslash_in_a_line_without_escapes_is_one():
    assert sums_in(f"{SHA256}  a\\nb\nSHA256 (c\\\\d) = {SHA256}\n").keys() == {r"a\nb", r"c\\d"}


def test_the_strongest_digest_that_is_computed_here_counts():
    digests = {"md5": MD5, "sha1": "1" * 40, "sha224": "2" * 56, "sha384": "3" * 96}
    both = "".join(f"{each}  a\n" for each in digests.values())
    assert sums_in(both) == {"a": ("md5", MD5)}
    assert names_in("".join(f"{each}  a\n" for each in digests.values()).encode(), "S") == ["a"]


def test_what_a_list_of_checksums_has_beside_them_is_no_name():
    text = f"\ufeff# comment\nSHA256 (a) = {SHA256}\nSIZE (a) = 123\nCRC32 (b) = 0a1b2c3d\n"
    assert names_in(text.encode(), "distinfo") == ["a", "b"]
    assert names_in(f"{SHA256}  a\nno sum\n".encode(), "x") == [f"{SHA256}  a", "no sum"]


def test_the_digests_of_openssl_are_read():
    text = f"SHA256(a)= {SHA256}\nSHA2-256(b (1))= {SHA256}\nSHA3-256(c)= {SHA256}\nMD5(d)= {MD5}\n"
    assert sums_in(text) == {
        "a": ("sha256", SHA256),
        "b (1)": ("sha256", SHA256),
        "c": ("SHA3-256", SHA256),
        "d": ("md5", MD5),
    }


def test_the_listing_of_a_bucket_is_read():
    xml = b"""<?xml version="1.0"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">
      <IsTruncated>true</IsTruncated><NextContinuationToken>t/1=</NextContinuationToken>
      <Contents><Key>b/R17/a&amp;b.zip</Key><Size>1</Size></Contents>
      <CommonPrefixes><Prefix>b/R18/</Prefix></CommonPrefixes>
      <Contents><Key>b/R17/sub/</Key></Contents></ListBucketResult>"""
    listing = read_listing(xml)
    assert listing is not None
    assert (listing.keys, listing.token) == (["b/R17/a&b.zip", "b/R17/sub/"], "t/1=")
    last = read_listing(xml.replace(b">true<", b">false<"))
    assert last is not None
    assert last.token is None


@pytest.mark.parametrize(
    "raw",
    [
        b"<Error><Code>AccessDenied</Code></Error>",
        b"<ListBucketResult><Contents>",
        b"no xml",
        b'<!DOCTYPE x [<!ENTITY a "b">]><ListBucketResult><Key>&a;</Key></ListBucketResult>',
    ],
)
def test_other_xml_is_no_listing(raw):
    assert read_listing(raw) is None


@pytest.mark.parametrize(
    ("url", "asked"),
    [
        (
            "https://github.com/o/n/releases/download/v1.0",
            "https://api.github.com/repos/o/n/releases/tags/v1.0",
        ),
        (
            "https://git.lab.example/o/n/releases/download/v1%2B2",
            "https://git.lab.example/api/v3/repos/o/n/releases/tags/v1%2B2",
        ),
        (
            "https://gitlab.com/group/sub/n/-/releases/v1/downloads",
            "https://gitlab.com/api/v4/projects/group%2Fsub%2Fn/releases/v1",
        ),
    ],
)
def test_the_files_of_a_release_are_asked_for_at_its_api(url, asked):
    target = release_target(parse(url))
    assert target is not None
    assert target.origin + target.path == asked


def test_other_urls_are_no_releases():
    assert release_target(parse("https://depot.example/b/R17")) is None


def test_the_files_of_a_release_are_read():
    github = parse("https://github.com/o/n/releases/download/v1")
    assert release_names(b'{"assets": [{"name": "a.zip"}, {"x": 1}]}', github) == ["a.zip"]
    gitlab = parse("https://gitlab.com/g/n/-/releases/v1/downloads")
    url = "https://gitlab.com/g/n/-/releases/v1/downloads/bin/a%20b.zip"
    links = [{"direct_asset_url": url}, {"url": "https://elsewhere.example/x"}]
    raw = json.dumps({"assets": {"count": 2, "links": links}}).encode()
    assert release_names(raw, gitlab) == ["bin/a b.zip"]
    for other in (b"[]", b"{}", b'{"assets": 1}', b"<html>"):
        assert release_names(other, github) == []
