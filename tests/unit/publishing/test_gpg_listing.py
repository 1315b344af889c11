"""Parser of gpg's lists of keys and signatures, which lets weak keys be refused.

Real keys are tested in `tests/integration/publishing/test_signing_keys.py`; here a program prints
the list that a test gives it.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from staging_api.errors import Invalid, SigningFailed
from staging_api.publishing import signing_keys
from staging_api.publishing.signing import SigningKey
from staging_api.publishing.signing_keys import checked, expiry_warning

KEY = "84663BD8A7308146325D1530B69513F94474B716"
SUBKEY = "376AF32FE87FDAD1FEBD1BBF19AF0092F30AFA1E"
OTHER = "0123456789ABCDEF0123456789ABCDEF01234567"

#: From gpg 2.2: an RSA key, and an ed25519 subkey whose secret part may be missing.
KEYS = f"""\
sec:{{validity}}:{{bits}}:{{kind}}:{KEY[-16:]}:1796007227:1859079227::u:::{{uses}}:::{{token}}:::23::0:
fpr:::::::::{KEY}:
grp:::::::::881BB5DE5BBA34658EC21435076A4362C8497C5F:
uid:u::::1796007227::086C70194EA1F9F6A294B11BBF286C998DFBF0AB::one::::::::::0:
ssb:{{sub_validity}}:255:22:{SUBKEY[-16:]}:1796007227::::::s:::{{sub_token}}::ed25519::
fpr:::::::::{SUBKEY}:
grp:::::::::45FB5CCC647DA3F402D09CFFA7B0362B651B3E6B:
"""
KEYS_AS = {
    "validity": "u",
    "bits": "2048",
    "kind": "1",
    "uses": "scSC",
    "token": "+",
    "sub_validity": "u",
    "sub_token": "+",
}


def sig(over: int, made: int, by: str = KEY, kind: str = "13x", good: str = "!") -> str:
    """Return a signature with a digest of this number."""
    return f"sig:{good}::1:{by[-16:]}:{made}::::one:{kind}::{by}:::{over}:\n"


SIGNATURES = f"""\
tru::1:1796007227:0:3:1:5
pub:u:2048:1:{KEY[-16:]}:1796007227:1859079227::u:::scSC::::::23::0:
fpr:::::::::{KEY}:
{{direct}}uid:u::::1796007227::086C70194EA1F9F6A294B11BBF286C998DFBF0AB::one::::::::::0:
{{named}}sub:u:255:22:{SUBKEY[-16:]}:1796007227::::::s:::::ed25519::
fpr:::::::::{SUBKEY}:
{{tied}}"""
SHA1, SHA512 = 2, 10
SIGNATURES_AS = {"direct": "", "named": sig(SHA512, 100), "tied": sig(SHA512, 100, kind="18x")}

Check = Callable[..., SigningKey]


@pytest.fixture
def check(tmp_path: Path) -> Check:
    """Return a check of a key for which gpg lists the given changes."""

    def check(fingerprint: str = KEY, **otherwise: str) -> SigningKey:
        listed = KEYS.format(**{k: otherwise.get(k, v) for k, v in KEYS_AS.items()})
        (tmp_path / "keys").write_text(listed)
        signed = SIGNATURES.format(**{k: otherwise.get(k, v) for k, v in SIGNATURES_AS.items()})
        (tmp_path / "signatures").write_text(signed)
        program = tmp_path / "gpg"
        program.write_text(
            f"#!/bin/sh\ncase $* in *--check-sigs*) exec cat {tmp_path}/signatures;; esac\n"
            f"exec cat {tmp_path}/keys\n"
        )
        program.chmod(0o755)
        return checked(SigningKey(tmp_path, fingerprint, str(program)))

    return check


@pytest.mark.parametrize("fingerprint", [KEY, SUBKEY])
def test_a_key_and_its_subkey_are_each_taken_with_what_is_theirs(check: Check, fingerprint: str):
    assert check(fingerprint).fingerprint == fingerprint


@pytest.mark.parametrize("written", [f"0x{KEY.lower()}", " ".join([KEY[:20], KEY[20:]])])
def test_a_fingerprint_may_be_written_as_people_do(check: Check, written: str):
    assert check(written).fingerprint == KEY


@pytest.mark.parametrize("written", [KEY[:39], f"{KEY}0", KEY[-16:], "G" * 40, "A" * 63, ""])
def test_what_is_no_whole_fingerprint_is_refused(check: Check, written: str):
    with pytest.raises(Invalid, match="whole fingerprint"):
        check(written)


@pytest.mark.parametrize("absent", [OTHER, "A" * 64])
def test_a_whole_fingerprint_of_another_key_is_refused(check: Check, absent: str):
    with pytest.raises(Invalid, match="not the fingerprint of a secret key"):
        check(absent)


@pytest.mark.parametrize(
    ("otherwise", "why"),
    [
        ({"token": "#"}, "not the fingerprint of a secret key"),
        ({"uses": "cC"}, "may not sign"),
        ({"validity": "r"}, "is revoked"),
        ({"validity": "d"}, "is disabled"),
        ({"validity": "i"}, "is invalid"),
        ({"bits": "2047"}, "has 2047 bits: clients want 2048"),
        ({"bits": ""}, "has 0 bits"),
        ({"bits": "2047", "kind": "3"}, "has 2047 bits"),
        ({"kind": "17"}, "clients count as weak"),
        ({"kind": "16"}, "clients count as weak"),
    ],
)
def test_a_weak_key_is_refused_for_what_is_wrong_with_it(
    check: Check, otherwise: dict[str, str], why: str
):
    with pytest.raises(Invalid) as error:
        check(**otherwise)
    assert why in str(error.value)


@pytest.mark.parametrize(
    "otherwise",
    [{"bits": "255", "kind": kind} for kind in ("19", "22", "27", "28")]
    + [
        {"sub_token": "#"},
        {"validity": "e"},
        {"sub_validity": "e"},
        {"bits": "2048", "kind": "3"},
    ],
)
def test_a_key_is_taken_whatever_its_subkey_is_and_without_rsa_of_fewer_bits(
    check: Check, otherwise: dict[str, str]
):
    assert check(**otherwise).fingerprint == KEY


@pytest.mark.parametrize(
    ("otherwise", "why"),
    [
        ({"sub_token": "#"}, "not the fingerprint of a secret key"),
        ({"validity": "r"}, "belongs to a key that is revoked"),
        ({"bits": "1024"}, "belongs to a key that has 1024 bits"),
    ],
)
def test_a_subkey_is_as_weak_as_the_key_that_it_belongs_to(
    check: Check, otherwise: dict[str, str], why: str
):
    with pytest.raises(Invalid) as error:
        check(SUBKEY, **otherwise)
    assert why in str(error.value)
    assert ("belongs" in str(error.value)) == ("belongs" in why)


#: Self-signatures of a key that clients still accept.
BELIEVED = {
    "the newest": {"named": sig(SHA1, 100) + sig(SHA512, 200)},
    "of the key itself": {"direct": sig(SHA512, 100, kind="1fx"), "named": sig(SHA1, 100)},
    "of a time that is not said": {"named": sig(SHA1, 0).replace(":0:::", "::::") + sig(SHA512, 1)},
    "not of another key": {"named": sig(SHA512, 100) + sig(SHA1, 200, by=OTHER)},
    "not one that does not hold": {"named": sig(SHA512, 100) + sig(SHA1, 200, good="-")},
    "not one of another class": {"named": sig(SHA512, 100) + sig(SHA1, 200, kind="30x")},
    "not that of a subkey": {"tied": sig(SHA1, 100, kind="18x")},
}


@pytest.mark.parametrize("which", BELIEVED)
def test_the_newest_good_signature_of_the_key_s_own_counts(check: Check, which: str):
    assert check(**BELIEVED[which]).fingerprint == KEY


#: Signatures with which clients no longer accept a key, and the digest that the error names.
BROKEN = {
    "the newest": ({"named": sig(SHA512, 100) + sig(SHA1, 200)}, "SHA-1"),
    "over MD5": ({"named": sig(1, 100)}, "MD5"),
    "over RIPEMD": ({"named": sig(3, 100)}, "RIPEMD-160"),
    "of the key and of its name": (
        {"direct": sig(SHA1, 100, kind="1fx"), "named": sig(1, 100)},
        "SHA-1",
    ),
}


@pytest.mark.parametrize("which", BROKEN)
@pytest.mark.parametrize("fingerprint", [KEY, SUBKEY])
def test_a_key_that_is_tied_to_its_owner_over_a_broken_digest_is_refused(
    check: Check, which: str, fingerprint: str
):
    otherwise, digest = BROKEN[which]
    with pytest.raises(Invalid, match=f"signature over {digest},"):
        check(fingerprint, **otherwise)


def test_a_subkey_that_is_tied_to_its_key_over_a_broken_digest_is_refused(check: Check):
    with pytest.raises(Invalid, match="signature over SHA-1,"):
        check(SUBKEY, tied=sig(SHA1, 100, kind="18x"))
    # The list does not say what the signature covers.
    assert check(SUBKEY, tied="").fingerprint == SUBKEY
    assert check(SUBKEY, tied=sig(SHA1, 9, kind="18x") + sig(9, 10, kind="18x")).fingerprint


def test_a_key_is_warned_of_from_thirty_days_before_its_expiry(monkeypatch: pytest.MonkeyPatch):
    now = datetime(2026, 12, 1, 8, tzinfo=UTC)
    expiry: list[datetime | None] = [None]
    monkeypatch.setattr(signing_keys, "expires_at", lambda _key: expiry[0])
    key = SigningKey(Path("/home"), KEY)
    said = []
    for days in (31, 30, 1, 0, -1):
        expiry[0] = now + timedelta(days=days)
        said.append(expiry_warning(key, now))
    assert said == [
        None,
        f"The signing key {KEY} expires at 2026-12-31 08:00 UTC",
        f"The signing key {KEY} expires at 2026-12-02 08:00 UTC",
        f"The signing key {KEY} has expired at 2026-12-01 08:00 UTC",
        f"The signing key {KEY} has expired at 2026-11-30 08:00 UTC",
    ]
    expiry[0] = None
    assert expiry_warning(key, now) is None


def test_of_a_key_that_gpg_does_not_list_nothing_is_said(monkeypatch: pytest.MonkeyPatch):
    def fails(_key: object) -> None:
        raise SigningFailed("gpg: no such key")

    monkeypatch.setattr(signing_keys, "expires_at", fails)
    assert expiry_warning(SigningKey(Path("/home"), KEY), datetime.now(UTC)) is None
