"""Whether clients would believe what a key signs: asked once, when a process starts.

A key that apt refuses would lock every client out at the next publication, so the process does not
start with it. Where gpg or its home directory is missing nothing is signed, which runs say.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from staging_api.errors import Invalid, SigningFailed
from staging_api.publishing.signing import SigningKey, list_key, signer_of

# Of RFC 4880 and RFC 9580. DSA, of any length, signs with a key that apt counts as weak.
_RSA = frozenset({"1", "3"})
_ELLIPTIC = frozenset({"19", "22", "27", "28"})
_LEAST_RSA_BITS = 2048
_LENGTHS_OF_FINGERPRINTS = (40, 64)
_UNUSABLE = {"e": "has expired", "r": "is revoked", "d": "is disabled", "i": "is invalid"}


@dataclass(frozen=True)
class _Listed:
    """One key of a home directory, as gpg's DETAILS describes it."""

    validity: str
    bits: int
    algorithm: str
    uses: str
    has_secret: bool
    fingerprint: str


def checked(home_key: SigningKey) -> SigningKey:
    """The key with its fingerprint as gpg writes it, if clients would believe it.

    Raises:
        Invalid: they would not, or it is not in its home directory; says why.
    """
    fingerprint = home_key.fingerprint.replace(" ", "").removeprefix("0x").upper()
    if len(fingerprint) not in _LENGTHS_OF_FINGERPRINTS or not _is_hex(fingerprint):
        raise _refused("must be a whole fingerprint: shorter names fit more than one key")
    key = SigningKey(home_key.home, fingerprint, home_key.program)
    if signer_of(key) is None:
        return key
    try:
        keys = list(_listed(list_key(key)))
    except SigningFailed as error:
        raise _refused(f"cannot be used: {error.detail}") from None
    found = next((each for each in keys if each.fingerprint == fingerprint), None)
    if found is None or not found.has_secret:
        raise _refused(f"is not the fingerprint of a secret key in {key.home}")
    if reason := _UNUSABLE.get(found.validity):
        raise _refused(f"{reason}: no client believes what it signs")
    if "s" not in found.uses:
        raise _refused("is a key that may not sign")
    if found.algorithm in _RSA and found.bits < _LEAST_RSA_BITS:
        raise _refused(f"has {found.bits} bits: clients want {_LEAST_RSA_BITS} of RSA at least")
    if found.algorithm not in _RSA | _ELLIPTIC:
        raise _refused("is of a kind that clients count as weak: make one of RSA or ed25519")
    return key


def _refused(why: str) -> Invalid:
    return Invalid.field("STAGING_SIGNING_KEY", why)


def _is_hex(text: str) -> bool:
    return all(each in "0123456789ABCDEF" for each in text)


def _listed(colons: str) -> Iterator[_Listed]:
    """Keys and their subkeys; the fingerprint of each stands in a line of its own behind it."""
    fields: list[str] = []
    for line in colons.splitlines():
        kind, *values = line.split(":")
        if kind in ("sec", "ssb"):
            fields = values
        elif kind == "fpr" and fields:
            # Field 15 of DETAILS: a sign where there is a stub without the secret.
            yield _Listed(
                validity=fields[0],
                bits=int(fields[1] or 0),
                algorithm=fields[2],
                uses=fields[10],
                has_secret="#" not in fields[13],
                fingerprint=values[8],
            )
            fields = []
