"""Keys that a process starts with, and what gpg's own settings may not change; with a real gpg."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from staging_api.errors import Invalid
from staging_api.publishing.signing import Signed, SigningKey, public_key, sign, stop_agent
from staging_api.publishing.signing_keys import checked
from tests.keys import signing_key

pytestmark = pytest.mark.system


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder with a short name: gpg makes sockets in it."""
    with TemporaryDirectory(prefix="gpg-") as name:
        yield Path(name)


@pytest.fixture
def key(folder: Path) -> Iterator[SigningKey]:
    key = signing_key(folder)
    yield key
    stop_agent(key.home)


def gpg(home: Path, *arguments: str, given: bytes = b"") -> str:
    argv = ["gpg", "--homedir", str(home), "--batch", "--pinentry-mode", "loopback"]
    argv += ["--passphrase", "", *arguments]
    done = subprocess.run(argv, input=given, check=True, capture_output=True)
    return done.stdout.decode(errors="replace")


def made(home: Path, kind: str, use: str = "sign") -> SigningKey:
    """A key of a kind, in a home of its own."""
    home.mkdir(mode=0o700)
    gpg(home, "--allow-weak-key-signatures", "--quick-generate-key", "x", kind, use)
    listing = gpg(home, "--with-colons", "--list-secret-keys")
    fingerprint = next(line.split(":")[9] for line in listing.splitlines() if line[:3] == "fpr")
    return SigningKey(home, fingerprint)


def digest_of(signed: Signed, key: SigningKey) -> set[str]:
    """The digest algorithms of the signature packets, by their numbers in RFC 4880."""
    found = gpg(key.home, "--list-packets", given=signed.release_gpg)
    return set(re.findall(r"digest algo (\d+)", found))


@pytest.mark.parametrize(
    "line",
    [
        "digest-algo SHA1",
        "personal-digest-preferences SHA1",
        "weak-digest SHA512",
        "comment x",
        "output /dev/null",
        "textmode",
        "not-dash-escaped",
        "armor",
        "local-user nobody",
    ],
)
def test_nothing_in_the_home_of_gpg_changes_what_is_signed_or_how(
    key: SigningKey, folder: Path, line: str
) -> None:
    (key.home / "gpg.conf").write_text(f"{line}\n")
    signed = sign(b"Suite: x\n- dashed\n", key)
    assert isinstance(signed, Signed)
    (key.home / "gpg.conf").unlink()
    assert b"\nHash: SHA512\n\nSuite: x\n- - dashed\n-----BEGIN" in signed.in_release
    assert digest_of(signed, key) == {"10"}
    clients = folder / "client"
    clients.mkdir(mode=0o700)
    gpg(clients, "--import", given=public_key(key))
    gpg(clients, "--verify", given=signed.in_release)
    stop_agent(clients)


def test_a_key_that_clients_believe_is_taken_however_its_fingerprint_is_written(
    key: SigningKey,
) -> None:
    spelt = " ".join(key.fingerprint[n : n + 4] for n in range(0, 40, 4)).lower()
    assert checked(SigningKey(key.home, f"0x{spelt}")) == key
    assert checked(key) == key


@pytest.mark.parametrize(
    ("kind", "reason"),
    [("rsa1024", "1024 bits"), ("dsa2048", "count as weak"), ("dsa1024", "count as weak")],
)
def test_a_weak_key_is_refused_at_the_start(folder: Path, kind: str, reason: str) -> None:
    weak = made(folder / "weak", kind)
    try:
        with pytest.raises(Invalid, match=reason) as refused:
            checked(weak)
        assert refused.value.errors[0].field == "STAGING_SIGNING_KEY"
    finally:
        stop_agent(weak.home)


def test_strong_keys_of_other_kinds_are_taken(folder: Path) -> None:
    for kind in ("rsa2048", "nistp256"):
        strong = made(folder / kind, kind)
        try:
            assert checked(strong) == strong
        finally:
            stop_agent(strong.home)


def test_a_key_that_cannot_sign_what_clients_believe_is_refused(
    folder: Path, key: SigningKey
) -> None:
    with pytest.raises(Invalid, match=r"not the fingerprint of a secret key|cannot be used"):
        checked(SigningKey(key.home, "0" * 40))
    with pytest.raises(Invalid, match="whole fingerprint"):
        checked(SigningKey(key.home, key.fingerprint[-8:]))
    certifies = made(folder / "cert", "ed25519", use="cert")
    try:
        with pytest.raises(Invalid, match="may not sign"):
            checked(certifies)
    finally:
        stop_agent(certifies.home)
    clients = folder / "public"
    clients.mkdir(mode=0o700)
    gpg(clients, "--import", given=public_key(key))
    with pytest.raises(Invalid, match=r"secret key|cannot be used"):
        checked(SigningKey(clients, key.fingerprint))
    stop_agent(clients)


def test_a_key_that_has_expired_is_refused(key: SigningKey) -> None:
    gpg(
        key.home,
        "--faked-system-time",
        "20200101T000000!",
        "--quick-generate-key",
        "old",
        "ed25519",
        "sign",
        "1d",
    )
    listing = gpg(key.home, "--with-colons", "--list-secret-keys", "old")
    old = next(line.split(":")[9] for line in listing.splitlines() if line[:3] == "fpr")
    with pytest.raises(Invalid, match="has expired"):
        checked(SigningKey(key.home, old))


def test_without_gpg_or_its_home_the_process_starts_and_signs_nothing(tmp_path: Path) -> None:
    for away in (
        SigningKey(tmp_path / "gone", "A" * 40),
        SigningKey(tmp_path, "A" * 40, program=str(tmp_path / "gpg")),
    ):
        assert checked(away) == away
