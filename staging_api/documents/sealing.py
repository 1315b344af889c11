"""Encryption of stored secrets with AES-256-GCM, and their comparison by keyed HMAC.

A sealed value is the nonce, followed by the ciphertext with its tag; the id of the key is stored
beside it. The associated data names the row, so a value that is moved to another row cannot be
opened. Values are compared by HMACs under a separate key, which no rotation changes: a plain
digest of a short secret could be found by trying words.
"""

import hashlib
import hmac
import os
from base64 import b64decode
from binascii import Error as BadBase64
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from staging_api.errors import DocumentsUnreadable, Invalid
from staging_api.small_files import read_file_of

KEY_BYTES = 32
#: Name of the key for digests; all other keys are for sealing.
EQUALITY = "equality"
_NONCE_BYTES = 12
_FILE = "STAGING_DOCUMENTS_KEYS_FILE"
_MAX_NAME_LENGTH = 64


@dataclass(frozen=True)
class KeyRing:
    """The encryption keys of a service.

    Attributes:
        equality: key for digests.
        sealing: keys by name; the first one seals, the others only open values sealed with them.
    """

    equality: bytes = field(repr=False)
    sealing: Mapping[str, bytes] = field(repr=False)

    @property
    def current(self) -> str:
        """The name of the key that seals."""
        return next(iter(self.sealing))

    def seal(self, plain: bytes, associated: str) -> bytes:
        """Encrypt with the current key; `associated` names the row that stores the value."""
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        # The nonce is random because several processes share the key but no counter. GCM must never
        # see a nonce twice with one key; 96 random bits are safe for about 2**32 nonces.
        nonce = os.urandom(_NONCE_BYTES)
        key = AESGCM(self.sealing[self.current])
        return nonce + key.encrypt(nonce, plain, associated.encode())

    def open(self, sealed: bytes, key_id: str, associated: str) -> bytes:
        """Decrypt a value that `seal` encrypted.

        Raises:
            DocumentsUnreadable: the key is missing, or the value was not sealed for this row.
        """
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        key = self.sealing.get(key_id)
        if key is None:
            raise DocumentsUnreadable(f"the key {key_id!r} that sealed {associated} is not here")
        nonce, rest = sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:]
        try:
            return AESGCM(key).decrypt(nonce, rest, associated.encode())
        except (InvalidTag, ValueError):
            raise DocumentsUnreadable(f"{associated} is not what was sealed for it") from None

    def digest(self, plain: bytes) -> str:
        """Return the HMAC in hex: equal for equal values, and useless without the key."""
        return hmac.new(self.equality, plain, hashlib.sha256).hexdigest()


def new_key() -> bytes:
    """Return a new random key."""
    return os.urandom(KEY_BYTES)


def read_keys(path: Path) -> KeyRing:
    """Read the keys from a file with a name and 32 bytes in base64 on each line.

    Comments start with ``#``. One key must be named ``equality``; the first of the others seals.

    Raises:
        Invalid: the file cannot be read, or a line is wrong; names the line, never the key.
    """
    lines = read_file_of(_FILE, path).splitlines()
    keys: dict[str, bytes] = {}
    for number, line in enumerate(lines, 1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        name = words[0]
        if len(words) != 2 or len(name) > _MAX_NAME_LENGTH:  # noqa: PLR2004 - name and key
            raise Invalid.field(_FILE, f"line {number} must be a name and a key")
        if name in keys:
            raise Invalid.field(_FILE, f"line {number} names {name} a second time")
        keys[name] = _key(words[1], number)
    equality = keys.pop(EQUALITY, None)
    if equality is None or not keys:
        raise Invalid.field(_FILE, f"must have a key named {EQUALITY}, and another one")
    return KeyRing(equality, keys)


def _key(text: str, number: int) -> bytes:
    try:
        key = b64decode(text, validate=True)
    except BadBase64:
        key = b""
    if len(key) != KEY_BYTES:
        raise Invalid.field(_FILE, f"line {number}: the key must be {KEY_BYTES} bytes in base64")
    return key
