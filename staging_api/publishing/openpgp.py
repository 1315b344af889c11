"""OpenPGP signatures made from the numbers of a key: packets, armor and clearsigned texts.

Only the needed part of RFC 4880: version 4, SHA-512, over a whole document or the lines of a text.
The numbers are computed by `key_agent`, so no secret is used here.
"""

import base64
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

#: Signature types of RFC 4880: over bytes, and over the lines of a text.
_BINARY, _TEXT = 0x00, 0x01
_SHA512 = 10
_CREATED, _ISSUER, _ISSUER_FINGERPRINT = 2, 16, 33
# Tag 2, a signature, in the new form of packet headers (RFC 4880, section 4.2).
_SIGNATURE_TAG = 0xC2
_CRC_INIT, _CRC_POLYNOMIAL = 0xB704CE, 0x1864CFB
_LINE_CHARACTERS = 64
#: Shorter lengths need one octet, all others here two: a signature that needs more would be by a
#: key of some 60,000 bits, which gpg cannot make.
_ONE_OCTET = 192

#: Signs a SHA-512 digest; returns the numbers of the signature: one for RSA, otherwise two.
SignDigest = Callable[[bytes], Sequence[bytes]]


@dataclass(frozen=True)
class Issuer:
    """The key of a signature.

    Attributes:
        algorithm: its number in RFC 4880.
        fingerprint: 20 octets.
    """

    algorithm: int
    fingerprint: bytes


def detached(document: bytes, issuer: Issuer, sign: SignDigest, now: int) -> bytes:
    """Return the armored signature over a document.

    Args:
        document: bytes of the document.
        issuer: the key.
        sign: computes the numbers with the key.
        now: time of the signature in seconds since 1970.
    """
    return _armored(_signature(document, _BINARY, issuer, sign, now))


def clear_signed(text: bytes, issuer: Issuer, sign: SignDigest, now: int) -> bytes:
    """Return a text, which must end with a newline, followed by the signature over its lines."""
    lines = text.removesuffix(b"\n").split(b"\n")
    # Trailing blanks of a line are not signed; neither is the last newline.
    canonical = b"\r\n".join(line.rstrip(b" \t\r") for line in lines)
    escaped = b"\n".join(b"- " + line if line.startswith(b"-") else line for line in lines)
    signature = _armored(_signature(canonical, _TEXT, issuer, sign, now))
    return b"-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA512\n\n" + escaped + b"\n" + signature


def _signature(content: bytes, kind: int, issuer: Issuer, sign: SignDigest, now: int) -> bytes:
    """Return the packet of a version 4 signature."""
    hashed = _subpacket(_ISSUER_FINGERPRINT, b"\x04" + issuer.fingerprint)
    hashed += _subpacket(_CREATED, now.to_bytes(4))
    head = bytes([4, kind, issuer.algorithm, _SHA512]) + len(hashed).to_bytes(2) + hashed
    # The trailer of version 4 (section 5.2.4): version, 0xFF, length of the hashed part.
    digest = hashlib.sha512(content + head + b"\x04\xff" + len(head).to_bytes(4)).digest()
    # The key id of version 4 is the last eight octets of the fingerprint. Readers that do not
    # support the subpacket with the whole fingerprint look the key up by its id.
    unhashed = _subpacket(_ISSUER, issuer.fingerprint[-8:])
    # The first two octets of the digest: a quick test by which readers reject a wrong signature.
    body = head + len(unhashed).to_bytes(2) + unhashed + digest[:2]
    body += b"".join(map(_number, sign(digest)))
    return bytes([_SIGNATURE_TAG]) + _length(len(body)) + body


def _subpacket(kind: int, content: bytes) -> bytes:
    return _length(len(content) + 1) + bytes([kind]) + content


def _length(length: int) -> bytes:
    if length < _ONE_OCTET:
        return bytes([length])
    return bytes([((length - _ONE_OCTET) >> 8) + _ONE_OCTET, (length - _ONE_OCTET) & 0xFF])


def _number(octets: bytes) -> bytes:
    """Encode a number with its length in bits in front."""
    value = int.from_bytes(octets)
    return value.bit_length().to_bytes(2) + value.to_bytes((value.bit_length() + 7) // 8)


def _armored(packet: bytes) -> bytes:
    encoded = base64.b64encode(packet)
    rows = [encoded[at : at + _LINE_CHARACTERS] for at in range(0, len(encoded), _LINE_CHARACTERS)]
    # The checksum is optional since RFC 9580; some older readers require it.
    checksum = b"=" + base64.b64encode(_crc24(packet).to_bytes(3))
    lines = (b"-----BEGIN PGP SIGNATURE-----", b"", *rows, checksum)
    return b"\n".join((*lines, b"-----END PGP SIGNATURE-----", b""))


def _crc24(data: bytes) -> int:
    crc = _CRC_INIT
    for octet in data:
        crc ^= octet << 16
        for _ in range(8):
            crc = (crc << 1) ^ (_CRC_POLYNOMIAL if crc & 0x800000 else 0)
    return crc & 0xFFFFFF
