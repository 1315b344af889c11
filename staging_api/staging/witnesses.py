"""Statements of an archive's publisher about its objects: digests beside them, and signatures.

A digest found beside an object is always compared. A rule can require one (`Verification`, of a
catalogue or of the service): then an object is never staged without it, or without a good signature
of the digest or of the object itself. The source of the digest becomes the `witness` in the
object's description, and finally the ``verified_by`` of its row.
"""

import logging
import threading
from collections.abc import Collection, Iterator

from staging_api.catalogue.model import Verification
from staging_api.errors import (
    ArchiveCorrupt,
    NotFound,
    SourceFailed,
    SourceUnverified,
    StagingApiError,
)
from staging_api.signatures import (
    SignatureInvalid,
    is_detached,
    is_signed_within,
    signed_message,
    signer_of,
)
from staging_api.sources.lists import is_markup
from staging_api.sources.manifest import read_small
from staging_api.sources.model import Names, Source
from staging_api.sources.url import ArchiveUrl
from staging_api.staging.checksums import (
    STRONG_ALGORITHMS,
    Checksums,
    digest_of,
    is_list,
    lists_of_folder,
    lists_of_one,
    lists_to_require,
    only_by,
    signatures_of,
    strongest_first,
    sums_of,
)

log = logging.getLogger(__name__)

#: If no list names digests of single objects, they are not requested any more after this many
#: absent ones in a row: each costs a request.
_MOST_ABSENT = 3


class Witnesses:
    """The digests beside the objects of one archive; each file of digests is read once."""

    def __init__(self, source: Source, *, probes: bool) -> None:
        """Read nothing yet.

        Args:
            source: the archive.
            probes: whether to request digests also where no list says that there are any.
        """
        self.source = source
        #: Held round all calls, as artifacts are staged side by side: each file is read once.
        self.lock = threading.Lock()
        self._probes = probes
        self._kept: dict[str, Checksums | None] = {}
        self._raw: dict[str, bytes | None] = {}
        self._refused: dict[str, str] = {}
        self._absent_in_a_row = 0
        self._names: Names | None = None

    def beside(self, name: str, listed: Collection[str] | None) -> tuple[str, str, str] | None:
        """Find a digest of an object beside it; None if there is none.

        Lists of a folder are requested once. If the archive has no list of names, the publisher may
        have a digest file for each object: these are requested until a few were absent in a row.

        Returns:
            A tuple like that of `found`.
        """
        if is_list(name) or (listed is None and not self._probes):
            return None
        of_one = lists_of_one(name, listed)
        if listed is None and self._absent_in_a_row >= _MOST_ABSENT:
            of_one = []
        for called in strongest_first([*lists_of_folder(name, listed), *of_one]):
            if (proof := self._digest_in(called, name)) is not None:
                self._absent_in_a_row = 0
                return proof
        self._absent_in_a_row += 1
        return None

    def required(self, rule: Verification, name: str) -> Checksums:
        """Return the digests that a rule requires, once their signature was verified.

        Raises:
            SourceUnverified: there are no such digests, or no key trusted by the rule signed them.
        """
        if rule.digests:
            return Checksums(dict(rule.digests), "the catalogue")
        called, signature = rule.names(name)
        key = f"{called} {signature} {rule.keys}"
        sums = self._kept.get(key)
        if sums is None:
            sums = self._kept[key] = self._signed(called, signature, rule)
        return sums

    def found(
        self, rule: Verification, name: str, listed: Collection[str] | None
    ) -> tuple[str, str, str] | None:
        """Find a digest beside an object that a rule accepts; None if there is none.

        Returns:
            Algorithm, digest, and witness.
        """
        for called in lists_to_require(name, listed):
            for sums in self._lists_taken(rule, called, listed):
                digest = digest_of(sums, name, called, strict=True)
                if digest is not None and digest[0] in STRONG_ALGORITHMS:
                    return (*digest, sums.witness)
                if weak := digest[0] if digest else only_by(sums, name, called):
                    self.refuse(called, f"lists only the {weak} of {name}")
        return None

    def seals(self, name: str, listed: Collection[str] | None) -> tuple[str, ...]:
        """Return the names of the existing detached signatures of an object."""
        names = signatures_of(name, listed)
        return tuple(each for each in names if self.small(each) is not None)

    def small(self, name: str) -> bytes | None:
        """Return a small object beside others; None if it is absent, or a web page is in its place.

        Raises:
            SourceFailed: the source may answer later.
        """
        if name not in self._raw:
            self._raw[name] = self._read(name)
        return self._raw[name]

    def names(self) -> Collection[str]:
        """Return all names of the archive; empty if it has no list of them."""
        if self._names is None:
            try:
                self._names = self.source.names()
            except StagingApiError as error:
                if error.retryable:
                    raise
                self._names = Names()
        return self._names

    def refusals(self, name: str) -> str:
        """Return which lists and signatures exist for an object, and why they do not count."""
        said = [f"{each}: {why}" for each, why in self._refused.items()]
        return "; ".join(said) or f"nothing beside {name} lists or signs it"

    def refuse(self, name: str, why: str) -> None:
        """Note why a list or a signature does not count."""
        self._refused[name] = why

    def _lists_taken(
        self, rule: Verification, called: str, listed: Collection[str] | None
    ) -> Iterator[Checksums]:
        """Yield the digests of a list, if a key of the rule signed it or it needs no signature."""
        raw = self.small(called)
        if raw is None or is_detached(raw):
            return
        if rule.keys and (signed := self._kept_signed(rule, called, raw, listed)) is not None:
            yield signed
        if rule.beside == "digest" and (sums := self._sums(raw, called, called)) is not None:
            yield sums

    def _kept_signed(
        self, rule: Verification, called: str, raw: bytes, listed: Collection[str] | None
    ) -> Checksums | None:
        key = f"{called} signed by {rule.keys}"
        if key not in self._kept:
            self._kept[key] = self._signed_somehow(rule, called, raw, listed)
        return self._kept[key]

    def _signed_somehow(
        self, rule: Verification, called: str, raw: bytes, listed: Collection[str] | None
    ) -> Checksums | None:
        if is_signed_within(raw):
            try:
                message, signer = signed_message(raw, rule.keys)
            except SignatureInvalid as error:
                self.refuse(called, str(error))
                return None
            return self._sums(message, called, f"{called} signed by {signer}")
        for name in signatures_of(called, listed):
            if (signature := self.small(name)) is None:
                continue
            try:
                signer = signer_of(raw, signature, rule.keys)
            except SignatureInvalid as error:
                self.refuse(name, str(error))
            else:
                return self._sums(raw, called, f"{called} signed by {signer}")
        if called not in self._refused:
            self.refuse(called, "is not signed by a given key")
        return None

    def _sums(self, raw: bytes, called: str, witness: str) -> Checksums | None:
        try:
            return sums_of(raw, called, witness)
        except ArchiveCorrupt as error:
            self.refuse(called, error.detail)
            return None

    def _digest_in(self, called: str, name: str) -> tuple[str, str, str] | None:
        if called not in self._kept:
            self._kept[called] = self._found(called)
        sums = self._kept[called]
        digest = None if sums is None else digest_of(sums, name, called)
        if sums is not None and (other := only_by(sums, name, called)):
            log.info("%s has only the %s of %s, which is not compared", called, other, name)
        return None if digest is None else (*digest, called)

    def _found(self, name: str) -> Checksums | None:
        try:
            raw = self._read(name)
            return None if raw is None else sums_of(raw, name, name)
        except SourceFailed:
            return None  # a digest that no rule requires must not fail the staging

    def _read(self, name: str) -> bytes | None:
        try:
            raw = read_small(self.source, self.source.stat(name))
        except NotFound:
            return None
        except StagingApiError as error:
            if error.retryable:
                raise
            # Too long, a link, or refused, which many sites answer for an absent object.
            self.refuse(name, error.detail)
            return None
        # A binary signature is no text, and no page.
        return None if raw.lstrip().startswith(b"<") and is_markup(raw) else raw

    def _signed(self, called: str, signature: str | None, rule: Verification) -> Checksums:
        try:
            raw, witness = read_small(self.source, self.source.stat(called)), called
            if signature == called:
                raw, signer = signed_message(raw, rule.keys)
                witness = f"{called} signed by {signer}"
            elif signature is not None:
                signed = read_small(self.source, self.source.stat(signature))
                witness = f"{called} signed by {signer_of(raw, signed, rule.keys)}"
            return sums_of(raw, called, witness)
        except SignatureInvalid as error:
            raise SourceUnverified(f"the signature {signature} of {called}: {error}") from None
        except StagingApiError as error:
            if error.retryable:
                raise
            raise SourceUnverified(
                f"nothing can be verified without {called} and its signature: {error.detail}"
            ) from None


def may_have_no_list(url: ArchiveUrl) -> bool:
    """Return whether objects of an archive may have digests beside them that no list names.

    Not for a URL with a query, which may contain a signature that is valid for this URL alone.
    """
    return url.scheme in ("http", "https") and not url.has_query
