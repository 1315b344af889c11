"""Keys that a process starts with, and gpg settings that must not change them; with a real gpg."""

import re
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from staging_api.errors import Invalid, SigningFailed
from staging_api.publishing.signing import (
    SignedRelease,
    SigningKey,
    list_own_signatures,
    sign,
)
from staging_api.publishing.signing_keys import checked, expiry_warning
from tests.keys import public_key, signing_key, stop_agent

pytestmark = pytest.mark.system


@pytest.fixture
def folder() -> Iterator[Path]:
    """Yield a folder with a short path: gpg creates sockets in it."""
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


def made(home: Path, kind: str, *how: str, use: str = "sign") -> SigningKey:
    """Return a key of this kind, in its own home directory."""
    home.mkdir(mode=0o700)
    gpg(home, "--allow-weak-key-signatures", *how, "--quick-generate-key", "x", kind, use)
    listing = gpg(home, "--with-colons", "--list-secret-keys")
    fingerprint = next(line.split(":")[9] for line in listing.splitlines() if line[:3] == "fpr")
    return SigningKey(home, fingerprint)


def digest_of(signed: SignedRelease, key: SigningKey) -> set[str]:
    """Return the digest algorithms of the signature packets, by their numbers in RFC 4880."""
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
def test_options_in_the_home_of_gpg_change_no_signature(
    key: SigningKey, folder: Path, line: str
) -> None:
    (key.home / "gpg.conf").write_text(f"{line}\n")
    signed = sign(b"Suite: x\n- dashed\n", key)
    assert isinstance(signed, SignedRelease)
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


def test_a_key_that_has_expired_does_not_prevent_a_start_and_signs_nothing(key: SigningKey) -> None:
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
    expired = checked(SigningKey(key.home, old))
    assert "has expired at 2020-01-02" in str(expiry_warning(expired, datetime.now(UTC)))
    with pytest.raises(SigningFailed, match="has expired"):
        sign(b"Suite: noble\n", expired)


def fingerprints(home: Path) -> list[str]:
    """Return the fingerprints of the key and its subkeys."""
    listing = gpg(home, "--with-colons", "--list-keys").splitlines()
    return [line.split(":")[9] for line in listing if line.startswith("fpr")]


@pytest.mark.parametrize("digest", ["SHA1", "RIPEMD160"])
def test_a_key_with_a_self_signature_over_a_broken_digest_is_refused_until_it_is_renewed(
    folder: Path, digest: str
) -> None:
    old = made(folder / "old", "rsa2048", *("--cert-digest-algo", digest))
    try:
        named = "SHA-1" if digest == "SHA1" else "RIPEMD-160"
        with pytest.raises(Invalid, match=f"over {named}.*--quick-set-expire"):
            checked(old)
        anew = ("--cert-digest-algo", "SHA512", "--quick-set-expire", old.fingerprint, "2y")
        gpg(old.home, "--faked-system-time", "20270101T000000", *anew)
        assert checked(old) == old
    finally:
        stop_agent(old.home)


def with_subkey(home: Path, kind: str, sub: str) -> SigningKey:
    """Return a signing subkey of a key of this kind."""
    owner = made(home, kind)
    gpg(home, "--quick-add-key", owner.fingerprint, sub, "sign")
    return SigningKey(home, fingerprints(home)[1])


def test_a_subkey_signs_if_it_and_its_key_are_believed(folder: Path) -> None:
    good = with_subkey(folder / "good", "ed25519", "rsa2048")
    try:
        assert checked(good) == good
        assert isinstance(sign(b"Suite: x\n", good), SignedRelease)
    finally:
        stop_agent(good.home)


@pytest.mark.parametrize(
    ("kind", "sub", "reason"),
    [
        ("rsa1024", "rsa2048", "belongs to a key that has 1024 bits"),
        ("dsa2048", "rsa2048", "belongs to a key that is of a kind"),
        ("ed25519", "rsa1024", "has 1024 bits"),
        ("ed25519", "dsa2048", "is of a kind"),
    ],
)
def test_a_subkey_that_clients_would_not_believe_is_refused(
    folder: Path, kind: str, sub: str, reason: str
) -> None:
    weak = with_subkey(folder / "weak", kind, sub)
    try:
        with pytest.raises(Invalid, match=reason):
            checked(weak)
    finally:
        stop_agent(weak.home)


def test_a_subkey_that_is_tied_to_its_key_over_sha_1_is_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Old versions of gpg made such subkeys; today's makes none, but lists them in this form."""
    key = with_subkey(folder / "old", "ed25519", "rsa2048")
    listing = list_own_signatures(key)
    stop_agent(key.home)
    of_old = re.sub(r"^(sig:.*:18x:.*:)\d+:$", r"\g<1>2:", listing, flags=re.MULTILINE)
    assert of_old != listing
    monkeypatch.setattr(
        "staging_api.publishing.signing_keys.list_own_signatures", lambda _key: of_old
    )
    with pytest.raises(Invalid, match="over SHA-1"):
        checked(key)
    owner = SigningKey(key.home, fingerprints(key.home)[0])
    assert checked(owner) == owner


def test_a_key_or_subkey_that_was_revoked_is_refused(folder: Path) -> None:
    revoked = with_subkey(folder / "revoked", "ed25519", "rsa2048")
    owner = SigningKey(revoked.home, fingerprints(revoked.home)[0])
    try:
        edit = [*("--command-fd", "0", "--no-tty", "--edit-key"), owner.fingerprint]
        gpg(owner.home, *edit, given=b"key 1\nrevkey\ny\n0\n\ny\nsave\n")
        with pytest.raises(Invalid, match="is revoked"):
            checked(revoked)
        assert checked(owner) == owner
        written = (owner.home / "openpgp-revocs.d" / f"{owner.fingerprint}.rev").read_bytes()
        gpg(owner.home, "--import", given=written.replace(b":-----BEGIN", b"-----BEGIN"))
        for each in (owner, revoked):
            with pytest.raises(Invalid, match="revoked"):
                checked(each)
    finally:
        stop_agent(owner.home)


def test_a_subkey_without_its_key_s_secret_part_signs(folder: Path) -> None:
    """The secret part of the primary key may be kept elsewhere."""
    whole = with_subkey(folder / "whole", "ed25519", "rsa2048")
    owner, sub = fingerprints(whole.home)
    away = folder / "away"
    away.mkdir(mode=0o700)
    secret = ["gpg", "--homedir", str(whole.home), "--batch", "--export-secret-subkeys", f"{sub}!"]
    exported = subprocess.run(secret, check=True, capture_output=True).stdout
    gpg(away, "--import", given=exported)
    try:
        assert checked(SigningKey(away, sub)) == SigningKey(away, sub)
        assert isinstance(sign(b"Suite: x\n", SigningKey(away, sub)), SignedRelease)
        with pytest.raises(Invalid, match="not the fingerprint of a secret key"):
            checked(SigningKey(away, owner))
    finally:
        for home in (whole.home, away):
            stop_agent(home)


def test_without_gpg_or_its_home_the_process_starts_and_signs_nothing(tmp_path: Path) -> None:
    for away in (
        SigningKey(tmp_path / "gone", "A" * 40),
        SigningKey(tmp_path, "A" * 40, program=str(tmp_path / "gpg")),
    ):
        assert checked(away) == away
