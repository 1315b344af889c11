"""Signatures made through gpg's agent: equal to gpg's own, with gpg as the fallback."""

import subprocess
import time
from collections.abc import Iterator
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from staging_api.errors import SigningFailed
from staging_api.publishing import signing
from staging_api.publishing.signing import SignedRelease, SigningKey, sign
from tests.keys import public_key, stop_agent

pytestmark = pytest.mark.system

#: Lines that a clear signature must escape, or that it hashes in another form.
RELEASE = b"Suite: x\n- dashed\n-----BEGIN\nFrom: me\nblanks behind \t \n\n\tu\xcc\x88nter\n\n"


@pytest.fixture
def home() -> Iterator[Path]:
    """Yield a home directory with a short path: gpg creates sockets in it."""
    with TemporaryDirectory(prefix="gpg-") as name:
        yield Path(name)
        stop_agent(Path(name))


def gpg(home: Path, *arguments: str) -> str:
    argv = ["gpg", "--homedir", str(home), "--batch", "--pinentry-mode", "loopback"]
    done = subprocess.run([*argv, *arguments], check=True, capture_output=True, text=True)
    return done.stdout


def fingerprints(home: Path) -> list[str]:
    listing = gpg(home, "--with-colons", "--list-secret-keys").splitlines()
    return [line.split(":")[9] for line in listing if line.startswith("fpr")]


def new_key(home: Path, algorithm: str = "ed25519", passphrase: str = "") -> SigningKey:
    gpg(home, "--passphrase", passphrase, "--quick-generate-key", "ada", algorithm, "sign")
    return SigningKey(home, fingerprints(home)[0])


def believed(key: SigningKey, made: object) -> set[int]:
    """Check both signatures with gpgv, for the key and SHA512, and return their times."""
    assert isinstance(made, SignedRelease)
    folder, times = key.home, set()
    (folder / "ring.asc").write_bytes(public_key(key))
    subprocess.run(["gpg", "--dearmor", "--yes", "-o", "ring", "ring.asc"], cwd=folder, check=True)
    files = {"Release": RELEASE, "Release.gpg": made.release_gpg, "InRelease": made.in_release}
    for name, content in files.items():
        (folder / name).write_bytes(content)
    for names in (["Release.gpg", "Release"], ["--output", "-", "InRelease"]):
        argv = ["gpgv", "--status-fd", "2", "--keyring", str(folder / "ring"), *names]
        done = subprocess.run(argv, cwd=folder, check=False, capture_output=True)
        assert done.returncode == 0, done.stderr
        (valid,) = (line for line in done.stderr.split(b"\n") if b" VALIDSIG " in line)
        assert valid.split()[2].decode() == key.fingerprint
        assert valid.split()[9] == b"10"
        times.add(int(valid.split()[4]))
    # Clients read the lines without trailing blanks.
    assert done.stdout == b"\n".join(line.rstrip(b" \t") for line in RELEASE.split(b"\n"))
    return times


@pytest.fixture
def asked_gpg(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the list of the last arguments of all calls of gpg."""
    asked: list[str] = []
    gpg_itself = signing._gpg

    def note(key: SigningKey, arguments: list[str], *rest: object) -> bytes:
        asked.append(arguments[-1])
        return gpg_itself(key, arguments, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(signing, "_gpg", note)
    return asked


@pytest.mark.parametrize("algorithm", ["ed25519", "rsa2048", "rsa3072", "nistp256", "nistp521"])
def test_clients_believe_what_the_agent_signed(
    home: Path, algorithm: str, asked_gpg: list[str]
) -> None:
    key = new_key(home, algorithm)
    sign(RELEASE, key)  # the agent may have to be started first
    asked_gpg.clear()
    made = sign(RELEASE, key)
    assert asked_gpg == []
    believed(key, made)


def test_a_subkey_signs_for_a_key_whose_own_secret_is_elsewhere(
    home: Path, asked_gpg: list[str]
) -> None:
    owner = new_key(home)
    gpg(home, "--passphrase", "", "--quick-add-key", owner.fingerprint, "rsa2048", "sign")
    own_grip, _ = (
        line.split(":")[9]
        for line in gpg(home, "--with-colons", "--with-keygrip", "-K").splitlines()
        if line.startswith("grp")
    )
    (home / "private-keys-v1.d" / f"{own_grip}.key").unlink()
    key = SigningKey(home, fingerprints(home)[1])
    sign(RELEASE, key)
    asked_gpg.clear()
    made = sign(RELEASE, key)
    assert asked_gpg == []
    believed(key, made)


def test_gpg_signs_while_no_agent_runs_and_the_next_signature_is_the_agents(
    home: Path, asked_gpg: list[str]
) -> None:
    key = new_key(home)
    sign(RELEASE, key)
    stop_agent(home)
    asked_gpg.clear()
    believed(key, sign(RELEASE, key))
    assert sorted(asked_gpg)[:2] == ["--clearsign", "--detach-sign"]
    asked_gpg.clear()
    sign(RELEASE, key)
    assert asked_gpg == []


def test_a_key_whose_secret_was_removed_is_a_failure(home: Path) -> None:
    key = new_key(home)
    sign(RELEASE, key)
    for path in (home / "private-keys-v1.d").iterdir():
        path.unlink()
    stop_agent(home)
    with pytest.raises(SigningFailed):
        sign(RELEASE, key)


@pytest.mark.parametrize("is_running", [True, False], ids=["agent", "gpg"])
def test_signatures_are_of_the_time_that_is_given(home: Path, is_running: bool) -> None:
    key = new_key(home)
    wanted = datetime.now(UTC) + timedelta(days=1)
    sign(RELEASE, key)
    if not is_running:
        stop_agent(home)
    made = sign(RELEASE, key, wanted)
    assert believed(key, made) == {int(wanted.timestamp())}
    now = int(time.time())
    assert all(abs(at - now) < 3600 for at in believed(key, sign(RELEASE, key)))


@pytest.mark.parametrize("is_running", [True, False], ids=["agent", "gpg"])
def test_a_key_that_has_expired_by_the_time_that_is_given_is_a_failure(
    home: Path, is_running: bool
) -> None:
    key = new_key(home)
    gpg(home, "--quick-set-expire", key.fingerprint, "2d")
    now = datetime.now(UTC)
    for days, is_believed in ((1, True), (3, False)):
        sign(RELEASE, key)
        if not is_running:
            stop_agent(home)
        expired = f"{key.fingerprint} has expired at .*: extend it"
        with nullcontext() if is_believed else pytest.raises(SigningFailed, match=expired):
            sign(RELEASE, key, now + timedelta(days=days))


def test_a_key_that_expires_while_the_process_runs_is_a_failure(home: Path) -> None:
    key = new_key(home)
    assert isinstance(sign(RELEASE, key), SignedRelease)
    gpg(home, "--quick-set-expire", key.fingerprint, "seconds=1")
    deadline = time.monotonic() + 10
    with pytest.raises(SigningFailed):
        while time.monotonic() < deadline:
            sign(RELEASE, key)


def test_a_key_with_a_passphrase_is_a_failure_and_asks_nobody(home: Path) -> None:
    key = new_key(home, passphrase="secret")
    stop_agent(home)
    for _ in range(2):
        with pytest.raises(SigningFailed):
            sign(RELEASE, key)
