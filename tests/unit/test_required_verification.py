"""Verification that settings require of archives, and signatures of the objects themselves."""

import gzip
import hashlib
import random
import threading
import zipfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from staging_api.catalogue.catalogue import Catalogue
from staging_api.catalogue.model import ArtifactKind, Choice, Pattern, Verification
from staging_api.errors import (
    ArchiveCorrupt,
    ArtifactNotFound,
    Invalid,
    SourceFailed,
    SourceUnverified,
)
from staging_api.sources.model import SourceObject
from staging_api.sources.retrying import Interrupted
from staging_api.sources.url import parse
from staging_api.staging import download, engine
from staging_api.staging.download import DownloadSpread
from staging_api.staging.requirements import Requirements
from staging_api.staging.witnessed_source import WitnessedSource
from staging_api.staging.witnesses import Witnesses
from staging_api.store.folder_store import FolderStore
from tests.archives import InMemory, tar_of, zip_of
from tests.signed import CosignKey, MinisignKey, OpenPgpKey
from tests.stores import blobs_of

BUILD = "R17-1"
BODY = b"payload"
PACKED = {"plain": BODY, "tar": tar_of(("a", BODY)), "zip": zip_of(("a", BODY))}
SUFFIXES = {
    "OpenPGP": ".asc",
    "minisign": ".minisig",
    "signify": ".sig",
    "cosign": ".sig",
    "an old bundle": ".bundle",
    "a new bundle": ".sigstore.json",
}


class Folder:
    """Archive in memory; objects may be cut once, or change with each read."""

    def __init__(self, objects, url="gs://builds/R17-1", version='"v1"'):
        self.objects = objects
        self.url = url
        self.version = version
        self.cut: set[str] = set()
        self.read: list[tuple[str, int]] = []

    def names(self):
        return list(self.objects)

    def stat(self, name):
        if name not in self.objects:
            raise ArtifactNotFound(f"{name} is not in the archive")
        size = len(self.objects[name])
        strong = self.version is not None
        return SourceObject(name, f"{self.url}/{name}", size, self.version, {}, strong=strong)

    def open(self, found, start=0, end=None):
        data = self.objects[found.name]
        self.read.append((found.name, start))
        if found.name in self.cut:
            self.cut.discard(found.name)
            return Cut(data).open(start, end)
        return InMemory(data, 1 << 20).open(start, end)

    def close(self):
        pass


class Cut(InMemory):
    """Stream that ends in the middle."""

    def _chunks(self, start, end):
        half = start + (end - start) // 2
        yield from super()._chunks(start, half)
        raise Interrupted("the connection broke")


def key_of_kind(kind):
    if kind == "OpenPGP":
        return OpenPgpKey()
    if kind in ("minisign", "signify"):
        return MinisignKey(signify=kind == "signify")
    return CosignKey({"cosign": "alone", "an old bundle": "old", "a new bundle": "new"}[kind])


@pytest.fixture(scope="module")
def builder():
    return OpenPgpKey()


@pytest.fixture
def store(tmp_path):
    return FolderStore(tmp_path / "store")


def digest(data, algorithm="sha256"):
    return hashlib.new(algorithm, data).hexdigest()


def sums_of(objects, algorithm="sha256"):
    return "".join(f"{digest(c, algorithm)}  {n}\n" for n, c in objects.items()).encode()


def fetched(store, source, rule, *, name="object", extract="plain", listed=True, speed=None):
    kind = ArtifactKind(
        "thing", "build", "foreground", (Choice(Pattern(name), extract=extract),), verify=rule
    )
    names = source.names() if listed else None
    witnessed = WitnessedSource(Witnesses(source, probes=False), rule, names)
    return engine.fetch(kind, witnessed, BUILD, store, names=source.names(), speed=speed)


def need(word, *keys):
    return Verification(keys=tuple(keys), beside=word)


@pytest.mark.parametrize("extract", PACKED)
@pytest.mark.parametrize("kind", SUFFIXES)
def test_an_object_signed_by_itself_is_staged_and_the_row_says_by_whom(store, kind, extract):
    key, body = key_of_kind(kind), PACKED[extract]
    signature = f"object{SUFFIXES[kind]}"
    source = Folder({"object": body, signature: key.sign(body)})
    for rule in (
        Verification(signature=f"{{object}}{SUFFIXES[kind]}", keys=(key.public,)),
        need("signature", MinisignKey(9).public, key.public),
        need("digest", key.public),
    ):
        for listed in (True, False):
            result = fetched(store, source, rule, extract=extract, listed=listed)
            assert result.verified_by == f"sha256 of {signature} signed by {key.signer}"
            assert [file.sha256 for file in result.files] == [digest(BODY)]


@pytest.mark.parametrize("extract", PACKED)
@pytest.mark.parametrize("kind", SUFFIXES)
def test_an_object_that_differs_from_what_was_signed_leaves_nothing(store, kind, extract):
    key, body = key_of_kind(kind), PACKED[extract]
    changed = body[:-1] + bytes([body[-1] ^ 1])
    source = Folder({"object": changed, f"object{SUFFIXES[kind]}": key.sign(body)})
    with pytest.raises(SourceUnverified, match="signature object"):
        fetched(store, source, need("signature", key.public), extract=extract)
    assert blobs_of(store) == []


def test_without_a_signature_that_is_needed_nothing_is_staged(store, builder):
    other = OpenPgpKey("Other <other@depot.example>")
    sums = sums_of({"object": BODY})
    for beside, said in (
        ({}, "nothing beside object lists or signs it"),
        ({"SHA256SUMS": sums}, "SHA256SUMS: is not signed by a given key"),
        ({"SHA256SUMS": sums, "SHA256SUMS.asc": other.sign(sums)}, r"SHA256SUMS\.asc: no given"),
        ({"SHA256SUMS.asc": other.sign(sums, clear=True)}, r"SHA256SUMS\.asc: no given"),
        ({"object.asc": other.sign(BODY)}, r"signature object\.asc"),
        ({"object.asc": builder.sign(BODY + b" ")}, r"signature object\.asc"),
        ({"object.asc": b""}, r"signature object\.asc"),
        ({"object.sig": b"<!doctype html><html>sign in"}, "nothing beside"),
        ({"SHA256SUMS": b"\xfe\x00\x88", "SHA256SUMS.asc": b"\x88\x01"}, "SHA256SUMS"),
    ):
        source = Folder({"object": BODY, **beside})
        for listed in (True, False):
            with pytest.raises(SourceUnverified, match=said):
                fetched(store, source, need("signature", builder.public), listed=listed)
    assert blobs_of(store) == []


def test_an_object_with_a_name_in_the_rule_that_is_not_there_is_not_staged(store, builder):
    rule = Verification(signature="{object}.asc", keys=(builder.public,))
    with pytest.raises(SourceUnverified, match=r"object\.asc does not exist, but has to sign"):
        fetched(store, Folder({"object": BODY}), rule)


@pytest.mark.parametrize(
    ("called", "clear"),
    [
        ("SHA256SUMS", False),
        ("SHA256SUMS.asc", True),
        ("sub/tool_1.2_checksums.txt", False),
        ("Fedora-39-1.5-x86_64-CHECKSUM", True),
        ("sub/object.sha256", False),
    ],
)
def test_a_signed_list_vouches_under_the_names_that_publishers_use(store, builder, called, clear):
    name = "sub/object"
    listed_as = "object" if called.startswith("sub/") else name
    sums = sums_of({listed_as: BODY})
    lists = {called: builder.sign(sums, clear=True)} if clear else {called: sums}
    if not clear:
        lists[f"{called}.sig"] = builder.sign(sums)
    source = Folder({name: BODY, **lists})
    for listed in (True, False):
        result = fetched(store, source, need("signature", builder.public), name=name, listed=listed)
        assert result.verified_by == f"sha256 of {called} signed by {builder.signer}"


def test_a_digest_may_be_enough_and_md5_is_not(store):
    assert (
        fetched(
            store,
            Folder({"object": BODY, "SHA512SUMS": sums_of({"object": BODY}, "sha512")}),
            need("digest"),
        ).verified_by
        == "sha512 of SHA512SUMS"
    )
    for beside in ({}, {"MD5SUMS": sums_of({"object": BODY}, "md5")}, {"SHA256SUMS": b""}):
        with pytest.raises(SourceUnverified, match="needs a sha256 or signature"):
            fetched(store, Folder({"object": BODY, **beside}), need("digest"))
    wrong = Folder({"object": BODY, "SHA256SUMS": sums_of({"object": b"other"})})
    with pytest.raises(ArchiveCorrupt, match="SHA256SUMS declares"):
        fetched(store, wrong, need("digest"))


def test_an_odd_line_of_a_list_spoils_no_other(store, builder):
    lines = b"Digests of the release\n" + sums_of({"a\x1b[2J": b"x", "object": BODY}) + b"\x0c\n"
    source = Folder({"object": BODY, "SHA256SUMS": lines, "SHA256SUMS.asc": builder.sign(lines)})
    result = fetched(store, source, need("signature", builder.public))
    assert result.verified_by == f"sha256 of SHA256SUMS signed by {builder.signer}"


def test_a_list_that_is_kept_packed_is_read_unpacked(store, builder):
    lines = sums_of({"object": BODY})
    signature = builder.sign(lines)
    source = Folder(
        {"object": BODY, "SHA256SUMS": gzip.compress(lines), "SHA256SUMS.asc": signature}
    )
    assert fetched(store, source, need("signature", builder.public)).verified_by
    bomb = Folder({"object": BODY, "SHA256SUMS": gzip.compress(bytes(17 << 20))})
    with pytest.raises(SourceUnverified, match="SHA256SUMS has more than"):
        fetched(store, bomb, need("digest"))
    assert fetched(store, bomb, None).verified_by is None


def test_of_several_digests_of_an_object_the_strongest_counts(store):
    every = ((digest(BODY, kind), kind) for kind in ("sha256", "sha512", "md5"))
    lines = "".join(f"{kind.upper()} (object) = {text}\n" for text, kind in every)
    source = Folder({"object": BODY, "CHECKSUM": lines.encode()})
    assert fetched(store, source, need("digest")).verified_by == "sha256 of CHECKSUM"


def test_what_was_read_before_is_no_proof_of_what_needs_a_signature(store, builder):
    source = Folder({"object": BODY})
    fetched(store, source, None)
    with pytest.raises(SourceUnverified):
        fetched(store, source, need("signature", builder.public))
    source.objects["object.asc"] = builder.sign(b"other")
    with pytest.raises(SourceUnverified):
        fetched(store, source, need("signature", builder.public))


def test_keys_in_a_folder_rotate_without_a_restart(store, builder, tmp_path):
    folder, new = tmp_path / "keys", MinisignKey(2)
    folder.mkdir()
    (folder / "README.md~").write_text("no key")
    (folder / "old.asc").write_text(builder.public)
    rule = need("signature", str(folder))

    def staged(key):
        suffix = ".asc" if key is builder else ".minisig"
        source = Folder({"object": BODY, f"object{suffix}": key.sign(BODY)})
        return fetched(store, source, rule).verified_by

    assert builder.signer in staged(builder)
    with pytest.raises(SourceUnverified):
        staged(new)
    (folder / "new.pub").write_text(new.public)
    assert (builder.signer in staged(builder), new.signer in staged(new)) == (True, True)
    (folder / "old.asc").unlink()
    assert new.signer in staged(new)
    with pytest.raises(SourceUnverified):
        staged(builder)


def test_a_key_counts_for_what_it_signed_while_it_was_valid(store):
    key = OpenPgpKey()
    end = datetime.now(UTC) + timedelta(seconds=2)
    rule = need("signature", key.expired(end))
    during = Folder({"object": BODY, "object.asc": key.sign(BODY)})
    while datetime.now(UTC) < end + timedelta(seconds=1):
        threading.Event().wait(0.2)
    assert key.signer in str(fetched(store, during, rule).verified_by)
    after = Folder({"object": BODY, "object.asc": key.sign(BODY)})
    with pytest.raises(SourceUnverified, match="no given OpenPGP key signed it"):
        fetched(store, after, rule)
    with pytest.raises(SourceUnverified):
        fetched(store, during, need("signature", key.revoked()))


@pytest.mark.parametrize("extract", ["tar", "zip", "plain"])
def test_a_required_object_resumes_where_its_connection_broke(store, builder, extract, monkeypatch):
    monkeypatch.setattr(download, "PART_BYTES", 1 << 18)
    body = bytes(range(256)) * (5 << 9)  # 640 KiB: half of it is a complete part, which is kept
    noise = random.Random(1).randbytes(640 << 10)
    made = {
        "plain": lambda: body,
        "tar": lambda: tar_of(("a", body)),
        "zip": lambda: zip_of(("a", body), ("b", noise), method=zipfile.ZIP_STORED),
    }
    data = made[extract]()
    source = Folder({"object": data, "object.asc": builder.sign(data)})
    source.cut.add("object")
    # On a busy machine the source would count as slow, and the cut chunk be read again.
    how = {"extract": extract, "speed": DownloadSpread(connections=1)}
    with pytest.raises(SourceFailed):
        fetched(store, source, need("signature", builder.public), **how)
    source.read.clear()
    result = fetched(store, source, need("signature", builder.public), **how)
    assert builder.signer in str(result.verified_by)
    starts = [start for name, start in source.read if name == "object"]
    assert min(starts) > len(data) // 4


def test_what_has_no_version_is_read_anew_where_its_connection_broke(store, builder):
    data = PACKED["tar"]
    source = Folder({"object": data, "object.asc": builder.sign(data)}, version=None)
    source.cut.add("object")
    result = fetched(store, source, need("signature", builder.public), extract="tar")
    assert [file.sha256 for file in result.files] == [digest(BODY)]


KEY = MinisignKey().public


def requirements(tmp_path, needs, keys=True):
    file = tmp_path / "key.pub"
    file.write_text(KEY)
    return Requirements.parse(needs, str(file) if keys else "")


@pytest.mark.parametrize(
    ("needs", "found"),
    [
        ("", "nothing"),
        ("digest", "digest"),
        ("signature", "signature"),
        ("https://a.example/", "digest"),
        ("https://a.example/=signature", "signature"),
        ("signature,https://a.example/b=nothing", "nothing"),
        ("signature,https://a.example/=digest,https://a.example/b/c=nothing", "digest"),
        ("digest,https://other.example/=signature", "digest"),
        ("digest,https://a.example/bb=signature", "digest"),
    ],
)
def test_the_longest_prefix_says_what_is_needed(tmp_path, needs, found):
    assert requirements(tmp_path, needs).of(parse("https://a.example/b/R17")) == found


@pytest.mark.parametrize(
    ("needs", "keys", "said"),
    [
        ("signatures", True, "must be one of"),
        ("https://a.example/=all", True, "must be one of"),
        ("ftp://a.example/=digest", True, "scheme"),
        ("digest,signature", True, "two requirements"),
        ("gs://builds=digest,gs://builds/=signature", True, "two requirements"),
        ("signature", False, "must name keys"),
    ],
)
def test_a_wrong_requirement_is_refused_at_start(tmp_path, needs, keys, said):
    with pytest.raises(Invalid, match=said):
        requirements(tmp_path, needs, keys)


def test_a_key_that_cannot_be_read_is_refused_at_start(tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    (tmp_path / "junk").write_text("junk")
    for keys in ("key.pub", str(tmp_path / "none"), str(tmp_path / "junk"), str(empty)):
        with pytest.raises(Invalid, match="STAGING_VERIFY_KEYS"):
            Requirements.parse("signature", keys)


def test_a_catalogue_may_ask_for_more_and_not_for_less(tmp_path):
    text = """
artifacts:
  - {name: a, group: b, phase: foreground, pattern: a, lands: a}
  - {name: c, group: b, phase: foreground, pattern: c, lands: c, verify: {checksums: S}}
  - {name: d, group: b, phase: foreground, pattern: d, lands: d, verify: {keys: [%s]}}
"""
    kinds = Catalogue.read(text % KEY).resolve(["b", "file:e"])
    url = parse("https://a.example/b/R17")
    key = str(Path(tmp_path / "key.pub"))

    def rules(needs):
        applied = requirements(tmp_path, needs).applied(kinds, url)
        return [kind.verify for kind in applied]

    of_c, of_d = Verification("S"), Verification(keys=(KEY,), beside="signature")
    assert rules("nothing") == [None, of_c, of_d, None]
    assert rules("digest") == [need("digest", key), of_c, of_d, need("digest", key)]
    of_all = need("signature", key)
    assert rules("signature") == [of_all, of_all, of_d, of_all]
