"""OpenPGP signatures, byte for byte, as gpgv accepted them (`test_key_agent` runs it)."""

import base64
import hashlib

import pytest

from staging_api.publishing.openpgp import Issuer, clear_signed, detached

NOW = 0x60000000
EDDSA = Issuer(22, bytes(range(20)))
RSA = Issuer(1, bytes(range(20, 40)))
TEXT = b"Suite: x\n- dashed\n-----BEGIN\nblanks behind \t \n\n\tend\n\n"


def one(digest: bytes) -> list[bytes]:
    """Return the number of an RSA signature: here the digest after an ignored zero byte."""
    return [b"\x00\x01" + digest]


def two(digest: bytes) -> list[bytes]:
    return [b"\x7f" + digest[:31], digest[32:]]


DETACHED = b"""-----BEGIN PGP SIGNATURE-----

wnQEAAEKAB0WIQQUFRYXGBkaGxwdHh8gISIjJCUmJwUCYAAAAAAKCRAgISIjJCUm
Jw0oAgEBDSiYFHjJip5IvyyJMmEBZZy+XMUUWiJBcgrocznXyT9mWjWoCuNsXjey
i0HIOgqqQwoHO4A2+Phlno9EEnqEww==
=HwPc
-----END PGP SIGNATURE-----
"""
CLEAR = b"""-----BEGIN PGP SIGNED MESSAGE-----
Hash: SHA512

Suite: x
- - dashed
- -----BEGIN
blanks behind \t \n\

\tend

-----BEGIN PGP SIGNATURE-----

wnUEARYKAB0WIQQAAQIDBAUGBwgJCgsMDQ4PEBESEwUCYAAAAAAKCRAMDQ4PEBES
E08FAP9/TwV3MNbKqcanuT+IiSIAUjqVz6Jh461grxC/cLq8qAD/ZoTHq1J0OrFo
g9Kfx4eWvhjk0FjKryTneYiDlleYUpY=
=NYvr
-----END PGP SIGNATURE-----
"""


def test_a_detached_signature_is_byte_for_byte_the_one_that_gpgv_took():
    assert detached(b"document", RSA, one, NOW) == DETACHED


def test_a_clear_signature_is_byte_for_byte_the_one_that_gpgv_took():
    assert clear_signed(TEXT, EDDSA, two, NOW) == CLEAR


def packet_of(armored: bytes) -> bytes:
    lines = armored.splitlines()
    return base64.b64decode(b"".join(lines[2:-2]))


def body_of(packet: bytes) -> tuple[int, bytes]:
    """Return the number of octets in a packet's length, and the body (RFC 4880, 4.2.2)."""
    assert packet[0] == 0xC2
    first = packet[1]
    if first < 192:
        octets, length = 1, first
    else:
        assert first < 224
        octets, length = 2, ((first - 192) << 8) + packet[2] + 192
    body = packet[1 + octets :]
    assert len(body) == length
    return octets, body


#: Octets of a signature besides its number.
_REST = len(body_of(packet_of(DETACHED))[1]) - 65


@pytest.mark.parametrize(("length", "octets"), [(191, 1), (192, 2), (448, 2), (2200, 2)])
def test_the_length_of_a_packet_takes_as_few_octets_as_can_be(length: int, octets: int):
    number = b"\x01" * (length - _REST)
    made = detached(b"document", RSA, lambda _digest: [number], NOW)
    found, body = body_of(packet_of(made))
    assert (found, len(body)) == (octets, length)
    assert body.endswith(number)


@pytest.mark.parametrize(
    ("number", "written"),
    [(b"\x00\x01\xff", "0009 01ff"), (b"\x80", "0008 80"), (b"\x7f", "0007 7f"), (b"", "0000")],
)
def test_a_number_says_its_bits_and_has_no_zeros_before_it(number: bytes, written: str):
    made = packet_of(detached(b"document", RSA, lambda _digest: [number], NOW))
    assert made.endswith(bytes.fromhex(written))


def test_what_is_signed_is_the_document_and_what_the_signature_says_of_itself():
    """The hashed octets that RFC 4880 requires, section 5.2.4."""
    asked: list[bytes] = []

    def sign(digest: bytes) -> list[bytes]:
        asked.append(digest)
        return one(digest)

    _, body = body_of(packet_of(detached(b"document", RSA, sign, NOW)))
    head = body[: 6 + int.from_bytes(body[4:6])]
    trailer = b"\x04\xff" + len(head).to_bytes(4)
    digest = hashlib.sha512(b"document" + head + trailer).digest()
    assert asked == [digest]
    assert body[len(head) + 12 :][:2] == digest[:2]
