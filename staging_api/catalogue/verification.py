"""Read ``verify`` of a catalogue: what must vouch for an object before it is staged."""

import re

from staging_api.catalogue.entry import CatalogueMapping
from staging_api.catalogue.model import Verification
from staging_api.signatures import SignatureInvalid, check_key

_KEYS = {"checksums", "signature", "keys", "digests"}
_DIGEST = re.compile(r"(sha256):([0-9a-f]{64})|(sha512):([0-9a-f]{128})|(md5):([0-9a-f]{32})")


def verification(entry: CatalogueMapping, *, key_files: bool) -> Verification | None:
    """Read the ``verify`` of an entry, or of the whole catalogue; None if it has none.

    Args:
        entry: the one that may have it.
        key_files: whether keys may be files of this machine: not in the catalogue of a request,
            whose sender would learn what files there are.

    Raises:
        CatalogueInvalid: with the line and the reason.
    """
    rule = entry.mapping("verify")
    if rule is None:
        return None
    rule.refuse_keys_outside(_KEYS)
    checksums, keys = rule.path("checksums"), tuple(rule.texts("keys"))
    signature = rule.path("signature") or None
    digests = _digests(rule)
    if bool(checksums) == bool(digests) and not (keys and not checksums):
        raise rule.wrong(
            "verify needs either checksums, an object that lists them, or digests, or keys"
        )
    if digests and (signature or keys):
        raise rule.wrong("verify: digests need no signature, and no keys")
    if bool(signature) != bool(keys) and (signature or checksums):
        raise rule.wrong("a signature needs keys, and keys of checksums need a signature")
    beside = "" if checksums or digests or signature else "signature"
    found = Verification(checksums, signature, keys, digests, beside)
    for key in found.keys:
        if key.startswith("/") and not key_files:
            raise rule.wrong("keys: only a catalogue file of the service names files", "keys")
        try:
            check_key(key)
        except SignatureInvalid as error:
            raise rule.wrong(f"keys: {error}", "keys") from None
    return found


def _digests(rule: CatalogueMapping) -> tuple[tuple[str, tuple[str, str]], ...]:
    digests = rule.mapping("digests")
    if digests is None:
        return ()
    found = []
    for name in digests.words():
        match = _DIGEST.fullmatch(digests.text(name).lower())
        if match is None:
            raise digests.wrong(f"{name} must have a digest like sha256:<64 digits>", name)
        algorithm, text = (part for part in match.groups() if part)
        found.append((name, (algorithm, text)))
    return tuple(found)
