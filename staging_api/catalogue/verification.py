"""Parse ``verify`` of a catalogue: what must vouch for an object before it is staged."""

import re
from dataclasses import replace

from staging_api.catalogue.entry import CatalogueMapping
from staging_api.catalogue.model import Verification
from staging_api.signatures import SignatureInvalid, check_key

_KEYS = {"checksums", "signature", "keys", "digests"}
_DIGEST = re.compile(r"(sha256):([0-9a-f]{64})|(sha512):([0-9a-f]{128})|(md5):([0-9a-f]{32})")


def verification(entry: CatalogueMapping, *, key_files: bool) -> Verification | None:
    """Return ``verify`` of an entry, or of the whole catalogue; None if it has none.

    Args:
        entry: mapping that may have ``verify``.
        key_files: whether keys may be files of this machine: not in the catalogue of a request,
            whose sender would learn which files exist.

    Raises:
        CatalogueInvalid: with the line and the reason.
    """
    rule = entry.mapping("verify")
    if rule is None:
        return None
    rule.refuse_keys_outside(_KEYS)
    found = Verification(
        rule.path("checksums"),
        rule.path("signature") or None,
        tuple(rule.texts("keys")),
        _digests(rule),
    )
    if (reason := _contradiction(found)) is not None:
        raise rule.wrong(reason)
    for key in found.keys:
        _check_key(rule, key, key_files=key_files)
    beside = "" if found.checksums or found.digests or found.signature else "signature"
    return replace(found, beside=beside)


def _contradiction(rule: Verification) -> str | None:
    """Return why the parts of a rule contradict each other; None if they do not."""
    if (rule.digests and rule.checksums) or not (rule.digests or rule.checksums or rule.keys):
        return "verify needs either checksums, an object that lists them, or digests, or keys"
    if rule.digests and (rule.signature or rule.keys):
        return "verify: digests need no signature, and no keys"
    if bool(rule.signature) != bool(rule.keys) and (rule.signature or rule.checksums):
        return "a signature needs keys, and keys of checksums need a signature"
    return None


def _check_key(rule: CatalogueMapping, key: str, *, key_files: bool) -> None:
    if key.startswith("/") and not key_files:
        raise rule.wrong("keys: only a catalogue file of the service names files", "keys")
    try:
        check_key(key)
    except SignatureInvalid as error:
        raise rule.wrong(f"keys: {error}", "keys") from None


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
