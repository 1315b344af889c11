"""Encryption of stored secrets: bound to a row and a key, and comparable by a keyed digest."""

from base64 import b64encode
from pathlib import Path

import pytest

from staging_api.documents.sealing import KeyRing, new_key, read_keys
from staging_api.errors import DocumentsUnreadable, Invalid

RING = KeyRing(new_key(), {"new": new_key(), "old": new_key()})
SECRET = b"swordfish"


def text(key: bytes) -> str:
    return b64encode(key).decode()


def test_a_sealed_value_opens_for_its_row_and_shows_nothing() -> None:
    sealed = RING.seal(SECRET, "row 1")
    assert SECRET not in sealed
    assert RING.open(sealed, "new", "row 1") == SECRET
    assert RING.seal(SECRET, "row 1") != sealed


@pytest.mark.parametrize(("key_id", "row"), [("new", "row 2"), ("old", "row 1"), ("gone", "row 1")])
def test_another_row_and_another_key_do_not_open_it(key_id: str, row: str) -> None:
    sealed = RING.seal(SECRET, "row 1")
    with pytest.raises(DocumentsUnreadable) as refused:
        RING.open(sealed, key_id, row)
    assert "swordfish" not in str(refused.value)


@pytest.mark.parametrize("place", [0, 12, -1])
def test_one_changed_byte_is_noticed(place: int) -> None:
    sealed = bytearray(RING.seal(SECRET, "row 1"))
    sealed[place] ^= 1
    with pytest.raises(DocumentsUnreadable):
        RING.open(bytes(sealed), "new", "row 1")


def test_a_value_that_was_cut_off_is_unreadable_not_a_crash() -> None:
    for length in range(20):
        with pytest.raises(DocumentsUnreadable):
            RING.open(RING.seal(SECRET, "row 1")[:length], "new", "row 1")


def test_digests_compare_under_the_equality_key_whatever_seals() -> None:
    rotated = KeyRing(RING.equality, {"newest": new_key(), **RING.sealing})
    assert rotated.digest(SECRET) == RING.digest(SECRET)
    other = KeyRing(new_key(), RING.sealing)
    assert other.digest(SECRET) != RING.digest(SECRET)


def test_keys_are_never_shown() -> None:
    assert text(RING.equality) not in repr(RING)
    assert repr(RING.equality) not in repr(RING)


def test_a_file_of_keys_is_read_in_order(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    lines = [f"equality {text(RING.equality)}", "# a comment", ""]
    lines += [f"{name} {text(key)}  # of a year" for name, key in RING.sealing.items()]
    file.write_text("\n".join(lines))
    assert read_keys(file) == RING
    assert read_keys(file).current == "new"


@pytest.mark.parametrize(
    ("content", "wrong"),
    [
        ("", "must have a key named equality"),
        (f"equality {text(new_key())}", "and another one"),
        (f"one {text(new_key())}", "must have a key named equality"),
        ("equality swordfish", "line 1: the key must be 32 bytes in base64"),
        (f"equality {text(b'short')}", "line 1: the key must be 32 bytes"),
        ("equality", "line 1 must be a name and a key"),
        (f"one {text(new_key())}\none {text(new_key())}", "line 2 names one a second time"),
        ("\udcff", "cannot be read"),
    ],
    # The names are the same in each process, the keys are drawn anew.
    ids=["empty", "one alone", "no equality", "not base64", "short", "no key", "twice", "not text"],
)
def test_a_wrong_file_is_refused_by_line(tmp_path: Path, content: str, wrong: str) -> None:
    file = tmp_path / "keys"
    file.write_bytes(content.encode(errors="surrogateescape"))
    with pytest.raises(Invalid, match=wrong) as refused:
        read_keys(file)
    assert "swordfish" not in str(refused.value)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match=r"KEYS_FILE: .*none cannot be read: No such"):
        read_keys(tmp_path / "none")
