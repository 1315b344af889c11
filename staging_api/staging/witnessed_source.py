"""A source whose objects are described with their witnesses."""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from staging_api.catalogue.model import Verification
from staging_api.errors import SourceUnverified
from staging_api.signatures import SignatureInvalid, signer_of
from staging_api.sources.model import Source, SourceObject, switch_decoding, take
from staging_api.staging.checksums import digest_of, only_by
from staging_api.staging.witnesses import Witnesses


class InvalidSignature(SourceUnverified):
    """No signature of an object that was read whole is good."""


class WitnessedSource:
    """A source whose descriptions contain the digests that the publisher gives."""

    def __init__(
        self, witnesses: Witnesses, rule: Verification | None, listed: Collection[str] | None = None
    ) -> None:
        """Read nothing yet.

        Args:
            witnesses: witnesses of the archive.
            rule: the verification that an object needs.
            listed: all names of the archive, if they are known.
        """
        source = witnesses.source
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
        found = self._source.stat(name)
        with self._witnesses.lock:
            return self._witnessed(found)

    @contextmanager
    def take(self, name: str) -> Iterator[tuple[SourceObject, Iterator[bytes]]]:
        """Read a whole object by the answer that describes it."""
        with take(self._source, name) as (found, chunks):
            with self._witnesses.lock:
                witnessed = self._witnessed(found)
            yield witnessed, chunks

    def switch_decoding(self, name: str) -> str:
        """From now on decode an object or not, unlike before; see `model.switch_decoding`."""
        return switch_decoding(self._source, name)

    def vouched(self, found: SourceObject, file: Path, sha256: str) -> SourceObject:
        """Verify the signature of an object that was read whole; see `vouch`."""
        keys, said = self._rule.keys if self._rule else (), []
        for seal in found.seals:
            with self._witnesses.lock:
                signature = self._witnesses.small(seal)
            try:
                signer = signer_of(file, signature or b"", keys)
            except SignatureInvalid as error:
                said.append(f"the signature {seal} of {found.name}: {error}")
            else:
                witness = f"{seal} signed by {signer}"
                return replace(found, digests={"sha256": sha256}, witness=witness)
        raise InvalidSignature("; ".join(said))

    def _witnessed(self, found: SourceObject) -> SourceObject:
        rule = self._rule
        if rule is None:
            return self._with_digests_beside(found)
        if rule.beside:
            return self._with_any_proof(found, rule)
        called, signature = rule.names(found.name)
        if not called and not rule.digests:
            return self._sealed(found, rule, [signature or ""])
        sums = self._witnesses.required(rule, found.name)
        digest = digest_of(sums, found.name, called, strict=True)
        if digest is None:
            other = only_by(sums, found.name, called)
            lists = f"lists only the {other} of" if other else "does not list"
            raise SourceUnverified(f"{sums.witness} {lists} {found.name}, so it is not staged")
        return _compared(found, *digest, sums.witness, required=True)

    def _with_digests_beside(self, found: SourceObject) -> SourceObject:
        if "sha256" in found.digests:
            return found
        proof = self._witnesses.beside(found.name, self._listed)
        return found if proof is None else _compared(found, *proof, required=False)

    def _with_any_proof(self, found: SourceObject, rule: Verification) -> SourceObject:
        listings = [self._listed] if self._listed is not None else [None, self._witnesses.names]
        for listing in listings:
            # Lists with the name of a release in theirs are found only by the archive's list.
            listed = listing() if callable(listing) else listing
            proof = self._witnesses.found(rule, found.name, listed)
            if proof is not None:
                return _compared(found, *proof, required=True)
            seals = self._witnesses.seals(found.name, listed) if rule.keys else ()
            if seals:
                return self._sealed(found, rule, seals)
        return self._sealed(found, rule, ())

    def _sealed(
        self, found: SourceObject, rule: Verification, seals: Collection[str]
    ) -> SourceObject:
        """Return an object whose own signature is verified once all of it was read."""
        there = tuple(each for each in seals if self._witnesses.small(each) is not None)
        if there:
            # Neither an earlier read nor the source's own digest proves it: only its seals do.
            return replace(found, digests={}, strong=False, seals=there)
        if seals:
            raise SourceUnverified(
                f"{', '.join(seals)} does not exist, but has to sign {found.name}"
            )
        needs = "signature by a given key" if rule.beside == "signature" else "sha256 or signature"
        raise SourceUnverified(
            f"{found.name} needs a {needs} beside it, and is not staged without:"
            f" {self._witnesses.refusals(found.name)}"
        )


def vouch(source: Source, found: SourceObject, file: Path, sha256: str) -> SourceObject:
    """Verify the signature of an object that was read whole, if it needs one.

    Args:
        source: the source that described it.
        found: the object.
        file: contains all of its bytes.
        sha256: digest of these bytes.

    Returns:
        The object, with its signer as `witness`.

    Raises:
        SourceUnverified: none of its signatures is good.
    """
    if not found.seals:
        return found
    if not isinstance(source, WitnessedSource):
        raise SourceUnverified(f"the service cannot verify the signature of {found.name}")
    return source.vouched(found, file, sha256)


def _compared(
    found: SourceObject, algorithm: str, text: str, witness: str, *, required: bool
) -> SourceObject:
    """Return an object with the one digest with which it is compared.

    An earlier, unverified read proves its content only if that digest is a sha256.
    """
    strong = found.strong and (not required or algorithm == "sha256")
    return replace(found, digests={algorithm: text}, witness=witness, strong=strong)
