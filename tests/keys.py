"""Throw-away signing keys, made by a real gpg."""

import re
import subprocess
from pathlib import Path

from staging_api.publishing.signing import SigningKey

# [GNUPG:] IMPORT_OK <flags> <fingerprint>; gpg's DETAILS: flags from 16 on are for secret keys.
_IMPORTED = re.compile(rb"^\[GNUPG:\] IMPORT_OK (?:1[6-9]|[2-9][0-9]) ([0-9A-F]+)$", re.MULTILINE)


def secret_key(home: Path, name: str) -> bytes:
    """A new ed25519 key without passphrase, armored as a person would hand it over."""
    home.mkdir(mode=0o700)
    gpg = ["gpg", "--homedir", str(home), "--batch", "--pinentry-mode", "loopback"]
    gpg += ["--passphrase", ""]
    try:
        argv = [*gpg, "--quick-generate-key", f"{name} <{name}@example.org>", "ed25519", "sign"]
        subprocess.run(argv, check=True, capture_output=True)
        argv = [*gpg, "--armor", "--export-secret-keys", name]
        return subprocess.run(argv, check=True, capture_output=True).stdout
    finally:
        stop_agent(home)


def signing_key(folder: Path, name: str = "signer") -> SigningKey:
    """A new key in a home directory of its own; its agent is the caller's to stop."""
    return imported(folder / name, secret_key(folder / f"{name}-maker", name))


def imported(home: Path, secret: bytes) -> SigningKey:
    """A secret key without passphrase, put into a home directory made for it."""
    home.mkdir(mode=0o700)
    argv = ["gpg", "--homedir", str(home), "--batch", "--status-fd", "1", "--import"]
    status = subprocess.run(argv, input=secret, check=True, capture_output=True).stdout
    (fingerprint,) = set(_IMPORTED.findall(status))
    return SigningKey(home, fingerprint.decode())


def stop_agent(home: Path) -> None:
    """End the agent that gpg left running for a home directory, if there is one."""
    argv = ["gpgconf", "--homedir", str(home), "--kill", "gpg-agent"]
    subprocess.run(argv, check=False, capture_output=True, timeout=30)


def public_key(key: SigningKey) -> bytes:
    """The public half, armored: what clients name in ``Signed-By``."""
    argv = ["gpg", "--homedir", str(key.home), "--batch", "--armor", "--export", key.fingerprint]
    return subprocess.run(argv, check=True, capture_output=True).stdout
