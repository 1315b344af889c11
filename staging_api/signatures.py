"""Verify detached and clear signatures: OpenPGP, minisign, signify and cosign.

OpenPGP is implemented by Sequoia (pysequoia): its policy refuses broken digests, revoked keys, and
signatures made outside the lifetime of their key. A signature stays valid when its key expires
later, so keys rotate by listing both for a while. minisign and signify use one Ed25519 signature
each. For cosign, only signatures by a given key are supported (ECDSA over P-256, or Ed25519), in a
bundle of either form or alone; certificates and logs in a bundle are ignored.

A signed file may have any length: it is hashed as it is read, or mapped if the signature covers the
bytes themselves.
"""

import base64
import binascii
import hashlib
import json
import logging
import mmap
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

log = logging.getLogger(__name__)

_PGP = b"-----BEGIN PGP "
_DETACHED = b"-----BEGIN PGP SIGNATURE-----"
_CLEAR = b"-----BEGIN PGP SIGNED MESSAGE-----"
#: A signature and a key of minisign and signify: algorithm, key id, then the bytes.
_ALGORITHM_BYTES, _ID_BYTES, _KEY_BYTES, _SIGNATURE_BYTES = 2, 8, 32, 64
_PLAIN, _PREHASHED = b"Ed", b"ED"
_MAX_KEY_BYTES = 1 << 20
_PEM = b"-----BEGIN PUBLIC KEY-----"
_BAD_KEY = (
    "a key must be the absolute path of a file, an armored OpenPGP key, the line of a minisign key"
    " (RW...), or a PEM public key of cosign (P-256 or Ed25519)"
)


class SignatureInvalid(Exception):
    """A key cannot be parsed, or no given key signed these bytes; the message says which."""


def check_key(key: str) -> None:
    """Check that a key can be parsed.

    Args:
        key: absolute path of a file, or of a folder with such files; or a text: an armored OpenPGP
            key, the line of a minisign key, a PEM public key of cosign.

    Raises:
        SignatureInvalid: the key cannot be parsed, or a folder has no key; the message says why.
    """
    files = _key_files(key)
    if files is None:
        _parsed(key)
        return
    if not files:
        raise SignatureInvalid(f"the folder {key} has no keys")
    for file in files:
        _parsed(file)


def signer_of(message: bytes | Path, signature: bytes, keys: Sequence[str]) -> str:
    """Return the signer of a message: the kind of the key, and its fingerprint or id.

    Args:
        message: bytes of the message, or the file that has them.
        signature: detached signature.
        keys: see `check_key`.

    Raises:
        SignatureInvalid: none of these keys signed the message.
    """
    parsed = _all_parsed(keys)
    # Each OpenPGP packet begins with a byte whose highest bit is set (RFC 9580, 4.2).
    if signature.lstrip().startswith(_PGP) or signature[:1] >= b"\x80":
        return _openpgp(message, signature, _certificates(parsed))[1]
    # minisign and signify write a comment line first; cosign writes one line, or JSON with many.
    if b"\n" in signature.strip() and not signature.lstrip().startswith(b"{"):
        return _minisign(message, signature, [each for each in parsed if isinstance(each, bytes)])
    pems = [each for each in parsed if not isinstance(each, bytes | list)]
    return _cosign(message, _cosign_signature(signature), pems)


def is_signed_within(raw: bytes) -> bool:
    """Return whether a text contains a clear signature of OpenPGP."""
    return raw.lstrip().startswith(_CLEAR)


def is_detached(raw: bytes) -> bool:
    """Return whether it is an armored OpenPGP signature without the signed message."""
    return raw.lstrip().startswith(_DETACHED)


def signed_message(signed: bytes, keys: Sequence[str]) -> tuple[bytes, str]:
    """Return the message within a clear signature of OpenPGP, and its signer.

    Raises:
        SignatureInvalid: the text is no clear signature, or none of these keys made it.
    """
    if not is_signed_within(signed):
        raise SignatureInvalid("it has no signature in it")
    return _openpgp(signed, None, _certificates(_all_parsed(keys)))


def _all_parsed(keys: Sequence[str]) -> list[Any]:
    """Return the parsed keys; a file in a folder that is no key is skipped."""
    found = []
    for key in keys:
        files = _key_files(key)
        if files is None:
            found.append(_parsed(key))
            continue
        for file in files:
            try:
                found.append(_parsed(file))
            except SignatureInvalid as error:
                log.warning("%s is left out of the keys: %s", file, error)
    return found


def _key_files(key: str) -> list[str] | None:
    """Return the files in a folder of keys; None if the key is not a folder."""
    if not key.startswith("/") or not Path(key).is_dir():
        return None
    files = (each for each in Path(key).iterdir() if not each.name.startswith("."))
    return sorted(str(each) for each in files if each.is_file())


def _parsed(key: str) -> Any:
    """Return a parsed key: minisign's bytes, a list of OpenPGP certificates, or a PEM object."""
    raw = key.encode()
    if key.startswith("/"):
        try:
            with Path(key).open("rb") as file:
                raw = file.read(_MAX_KEY_BYTES)
        except OSError as error:
            raise SignatureInvalid(f"{key} cannot be read: {error.strerror}") from None
    if _PGP in raw or raw[:1] >= b"\x80":
        from pysequoia import Cert

        try:
            return Cert.split_bytes(raw)
        except Exception:  # noqa: BLE001 - the library has no class of its own
            raise SignatureInvalid("the OpenPGP key cannot be read") from None
    if _PEM in raw:
        return _pem_key(raw)
    # In a file, the key follows a line of comment.
    line = raw.strip().splitlines()[-1] if raw.strip() else b""
    decoded = _decoded(line)
    if decoded[:_ALGORITHM_BYTES] != _PLAIN or len(decoded) != 2 + _ID_BYTES + _KEY_BYTES:
        raise SignatureInvalid(_BAD_KEY)
    return decoded


def _certificates(parsed: Sequence[Any]) -> list[Any]:
    return [cert for each in parsed if isinstance(each, list) for cert in each]


def _openpgp(data: bytes | Path, signature: bytes | None, certs: list[Any]) -> tuple[bytes, str]:
    from pysequoia import Sig, verify

    usable = [cert for cert in certs if not cert.is_revoked]
    given: dict[str, Any] = {"file": str(data)} if isinstance(data, Path) else {"bytes": data}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            detached = None if signature is None else Sig.from_bytes(signature)
            found = verify(**given, store=lambda _ids: usable, signature=detached)
    except Exception:  # noqa: BLE001 - the library has no class of its own
        raise SignatureInvalid("no given OpenPGP key signed it, or the key is not valid") from None
    if not found.valid_sigs:
        raise SignatureInvalid("no given OpenPGP key signed it")
    return found.bytes or b"", f"OpenPGP {found.valid_sigs[0].certificate.upper()}"


def _minisign(message: bytes | Path, signature: bytes, keys: Sequence[bytes]) -> str:
    lines = signature.splitlines()
    decoded = _decoded(lines[1]) if len(lines) > 1 else b""
    algorithm, ends = decoded[:_ALGORITHM_BYTES], _ALGORITHM_BYTES + _ID_BYTES
    if algorithm not in (_PLAIN, _PREHASHED) or len(decoded) != ends + _SIGNATURE_BYTES:
        raise SignatureInvalid("the signature is of no kind that is known")
    key = next((each for each in keys if each[2:ends] == decoded[2:ends]), None)
    if key is None:
        raise SignatureInvalid("no given minisign key signed it")
    if algorithm == _PREHASHED:
        _check_ed25519(key[ends:], decoded[ends:], _hashed(message, "blake2b"))
    else:
        with _viewed(message) as view:
            _check_ed25519(key[ends:], decoded[ends:], view)
    if len(lines) > 3:  # noqa: PLR2004 - the trusted comment and its signature; signify has none
        comment = lines[2].removeprefix(b"trusted comment: ")
        _check_ed25519(key[ends:], _decoded(lines[3]), decoded[ends:] + comment)
    # minisign prints the id as a number, which is stored with its lowest byte first.
    return f"minisign {decoded[2:ends][::-1].hex().upper()}"


def _pem_key(raw: bytes) -> Any:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    try:
        key = load_pem_public_key(raw)
    except (ValueError, UnsupportedAlgorithm):
        raise SignatureInvalid(_BAD_KEY) from None
    is_p256 = isinstance(key, EllipticCurvePublicKey) and isinstance(key.curve, SECP256R1)
    if not is_p256 and not isinstance(key, Ed25519PublicKey):
        raise SignatureInvalid(_BAD_KEY)
    return key


def _cosign_signature(text: bytes) -> bytes:
    """Return the signature in a cosign bundle of either form, or the bare signature."""
    if not text.lstrip().startswith(b"{"):
        return _decoded(text)
    try:
        bundle = json.loads(text)
        found = bundle.get("base64Signature") or bundle["messageSignature"]["signature"]
        return _decoded(str(found).encode())
    except (ValueError, KeyError, TypeError, RecursionError):
        raise SignatureInvalid("the bundle has no signature of a file in it") from None


def _cosign(message: bytes | Path, signature: bytes, keys: Sequence[Any]) -> str:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePublicKey
    from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    hashed = _hashed(message, "sha256")
    for key in keys:
        try:
            if isinstance(key, EllipticCurvePublicKey):
                key.verify(signature, hashed, ECDSA(Prehashed(SHA256())))
            else:
                with _viewed(message) as view:
                    key.verify(signature, view)
        except InvalidSignature:
            continue
        der = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return f"cosign SHA256:{hashlib.sha256(der).hexdigest()}"
    raise SignatureInvalid("no given cosign key signed it")


def _check_ed25519(key: bytes, signature: bytes, message: Any) -> None:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, message)
    except InvalidSignature:
        raise SignatureInvalid("the signature does not belong to these bytes") from None


def _hashed(message: bytes | Path, algorithm: str) -> bytes:
    if isinstance(message, bytes):
        return hashlib.new(algorithm, message).digest()
    with message.open("rb") as file:
        return hashlib.file_digest(file, algorithm).digest()


@contextmanager
def _viewed(message: bytes | Path) -> Iterator[Any]:
    """Yield the bytes of a message, memory-mapped if they are in a file."""
    # An empty file cannot be mapped.
    if isinstance(message, bytes) or message.stat().st_size == 0:
        yield message if isinstance(message, bytes) else b""
        return
    with message.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        yield mapped


def _decoded(line: bytes) -> bytes:
    try:
        return base64.b64decode(line.strip(), validate=True)
    except binascii.Error:
        return b""
