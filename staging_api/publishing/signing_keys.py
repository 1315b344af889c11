"""Check at process start that clients will trust the signing key.

A key that apt refuses would lock out all clients at the next publication, so the process does not
start with it. Without gpg or its home directory nothing is signed, and each run notes that.

If a subkey is configured, its primary key is checked as well, because clients need both. A key is
bound to its names, and a subkey to its key, by signatures of the key itself; newer clients ignore
such signatures over MD5 or SHA-1 (apt with sqv, from February 2026 on).
"""

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from string import hexdigits

from staging_api.errors import Invalid, SigningFailed
from staging_api.publishing.key_agent import ListedKey, listed_keys
from staging_api.publishing.signing import (
    SigningKey,
    expires_at,
    list_key,
    list_own_signatures,
    signer_of,
)

log = logging.getLogger(__name__)

#: Clients need the extended or new public key before the old one expires, so there must be time to
#: bring it to all of them.
WARNED_BEFORE = timedelta(days=30)

# Algorithms of RFC 4880 and RFC 9580. apt treats DSA keys of any length as weak.
_RSA = frozenset({"1", "3"})
_ELLIPTIC = frozenset({"19", "22", "27", "28"})
_LEAST_RSA_BITS = 2048
_LENGTHS_OF_FINGERPRINTS = (40, 64)
#: Digests of RFC 4880 and RFC 9580 that are no longer accepted in a key's own signatures.
_BROKEN_DIGESTS = {"1": "MD5", "2": "SHA-1", "3": "RIPEMD-160"}
_OVER_NAMES = frozenset({"10x", "11x", "12x", "13x", "1fx", "1Fx"})
_OVER_SUBKEYS = frozenset({"18x"})
_UNUSABLE = {"r": "is revoked", "d": "is disabled", "i": "is invalid"}


def checked(home_key: SigningKey) -> SigningKey:
    """Return the key with its fingerprint as gpg writes it, if clients will trust it.

    A key that has expired is accepted: it was right when it was configured, and a restart must not
    end what needs no signature. `check_expiry` refuses to sign with it.

    Raises:
        Invalid: clients will not trust it, or it is not in its home directory; gives the reason.
    """
    fingerprint = home_key.fingerprint.replace(" ", "").removeprefix("0x").upper()
    if len(fingerprint) not in _LENGTHS_OF_FINGERPRINTS or set(fingerprint) - set(hexdigits):
        raise _refused("must be a whole fingerprint: shorter names fit more than one key")
    key = SigningKey(home_key.home, fingerprint, home_key.program)
    if signer_of(key) is None:
        return key
    owner, found = _owner_with(key)
    if "s" not in found.uses:
        raise _refused("is a key that may not sign")
    if reason := _weakness(found):
        raise _refused(reason)
    if reason := _weakness(owner):
        raise _refused(f"belongs to a key that {reason}")
    _check_own_signatures(key, owner, found)
    return key


def expiry_warning(key: SigningKey | None, now: datetime) -> str | None:
    """Return a sentence if the key has expired, or expires within `WARNED_BEFORE`.

    None if gpg does not list the key, too: signing with it has a better error.
    """
    try:
        expiry = expires_at(key)
    except SigningFailed as error:
        log.debug("the expiry of the signing key is unknown: %s", error.detail)
        return None
    if key is None or expiry is None or expiry - now > WARNED_BEFORE:
        return None
    state = "has expired" if expiry <= now else "expires"
    return f"The signing key {key.fingerprint} {state} at {expiry:%Y-%m-%d %H:%M} UTC"


def _owner_with(key: SigningKey) -> tuple[ListedKey, ListedKey]:
    """Return the primary key to which a secret key belongs, and the secret key; often the same.

    Raises:
        Invalid: gpg does not list such a key.
    """
    try:
        keys = list(listed_keys(list_key(key)))
    except SigningFailed as error:
        raise _refused(f"cannot be used: {error.detail}") from None
    found = next((each for each in keys if each.fingerprint == key.fingerprint), None)
    if found is None or "#" in found.token:
        raise _refused(f"is not the fingerprint of a secret key in {key.home}")
    return keys[0], found


def _weakness(listed: ListedKey) -> str | None:
    """Return why clients would not trust the key; None if they will."""
    if reason := _UNUSABLE.get(listed.validity):
        return f"{reason}: no client accepts its signatures"
    if listed.algorithm in _RSA and listed.bits < _LEAST_RSA_BITS:
        return f"has {listed.bits} bits: clients want {_LEAST_RSA_BITS} of RSA at least"
    if listed.algorithm not in _RSA | _ELLIPTIC:
        return "is of a kind that clients count as weak: make one of RSA or ed25519"
    return None


def _check_own_signatures(key: SigningKey, owner: ListedKey, found: ListedKey) -> None:
    """Check the newest signatures that bind the key to its names, and a subkey to the key.

    Raises:
        Invalid: a signature is over a digest that newer clients do not accept.
    """
    parts = _parts(list_own_signatures(key))
    names = [_digest(part, owner, _OVER_NAMES) for part in parts if part.kind in ("pub", "uid")]
    ties = [[each for each in names if each is not None]]
    if found is not owner:
        own = [part for part in parts if part.fingerprint == found.fingerprint]
        ties.append([_digest(part, owner, _OVER_SUBKEYS) or "" for part in own])
    for digests in ties:
        if digests and all(each in _BROKEN_DIGESTS for each in digests):
            raise _refused(
                f"is tied to its owner by a signature over {_BROKEN_DIGESTS[digests[0]]}, which"
                " clients do not believe any more: sign it anew with"
                " `gpg --cert-digest-algo SHA512 --quick-set-expire FINGERPRINT 2y`"
            )


@dataclass
class _KeyPart:
    """A key, a name or a subkey, with its signatures: keyid, time, class and digest."""

    kind: str
    fingerprint: str
    signatures: list[tuple[str, int, str, str]]


def _parts(colons: str) -> list[_KeyPart]:
    parts: list[_KeyPart] = []
    for line in colons.splitlines():
        kind, *values = line.split(":")
        if kind in ("pub", "uid", "sub", "uat"):
            parts.append(_KeyPart(kind, "", []))
        elif parts and kind == "fpr":
            parts[-1].fingerprint = values[8]
        elif parts and kind == "sig" and values[0] == "!":
            parts[-1].signatures.append((values[3], int(values[4] or 0), values[9], values[14]))
    return parts


def _digest(part: _KeyPart, owner: ListedKey, classes: Iterable[str]) -> str | None:
    """Return the digest of the newest signature by the key itself; None if there is none."""
    own: Sequence[tuple[int, str]] = [
        (made, digest)
        for keyid, made, kind, digest in part.signatures
        if owner.fingerprint.endswith(keyid) and kind in classes
    ]
    return max(own)[1] if own else None


def _refused(why: str) -> Invalid:
    return Invalid.field("STAGING_SIGNING_KEY", why)
