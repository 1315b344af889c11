"""Throw-away signing keys, made by a real gpg."""

import subprocess
from pathlib import Path

from staging_api.publishing.signing import SigningKey, import_key, stop_agent


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
    return import_key(folder / name, secret_key(folder / f"{name}-maker", name))


def public_key(key: SigningKey) -> bytes:
    """The public half, armored: what clients name in ``Signed-By``."""
    argv = ["gpg", "--homedir", str(key.home), "--batch", "--armor", "--export", key.fingerprint]
    return subprocess.run(argv, check=True, capture_output=True).stdout
