"""Signing without gpg or without a key; tests with a real gpg are beside those of real apt."""

import os
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from staging_api.errors import SigningFailed
from staging_api.publishing import signing
from staging_api.publishing.key_agent import AgentUnavailable
from staging_api.publishing.signing import (
    SignedRelease,
    SigningKey,
    UnsignedRelease,
    check_expiry,
    expires_at,
    sign,
    signer_of,
)


def test_without_a_key_there_is_a_reason_and_no_signature() -> None:
    assert sign(b"Suite: x\n", None) == UnsignedRelease("no signing key is configured")


def test_without_a_home_directory_there_is_a_reason_and_no_signature(tmp_path: Path) -> None:
    outcome = sign(b"Suite: x\n", SigningKey(tmp_path / "gone", "0" * 40))
    assert isinstance(outcome, UnsignedRelease)
    assert "no gpg home directory" in outcome.reason


def test_without_gpg_there_is_a_reason_and_no_signature(tmp_path: Path) -> None:
    gpg = str(tmp_path / "gpg")
    outcome = sign(b"Suite: x\n", SigningKey(tmp_path, "0" * 40, program=gpg))
    assert outcome == UnsignedRelease(f"{gpg} is not installed")


def program(path: Path, script: str) -> Path:
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def test_the_signer_is_known_only_with_the_key_and_gpg(tmp_path: Path) -> None:
    assert signer_of(None) == ""
    assert signer_of(SigningKey(tmp_path, "A" * 40, program="true")) == "A" * 40
    assert signer_of(SigningKey(tmp_path / "gone", "A" * 40, program="true")) is None
    assert signer_of(SigningKey(tmp_path, "A" * 40, program=str(tmp_path / "gpg"))) is None


LISTED = f"""sec:u:255:22:00:100:::u:::sc:::+::ed25519:::0:
fpr:::::::::{"A" * 40}:
grp:::::::::CCCC:
"""


@pytest.mark.parametrize("status", [0, 2])
def test_the_agent_is_found_if_gpg_says_where_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    gpg = program(tmp_path / "gpg", f"echo '{LISTED}'")
    program(tmp_path / "gpgconf", f"echo /a%20folder/S; exit {status}")
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    with pytest.raises(AgentUnavailable) if status else nullcontext():
        found = signing._agent_key(SigningKey(tmp_path, "A" * 40, str(gpg)), ())
        assert (found.socket, found.keygrip) == ("/a folder/S", "CCCC")


def test_a_gpg_that_hangs_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gpg = program(tmp_path / "gpg", "exec sleep 600")
    for limit in ("TIMEOUT_SECONDS", "_LISTING_SECONDS"):
        monkeypatch.setattr(signing, limit, 0.2)
    with pytest.raises(SigningFailed, match=r"within 0\.2 s"):
        sign(b"Suite: x\n", SigningKey(tmp_path, "0" * 40, program=str(gpg)), timeout_seconds=0.2)


@pytest.mark.parametrize(
    "script",
    ["echo 'key expired' >&2; exit 2", "echo half; echo 'key expired' >&2; exit 2", "cat >&2"],
    ids=["refuses", "breaks off", "says nothing"],
)
def test_a_gpg_that_does_not_sign_is_a_failure_and_not_an_unsigned_release(
    tmp_path: Path, script: str
) -> None:
    gpg = program(tmp_path / "gpg", script)
    with pytest.raises(SigningFailed, match=r"^gpg: key expired$"):
        sign(b"key expired\n", SigningKey(tmp_path, "0" * 40, program=str(gpg)))


def test_signing_is_repeated_after_one_failure_of_gpg(tmp_path: Path) -> None:
    once = f"""
for each; do [ "$each" = --detach-sign ] && mkdir {tmp_path}/once 2>/dev/null && exit 2; done
echo signed
"""
    gpg = program(tmp_path / "gpg", once)
    signed = sign(b"Suite: x\n", SigningKey(tmp_path, "0" * 40, program=str(gpg)))
    assert signed == SignedRelease(b"signed\n", b"signed\n")
    assert (tmp_path / "once").is_dir()


EXPIRING = "pub:u:255:22:00:100:{}::u:::sc:::::ed25519:::0:\nfpr:::::::::{}:\ngrp:::::::::C:\n"
OWNER, SUBKEY, OTHER = "A" * 40, "B" * 40, "C" * 40


def listing_key(folder: Path, fingerprint: str, **expiries: int | str) -> SigningKey:
    """Return a key whose gpg lists these keys, the first of them the primary key."""
    named = {"owner": OWNER, "subkey": SUBKEY, "other": OTHER}
    text = "".join(EXPIRING.format(at, named[name]) for name, at in expiries.items())
    gpg = program(folder / "gpg", f"echo '{text}'")
    lists = folder / "pubring.kbx"
    os.utime(lists, ns=(0, lists.stat().st_mtime_ns + 1)) if lists.exists() else lists.touch()
    return SigningKey(folder, fingerprint, program=str(gpg))


def test_a_key_expires_with_its_primary_key_and_gpg_is_called_once(tmp_path: Path) -> None:
    assert expires_at(None) is None
    assert expires_at(SigningKey(tmp_path / "gone", OWNER)) is None
    for expiries, seconds in (
        ({"owner": ""}, None),
        ({"owner": 900, "other": 5}, 900),
        ({"owner": 900, "subkey": 800}, 800),
        ({"owner": 700, "subkey": 800}, 700),
        ({"owner": "", "subkey": 800}, 800),
    ):
        # A change of gpg's list, as by --quick-set-expire, is seen without a restart.
        key = listing_key(tmp_path, SUBKEY if "subkey" in expiries else OWNER, **expiries)
        wanted = None if seconds is None else datetime.fromtimestamp(seconds, UTC)
        assert expires_at(key) == wanted
        program(tmp_path / "gpg", "exit 2")
        assert expires_at(key) == wanted


def test_a_key_has_expired_from_its_last_second_on(tmp_path: Path) -> None:
    key, expiry = listing_key(tmp_path, OWNER, owner=900), datetime.fromtimestamp(900, UTC)
    check_expiry(key, expiry - timedelta(seconds=1))
    said = rf"^the key {OWNER} has expired at 1970-01-01 00:15:00\+00:00: extend it with `gpg"
    for refuse in (lambda: check_expiry(key, expiry), lambda: sign(b"Suite: x\n", key, expiry)):
        with pytest.raises(SigningFailed, match=said):
            refuse()


def test_a_key_that_gpg_does_not_list_is_left_to_gpg(tmp_path: Path) -> None:
    gpg = program(tmp_path / "gpg", "echo 'no such key' >&2; exit 2")
    key = SigningKey(tmp_path, OWNER, program=str(gpg))
    check_expiry(key, datetime.now(UTC))
    with pytest.raises(SigningFailed, match="gpg: no such key"):
        expires_at(key)
