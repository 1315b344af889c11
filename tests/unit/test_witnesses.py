"""Witnesses: objects are compared with their publisher's digests, or refused without these."""

import hashlib

import pytest

from staging_api.catalogue.catalogue import Catalogue
from staging_api.catalogue.model import ArtifactKind, Choice, Pattern, Verification
from staging_api.errors import ArchiveCorrupt, ArtifactNotFound, CatalogueInvalid, SourceUnverified
from staging_api.sources.model import SourceObject
from staging_api.staging import engine
from staging_api.staging.engine import FetchHooks
from staging_api.staging.witnessed_source import WitnessedSource
from staging_api.staging.witnesses import Witnesses
from staging_api.store.folder_store import FolderStore
from tests.archives import InMemory, tar_of, zip_of
from tests.signed import MinisignKey, OpenPgpKey
from tests.stores import blobs_of

BUILD = "R17-1"
BODY = b"payload"
PACKED = {"plain": BODY, "tar": tar_of(("a", BODY)), "zip": zip_of(("a", BODY))}


class Folder:
    """Archive in memory, whose requests are counted."""

    def __init__(self, objects, url="http://depot.example/b/R17-1", digests=None):
        self.objects = objects
        self.url = url
        self.digests = digests or {}
        self.asked = []

    def names(self):
        return list(self.objects)

    def stat(self, name):
        self.asked.append(name)
        if name not in self.objects:
            raise ArtifactNotFound(f"{name} is not in the archive")
        size = len(self.objects[name])
        return SourceObject(name, f"{self.url}/{name}", size, '"v1"', self.digests, strong=True)

    def open(self, found, start=0, end=None):
        return InMemory(self.objects[found.name]).open(start, end)

    def close(self):
        pass


@pytest.fixture
def store(tmp_path):
    return FolderStore(tmp_path / "store")


@pytest.fixture(scope="module")
def builder():
    return OpenPgpKey()


def digest(data, algorithm="sha256"):
    return hashlib.new(algorithm, data).hexdigest()


def fetched(store, source, rule=None, *, name="object", extract="plain", listed=True, **hooks):
    kind = ArtifactKind(
        "thing", "build", "foreground", (Choice(Pattern(name), extract=extract),), verify=rule
    )
    probes = source.url.startswith("http")
    witnessed = WitnessedSource(
        Witnesses(source, probes=probes), rule, source.names() if listed else None
    )
    called = FetchHooks(**hooks)
    return engine.fetch(kind, witnessed, BUILD, store, called, names=source.names())


@pytest.mark.parametrize(
    ("name", "content", "proof"),
    [
        ("SHA256SUMS", f"{digest(BODY)}  object\n", "sha256 of SHA256SUMS"),
        ("MD5SUMS", f"{digest(BODY, 'md5')} *./object\n", "md5 of MD5SUMS"),
        ("SHA512SUMS", f"{digest(BODY, 'sha512')}  object\n", "sha512 of SHA512SUMS"),
        ("CHECKSUM", f"SHA256 (object) = {digest(BODY)}\n", "sha256 of CHECKSUM"),
        ("object.sha256", digest(BODY).upper(), "sha256 of object.sha256"),
        ("object.sha256", f"{digest(BODY)}  build/out/object\n", "sha256 of object.sha256"),
        ("object.sha256", f"{digest(BODY)}  object\n", "sha256 of object.sha256"),
        ("object.md5", digest(BODY, "md5"), "md5 of object.md5"),
        ("SHA256SUMS", f"{digest(BODY)}  another\n", None),
        ("SHA256SUMS", "<html>not here</html>", None),
        ("SHA1SUMS", f"{digest(BODY, 'sha1')}  object\n", None),
    ],
)
def test_a_digest_beside_an_object_is_compared_and_named(store, name, content, proof):
    result = fetched(store, Folder({"object": BODY, name: content.encode()}))
    assert result.verified_by == proof


def test_a_digest_of_a_folder_above_counts_too(store):
    sums = f"{digest(BODY)}  sub/object\n".encode()
    result = fetched(store, Folder({"sub/object": BODY, "SHA256SUMS": sums}), name="sub/object")
    assert result.verified_by == "sha256 of SHA256SUMS"
    sums = f"{digest(BODY)}  object\n".encode()
    result = fetched(store, Folder({"sub/object": BODY, "sub/MD5SUMS": sums}), name="sub/object")
    assert result.verified_by == "sha256 of sub/MD5SUMS"


@pytest.mark.parametrize("extract", ["plain", "tar"])
def test_an_object_that_differs_from_its_digest_is_not_staged(store, extract):
    sums = f"{digest(b'other')}  object\n".encode()
    with pytest.raises(ArchiveCorrupt, match="SHA256SUMS declares"):
        fetched(store, Folder({"object": PACKED[extract], "SHA256SUMS": sums}), extract=extract)
    assert blobs_of(store) == []


def test_without_a_list_only_a_few_digests_are_asked_for(store):
    objects = {"object": BODY, "SHA256SUMS": f"{digest(BODY)}  object\n".encode()}
    source = Folder(objects)
    assert fetched(store, source, listed=False).verified_by == "sha256 of SHA256SUMS"
    assert source.asked == ["object", "SHA256SUMS"]
    bucket = Folder(objects, "gs://builds/R17-1")
    assert fetched(store, bucket, listed=False).verified_by is None
    assert bucket.asked == ["object"]


def test_a_source_that_declares_the_digest_itself_is_believed(store):
    source = Folder({"object": BODY, "SHA256SUMS": b"junk"}, digests={"sha256": digest(BODY)})
    assert fetched(store, source).verified_by == "sha256"
    assert source.asked == ["object"]


def signed(objects, key, rule_keys=None, **changed):
    """Return the objects with signed checksums, and the rule that requires them."""
    lines = "".join(f"{digest(data)}  {name}\n" for name, data in objects.items()).encode()
    all_of_them = {**objects, "SUMS": lines, "SUMS.sig": key.sign(lines), **changed}
    keys = tuple(rule_keys if rule_keys is not None else [key.public])
    return Folder(all_of_them), Verification("SUMS", "SUMS.sig", keys)


@pytest.mark.parametrize("extract", PACKED)
@pytest.mark.parametrize("kind", ["OpenPGP", "minisign"])
def test_the_row_says_who_signed(store, builder, extract, kind):
    key = builder if kind == "OpenPGP" else MinisignKey()
    source, rule = signed({"object": PACKED[extract]}, key)
    result = fetched(store, source, rule, extract=extract)
    assert result.verified_by == f"sha256 of SUMS signed by {key.signer}"
    assert [file.sha256 for file in result.files] == [digest(BODY)]


@pytest.mark.parametrize("extract", PACKED)
def test_what_differs_from_what_was_signed_is_not_staged(store, builder, extract):
    source, rule = signed({"object": PACKED[extract]}, builder)
    last = PACKED[extract][-1:]
    source.objects["object"] = PACKED[extract][:-1] + bytes([last[0] ^ 1])
    with pytest.raises(ArchiveCorrupt, match="signed by"):
        fetched(store, source, rule, extract=extract)
    assert blobs_of(store) == []


def test_what_is_unsigned_unlisted_or_signed_by_another_is_not_staged(store, builder):
    sums = f"{digest(BODY)}  object\n".encode()
    cases = {
        "without SUMS": {"SUMS": None},
        "SUMS.sig": {"SUMS.sig": None},
        "signature": {"SUMS": sums + b"\n"},
        "no given": {"SUMS.sig": MinisignKey().sign(sums)},
        "does not list": {
            "SUMS": b"%b  x\n" % digest(BODY).encode(),
            "SUMS.sig": builder.sign(b"%b  x\n" % digest(BODY).encode()),
        },
    }
    for said, changed in cases.items():
        source, rule = signed({"object": BODY}, builder)
        source.objects.update(changed)
        source.objects = {n: data for n, data in source.objects.items() if data is not None}
        with pytest.raises(SourceUnverified, match=said):
            fetched(store, source, rule)
    assert blobs_of(store) == []


def test_content_that_was_read_before_is_no_proof_for_weaker_digests(store):
    """The content must be compared again: only its sha256 proves it."""
    fetched(store, Folder({"object": BODY}))
    rule = Verification("MD5SUMS")
    source = Folder({"object": BODY, "MD5SUMS": f"{digest(BODY, 'md5')}  object".encode()})
    seen = []
    result = fetched(store, source, rule, content_of=lambda found: seen.append(found.strong))
    assert (seen, result.verified_by) == ([False], "md5 of MD5SUMS")


def test_content_of_the_store_is_not_fetched_again_if_it_was_signed_for(store, builder):
    fetched(store, Folder({"object": BODY}))
    source, rule = signed({"object": BODY}, builder)
    result = fetched(store, source, rule)
    assert (result.cached_by, result.verified_by) == (
        "sha256",
        f"sha256 of SUMS signed by {builder.signer}",
    )


def test_a_clear_signature_and_a_signature_of_each_object(store, builder):
    sums = f"{digest(BODY)}  object\n".encode()
    clear = Folder({"object": BODY, "SUMS.asc": builder.sign(sums, clear=True)})
    rule = Verification("SUMS.asc", "SUMS.asc", (builder.public,))
    proof = f"sha256 of SUMS.asc signed by {builder.signer}"
    assert fetched(store, clear, rule).verified_by == proof
    each = Folder({"object": BODY, "object.sha256": sums, "object.sig": builder.sign(sums)})
    rule = Verification("{object}.sha256", "{object}.sig", (builder.public,))
    assert "object.sha256 signed by" in fetched(store, each, rule).verified_by


def test_a_signed_digest_of_one_object_does_not_stand_for_another(store, builder):
    sums = f"{digest(b'old')}  build/other\n".encode()
    source = Folder({"object": b"old", "object.sha256": sums, "object.sig": builder.sign(sums)})
    rule = Verification("{object}.sha256", "{object}.sig", (builder.public,))
    with pytest.raises(SourceUnverified, match="does not list object"):
        fetched(store, source, rule)


def test_digests_of_the_catalogue(store):
    rule = Verification(digests=(("object", ("sha256", digest(BODY))),))
    source = Folder({"object": BODY, "other": BODY})
    assert fetched(store, source, rule).verified_by == "sha256 of the catalogue"
    with pytest.raises(SourceUnverified, match="the catalogue does not list other"):
        fetched(store, source, rule, name="other")


CATALOGUE = """
verify: {{checksums: SHA256SUMS, signature: SHA256SUMS.minisig, keys: ["{key}"]}}
artifacts:
  - {{name: image, group: build, phase: foreground, pattern: image.zip, lands: image.zip}}
  - name: notes
    group: build
    phase: background
    pattern: notes.txt
    lands: notes.txt
    verify: {{digests: {{notes.txt: "sha256:{sha256}"}}}}
"""


def test_a_catalogue_requires_it_of_each_entry_and_of_whatever_is_named():
    key = MinisignKey().public
    catalogue = Catalogue.read(CATALOGUE.format(key=key, sha256=digest(BODY)))
    signed_sums = Verification("SHA256SUMS", "SHA256SUMS.minisig", (key,))
    of_notes = Verification(digests=(("notes.txt", ("sha256", digest(BODY))),))
    words = ["image", "notes", "file:x", "member:x.zip!/y"]
    assert [kind.verify for kind in catalogue.resolve(words)] == [
        signed_sums,
        of_notes,
        signed_sums,
        signed_sums,
    ]


def test_a_catalogue_of_a_request_names_no_file_of_the_service(tmp_path):
    file = tmp_path / "key.pub"
    file.write_text(MinisignKey().public)
    text = CATALOGUE.format(key=file, sha256=digest(BODY))
    with pytest.raises(CatalogueInvalid, match="catalogue file of the service"):
        Catalogue.read(text)
    (tmp_path / "catalogue.yaml").write_text(text)
    (kind, *_) = Catalogue.load(tmp_path / "catalogue.yaml").kinds
    assert kind.verify is not None
    assert kind.verify.keys == (str(file),)


@pytest.mark.parametrize(
    ("verify", "said"),
    [
        ("{}", "either checksums"),
        ("{checksums: a, digests: {x: 'md5:%s'}}" % ("0" * 32), "either checksums"),
        ("{checksums: a, signature: b}", "needs keys"),
        ("{checksums: a, keys: [RW]}", "needs keys"),
        ("{checksums: a, signature: b, keys: [RW]}", "minisign"),
        ("{checksums: a, signature: b, keys: [/nowhere/key]}", "catalogue file of the service"),
        ("{digests: {x: 'sha256:0'}}", "sha256:<64"),
        ("{digests: {x: 'sha1:%s'}}" % ("0" * 40), "sha256:<64"),
        ("{sums: a}", "none of"),
        ("{checksums: ../SUMS}", "below the build's folder"),
        ("{checksums: a, signature: /b, keys: [RW]}", "below the build's folder"),
        ("yes", "mapping"),
    ],
)
def test_a_wrong_rule_is_refused_when_the_catalogue_is_read(verify, said):
    text = "artifacts: [{name: a, group: b, phase: foreground, pattern: c, verify: %s}]"
    with pytest.raises(CatalogueInvalid, match=said):
        Catalogue.read(text % verify)
