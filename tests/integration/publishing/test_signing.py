"""Signing where there is nothing to sign with; with a real gpg it is tested beside real apt."""

from pathlib import Path

import pytest

from staging_api.errors import SigningFailed
from staging_api.publishing.signing import (
    SignedRelease,
    SigningKey,
    UnsignedRelease,
    sign,
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


def test_a_gpg_that_hangs_is_ended(tmp_path: Path) -> None:
    gpg = tmp_path / "gpg"
    gpg.write_text("#!/bin/sh\nexec sleep 600\n")
    gpg.chmod(0o755)
    with pytest.raises(SigningFailed, match=r"within 0\.2 s"):
        sign(b"Suite: x\n", SigningKey(tmp_path, "0" * 40, program=str(gpg)), timeout_seconds=0.2)


def test_a_gpg_that_refuses_is_a_failure_and_not_an_unsigned_release(tmp_path: Path) -> None:
    gpg = tmp_path / "gpg"
    gpg.write_text("#!/bin/sh\necho 'key expired' >&2\nexit 2\n")
    gpg.chmod(0o755)
    with pytest.raises(SigningFailed, match="key expired"):
        sign(b"Suite: x\n", SigningKey(tmp_path, "0" * 40, program=str(gpg)))


def test_signing_is_repeated_after_one_failure_of_gpg(tmp_path: Path) -> None:
    gpg = tmp_path / "gpg"
    gpg.write_text(f"""#!/bin/sh
for each; do [ "$each" = --detach-sign ] && mkdir {tmp_path}/once 2>/dev/null && exit 2; done
echo signed
""")
    gpg.chmod(0o755)
    signed = sign(b"Suite: x\n", SigningKey(tmp_path, "0" * 40, program=str(gpg)))
    assert signed == SignedRelease(b"signed\n", b"signed\n")
    assert (tmp_path / "once").is_dir()
