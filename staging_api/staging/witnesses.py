"""What the publisher of an archive says of its objects: digests beside them, and who signed these.

A digest that stands beside an object is compared wherever it is found. An entry of a catalogue can
require it (`Verification`): then an object without it, or without a good signature of it, is never
staged. What vouches for an object becomes the `witness` of its description, and at last the
``verified_by`` of its row.
"""

import re
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from posixpath import basename, dirname

from staging_api.catalogue.model import Verification
from staging_api.errors import NotFound, SourceFailed, SourceUnverified, StagingApiError
from staging_api.signatures import SignatureInvalid, signed_message, signer_of
from staging_api.sources.lists import is_markup, sums_in, text_of
from staging_api.sources.manifest import read_small
from staging_api.sources.model import Source, SourceObject, take
from staging_api.sources.url import ArchiveUrl

#: Digests that are computed here; another one vouches for nothing.
_ALGORITHMS = ("sha256", "sha512", "md5")
_OF_ONE = (".sha256", ".sha256sum", ".sha512", ".sha512sum", ".md5", ".md5sum")
_OF_FOLDER = (
    *("SHA256SUMS", "SHA256SUMS.txt", "sha256sum.txt", "sha256sums.txt", "checksums.txt"),
    *("CHECKSUM", "CHECKSUMS", "SHA512SUMS", "MD5SUMS", "MD5SUMS.txt", "md5sum.txt"),
)
#: Asked for where no list says what there is.
_PROBED_OF_ONE, _PROBED_OF_FOLDER = _OF_ONE[:1], ("SHA256SUMS", "MD5SUMS")
_BARE = re.compile(r"[0-9A-Fa-f]{32}|[0-9A-Fa-f]{64}|[0-9A-Fa-f]{128}")
_BARE_ALGORITHM = {32: "md5", 64: "sha256", 128: "sha512"}


@dataclass(frozen=True)
class Sums:
    """Digests by name, and what vouches for them."""

    digests: Mapping[str, tuple[str, str]]
    witness: str


class Witnesses:
    """The digests beside the objects of one archive, each file of them read once."""

    def __init__(self, source: Source, *, probes: bool) -> None:
        """Read nothing yet.

        Args:
            source: the archive.
            probes: whether to ask for digests also where no list says that there are any.
        """
        self._source = source
        self._probes = probes
        self._kept: dict[str, Sums | None] = {}

    def of(
        self, rule: Verification | None, listed: Collection[str] | None = None
    ) -> "WitnessedSource":
        """Return the archive, with what vouches for each object.

        Args:
            rule: what an object needs to be staged.
            listed: all names of the archive, if they are known.
        """
        return WitnessedSource(self._source, self, rule, listed)

    def beside(self, name: str, listed: Collection[str] | None) -> Sums | None:
        """Return digests of an object that stand beside it, if any do."""
        if name.endswith(_OF_ONE) or basename(name) in _OF_FOLDER:
            return None
        if listed is None and not self._probes:
            return None
        for candidate in _candidates(name, listed):
            if candidate not in self._kept:
                self._kept[candidate] = self._found(candidate)
            sums = self._kept[candidate]
            if sums is not None and _digest_of(sums, name, candidate) is not None:
                return sums
        return None

    def required(self, rule: Verification, name: str) -> Sums:
        """Return the digests that a rule requires, once their signature was verified.

        Raises:
            SourceUnverified: they are not there, or nobody whom the rule trusts signed them.
        """
        if rule.digests:
            return Sums(dict(rule.digests), "the catalogue")
        called, signature = rule.names(name)
        key = f"{called} {signature} {rule.keys}"
        sums = self._kept.get(key)
        if sums is None:
            sums = self._kept[key] = self._signed(called, signature, rule)
        return sums

    def _found(self, name: str) -> Sums | None:
        try:
            raw = read_small(self._source, self._source.stat(name))
            return None if is_markup(raw) else _sums(raw, name, name)
        except (NotFound, SourceFailed):
            return None  # not required, so it is as good as absent

    def _signed(self, called: str, signature: str | None, rule: Verification) -> Sums:
        try:
            raw, witness = read_small(self._source, self._source.stat(called)), called
            if signature == called:
                raw, signer = signed_message(raw, rule.keys)
                witness = f"{called} signed by {signer}"
            elif signature is not None:
                signed = read_small(self._source, self._source.stat(signature))
                witness = f"{called} signed by {signer_of(raw, signed, rule.keys)}"
            return _sums(raw, called, witness)
        except SignatureInvalid as error:
            raise SourceUnverified(f"the signature {signature} of {called}: {error}") from None
        except StagingApiError as error:
            if error.retryable:
                raise
            raise SourceUnverified(
                f"nothing can be verified without {called} and its signature: {error.detail}"
            ) from None


class WitnessedSource:
    """A source whose descriptions have the digests that the publisher gives."""

    def __init__(
        self,
        source: Source,
        witnesses: Witnesses,
        rule: Verification | None,
        listed: Collection[str] | None,
    ) -> None:
        self._source = source
        self._witnesses = witnesses
        self._rule = rule
        self._listed = listed
        self.url = source.url
        self.names = source.names
        self.open = source.open
        self.close = source.close

    def stat(self, name: str) -> SourceObject:
        """Describe one object.

        Raises:
            SourceUnverified: it must be verified, and nothing vouches for it.
        """
        return self._witnessed(self._source.stat(name))

    @contextmanager
    def take(self, name: str) -> Iterator[tuple[SourceObject, Iterator[bytes]]]:
        """Read a whole object by the answer that describes it."""
        with take(self._source, name) as (found, chunks):
            yield self._witnessed(found), chunks

    def _witnessed(self, found: SourceObject) -> SourceObject:
        if self._rule is not None:
            called = self._rule.names(found.name)[0]
            sums: Sums | None = self._witnesses.required(self._rule, found.name)
        elif "sha256" in found.digests:
            return found
        else:
            sums, called = self._witnesses.beside(found.name, self._listed), ""
        if sums is None:
            return found
        strict = self._rule is not None
        digest = _digest_of(sums, found.name, called or sums.witness, strict=strict)
        if digest is None:
            raise SourceUnverified(
                f"{sums.witness} does not list {found.name}, so it is not staged"
            )
        algorithm, text = digest
        # Only this one is compared then. What was read before, unverified, is no proof of it,
        # unless its content is: by sha256.
        strong = found.strong and (self._rule is None or algorithm == "sha256")
        digests = {algorithm: text}
        return replace(found, digests=digests, witness=sums.witness, strong=strong)


def may_have_no_list(url: ArchiveUrl) -> bool:
    """Whether there may be digests beside the objects of an archive, and no list to name them.

    What a URL with a query is of, nobody knows; whoever signed one signed for nothing else.
    """
    return url.scheme in ("http", "https") and not url.has_query


def _candidates(name: str, listed: Collection[str] | None) -> list[str]:
    folders = dict.fromkeys((f"{dirname(name)}/" if dirname(name) else "", ""))
    if listed is None:
        of_folder = [f"{folder}{each}" for folder in folders for each in _PROBED_OF_FOLDER]
        return [*(name + end for end in _PROBED_OF_ONE), *of_folder]
    all_of_folder = [f"{folder}{each}" for folder in folders for each in _OF_FOLDER]
    return [each for each in (*(name + end for end in _OF_ONE), *all_of_folder) if each in listed]


def _sums(raw: bytes, called: str, witness: str) -> Sums:
    text = text_of(raw, called)
    bare = text.strip()
    if _BARE.fullmatch(bare):
        return Sums({"": (_BARE_ALGORITHM[len(bare)], bare.lower())}, witness)
    return Sums(sums_in(text), witness)


def _digest_of(
    sums: Sums, name: str, called: str, *, strict: bool = False
) -> tuple[str, str] | None:
    """Return the digest of an object in the file `called`, whose names are relative to its folder.

    Args:
        sums: the content of that file.
        name: of the object.
        called: the name of the file. One that is named like the object may have its digest without
            a name, or with the path that the object had where it was made.
        strict: whether a path must end in the object's own name: else a signature of one object's
            digest, renamed, would let it stand for another.
    """
    folder = f"{dirname(called)}/" if dirname(called) else ""
    keys = [name.removeprefix(folder), name]
    if called.startswith(name) and len(sums.digests) == 1:
        keys += [key for key in sums.digests if not strict or basename(key) in ("", basename(name))]
    found = next((sums.digests[key] for key in keys if key in sums.digests), None)
    return found if found and found[0] in _ALGORITHMS else None
