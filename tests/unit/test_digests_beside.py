"""Digests and signatures beside an object: which are requested, and which count."""

import hashlib
from pathlib import Path
from typing import Any

import pytest

from staging_api.catalogue.model import Verification
from staging_api.errors import ArtifactNotFound, SourceFailed, SourceRefused, SourceUnverified
from staging_api.signatures import SignatureInvalid
from staging_api.sources.model import Names, SourceObject
from staging_api.sources.url import parse
from staging_api.staging import witnessed_source, witnesses
from staging_api.staging.witnessed_source import WitnessedSource, vouch
from staging_api.staging.witnesses import Witnesses, may_have_no_list
from tests.archives import InMemory

BODY = b"payload"
SHA256 = hashlib.sha256(BODY).hexdigest()
MD5 = "1" * 32
KEYS = ("ours",)
DIGEST, SIGNED = Verification(beside="digest"), Verification(keys=KEYS, beside="signature")
EITHER = Verification(keys=KEYS, beside="digest")


def sums(*names: str, digest: str = SHA256) -> bytes:
    return "".join(f"{digest}  {name}\n" for name in names).encode()


def within(key: str, text: bytes) -> bytes:
    """Return a text that contains its signature."""
    return f"SIGNED by {key}\n".encode() + text


def by(key: str) -> bytes:
    """Return a detached signature."""
    return f"SIGNATURE by {key}".encode()


def signer(signature: bytes, keys: tuple[str, ...]) -> str:
    key = signature.partition(b" by ")[2].decode()
    if key not in keys:
        raise SignatureInvalid(f"{key} is no given key")
    return key


class Folder:
    """Archive with given objects; an object that is an error is raised."""

    url = "https://x/R17"

    def __init__(self, **objects: Any) -> None:
        self.objects = {name.replace("__", "."): each for name, each in objects.items()}
        self.asked: list[str] = []
        self.listings: list[Exception | None] = []

    def names(self) -> Names:
        error = self.listings.pop(0)
        if error:
            raise error
        return Names(self.objects)

    def stat(self, name: str) -> SourceObject:
        self.asked.append(name)
        if name not in self.objects:
            raise ArtifactNotFound(f"{name} is not in the archive")
        if isinstance(self.objects[name], Exception):
            raise self.objects[name]
        return SourceObject(name, f"{self.url}/{name}", 7, "v", {}, strong=True)

    def open(self, found: SourceObject, start: int = 0, end: int | None = None) -> Any:
        return InMemory(self.objects[found.name]).open(start, end)

    def close(self) -> None:
        pass


@pytest.fixture(autouse=True)
def signatures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Replace verification: the signatures name their signers."""

    def message(raw: bytes, keys: tuple[str, ...]) -> tuple[bytes, str]:
        first, _, text = raw.partition(b"\n")
        return text, signer(first, keys)

    def of(_signed: object, signature: bytes, keys: tuple[str, ...]) -> str:
        return signer(signature, keys)

    monkeypatch.setattr(witnesses, "is_signed_within", lambda raw: raw.startswith(b"SIGNED by"))
    monkeypatch.setattr(witnesses, "is_detached", lambda raw: raw.startswith(b"SIGNATURE by"))
    monkeypatch.setattr(witnesses, "signed_message", message)
    monkeypatch.setattr(witnesses, "signer_of", of)
    monkeypatch.setattr(witnessed_source, "signer_of", of)


def beside(folder: Folder, *, probes: bool = True) -> Witnesses:
    return Witnesses(folder, probes=probes)


def of_one(folder: Folder) -> list[str]:
    """Return the objects for which their own digest file was requested."""
    return [name.removesuffix(".sha256") for name in folder.asked if name.endswith(".sha256")]


def test_single_digests_are_not_asked_for_after_three_absent_ones_in_a_row() -> None:
    folder = Folder(c__sha256=SHA256.encode())
    made = beside(folder)
    for name in "abcdefgh":
        assert (made.beside(name, None) is not None) is (name == "c")
    assert of_one(folder) == ["a", "b", "c", "d", "e", "f"]
    # The lists of a folder are requested once.
    assert folder.asked.count("SHA256SUMS") == folder.asked.count("MD5SUMS") == 1


def test_where_a_list_names_them_all_are_asked_for() -> None:
    folder = Folder(e__sha256=SHA256.encode())
    made = beside(folder, probes=False)
    for name in "abcde":
        assert (made.beside(name, ["e.sha256"]) is not None) is (name == "e")
    assert folder.asked == ["e.sha256"]


def test_where_no_list_names_any_none_is_asked_for_unless_there_may_be_one() -> None:
    folder = Folder(SHA256SUMS=sums("a"))
    assert beside(folder, probes=False).beside("a", None) is None
    assert folder.asked == []
    assert beside(folder).beside("a", None) is not None
    assert beside(folder, probes=False).beside("a", ["SHA256SUMS"]) is not None


@pytest.mark.parametrize("listed", [None, ["SHA256SUMS", "SHA256SUMS.sha256"]])
def test_a_list_is_not_looked_for_in_lists(listed: list[str] | None) -> None:
    folder = Folder(SHA256SUMS=sums("SHA256SUMS"))
    assert beside(folder).beside("SHA256SUMS", listed) is None
    assert folder.asked == []


def test_the_first_list_that_has_the_object_counts() -> None:
    folder = Folder(
        SHA256SUMS=sums("other"), MD5SUMS=sums("a", digest=MD5), a__sha256=SourceFailed("x")
    )
    assert beside(folder).beside("a", None) == ("md5", MD5, "MD5SUMS")
    # A digest file that cannot be read counts as absent, if no rule requires it.
    assert folder.asked == ["SHA256SUMS", "a.sha256", "MD5SUMS"]


def test_small_objects_and_names_are_read_once() -> None:
    folder = Folder(a=BODY, page=b"<html>", tag=b"\x00<", less=b" <\xff\xfe")
    made = beside(folder)
    for _ in range(2):
        assert (made.small("a"), made.small("gone"), made.small("page")) == (BODY, None, None)
        assert made.small("tag") == b"\x00<"
    assert folder.asked == ["a", "gone", "page", "tag"]
    folder.listings = [None]
    assert made.names() == made.names() == ["a", "page", "tag", "less"]
    folder.listings = [ArtifactNotFound("no list")]
    other = beside(folder)
    assert other.names() == other.names() == []


def test_what_a_source_may_say_later_is_asked_again() -> None:
    folder = Folder(a=SourceFailed("away"))
    folder.listings = [SourceFailed("away"), None]
    made = beside(folder)
    with pytest.raises(SourceFailed):
        made.small("a")
    folder.objects["a"] = BODY
    assert made.small("a") == BODY
    with pytest.raises(SourceFailed):
        made.names()
    assert made.names() == ["a"]


def test_refusals_name_the_reason_of_each_unreadable_object() -> None:
    folder = Folder(a=SourceRefused("403"), b=SourceRefused("too long"))
    made = beside(folder)
    assert made.refusals("x") == "nothing beside x lists or signs it"
    assert (made.small("a"), made.small("b")) == (None, None)
    assert made.refusals("x") == "a: 403; b: too long"


@pytest.mark.parametrize("rule", [DIGEST, EITHER])
def test_a_strong_digest_may_be_enough(rule: Verification) -> None:
    made = beside(Folder(SHA256SUMS=sums("a"), MD5SUMS=sums("b", digest=MD5)))
    assert made.found(rule, "a", None) == ("sha256", SHA256, "SHA256SUMS")
    assert made.found(rule, "b", None) is None
    assert made.found(rule, "c", None) is None


def test_a_list_counts_if_a_given_key_signed_it() -> None:
    folder = Folder(
        SHA256SUMS=sums("a"),
        SHA256SUMS__asc=by("theirs"),
        SHA256SUMS__sign=by("ours"),
        SHA512SUMS=sums("b"),
    )
    made = beside(folder)
    for _ in range(2):
        proof = made.found(SIGNED, "a", list(folder.objects))
        assert proof == ("sha256", SHA256, "SHA256SUMS signed by ours")
    assert folder.asked.count("SHA256SUMS.sign") == 1
    assert made.found(SIGNED, "b", list(folder.objects)) is None
    assert "SHA256SUMS.asc: theirs is no given key" in made.refusals("b")
    assert "SHA512SUMS: is not signed by a given key" in made.refusals("b")
    assert "SHA256SUMS: is" not in made.refusals("b")
    # A signature proves more than a digest, if both would do.
    proof = beside(folder).found(EITHER, "a", list(folder.objects))
    assert proof == ("sha256", SHA256, "SHA256SUMS signed by ours")


def test_a_list_may_have_its_signature_within() -> None:
    for key, proof in (("ours", ("sha256", SHA256, "SHA256SUMS.asc signed by ours")), ("x", None)):
        made = beside(Folder(SHA256SUMS__asc=within(key, sums("a"))))
        assert made.found(SIGNED, "a", None) == proof
        refused = "SHA256SUMS.asc: x is no given key"
        assert (made.refusals("a") == refused) is (key == "x")


def test_a_signature_is_no_list_and_a_list_is_text() -> None:
    folder = Folder(SHA256SUMS=b"\xff\xfe\x00", SHA256SUMS__asc=by("ours"), CHECKSUM=by("ours"))
    made = beside(folder)
    for rule in (DIGEST, SIGNED):
        assert made.found(rule, "a", list(folder.objects)) is None
    assert made.refusals("a").startswith("SHA256SUMS: ")
    assert "CHECKSUM" not in made.refusals("a")


def test_signatures_of_an_object_are_those_that_are_there() -> None:
    folder = Folder(a__asc=by("x"), a__minisig=by("y"))
    assert beside(folder).seals("a", None) == ("a.asc", "a.minisig")
    assert beside(folder).seals("b", None) == ()


def test_the_lists_of_a_rule_are_verified_once() -> None:
    folder = Folder(S=sums("a"), S__sig=by("ours"), C=within("ours", sums("a")))
    made = beside(folder)
    plain, apart = Verification("S"), Verification("S", "S.sig", KEYS)
    clear = Verification("C", "C", KEYS)
    for _ in range(2):
        assert made.required(plain, "a").witness == "S"
        assert made.required(apart, "a").witness == "S signed by ours"
        assert made.required(clear, "a").witness == "C signed by ours"
        assert made.required(clear, "a").digests == {"a": ("sha256", SHA256)}
    assert folder.asked == ["S", "S", "S.sig", "C"]
    known = Verification(digests=(("a", ("sha256", SHA256)),))
    assert made.required(known, "a").witness == "the catalogue"
    with pytest.raises(SourceUnverified, match=r"the signature S\.sig of S: ours is no given key"):
        made.required(Verification("S", "S.sig", ("other",)), "a")
    with pytest.raises(SourceUnverified, match="nothing can be verified without T"):
        made.required(Verification("T"), "a")
    folder.objects["S.sig"] = SourceFailed("away")
    with pytest.raises(SourceFailed):
        beside(folder).required(apart, "a")


@pytest.mark.parametrize(
    ("url", "may"),
    [
        ("https://x/R", True),
        ("http://x/R", True),
        ("https://x/R?a=1", False),
        ("gs://bucket/R", False),
    ],
)
def test_there_may_be_no_list_on_the_web_but_not_behind_a_query(url: str, may: bool) -> None:
    assert may_have_no_list(parse(url)) is may


def stat(folder: Folder, rule: Verification | None, *listed: str, name: str = "a") -> SourceObject:
    source = WitnessedSource(beside(folder), rule, list(listed) or None)
    return source.stat(name)


def test_a_digest_beside_an_object_is_compared_and_a_weak_one_leaves_what_was_read() -> None:
    found = stat(Folder(a=BODY, MD5SUMS=sums("a", digest=MD5)), None)
    assert (found.digests, found.witness, found.strong) == ({"md5": MD5}, "MD5SUMS", True)
    found = stat(Folder(a=BODY), None)
    assert (found.digests, found.witness, found.strong) == ({}, None, True)


@pytest.mark.parametrize(
    ("rule", "objects", "digests", "strong"),
    [
        (Verification("S"), {"S": sums("a", digest=MD5)}, {"md5": MD5}, False),
        (Verification("S"), {"S": sums("a")}, {"sha256": SHA256}, True),
        (DIGEST, {"SHA256SUMS": sums("a")}, {"sha256": SHA256}, True),
    ],
)
def test_what_was_read_before_proves_a_required_object_only_by_its_sha256(
    rule: Verification, objects: dict[str, bytes], digests: dict[str, str], *, strong: bool
) -> None:
    found = stat(Folder(a=BODY, **objects), rule)
    assert (found.digests, found.strong) == (digests, strong)


def test_a_sha512_vouches_and_does_not_prove_what_was_read_before() -> None:
    digest = "5" * 128
    folder = Folder(a=BODY, SHA512SUMS=sums("a", digest=digest))
    found = stat(folder, DIGEST, *folder.objects)
    assert (found.digests, found.strong) == ({"sha512": digest}, False)


def test_what_a_required_list_does_not_name_is_refused() -> None:
    with pytest.raises(SourceUnverified, match="S does not list a, so it is not staged"):
        stat(Folder(a=BODY, S=sums("b")), Verification("S"))


def test_a_digest_that_is_not_computed_here_is_named() -> None:
    other = f"BLAKE2s (a) = {SHA256}\n".encode()
    with pytest.raises(SourceUnverified, match="S lists only the BLAKE2s of a, so it"):
        stat(Folder(a=BODY, S=other), Verification("S"))
    beside = Folder(a=BODY, SHA256SUMS=other)
    with pytest.raises(SourceUnverified, match="SHA256SUMS: lists only the BLAKE2s of a"):
        stat(beside, DIGEST, *beside.objects)
    assert stat(beside, None, *beside.objects).digests == {}


@pytest.mark.parametrize(
    "rule", [SIGNED, EITHER, Verification(signature="{object}.asc", keys=KEYS)]
)
def test_an_object_may_have_to_be_signed_itself(rule: Verification, tmp_path: Path) -> None:
    folder = Folder(a=BODY, a__asc=by("ours"))
    source = WitnessedSource(beside(folder), rule, None)
    folder.listings = [None]
    found = source.stat("a")
    assert (found.digests, found.strong, found.seals) == ({}, False, ("a.asc",))
    vouched = vouch(source, found, tmp_path, SHA256)
    assert (vouched.digests, vouched.witness) == ({"sha256": SHA256}, "a.asc signed by ours")
    folder.objects["a.asc"] = by("theirs")
    source = WitnessedSource(beside(folder), rule, list(folder.objects))
    with pytest.raises(SourceUnverified, match=r"the signature a\.asc of a: theirs is no given"):
        vouch(source, source.stat("a"), tmp_path, SHA256)


def test_what_needs_no_signature_is_not_verified_by_one(tmp_path: Path) -> None:
    folder = Folder(a=BODY)
    found = folder.stat("a")
    source: Any = folder
    assert vouch(source, found, tmp_path, SHA256) is found
    with pytest.raises(SourceUnverified, match="the service cannot verify"):
        vouch(source, SourceObject("a", "https://x/a", seals=("a.asc",)), tmp_path, SHA256)


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        (SIGNED, "a needs a signature by a given key beside it"),
        (DIGEST, "a needs a sha256 or signature beside it"),
        (
            Verification(signature="{object}.asc", keys=KEYS),
            "a.asc does not exist, but has to sign a",
        ),
    ],
)
def test_without_a_proof_an_object_is_refused(rule: Verification, said: str) -> None:
    folder = Folder(a=BODY)
    folder.listings = [None]
    with pytest.raises(SourceUnverified, match=said):
        stat(folder, rule)


def test_a_signature_does_not_count_where_no_key_is_given() -> None:
    folder = Folder(a=BODY, a__asc=by("ours"))
    with pytest.raises(SourceUnverified, match="a needs a sha256 or signature"):
        stat(folder, DIGEST, *folder.objects)


def test_lists_with_the_name_of_a_release_are_found_by_the_list_of_the_archive() -> None:
    folder = Folder(a=BODY, **{"tool_1.2_checksums.txt": sums("a")})
    folder.listings = [None]
    found = stat(folder, DIGEST)
    assert (found.witness, folder.listings) == ("tool_1.2_checksums.txt", [])
    # Files that are found without a list cause no listing.
    folder = Folder(a=BODY, SHA256SUMS=sums("a"))
    assert stat(folder, DIGEST).witness == "SHA256SUMS"
