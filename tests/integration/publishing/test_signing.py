"""Signing without gpg or without a key; tests with a real gpg are beside those of real apt."""

from contextlib import nullcontext
from pathlib import Path

import pytest

from staging_api.errors import SigningFailed
from staging_api.publishing import signing
from staging_api.publishing.key_agent import AgentUnavailable
from staging_api.publishing.signing import (
    SignedRelease,
    SigningKey,
    UnsignedRelease,
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


def test_a_gpg_that_hangs_is_ended(tmp_path: Path) -> None:
    gpg = program(tmp_path / "gpg", "exec sleep 600")
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
