"""Digests of a stream: choice of the declared digest to compare, and differences."""

import hashlib
from typing import Any

import google_crc32c
import pytest

from staging_api.store.digest import Digests

CHUNKS = [b"first ", b"", b"second"]
CONTENT = b"".join(CHUNKS)
TRUE = {
    "sha256": hashlib.sha256(CONTENT).hexdigest(),
    "crc32c": f"{google_crc32c.value(CONTENT):08x}",
    "sha512": hashlib.sha512(CONTENT).hexdigest(),
    "md5": hashlib.md5(CONTENT, usedforsecurity=False).hexdigest(),
}
NAMES = list(TRUE)


def read(declared: dict[str, str], chunks: list[bytes] = CHUNKS, **how: bool) -> Digests:
    digests = Digests(declared, **how)
    for chunk in chunks:
        digests.update(chunk)
    return digests


@pytest.mark.parametrize("name", NAMES)
def test_a_declared_digest_is_compared(name: str) -> None:
    declared = {name: TRUE[name], "sha1": "not compared"}
    for chunks, broken in ((CHUNKS, None), ([*CHUNKS, b"!"], name)):
        digests = read(declared, chunks)
        assert digests.checked == name
        assert digests.broken(digests.sha256("of another")) == broken


@pytest.mark.parametrize("first", range(4))
def test_of_several_digests_the_cheapest_is_compared_and_no_other(first: int) -> None:
    declared = dict.fromkeys(reversed(NAMES[first:]), "wrong")
    declared[NAMES[first]] = TRUE[NAMES[first]]
    digests = read(declared)
    assert digests.checked == NAMES[first]
    assert digests.broken(digests.sha256("")) is None


def test_where_nothing_is_declared_nothing_differs() -> None:
    digests = read({"sha1": "x"})
    assert digests.checked is None
    assert digests.broken(digests.sha256("")) is None


def test_its_length_is_counted_and_its_sha256_is_its_own_or_the_receivers() -> None:
    assert read({}).size_bytes == len(CONTENT)
    assert read({}, []).size_bytes == 0
    assert read({}).sha256("of the receiver") == TRUE["sha256"]
    assert read({}, sha256=False).sha256("of the receiver") == "of the receiver"
    digests = read({"sha256": TRUE["sha256"]}, sha256=False)
    assert digests.broken("of the receiver") == "sha256"


def test_a_sha256_that_is_declared_late_is_compared_and_what_was_before_is_not() -> None:
    digests = read({"md5": "wrong"})
    digests.compare_sha256({"sha256": TRUE["sha256"]})
    assert digests.broken(TRUE["sha256"]) is None
    digests.compare_sha256({"sha256": "wrong"})
    assert digests.broken(TRUE["sha256"]) == "sha256"


def test_md5_is_computed_where_openssl_refuses_it_for_security(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    md5 = hashlib.md5

    def refuses(*given: bytes, usedforsecurity: bool = True) -> Any:
        if usedforsecurity:
            raise ValueError("disabled for FIPS")
        return md5(*given, usedforsecurity=False)

    monkeypatch.setattr(hashlib, "md5", refuses)
    assert read({"md5": TRUE["md5"]}).broken("") is None
    assert read({}).broken("") is None
