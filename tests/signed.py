"""Keys and signatures for tests, generated with the original tools or libraries."""

import base64
import hashlib
import json
import warnings
from dataclasses import dataclass
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat


class OpenPgpKey:
    """An OpenPGP key that makes signatures."""

    def __init__(
        self, name: str = "Builder <builder@depot.example>", seconds: int | None = None
    ) -> None:
        """Create a key that is valid for this many seconds; None: for years."""
        life = {} if seconds is None else {"validity_seconds": seconds}
        self.cert: Any = _quietly(lambda pgp: pgp.Cert.generate(name, **life))

    @property
    def public(self) -> str:
        return str(self.cert)

    @property
    def signer(self) -> str:
        return f"OpenPGP {self.cert.fingerprint.upper()}"

    def sign(self, message: bytes, *, clear: bool = False) -> bytes:
        def made(pgp: Any) -> bytes:
            mode = pgp.SignatureMode.CLEAR if clear else pgp.SignatureMode.DETACHED
            return bytes(pgp.sign(self.cert.secrets.signer(), message, mode=mode))

        return bytes(_quietly(made))

    def expired(self, when: Any) -> str:
        return str(
            _quietly(lambda _: self.cert.set_expiration(when, self.cert.secrets.certifier()))
        )

    def revoked(self) -> str:
        def made(pgp: Any) -> Any:
            signature = self.cert.revoke(self.cert.secrets.certifier())
            packets = pgp.Cert.from_bytes(bytes(self.cert) + bytes(signature))
            assert packets.is_revoked
            return packets

        return str(_quietly(made))


@dataclass
class MinisignKey:
    """A minisign key; with `signify`, a key of OpenBSD's tool."""

    number: int = 1
    signify: bool = False

    def __post_init__(self) -> None:
        self._private = Ed25519PrivateKey.from_private_bytes(bytes([self.number]) * 32)
        self._id = bytes([self.number]) * 8

    @property
    def public(self) -> str:
        raw = b"Ed" + self._id + self._private.public_key().public_bytes_raw()
        return base64.b64encode(raw).decode()

    @property
    def signer(self) -> str:
        return f"minisign {self._id[::-1].hex().upper()}"

    def sign(self, message: bytes, *, prehashed: bool = True) -> bytes:
        prehashed = prehashed and not self.signify
        hashed = hashlib.blake2b(message).digest() if prehashed else message
        signature = self._private.sign(hashed)
        raw = (b"ED" if prehashed else b"Ed") + self._id + signature
        lines = [b"untrusted comment: verify with key 1", base64.b64encode(raw)]
        if not self.signify:
            comment = b"timestamp:1764400000"
            both = base64.b64encode(self._private.sign(signature + comment))
            lines += [b"trusted comment: " + comment, both]
        return b"\n".join(lines) + b"\n"


@dataclass
class CosignKey:
    """A cosign key; `form` of its signatures: ``old`` or ``new`` bundles, or ``alone``."""

    form: str = "alone"
    is_ed25519: bool = False

    def __post_init__(self) -> None:
        self._private: ec.EllipticCurvePrivateKey | Ed25519PrivateKey = (
            Ed25519PrivateKey.generate()
            if self.is_ed25519
            else ec.generate_private_key(ec.SECP256R1())
        )

    @property
    def public(self) -> str:
        spki = PublicFormat.SubjectPublicKeyInfo
        return self._private.public_key().public_bytes(Encoding.PEM, spki).decode()

    @property
    def signer(self) -> str:
        spki = PublicFormat.SubjectPublicKeyInfo
        der = self._private.public_key().public_bytes(Encoding.DER, spki)
        return f"cosign SHA256:{hashlib.sha256(der).hexdigest()}"

    def sign(self, message: bytes) -> bytes:
        if isinstance(self._private, Ed25519PrivateKey):
            raw = self._private.sign(message)
        else:
            raw = self._private.sign(message, ec.ECDSA(hashes.SHA256()))
        text = base64.b64encode(raw).decode()
        if self.form == "old":
            return json.dumps({"base64Signature": text, "cert": "", "rekorBundle": {}}).encode()
        if self.form == "new":
            digest = base64.b64encode(hashlib.sha256(message).digest()).decode()
            signature = {"messageDigest": {"digest": digest}, "signature": text}
            return json.dumps({"mediaType": "x", "messageSignature": signature}, indent=1).encode()
        return text.encode()


def _quietly(make: Any) -> Any:
    """Call the library without its deprecation warnings."""
    import pysequoia

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return make(pysequoia)
